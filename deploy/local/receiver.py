"""A webhook receiver for trying Bakvakt out: it checks, keeps and shows the pages that are sent.

Started as `python -m deploy.local.receiver FILE` with BAKVAKT_PORT and BAKVAKT_WEBHOOK_SECRET.
"""

import os
import sys
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiohttp import web

from deploy.local.page_table import page_table
from deploy.local.ports import LOOPBACK
from deploy.local.signature import Refused, signing_key, verify

SHOWN = 50
BODY_LIMIT_BYTES = 1024 * 1024


class ReceivedPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page, a line of the file."""

    received_at: str
    message_id: str
    page: object


class ShownPage(ReceivedPage, frozen=True, kw_only=True):
    """A page with the number of times that it has come."""

    count: int


class Pages:
    """The pages that have come: all of them in a file, the last ones in memory."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._shown: OrderedDict[str, ShownPage] = OrderedDict()
        if file.exists():
            with file.open("r+b") as lines:
                whole_bytes = 0
                for line in lines:
                    if line.endswith(b"\n"):
                        whole_bytes += len(line)
                        self._show(msgspec.json.decode(line, type=ReceivedPage))
                # The last line is cut where the receiver was killed; the next one must not go on in it.
                lines.truncate(whole_bytes)

    def add(self, received: ReceivedPage) -> None:
        """Keep a page; when this returns it is in the file."""
        with self._file.open("ab") as lines:
            lines.write(msgspec.json.encode(received) + b"\n")
        self._show(received)

    def newest_first(self) -> list[ShownPage]:
        return list(reversed(self._shown.values()))

    def _show(self, received: ReceivedPage) -> None:
        """A page that comes again stays where it was, with one more to its count."""
        earlier = self._shown.get(received.message_id)
        if earlier is not None:
            repeated = msgspec.structs.replace(earlier, count=earlier.count + 1)
            self._shown[received.message_id] = repeated
            return
        self._shown[received.message_id] = ShownPage(
            received_at=received.received_at,
            message_id=received.message_id,
            page=received.page,
            count=1,
        )
        if len(self._shown) > SHOWN:
            self._shown.popitem(last=False)


def application(pages: Pages, secret: str) -> web.Application:
    """POST /pages takes a signed page; GET / and GET /pages show the last ones."""
    key = signing_key(secret)

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        try:
            message_id = verify(key, request.headers, body, now_s=time.time())
        except Refused as refused:
            return web.Response(status=401, text=f"{refused}\n")
        try:
            page: object = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            return web.Response(status=400, text=f"the body is not JSON: {error}\n")
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        pages.add(ReceivedPage(received_at=now, message_id=message_id, page=page))
        return web.Response(status=204)

    async def show(_request: web.Request) -> web.Response:
        rows = [(shown.received_at, shown.count, shown.page) for shown in pages.newest_first()]
        return web.Response(text=page_table(rows), content_type="text/html")

    async def list_pages(_request: web.Request) -> web.Response:
        body = msgspec.json.encode(pages.newest_first())
        return web.Response(body=body, content_type="application/json")

    async def ready(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application(client_max_size=BODY_LIMIT_BYTES)
    app.add_routes(
        [
            web.post("/pages", receive),
            web.get("/pages", list_pages),
            web.get("/", show),
            web.get("/readyz", ready),
        ]
    )
    return app


def main() -> None:
    pages = Pages(Path(sys.argv[1]))
    app = application(pages, os.environ["BAKVAKT_WEBHOOK_SECRET"])
    port = int(os.environ["BAKVAKT_PORT"])
    web.run_app(app, host=LOOPBACK, port=port, access_log=None, print=None, shutdown_timeout=2)


if __name__ == "__main__":
    main()

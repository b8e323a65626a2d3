"""The fleet over HTTP: a file in, a file out, and what people look at. Only for this host, as the cases."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import msgspec
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch import fleet_store
from services.dispatch.answering import NotThere, answering, json_answer
from services.dispatch.database import transaction
from services.dispatch.fleet import Fleet, read_file
from services.dispatch.fleet_file import COLUMNS, FileFormat, FleetFile
from services.dispatch.fleet_store import StoredEmu
from services.dispatch.requests import (
    BadRequest,
    may_be_id,
    read_emus_wanted,
    read_format_wanted,
    read_import_wanted,
)
from shared.documents.answers import EmuFile, EmuList, FileRefusal
from shared.documents.emu import decode_emu_record

# 100,000 EMUs with their units are some 80 MB.
MAX_FILE_BYTES = 256 * 1024 * 1024
EXPORTED_AT_ONCE = 1_000
CONTENT_TYPES: dict[FileFormat, str] = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
_FORMATS: dict[str, FileFormat] = {
    content_type: file_format for file_format, content_type in CONTENT_TYPES.items()
}
_NONE: list[StoredEmu] = []

Raw = msgspec.Raw


class FleetApi:
    """The routes under /v1/fleet and /v1/emus."""

    def __init__(self, engine: AsyncEngine, fleet: Fleet) -> None:
        self._engine = engine
        self._fleet = fleet

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.post("/v1/fleet", answering(self._import)),
            web.get("/v1/fleet", answering(self._export)),
            web.get("/v1/emus", answering(self._list)),
            web.get("/v1/emus/{emu_id}", answering(self._show)),
        ]

    async def _import(self, request: web.Request) -> web.Response:
        """POST /v1/fleet?by=&dry_run=: the body is the file, JSON lines or CSV by its content-type.

        A browser sends neither to another origin without asking, and is never allowed to.
        """
        wanted = read_import_wanted(request.query)
        file_format = _FORMATS.get(request.content_type)
        if file_format is None:
            known = " or ".join(_FORMATS)
            raise BadRequest([f"content-type is {request.content_type}, it must be {known}"])
        file = await read_file(await _body(request), file_format)
        if file.problems:
            return json_answer(_refuse(file), 400)
        return json_answer(await self._fleet.change(file, wanted.by, dry_run=wanted.dry_run))

    async def _export(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/fleet?format=: all EMUs by their ids, as a file that can be imported.

        Each is as it is when its turn comes: no transaction waits for whoever reads slowly.
        """
        file_format = read_format_wanted(request.query)
        response = web.StreamResponse()
        response.content_type = CONTENT_TYPES[file_format]
        response.charset = "utf-8"
        pages = self._pages()
        first = await anext(pages, _NONE)  # where the database is away, that is still an answer
        await response.prepare(request)
        if file_format == "csv":
            await response.write(_csv([COLUMNS]))
        await response.write(_lines(first, file_format))
        async for page in pages:
            await response.write(_lines(page, file_format))
        await response.write_eof()
        return response

    async def _pages(self) -> AsyncIterator[list[StoredEmu]]:
        after = ""
        while True:
            async with transaction(self._engine) as connection:
                page = await fleet_store.next_emus(connection, after=after, limit=EXPORTED_AT_ONCE)
            if not page:
                return
            yield page
            after = page[-1].emu_id

    async def _list(self, request: web.Request) -> web.Response:
        """GET /v1/emus?site_id=&state=&limit=&after=: by site; `after`: the `next` of the page before."""
        wanted = read_emus_wanted(request.query)
        async with transaction(self._engine) as connection:
            after = wanted.after
            place = None if after is None else await fleet_store.find_place(connection, after)
            if after is not None and place is None:
                raise BadRequest([f"after: there is no EMU {after}"])
            found = await fleet_store.list_emus(
                connection,
                site_id=wanted.site_id,
                states=wanted.states,
                limit=wanted.limit,
                after=place,
            )
        is_last = len(found) < wanted.limit
        next_ = None if is_last else found[-1].emu_id
        return json_answer(EmuList(emus=[_file_of(emu) for emu in found], next=next_))

    async def _show(self, request: web.Request) -> web.Response:
        emu_id = request.match_info["emu_id"]
        if not may_be_id(emu_id):
            raise NotThere("there is no EMU of an id like this")
        async with transaction(self._engine) as connection:
            found = await fleet_store.read_emu(connection, emu_id)
        if found is None:
            raise NotThere(f"there is no EMU {emu_id}; see GET /v1/emus")
        return json_answer(_file_of(found))


async def _body(request: web.Request) -> bytes:
    """Whole; the service's limit of a body is for orders, not for fleets."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > MAX_FILE_BYTES:
            raise BadRequest(
                [f"the file has more than {MAX_FILE_BYTES} bytes; import it in several files"]
            )
    return bytes(body)


def _refuse(file: FleetFile) -> FileRefusal:
    count = len(file.problems) + file.more
    detail = f"nothing was changed: {count} {'thing is' if count == 1 else 'things are'} wrong"
    return FileRefusal("bad_file", detail, file.problems, file.more)


def _file_of(emu: StoredEmu) -> EmuFile[Raw]:
    return EmuFile(
        emu=Raw(emu.doc.encode()),
        site_name=emu.site_name,
        customer_name=emu.customer_name,
        told=emu.told,
    )


def _lines(emus: Iterable[StoredEmu], file_format: FileFormat) -> bytes:
    """A line for each, with all that an import reads."""
    rows = [_fields_of(emu) for emu in emus]
    if file_format == "jsonl":
        return b"".join(_encode(row) + b"\n" for row in rows)
    return _csv([_cell(row[name]) for name in COLUMNS] for row in rows)


def _fields_of(emu: StoredEmu) -> dict[str, Any]:
    record = decode_emu_record(emu.doc)
    names = {"site_name": emu.site_name, "customer_name": emu.customer_name}
    return {name: names[name] if name in names else getattr(record, name) for name in COLUMNS}


def _cell(value: Any) -> str:
    if value is None or value == ():
        return ""
    return _encode(value).decode() if isinstance(value, tuple) else str(value)


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


_encode = msgspec.json.Encoder().encode

"""The HTTP side of every service: `/livez`, `/readyz`, `/metrics`, and the service's own routes."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest

log = structlog.get_logger()

MAX_BODY_BYTES = 1024 * 1024

disable_created_metrics()  # a second series for each counter that nobody asks for


async def _nothing() -> None:
    return


@asynccontextmanager
async def serve_http(
    host: str,
    port: int,
    *,
    not_ready: Callable[[], list[str]],
    refresh_metrics: Callable[[], Awaitable[None]] = _nothing,
    routes: Iterable[web.RouteDef] = (),
) -> AsyncGenerator[int]:
    """Serve while the context is open; gives the port (useful where `port` is 0).

    `/livez` is 200 while the event loop turns; it never depends on a server of others. `/readyz` is 200
    when `not_ready` has nothing to say, else 503 with what is missing. `refresh_metrics` runs before each
    scrape.
    """

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        missing = not_ready()
        if missing:
            return web.Response(status=503, text="\n".join(missing) + "\n")
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        await refresh_metrics()
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
            *routes,
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound: int = runner.addresses[0][1]
        log.info("http is up", url=f"http://{host}:{bound}")
        yield bound
    finally:
        await runner.cleanup()

"""From the first line of a service to its last: settings, log, HTTP, work, signals, leave."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NoReturn, Protocol

import structlog
import uvloop
from aiohttp import web

from shared.errors import ConfigError
from shared.http import serve_http
from shared.log import configure_log
from shared.waiting import is_set_within

log = structlog.get_logger()

CONFIG_ERROR_STATUS = 2
RETRY_INTERVAL_S = 2.0
# So many more objects that may be part of a cycle: some 10 MB.
COLLECT_AFTER = 100_000


class Service(Protocol):
    """What a service is to its lifecycle."""

    name: str
    host: str
    port: int
    log: str

    async def run(self, stopping: asyncio.Event) -> None:
        """Wait for the servers, work until `stopping` is set, finish what was begun, return."""
        ...

    def not_ready(self) -> list[str]:
        """What is missing before the service serves all that it owns; empty: nothing."""
        ...

    async def refresh_metrics(self) -> None:
        """Bring up to date what is counted only when somebody looks."""
        ...

    def routes(self) -> Iterable[web.RouteDef]:
        """The service's own HTTP routes."""
        ...


def run_service(build: Callable[[Mapping[str, str]], Service]) -> NoReturn:
    """Run the service that `build` makes of the environment; ends the process.

    Exit status 0 after SIGTERM or SIGINT, 2 for a wrong configuration (each error on a line of its own),
    1 when the work ended in an error.
    """
    try:
        service = build(os.environ)
    except ConfigError as error:
        for problem in error.problems:
            print(f"configuration: {problem}", file=sys.stderr)
        sys.exit(CONFIG_ERROR_STATUS)
    configure_log(service.log, service.name)
    _collect_seldom()
    try:
        uvloop.run(_serve(service))
    except ConfigError as error:
        for problem in error.problems:
            log.error("configuration", problem=problem)  # noqa: TRY400 - the operator's to mend, no traceback
        sys.exit(CONFIG_ERROR_STATUS)
    except OSError as error:
        log.error("cannot start", error=str(error))  # noqa: TRY400 - such as "address in use"
        sys.exit(1)
    except Exception:
        log.exception("ended in an error")
        sys.exit(1)
    sys.exit(0)


def _collect_seldom() -> None:
    """Cycles are few here, and a batch of 5,000 records makes Python look for them a dozen times.

    With its own threshold of 700 a tenth of the classifier's CPU went there.
    """
    gc.freeze()  # what is imported by now stays
    gc.set_threshold(COLLECT_AFTER)


async def _serve(service: Service) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with serve_http(
        service.host,
        service.port,
        not_ready=lambda: ["stopping"] if stopping.is_set() else service.not_ready(),
        refresh_metrics=service.refresh_metrics,
        routes=service.routes(),
    ):
        log.info("started", pid=os.getpid())
        await service.run(stopping)
    log.info("stopped")


async def wait_for_server(
    name: str,
    address: str,
    connect: Callable[[], Awaitable[object]],
    stopping: asyncio.Event,
    *,
    absent: tuple[type[Exception], ...],
) -> bool:
    """Call `connect` until it succeeds, saying which server is missing and where; False: stopping.

    `absent` are the errors that mean "not there, or not yet"; any other is the caller's.
    """
    while not stopping.is_set():
        try:
            await connect()
        except (OSError, TimeoutError, *absent) as error:
            log.warning(
                "a server cannot be reached, trying again",
                server=name,
                address=address,
                error=repr(error),
                retry_in_s=RETRY_INTERVAL_S,
            )
            await is_set_within(stopping, RETRY_INTERVAL_S)
        else:
            return True
    return False

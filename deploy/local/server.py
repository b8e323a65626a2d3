"""What Kafka, Redis and PostgreSQL have in common as child processes."""

import asyncio
from typing import Protocol

from deploy.local.process import Program, Running

CHECK_EVERY_S = 0.05
CHECK_TIMEOUT_S = 5


class CannotStart(Exception):
    """A server cannot start, and waiting will not change that; the message says what would."""


class NotReady(Exception):
    """A server does not answer yet."""


class Server(Protocol):
    """A server of this machine, which others reach by its `url`."""

    @property
    def name(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def url(self) -> str: ...

    @property
    def program(self) -> Program: ...

    async def prepare(self) -> None:
        """Make what the program needs; does nothing where that exists, and repairs a cut."""
        ...

    async def check(self) -> None:
        """Raise NotReady unless the server serves, as its own protocol tells."""
        ...


async def run_to_end(program: Program) -> None:
    """Run a program that ends by itself; raises CannotStart with its last words if it fails."""
    running = Running(program)
    try:
        status = await running.ended()
    except BaseException:
        await running.abandon()
        raise
    if status != 0:
        raise CannotStart(f"{program.command[0]}: exit status {status}\n{running.last_words()}")


async def until_ready(server: Server, running: Running) -> None:
    """Wait until the server serves; raises CannotStart if its process ends before that."""
    while True:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await server.check()
                return
        except (NotReady, TimeoutError):
            status = running.exit_status()
            if status is not None:
                message = f"{server.name}: exit status {status}\n{running.last_words()}"
                raise CannotStart(message) from None
        await asyncio.sleep(CHECK_EVERY_S)

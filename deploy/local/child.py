"""A child process that is started again when it dies."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from deploy.local.ports import LOOPBACK
from deploy.local.process import Program, Running
from deploy.local.state import ChildRecord, Kind

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
# A child that lived this long was well; its next death is not one of a series.
WELL_AFTER_S = 30.0


class Child:
    """One program, kept running from `keep_running` to `stop`."""

    def __init__(
        self,
        program: Program,
        *,
        kind: Kind,
        service: str,
        port: int | None,
        on_change: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:
        self.program = program
        self.kind: Kind = kind
        self.service = service
        self.port = port
        self._on_change = on_change
        self._tell = tell
        self._running: Running | None = None
        self._newest: Running | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def url(self) -> str | None:
        """Where it answers over HTTP, if it does."""
        if self.port is None or self.kind == "server":
            return None
        return f"http://{LOOPBACK}:{self.port}"

    def record(self) -> ChildRecord:
        return ChildRecord(
            name=self.name,
            kind=self.kind,
            service=self.service,
            url=self.url,
            port=self.port,
            process=self._running.identity if self._running else None,
            stop_signal=self.program.stop_signal,
        )

    def last_words(self) -> str:
        """The last lines of its log that come from its newest start."""
        return self._newest.last_words() if self._newest else ""

    def exit_status(self) -> int | None:
        """Of its newest start; None while that runs."""
        return self._newest.exit_status() if self._newest else None

    def start(self) -> Running:
        """Start it once, on record before anything else happens."""
        self._running = self._newest = Running(self.program)
        self._on_change()
        return self._running

    def keep_running(self) -> None:
        """From now on start it again whenever it dies; at once if it does not run."""
        self._keeper = asyncio.create_task(self._keep(), name=self.name)

    async def stop(self) -> None:
        """End it, for good."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        if self._running is not None:
            await self._running.stop()
            self._running = None
            self._on_change()

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                running = self._running or self.start()
                status = await running.ended()
            except OSError as error:
                self._tell(f"{self.name} cannot be started: {error}")
            else:
                self._running = None
                self._on_change()
                if self.kind == "simulator" and status == 0:
                    return
                if running.age_s() >= WELL_AFTER_S:
                    pause_s = FIRST_PAUSE_S
                self._tell(
                    f"{self.name} ended ({_in_words(status)}); it is started again in {pause_s:g} s"
                )
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _in_words(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"

"""Processes: started so that none outlives its parent, named so that none is mistaken for another.

A pid alone names nothing, since the kernel gives it to someone else as soon as it is free. A pid
with the time at which its process started does.
"""

import asyncio
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

ENDED_STATES = frozenset("ZX")


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """One process of this machine, since its last start."""

    pid: int
    started_ticks: int
    """Field 22 of /proc/<pid>/stat: clock ticks since the machine started."""

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """The process that has this pid now; None if there is none or it has ended."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            return None
        # The second field is the program's name in brackets, and may hold spaces and brackets.
        fields = stat.rpartition(")")[2].split()
        if fields[0] in ENDED_STATES:
            return None
        return cls(pid=pid, started_ticks=int(fields[19]))

    @classmethod
    def own(cls) -> "ProcessIdentity":
        """This process."""
        identity = cls.of(os.getpid())
        if identity is None:
            raise RuntimeError("/proc does not show this process")
        return identity

    def is_alive(self) -> bool:
        return ProcessIdentity.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process and to no other; nothing happens if it has ended."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # The handle holds on to whichever process has the pid: ours, or a stranger.
            if self.is_alive():
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)

    async def ended(self) -> None:
        """Wait for the end of this process, which need not be a child of ours."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(handle, readable.set)
        try:
            if self.is_alive():
                await readable.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)

    async def end(self, first: signal.Signals = signal.SIGTERM, *, within_s: float) -> None:
        """Ask this process to end, and kill it if it has not done so in time."""
        self.send(first)
        try:
            async with asyncio.timeout(within_s):
                await self.ended()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.ended()


def boot_id() -> str:
    """Names this start of the machine: a `ProcessIdentity` says nothing about another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What is run as a child process, and how it is ended."""

    name: str
    command: tuple[str, ...]
    log: Path
    """Standard output and error are appended here."""
    environment: Mapping[str, str]
    """All of it: nothing is taken over from the parent unseen."""
    directory: Path = Path("/")
    """Where it stands: by default where any user may."""
    user: str | None = None
    """Whom it runs as; None: as the parent."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 20
    abandon_signal: signal.Signals = signal.SIGKILL
    """Ends it at once where its data is of no more use."""


class Running:
    """A program that has been started."""

    def __init__(self, program: Program) -> None:
        """Start the program; it gets its stop signal should this process die.

        Must be called in the main thread: the kernel sends that signal when the *thread* ends.
        """
        program.log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = program.log.stat().st_size if program.log.exists() else 0
        with program.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                _guarded(program),
                env=dict(program.environment),
                cwd=program.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal is for the supervisor, which ends its children in order.
                start_new_session=True,
            )
        self.program = program
        self._started_s = time.monotonic()
        # Until it is waited for, a child keeps its pid, so this is no other process.
        self.identity = ProcessIdentity.of(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def age_s(self) -> float:
        return time.monotonic() - self._started_s

    def exit_status(self) -> int | None:
        """As the shell tells it, negative for a signal; None while it runs."""
        return self._process.poll()

    def last_words(self, lines: int = 20) -> str:
        """The last lines that it has written, for a message about what failed."""
        with self.program.log.open("rb") as log:
            log.seek(self._log_start)
            text = log.read().decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:])

    async def ended(self) -> int:
        """Wait for the end; gives the exit status."""
        if self.identity is not None:
            await self.identity.ended()
        return self._process.wait()

    async def stop(self) -> int:
        """Let it end in its own way, within the time that its program gives it."""
        return await self._end(self.program.stop_signal)

    async def abandon(self) -> int:
        """End it at once."""
        return await self._end(self.program.abandon_signal)

    async def _end(self, first: signal.Signals) -> int:
        if self.identity is not None:
            await self.identity.end(first, within_s=self.program.stop_within_s)
        return self._process.wait()


def _guarded(program: Program) -> tuple[str, ...]:
    """The command, run by util-linux's setpriv, which becomes it: the pid stays the same."""
    death_signal = program.stop_signal.name.removeprefix("SIG")
    guard = ["setpriv", "--pdeathsig", death_signal]
    if program.user is not None:
        account = pwd.getpwnam(program.user)
        guard += [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return (*guard, "--", *program.command)

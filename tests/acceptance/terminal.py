"""A terminal: a program runs in it, keys are typed, and what stands on it is read."""

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

PATIENCE_S = 30.0
READ_BYTES = 65_536

CTRL_C = "\x03"
ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
HOME = "\x1b[H"
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a program on a terminal of its own, which is the controlling one, so Ctrl-C is a signal."""

    def __init__(
        self,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        *,
        width: int = 100,
        height: int = 30,
    ) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.mode_before = termios.tcgetattr(self._ours)
        self.output = ""
        self._program = subprocess.Popen(
            # A run of the tests in the background has it ignored, which whatever it starts takes over.
            ["env", "--default-signal=INT", "setsid", "--ctty", *command],
            env={**environment, "TERM": "xterm-256color", "COLUMNS": "37"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Closing it is SIGHUP for whatever still runs there."""
        os.close(self._ours)
        self._program.wait(PATIENCE_S)

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def mode(self) -> list[int | list[bytes | int]]:
        """Of the terminal now: echo, line editing, keys."""
        return termios.tcgetattr(self._ours)

    def screen(self) -> str:
        """What was drawn last as a whole, without colours: the next drawing has begun."""
        drawn = self.output.split(HOME)
        return CONTROLS.sub("", drawn[-2]) if len(drawn) > 2 else ""

    def text(self) -> str:
        """All that was ever written, without colours."""
        return CONTROLS.sub("", self.output)

    def until(self, holds: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Read until something is true of what stands here."""
        deadline_s = time.monotonic() + within_s
        while not holds():
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"not in time:\n{self.text()[-4_000:]}"
            assert self._read(left_s), f"the program has ended before:\n{self.text()[-4_000:]}"

    def exit_status(self) -> int:
        """Read to the end: until nothing has the terminal open any more."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self._read(max(0, deadline_s - time.monotonic())):
            assert time.monotonic() < deadline_s, f"it goes on:\n{self.text()[-4_000:]}"
        return self._program.wait(PATIENCE_S)

    def _read(self, within_s: float) -> bool:
        """False: the end. Nothing in time is no end."""
        if not select.select([self._ours], [], [], within_s)[0]:
            return True
        try:
            chunk = os.read(self._ours, READ_BYTES)
        except OSError:  # EIO: nothing has it open any more
            return False
        self.output += chunk.decode("utf-8", "replace")
        return bool(chunk)

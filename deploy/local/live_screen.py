"""The live screen of `up`: a process of its own, so that a terminal that stalls never stalls `up`.

It is `status --watch` on the same terminal. It ends with its parent, whatever that dies of, and what it has
changed of the terminal is put back also where it was killed.
"""

import asyncio
import os
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

from deploy.local.process import ProcessIdentity
from deploy.local.state import ROOT

END_WITHIN_S = 3.0

TerminalMode = list[int | list[bytes | int]]

# Leave the second screen of the terminal, show the cursor.
BACK_TO_NORMAL = "\x1b[?1049l\x1b[?25h"


def terminal() -> int | None:
    """The terminal that standard output is, to be drawn on; None: there is none, or not for us.

    A job in the background would be stopped by the first change that it makes to its terminal.
    """
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in {"", "dumb"}:
        return None
    descriptor = sys.stdout.fileno()
    try:
        ours = os.tcgetpgrp(descriptor) == os.getpgrp()
    except OSError:  # not the terminal of our session
        return None
    return descriptor if ours else None


async def show_until(stop: asyncio.Event, descriptor: int, log: Path) -> int | None:
    """Show the screen until `stop` is set, which gives None, or until it ends by itself, which gives its
    exit status. The terminal is as it was in both cases."""
    mode = termios.tcgetattr(descriptor)
    screen = _start(log)
    identity = ProcessIdentity.of(screen.pid)
    ended = asyncio.create_task(identity.ended()) if identity else None
    stopped = asyncio.create_task(stop.wait())
    try:
        if ended is not None:
            await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and identity is not None:
            await identity.end(within_s=END_WITHIN_S)
        status = screen.wait()
    finally:
        stopped.cancel()
        if ended is not None:
            ended.cancel()
        _put_back(descriptor, mode, clear=screen.poll() != 0)
    return None if stop.is_set() else status


def _start(log: Path) -> "subprocess.Popen[bytes]":
    guard = ["setpriv", "--pdeathsig", "TERM", "--"]
    screen = [sys.executable, "-P", "-m", "deploy.cli", "status", "--watch", "--of-up"]
    with log.open("ab") as said:
        return subprocess.Popen(  # noqa: S603 - ourselves
            guard + screen,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stderr=said,
        )


def _put_back(descriptor: int, mode: TerminalMode, *, clear: bool) -> None:
    with suppress(OSError, termios.error):  # the terminal is gone
        if clear:
            os.write(descriptor, BACK_TO_NORMAL.encode())
        termios.tcsetattr(descriptor, termios.TCSANOW, mode)

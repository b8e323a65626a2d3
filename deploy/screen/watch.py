"""Looks once a second, and shows what it has seen until somebody has seen enough."""

import asyncio
import os
import signal
import sys
import termios
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import aiohttp
from rich.console import Console, ConsoleDimensions
from rich.live import Live

from deploy.local.state import StateDirectory
from deploy.screen.look import Looker
from deploy.screen.render import render
from deploy.screen.snapshot import Snapshot
from deploy.screen.view import History, View, advance

EVERY_S = 1.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def watch(directory: StateDirectory, show: Callable[[Snapshot, View], None]) -> None:
    """Call `show` with each look until SIGINT, SIGTERM or SIGHUP comes; raises what `show` raises."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop.set)
    looking = asyncio.create_task(_look_on(directory, show))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({looking, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    looking.cancel()
    with suppress(asyncio.CancelledError):
        await looking


async def _look_on(directory: StateDirectory, show: Callable[[Snapshot, View], None]) -> None:
    history = History()
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        looker = Looker(directory, session)
        while True:
            begun_s = loop.time()
            snapshot = await looker.look()
            history, view = advance(history, snapshot)
            show(snapshot, view)
            await asyncio.sleep(max(0.0, begun_s + EVERY_S - loop.time()))


async def watch_on_terminal(directory: StateDirectory, descriptor: int, *, hint: str) -> None:
    """Draw on the terminal, and leave it as it was."""
    sys.stdout.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - a TextIOWrapper
    console = Console(highlight=False)
    newest: View | None = None
    with _quiet(descriptor), Live(console=console, screen=True, auto_refresh=False) as live:

        def draw() -> None:
            if newest is not None:
                console.size = _size(descriptor)
                screen = render(newest, width=console.width, height=console.height, hint=hint)
                live.update(screen, refresh=True)

        def show(_: Snapshot, view: View) -> None:
            nonlocal newest
            newest = view
            draw()

        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, draw)
        await watch(directory, show)


def _size(descriptor: int) -> ConsoleDimensions:
    """As the terminal has it now; COLUMNS and LINES may be of another time."""
    width, height = os.get_terminal_size(descriptor)
    return ConsoleDimensions(width or 80, height or 24)


@contextmanager
def _quiet(descriptor: int) -> Generator[None]:
    """What is typed isn't shown between the figures, and Ctrl-Z leaves no screen behind."""
    mode = termios.tcgetattr(descriptor)
    quiet = termios.tcgetattr(descriptor)
    quiet[3] &= ~termios.ECHO
    quiet[6][termios.VSUSP] = b"\0"
    termios.tcsetattr(descriptor, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)

"""`up` in the foreground and in the background, and `down`: who holds the state directory."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from deploy.local.messages import say
from deploy.local.state import ROOT, State, StateDirectory, end_leftovers
from deploy.local.supervisor import Options, Supervisor
from deploy.typed import typed

FOLLOW_POLL_S = 0.1
# Twice 20 s for services and servers that must be killed, and some more.
DOWN_TIMEOUT_S = 60


async def run_in_foreground(directory: StateDirectory, options: Options) -> int:
    """Run everything until a signal comes; the exit status."""
    lock = directory.lock()
    if lock is None:
        say(_already_running(directory.read()))
        return 1
    with lock:
        await _end_what_was_left(directory)
        return await Supervisor(directory, os.environ, options).run()


async def start_in_background(directory: StateDirectory, arguments: Sequence[str]) -> int:
    """Start `up` with these arguments as a process of its own; show what it says until all is
    ready (0) or it has given up (1)."""
    lock = directory.lock()
    if lock is None:
        say(_already_running(directory.read()))
        return 0
    lock.close()
    log = directory.log("supervisor")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as written, log.open("r", encoding="utf-8", errors="replace") as said:
        said.seek(0, os.SEEK_END)
        supervisor = subprocess.Popen(  # noqa: S603, ASYNC220 - ourselves, and quick
            [sys.executable, "-P", "-m", "deploy.cli", "up", "--must-be-ready", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while True:
                status = supervisor.poll()
                state = directory.read()
                sys.stdout.write(said.read())
                sys.stdout.flush()
                if status is not None:
                    return status or 1
                if state is not None and state.ready and state.supervisor.pid == supervisor.pid:
                    return 0
                await asyncio.sleep(FOLLOW_POLL_S)
        except asyncio.CancelledError:
            supervisor.terminate()
            supervisor.wait()
            raise


async def down(directory: StateDirectory, *, delete_data: bool) -> int:
    """Stop the supervisor with all its children, or what a killed one has left."""
    state = directory.read()
    if state is not None and state.is_running():
        started_s = time.monotonic()
        await state.supervisor.end(signal.SIGTERM, within_s=DOWN_TIMEOUT_S)
        say(f"Stopped ({time.monotonic() - started_s:.1f} s).")
    else:
        say("Nothing is running.")
    lock = directory.lock()
    if lock is None:
        say("Somebody has started it again meanwhile.")
        return 1
    with lock:
        await _end_what_was_left(directory)
        if delete_data:
            directory.delete_data()
            say("The data is deleted.")
    return 0


async def _end_what_was_left(directory: StateDirectory) -> None:
    """For whoever holds the lock: no supervisor lives, so whatever still runs is an orphan."""
    state = directory.read()
    if state is None:
        return
    names = await end_leftovers(state)
    if names:
        say(f"Ended what an earlier supervisor left running: {', '.join(names)}")
    directory.clear()


def _already_running(state: State | None) -> str:
    lines = ["Bakvakt is running already."]
    if state is not None:
        lines += [f"{child.name:<13} {child.url}" for child in state.children if child.url]
    return "\n".join([*lines, f"Stop it with: {typed('down')}"])

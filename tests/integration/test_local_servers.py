"""The child processes of `up`: started, started again, ended, and never left behind."""
# ruff: noqa: ASYNC110, ASYNC220, ASYNC240 - a test may wait for the file system and for /proc

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from deploy.local.child import Child
from deploy.local.ports import LOOPBACK, take_port
from deploy.local.postgres_server import PostgresServer
from deploy.local.process import ProcessIdentity, Program, Running, boot_id
from deploy.local.servers import running_servers, start
from deploy.local.state import ROOT, ChildRecord, State, StateDirectory, end_leftovers

SLEEP = (sys.executable, "-c", "import time; time.sleep(1000)")
POLL_S = 0.02


def program(tmp_path: Path, *command: str) -> Program:
    return Program(
        name="sleeper",
        command=command or SLEEP,
        log=tmp_path / "logs/sleeper.log",
        environment=dict(os.environ),
    )


def test_a_taken_port_is_replaced_by_a_free_one_and_none_is_given_twice() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        listener.listen()
        taken: int = listener.getsockname()[1]
        given = [take_port(taken) for _ in range(100)]
    assert taken not in given
    assert len(set(given)) == len(given)


def test_a_port_that_another_process_was_given_is_given_to_nobody_else() -> None:
    """Nobody listens on it yet: a server takes seconds until it does."""
    take = "from deploy.local.ports import take_port; print(take_port(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", take], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        assert take_port(port) != port
        other.kill()
    assert take_port(port) == port


async def test_servers_are_gone_with_their_data_afterwards() -> None:
    async with running_servers() as servers:
        identities = [running.identity for running in servers.processes.values()]
        arguments = " ".join(
            word for running in servers.processes.values() for word in running.program.command
        )
        homes = [word for word in arguments.split() if word.startswith("/tmp/bakvakt-")]  # noqa: S108
        assert {Path(home).exists() for home in homes} == {True}
    assert not any(identity and identity.is_alive() for identity in identities)
    assert not any(Path(home).exists() for home in homes)


async def test_postgresql_is_made_anew_after_a_cut_while_it_was_being_made() -> None:
    async with running_servers() as servers:
        home = Path(servers.processes["postgres"].program.command[2]).parents[1]
        server = PostgresServer(home / "second", home / "second.log", take_port(), dict(os.environ))
        half_made = server.directory / "unfinished-0123"
        half_made.mkdir(parents=True)
        (half_made / "PG_VERSION").write_text("15\n")
        running = await start(server)
        await running.abandon()
        assert not half_made.exists()


async def test_a_child_that_dies_is_started_again_until_it_is_stopped(tmp_path: Path) -> None:
    said: list[str] = []
    changed = asyncio.Event()
    child = Child(
        program(tmp_path),
        kind="service",
        service="sleeper",
        port=None,
        on_change=changed.set,
        tell=said.append,
    )
    child.keep_running()
    first = await process_of(child, changed)
    first.send(signal.SIGKILL)
    await first.ended()
    second = await process_of(child, changed, other_than=first)
    await child.stop()
    assert not second.is_alive()
    assert child.record().process is None
    assert len(said) == 1
    assert "signal 9" in said[0]


async def process_of(
    child: Child, changed: asyncio.Event, *, other_than: ProcessIdentity | None = None
) -> ProcessIdentity:
    async with asyncio.timeout(10):
        while True:
            changed.clear()
            process = child.record().process
            if process is not None and process != other_than:
                return process
            await changed.wait()


async def test_a_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, sys, time
from deploy.local.process import Program, Running
running = Running(Program(name="child", command={SLEEP!r}, environment=dict(os.environ),
                          log=pathlib.Path({str(tmp_path / "log")!r})))
print(running.pid, flush=True)
time.sleep(1000)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as parent:
        assert parent.stdout is not None
        child = ProcessIdentity.of(int(parent.stdout.readline()))
        assert child is not None
        # It has asked for the signal once it has become the program that it was told to run.
        command = Path(f"/proc/{child.pid}/cmdline")
        while b"setpriv" in command.read_bytes():
            await asyncio.sleep(POLL_S)
        parent.kill()
        async with asyncio.timeout(10):
            await child.ended()


async def test_what_a_killed_supervisor_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    ours, stranger = Running(program(tmp_path)), Running(program(tmp_path))
    try:
        assert ours.identity is not None
        assert stranger.identity is not None
        # The pid of a child that ended long ago, given to somebody else since.
        reused = msgspec.structs.replace(stranger.identity, started_ticks=1)
        state = State(
            boot_id=boot_id(),
            supervisor=reused,
            ready=True,
            kafka="",
            redis="",
            postgres="",
            children=[record("ours", ours.identity), record("reused", reused)],
        )
        directory = StateDirectory(tmp_path / "state")
        lock = directory.lock()
        assert lock is not None
        with lock:
            directory.write(state)
        assert directory.read() == state
        assert not state.is_running()
        assert await end_leftovers(state) == ["ours"]
        assert not ours.identity.is_alive()
        assert stranger.identity.is_alive()
    finally:
        await ours.abandon()
        await stranger.abandon()


def record(name: str, process: ProcessIdentity) -> ChildRecord:
    return ChildRecord(
        name=name,
        kind="service",
        service=name,
        url=None,
        port=None,
        process=process,
        stop_signal=signal.SIGTERM,
    )


def test_of_two_supervisors_only_one_has_the_lock(tmp_path: Path) -> None:
    directory = StateDirectory(tmp_path)
    first = directory.lock()
    assert first is not None
    assert directory.lock() is None
    first.close()
    second = directory.lock()
    assert second is not None
    second.close()


def test_the_webhook_secret_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    secret = StateDirectory(tmp_path).webhook_secret()
    assert len(secret) >= 32
    assert StateDirectory(tmp_path).webhook_secret() == secret
    assert (tmp_path / "webhook-secret").stat().st_mode & 0o077 == 0

"""`./bakvakt up`, `status`, `logs`, `down`: one life of everything on this machine."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.process import ProcessIdentity
from tests.acceptance.stack import Bakvakt

POLL_S = 0.1


@pytest.fixture
def bakvakt(tmp_path: Path) -> Iterator[Bakvakt]:
    command = Bakvakt(tmp_path / "state")
    yield command
    command("down", "--delete-data")


def eventually(holds: Callable[[], bool], within_s: float = 30) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(POLL_S)


def test_one_life_of_everything(bakvakt: Bakvakt) -> None:
    started = bakvakt("up", "--detach", "--no-simulator", "--scale", "classifier=2")
    assert started.returncode == 0, started.stdout + started.stderr

    status = bakvakt.status()
    assert set(status) == {
        "kafka",
        "redis",
        "postgres",
        "services",
        "faults",
        "clocks",
        "cases",
        "lag",
    }
    assert {name: len(instances) for name, instances in status["services"].items()} == {
        "ingest": 1,
        "classifier": 2,
        "dispatch": 1,
        "timer": 1,
    }
    assert all(instance["ready"] for found in status["services"].values() for instance in found)
    assert status["faults"] == {"A": 0, "B": 0, "C": 0, "D": 0}
    assert status["lag"] == {"ingest": 0, "classifier": 0, "dispatch": 0, "timer": 0}
    assert "ingest" in bakvakt("status").stdout
    assert bakvakt("logs", "kafka", "-n", "5").stdout.count("\n") <= 5
    assert "There are: " in bakvakt("logs", "nobody").stderr

    again = bakvakt("up", "--detach")
    assert again.returncode == 0
    assert "already" in again.stdout

    # The supervisor: its children end with it, and the next one starts as if nothing had been.
    processes = bakvakt.processes()
    bakvakt.state().supervisor.send(signal.SIGKILL)
    started = bakvakt("up", "--detach", "--no-simulator")
    assert started.returncode == 0, started.stdout + started.stderr
    assert not any(process.is_alive() for process in processes)

    processes = [*bakvakt.processes(), bakvakt.state().supervisor]
    stopped = bakvakt("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert not any(process.is_alive() for process in processes)


def _is_back(bakvakt: Bakvakt, name: str, before: ProcessIdentity | None) -> bool:
    (now,) = [child for child in bakvakt.state().children if child.name == name]
    return now.process is not None and now.process != before and now.process.is_alive()


def test_with_nothing_running_status_fails_and_down_does_not(bakvakt: Bakvakt) -> None:
    for arguments in (["status"], ["status", "--json"]):
        status = bakvakt(*arguments)
        assert status.returncode == 1
        assert status.stdout == ""
        assert "Nothing is running" in status.stderr
    down = bakvakt("down")
    assert down.returncode == 0
    assert "Nothing is running" in down.stdout


@pytest.mark.long
def test_what_dies_is_started_again_where_it_was(bakvakt: Bakvakt) -> None:
    started = bakvakt("up", "--detach", "--no-simulator")
    assert started.returncode == 0, started.stdout + started.stderr
    # A service, and a server.
    for name in ("timer", "redis"):
        (before,) = [child for child in bakvakt.state().children if child.name == name]
        assert before.process is not None
        before.process.send(signal.SIGKILL)
        eventually(lambda name=name, before=before: _is_back(bakvakt, name, before.process))
    eventually(lambda: bakvakt.status()["services"]["timer"][0]["ready"])


@pytest.mark.long
def test_down_ends_what_a_killed_up_has_left(bakvakt: Bakvakt) -> None:
    started = bakvakt("up", "--detach", "--no-simulator")
    assert started.returncode == 0, started.stdout + started.stderr
    processes = bakvakt.processes()
    bakvakt.state().supervisor.send(signal.SIGKILL)
    assert bakvakt("down").returncode == 0
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize("scale", ["classifier", "classifier=0", "kafka=2"])
def test_a_wrong_scale_is_refused(bakvakt: Bakvakt, scale: str) -> None:
    refused = bakvakt("up", "--detach", "--scale", scale)
    assert refused.returncode != 0
    assert "SERVICE=N" in refused.stderr
    assert bakvakt.state_directory.read() is None

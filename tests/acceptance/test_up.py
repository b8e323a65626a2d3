"""`./bakvakt up`, `status`, `logs`, `down`: one life of everything on this machine."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.process import ProcessIdentity
from deploy.local.state import ROOT
from tests.acceptance.stack import Bakvakt
from tests.acceptance.terminal import (
    CONTROLS,
    CTRL_C,
    ENTER_SCREEN,
    HIDE_CURSOR,
    LEAVE_SCREEN,
    SHOW_CURSOR,
    Terminal,
)

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


@pytest.mark.parametrize(
    ("called", "told"), [("./bakvakt", "./bakvakt"), ("bakvakt", "bakvakt"), ("bv", "bv")]
)
def test_what_is_told_to_be_typed_works_where_one_is(
    bakvakt: Bakvakt, tmp_path: Path, called: str, told: str
) -> None:
    for name in ("bakvakt", "bv"):
        (tmp_path / name).symlink_to(ROOT / "bakvakt")
    path = f"{tmp_path}:{bakvakt.environment['PATH']}"
    status = subprocess.run(
        ["/bin/sh", "-c", f"{called} status"],
        cwd=ROOT,
        env=bakvakt.environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert status.stderr == f"Nothing is running. Start it with: {told} up --detach.\n"


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
    checked = bakvakt("topics", "check")  # nothing needs to be said of the Kafka that runs here
    assert (checked.returncode, checked.stderr) == (0, "")

    again = bakvakt("up", "--detach")
    assert again.returncode == 0
    assert "already" in again.stdout

    # The supervisor: its children end with it, and the next one starts as if nothing had been.
    processes = bakvakt.processes()
    bakvakt.state().supervisor.send(signal.SIGKILL)
    eventually(lambda: not any(process.is_alive() for process in processes))
    with bakvakt.on_terminal("up", "--no-simulator") as terminal:
        the_screen_of_up_is_there_and_goes_again(bakvakt, terminal)


def the_screen_of_up_is_there_and_goes_again(bakvakt: Bakvakt, terminal: Terminal) -> None:
    terminal.until(lambda: " a second" in terminal.screen(), within_s=90)
    assert "Pages arrive at http://" in terminal.text(), "the lines of the start come before it"
    for expected in (
        "all ready",
        "0 a second",
        " A  0",
        "0 open",
        "lag 0",
        "postgresql://",
        "Ctrl-C stops every",
    ):
        assert expected in terminal.screen()

    # What dies is told on the screen, and again in the lines after it.
    (ingest,) = [child for child in bakvakt.state().children if child.name == "ingest"]
    assert ingest.process is not None
    ingest.process.send(signal.SIGKILL)
    told = "ingest ended (signal 9); it is started again in 0.5 s"
    terminal.until(lambda: told in terminal.screen())

    processes = [*bakvakt.processes(), bakvakt.state().supervisor]
    terminal.type(CTRL_C)
    assert terminal.exit_status() == 0
    assert not any(process.is_alive() for process in processes)
    assert terminal.mode() == terminal.mode_before
    before, _, after = terminal.output.rpartition(LEAVE_SCREEN)
    assert before.count(ENTER_SCREEN) == 1
    assert terminal.output.rfind(SHOW_CURSOR) > terminal.output.rfind(HIDE_CURSOR)
    lines = CONTROLS.sub("", after).split("\r\n")
    assert any(line.startswith(f"{told}. Its log: ") for line in lines)
    assert lines[-3:] == ["Stopping ...", "Stopped.", ""]


def _is_back(bakvakt: Bakvakt, name: str, before: ProcessIdentity | None) -> bool:
    (now,) = [child for child in bakvakt.state().children if child.name == name]
    return now.process is not None and now.process != before and now.process.is_alive()


def test_with_nothing_running_status_fails_and_down_does_not(bakvakt: Bakvakt) -> None:
    for arguments in (["status"], ["status", "--json"]):
        status = bakvakt(*arguments)
        assert status.returncode == 1
        assert status.stdout == ""
        assert "Nothing is running" in status.stderr
    watched = bakvakt("status", "--watch", "--json")
    assert watched.returncode == 1
    assert watched.stdout == ""
    down = bakvakt("down")
    assert down.returncode == 0
    assert "Nothing is running" in down.stdout


def test_the_screen_wants_a_terminal(bakvakt: Bakvakt) -> None:
    watched = bakvakt("status", "--watch")
    assert watched.returncode == 2
    assert "add --json" in watched.stderr


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
def test_a_screen_that_is_killed_leaves_the_terminal_as_it_was_and_all_goes_on(
    bakvakt: Bakvakt,
) -> None:
    with bakvakt.on_terminal("up", "--no-simulator") as terminal:
        terminal.until(lambda: "all ready" in terminal.screen(), within_s=90)
        supervisor = bakvakt.state().supervisor.pid
        (screen,) = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()[-1:]
        os.kill(int(screen), signal.SIGKILL)
        terminal.until(lambda: "The screen has ended (exit status -9)" in terminal.output)
        assert LEAVE_SCREEN + SHOW_CURSOR in terminal.output
        assert terminal.mode() == terminal.mode_before
        assert all(process.is_alive() for process in bakvakt.processes())
        terminal.type(CTRL_C)
        assert terminal.exit_status() == 0


@pytest.mark.long
def test_an_up_that_is_killed_takes_its_screen_with_it(bakvakt: Bakvakt) -> None:
    with bakvakt.on_terminal("up", "--no-simulator") as terminal:
        terminal.until(lambda: "all ready" in terminal.screen(), within_s=90)
        bakvakt.state().supervisor.send(signal.SIGKILL)
        terminal.exit_status()
        assert LEAVE_SCREEN in terminal.output
        assert terminal.mode() == terminal.mode_before


@pytest.mark.long
def test_down_ends_what_a_killed_up_has_left(bakvakt: Bakvakt) -> None:
    started = bakvakt("up", "--detach", "--no-simulator")
    assert started.returncode == 0, started.stdout + started.stderr
    processes = bakvakt.processes()
    bakvakt.state().supervisor.send(signal.SIGKILL)
    assert bakvakt("down").returncode == 0
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize("command", ["status", "cases", "down"])
def test_a_state_that_is_cut_off_is_told_with_what_to_do(bakvakt: Bakvakt, command: str) -> None:
    file = bakvakt.state_directory.path / "run/state.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(b'{"boot')
    refused = bakvakt(command)
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"{file} does not say what runs here: ")
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("option", [("--rate", "0"), ("--rate", "-1"), ("--emus", "0")])
def test_a_fleet_that_cannot_be_is_refused(bakvakt: Bakvakt, option: tuple[str, str]) -> None:
    refused = bakvakt("up", "--detach", *option)
    assert refused.returncode == 2
    assert option[0] in refused.stderr
    assert bakvakt.state_directory.read() is None


@pytest.mark.parametrize("scale", ["classifier", "classifier=0", "kafka=2"])
def test_a_wrong_scale_is_refused(bakvakt: Bakvakt, scale: str) -> None:
    refused = bakvakt("up", "--detach", "--scale", scale)
    assert refused.returncode != 0
    assert "SERVICE=N" in refused.stderr
    assert bakvakt.state_directory.read() is None

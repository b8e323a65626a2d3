"""`./bakvakt` itself: finds its clone, sets up once, and says what only root can do."""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.state import ROOT
from tests.acceptance.terminal import CTRL_C, Terminal

PROGRESS = "deploy/local/progress.sh"
SCRIPTS = ("bakvakt", "deploy/local/setup.sh", PROGRESS, "deploy/lock.sh")
NOBODY = pwd.getpwnam("nobody")
SETUP = "deploy/local/setup.sh"


@pytest.fixture
def bare_clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clone in which nothing has been set up, and which everybody can read."""
    root = Path("/var/tmp") / tmp_path_factory.mktemp("clone").name  # noqa: S108
    shutil.rmtree(root, ignore_errors=True)
    for name in (*SCRIPTS, "requirements.lock", "deploy/local/kafka/pom.xml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    yield root
    shutil.rmtree(root)


def as_nobody(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        user=NOBODY.pw_uid,
        group=NOBODY.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_plain_posix_shell(script: str) -> None:
    subprocess.run(["dash", "-n", ROOT / script], check=True)


def test_set_up_is_done_once() -> None:
    assert subprocess.run(["sh", ROOT / SETUP, "--check"], check=False).returncode == 0
    # Done, it neither says nor does anything.
    again = subprocess.run(
        ["sh", ROOT / SETUP], check=True, capture_output=True, text=True, env={"PATH": os.defpath}
    )
    assert again.stdout == ""


def test_set_up_of_another_clone_is_not_taken_for_this_one(bare_clone: Path) -> None:
    (bare_clone / ".local/setup").mkdir(parents=True)
    (bare_clone / ".local/kafka/libs").mkdir(parents=True)
    shutil.copy(ROOT / ".local/setup/stamp", bare_clone / ".local/setup/stamp")
    (bare_clone / ".venv").symlink_to(ROOT / ".venv")
    assert subprocess.run(["sh", bare_clone / SETUP, "--check"], check=False).returncode == 1


@pytest.mark.parametrize("command", ["up", "test", "status"])
def test_without_root_it_says_the_line_to_run_and_stops(bare_clone: Path, command: str) -> None:
    started = as_nobody(bare_clone / "bakvakt", command, "--detach")
    assert started.returncode == 1
    assert f"sudo {bare_clone / 'bakvakt'} {command} --detach" in started.stderr
    assert not (bare_clone / ".venv").exists()


def test_a_link_to_the_script_finds_the_clone(bare_clone: Path) -> None:
    (bare_clone / "a").mkdir()
    (bare_clone / "a/first").symlink_to("../bakvakt")
    (bare_clone / "second").symlink_to(bare_clone / "a/first")
    started = as_nobody(bare_clone / "second", "status")
    assert started.returncode == 1
    assert "sudo" in started.stderr
    assert "not found" not in started.stderr


def test_the_caller_s_folder_stays_and_its_modules_are_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/__init__.py").write_text("raise SystemExit('not ours')")
    (tmp_path / "reports.jsonl").write_text("not JSON")
    simulated = subprocess.run(
        [ROOT / "bakvakt", "simulate", "--from", "reports.jsonl"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert simulated.returncode == 1
    assert "reports.jsonl, line 1:" in simulated.stderr


def in_progress(commands: str) -> list[str]:
    """What the functions of progress say, a line each."""
    script = f". {ROOT / PROGRESS}; {commands}"
    done = subprocess.run(["sh", "-euc", script], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def test_the_time_left_is_that_of_the_whole_set_up_and_never_below_nothing() -> None:
    assert in_progress(
        """
        for s in 0 30 39 40 400; do time_left $s packages environment libraries kafka; done
        for s in 0 7 8; do time_left $s kafka; done
        """
    ) == [
        *("about 65 s left", "about 35 s left", "about 30 s left"),
        *("longer than usual", "longer than usual"),
        *("about 8 s left", "about 1 s left", "longer than usual"),
    ]


def test_the_time_left_follows_what_the_steps_so_far_have_taken() -> None:
    assert in_progress(
        """
        learn_pace packages 80; time_left 0 environment libraries kafka
        learn_pace environment 1; time_left 0 kafka
        learn_pace libraries 10; time_left 4 kafka
        """
    ) == ["about 50 s left", "about 20 s left", "about 15 s left"]


def test_on_a_terminal_it_tells_the_time_left_and_ctrl_c_ends_it_at_once(bare_clone: Path) -> None:
    with Terminal(["sh", bare_clone / SETUP], dict(os.environ), width=80) as terminal:
        terminal.until(lambda: " s left" in terminal.output)
        # The line is written anew, and fits: it would else go on in the next one.
        assert re.search(r"\r\[1/\d\] .* 1 s, about \d+ s left", terminal.text())
        assert all(len(line) < 80 for line in re.split(r"[\r\n]+", terminal.text()))
        terminal.type(CTRL_C)
        # It is the end only once nothing has the terminal open any more.
        assert terminal.exit_status() == 130
    again = subprocess.run(
        ["flock", "--nonblock", bare_clone / ".local/setup/lock", "true"], check=False
    )
    assert again.returncode == 0, "something still holds the lock"


def test_elsewhere_nothing_is_written_beside_a_step_s_own_line() -> None:
    assert in_progress('start_ticker "[1/1] Kafka" kafka; echo "none:$ticker"; stop_ticker') == [
        "none:"
    ]

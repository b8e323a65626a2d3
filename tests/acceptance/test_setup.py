"""`./bakvakt` itself: finds its clone, sets up once, and says what only root can do."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.state import ROOT

SCRIPTS = ("bakvakt", "deploy/local/setup.sh", "deploy/lock.sh")
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

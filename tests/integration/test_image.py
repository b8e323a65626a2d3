"""What the image holds is enough: its files, with its packages alone, run as its user on real servers."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.docker import probe
from deploy.local.ports import take_port
from deploy.local.servers import RunningServers
from deploy.local.state import ROOT
from deploy.local.supervisor import SERVICES
from tests.conditions import until
from tests.dockerfile import copy_tree, final, variables
from tests.integration.dispatch_stage import new_database

PLACES = r"/opt/(venv|bakvakt)\b"
PROBE = ("python", "-m", "deploy.docker.probe")
OLDEST = "import sys; sys.exit(sys.version_info < (3, 11))"


def image_user() -> dict[str, Any]:
    """For subprocess: who runs in the container, as far as we may become somebody else."""
    user, _, group = final("USER").text.partition(":")
    if os.geteuid() != 0:
        return {}
    return {"user": int(user), "group": int(group), "extra_groups": []}


@dataclass(frozen=True)
class Image:
    """The image's files under `root` instead of `/`."""

    root: Path

    def start(self, *command: str, **environ: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command,
            env=self._environment() | environ,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **image_user(),
        )

    def run(self, *command: str, **environ: str) -> "subprocess.CompletedProcess[str]":
        """To its end."""
        process = self.start(*command, **environ)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def _environment(self) -> dict[str, str]:
        def moved(text: str) -> str:
            return re.sub(PLACES, rf"{self.root}\g<0>", text)

        values = {name: moved(text) for name, text in variables().items()}
        return {
            **values,
            "PATH": values["PATH"].replace("$PATH", f"{self.root}/bin:/usr/bin:/bin"),
            # The image has its bytecode; making all of it would take longer than the tests do.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": f"{self.root}/bytecode",
        }


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    root = Path(tempfile.mkdtemp(prefix="bakvakt-image-"))
    root.chmod(0o755)
    try:
        (root / "bin").mkdir()
        (root / "bytecode").mkdir()
        (root / "bytecode").chmod(0o777)
        shutil.copy2(ROOT / "deploy/docker/bakvakt", root / "bin/bakvakt")
        (root / "opt/bakvakt").mkdir(parents=True)
        copy_tree(root / "opt/bakvakt")
        uv, venv = str(ROOT / ".venv/bin/uv"), str(root / "opt/venv")
        subprocess.run([uv, "venv", "--quiet", "--python", usable_python(), venv], check=True)
        sync = ["pip", "sync", "--quiet", "--require-hashes", "--no-build", "--python", venv]
        lock = root / "opt/bakvakt/requirements-run.lock"
        subprocess.run([uv, *sync, str(lock)], check=True)
        yield Image(root)
    finally:
        shutil.rmtree(root)


def usable_python() -> str:
    """One that the image's user may run; ours may lie in somebody's home."""
    ours = str(Path(sys.base_prefix) / "bin/python3")
    for python in (ours, "/usr/bin/python3"):
        try:
            subprocess.run([python, "-c", OLDEST], check=True, cwd="/", **image_user())
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    pytest.skip("no Python that another user may run")


def test_a_service_says_what_is_wrong_with_its_settings(image: Image) -> None:
    wrong = {"BAKVAKT_KAFKA": "nowhere", "BAKVAKT_PORT": "x"}
    ended = image.run("bakvakt", "dispatch", **wrong)
    assert ended.returncode == 2, ended.stderr
    for name in (*wrong, "BAKVAKT_POSTGRES"):
        assert name in ended.stderr


async def test_the_four_services_get_ready_and_leave_when_told(
    image: Image, servers: RunningServers, prefix: str
) -> None:
    settings = {
        "BAKVAKT_KAFKA": servers.kafka,
        "BAKVAKT_REDIS": servers.redis,
        "BAKVAKT_PREFIX": prefix,
        "BAKVAKT_INPUT_TOPICS": f"{prefix}-reports",
        "BAKVAKT_PARTITIONS": "2",
        "BAKVAKT_REPLICATION": "1",
    }
    made = image.run("bakvakt", "topics", "apply", "--inputs", **settings)
    assert made.returncode == 0, made.stderr
    ports = {service: take_port() for service in SERVICES}
    async with new_database(servers.postgres) as database:
        settings["BAKVAKT_POSTGRES"] = database
        processes = {
            service: image.start("bakvakt", service, **settings, BAKVAKT_PORT=str(port))
            for service, port in ports.items()
        }
        try:
            for service, port in ports.items():
                await until(
                    lambda port=port: probe.ask([port], "/readyz")[0], timeout_s=60, what=service
                )
                asked = image.run(*PROBE, "/readyz", BAKVAKT_PORT=str(port))
                assert (asked.returncode, asked.stdout) == (0, "ok\n"), service
        finally:
            for process in processes.values():
                process.terminate()
            said = {name: process.communicate(timeout=30) for name, process in processes.items()}
    assert {name: process.returncode for name, process in processes.items()} == dict.fromkeys(
        SERVICES, 0
    ), said


def test_the_probe_says_no_where_nobody_answers(image: Image) -> None:
    asked = image.run(*PROBE, "/livez", BAKVAKT_PORT="1")
    assert (asked.returncode, asked.stdout) == (1, "nobody answers\n")

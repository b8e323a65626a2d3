"""`./bakvakt up` with a state directory of its own, as a user runs it, and what a user can see of it."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg

from deploy.local.process import ProcessIdentity
from deploy.local.servers import RunningServers
from deploy.local.state import ROOT, State, StateDirectory
from shared.kafka.topics import Topics, apply_topics
from tests.acceptance.terminal import Terminal
from tests.at_once import settings_at_once

PARTITIONS = 4


class Bakvakt:
    """The command line. Nothing of the caller's settings reaches it."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.state_directory = StateDirectory(directory)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("BAKVAKT_")
        } | {"BAKVAKT_STATE": str(directory), **(settings or {})}

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [ROOT / "bakvakt", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def on_terminal(self, *arguments: str, width: int = 100, height: int = 30) -> Terminal:
        command = [ROOT / "bakvakt", *arguments]
        return Terminal(command, self.environment, width=width, height=height)

    def status(self) -> dict[str, Any]:
        return json.loads(self("status", "--json").stdout)

    def state(self) -> State:
        state = self.state_directory.read()
        assert state is not None
        return state

    def processes(self) -> list[ProcessIdentity]:
        return [child.process for child in self.state().children if child.process]

    def log(self, name: str) -> str:
        return self.state_directory.log(name).read_text(encoding="utf-8", errors="replace")


class Stack:
    """The four services and the receiver of a running `up`, on servers that the test brought."""

    def __init__(self, bakvakt: Bakvakt, kafka: str, prefix: str) -> None:
        self.bakvakt = bakvakt
        self.kafka = kafka
        self.topics = Topics(prefix)
        self.input = f"{prefix}-reports"

    def send(self, *values: object) -> None:
        """By kcat: any Kafka client will do. One report or list of reports a line."""
        lines = "\n".join(
            value if isinstance(value, str) else json.dumps(value) for value in values
        )
        subprocess.run(
            ["kcat", "-P", "-b", self.kafka, "-t", self.input, "-q"],
            input=lines.encode(),
            check=True,
            timeout=30,
        )

    def pid(self, service: str) -> int:
        (child,) = [child for child in self.bakvakt.state().children if child.name == service]
        return child.process.pid if child.process else 0

    def kill(self, service: str) -> None:
        os.kill(self.pid(service), signal.SIGKILL)

    def url(self, name: str) -> str:
        (child,) = [child for child in self.bakvakt.state().children if child.name == name]
        assert child.url is not None
        return child.url

    async def ready(self, service: str) -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{self.url(service)}/readyz") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def cases(self) -> list[dict[str, Any]]:
        """All cases, newest first, page by page."""
        found: list[dict[str, Any]] = []
        after = ""
        async with aiohttp.ClientSession() as session:
            while True:
                query = {"limit": "500"} | ({"after": after} if after else {})
                async with session.get(f"{self.url('dispatch')}/v1/cases", params=query) as answer:
                    answer.raise_for_status()
                    page = await answer.json()
                found += page["cases"]
                after = page.get("next") or ""
                if not after:
                    return found

    async def case(self, case_id: str) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url('dispatch')}/v1/cases/{case_id}") as answer,
        ):
            answer.raise_for_status()
            return await answer.json()

    async def act(self, case_id: str, action: str, **body: str) -> tuple[int, dict[str, Any]]:
        url = f"{self.url('dispatch')}/v1/cases/{case_id}/{action}"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            return answer.status, await answer.json()

    def pages(self) -> list[dict[str, Any]]:
        """Every page that the receiver took, its signature checked, repetitions included."""
        try:
            lines = self.bakvakt.state_directory.pages.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines if line.endswith("}")]


@contextmanager
def started(
    directory: Path,
    servers: RunningServers,
    prefix: str,
    settings: Mapping[str, str],
    fleet: Sequence[str] = ("--no-simulator",),
) -> Generator[Stack]:
    """`up --detach` on `servers`, with topics and a database of its own; then `down`.

    Faults wait for no hold and no delay, unless `settings` say so.
    """
    asyncio.run(
        apply_topics(
            servers.kafka,
            prefix,
            partitions=PARTITIONS,
            replication=1,
            inputs=(f"{prefix}-reports",),
        )
    )
    bakvakt = Bakvakt(
        directory,
        {
            "BAKVAKT_KAFKA": servers.kafka,
            "BAKVAKT_REDIS": servers.redis,
            "BAKVAKT_POSTGRES": servers.postgres.rsplit("/", 1)[0]
            + f"/{_database(servers, prefix)}",
            "BAKVAKT_PREFIX": prefix,
            "BAKVAKT_INPUT_TOPICS": f"{prefix}-reports",
            "BAKVAKT_PARTITIONS": str(PARTITIONS),
            "BAKVAKT_REPLICATION": "1",
            "BAKVAKT_SESSION_TIMEOUT_MS": "6000",
            **settings_at_once(directory.with_name(f"{directory.name}-at-once")),
            **settings,
        },
    )
    up = bakvakt("up", "--detach", *fleet)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield Stack(bakvakt, servers.kafka, prefix)
    finally:
        processes = bakvakt.processes()
        down = bakvakt("down", "--delete-data")
        assert down.returncode == 0, down.stdout + down.stderr
        assert not any(process.is_alive() for process in processes)


def _database(servers: RunningServers, prefix: str) -> str:
    with psycopg.connect(servers.postgres, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{prefix}"'.encode())
    return prefix

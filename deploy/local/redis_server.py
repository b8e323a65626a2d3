"""One Redis, reached on the loopback address only."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.ports import LOOPBACK
from deploy.local.process import Program
from deploy.local.server import NotReady

# What does not depend on where it runs; deploy/docker/compose.yaml has the same.
SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    # The append-only file is enough.
    "save": "",
    # A wheel that forgets entries to save memory would lose deadlines.
    "maxmemory-policy": "noeviction",
}


@dataclass(frozen=True)
class RedisServer:
    """Redis, with its append-only file under `directory`."""

    directory: Path
    log: Path
    port: int
    environment: Mapping[str, str]
    name: str = "redis"

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def program(self) -> Program:
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.directory),
            "daemonize": "no",
            **SETTINGS,
        }
        options = [part for key, value in settings.items() for part in (f"--{key}", value)]
        return Program(
            name=self.name,
            command=("redis-server", *options),
            log=self.log,
            environment=self.environment,
        )

    async def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)

    async def check(self) -> None:
        """Raise NotReady unless PING is answered (it is not while the file is being read)."""
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError as error:
            raise NotReady(str(error)) from error
        try:
            writer.write(b"PING\r\n")
            answer = await reader.readline()
        except OSError as error:
            raise NotReady(str(error)) from error
        finally:
            writer.close()
        if answer != b"+PONG\r\n":
            raise NotReady(answer.decode(errors="replace").strip())

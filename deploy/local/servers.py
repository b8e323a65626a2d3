"""The three servers together: where their data lies, and all of them for the length of a test."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.kafka_server import KafkaServer
from deploy.local.ports import take_port
from deploy.local.postgres_server import PostgresServer
from deploy.local.process import Running
from deploy.local.redis_server import RedisServer
from deploy.local.server import Server, until_ready


@dataclass(frozen=True)
class RunningServers:
    """Where three running servers are reached, and their processes for tests that kill them."""

    kafka: str
    """host:port"""
    redis: str
    """redis://host:port/0"""
    postgres: str
    """postgresql://postgres@host:port/bakvakt"""
    processes: Mapping[str, Running]
    """By name: kafka, redis, postgres."""


async def together(*steps: Coroutine[None, None, None]) -> None:
    """Run all of them at the same time; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def start(server: Server) -> Running:
    """Prepare and start a server; returns when it serves. What has been started is ended again
    if that fails."""
    await server.prepare()
    running = Running(server.program)
    try:
        await until_ready(server, running)
    except BaseException:
        await running.abandon()
        raise
    return running


@asynccontextmanager
async def running_servers(logs: Path | None = None) -> AsyncGenerator[RunningServers]:
    """Real Kafka, Redis and PostgreSQL on free ports, all new, gone afterwards with their data.

    `logs` keeps what the servers say; without it that goes as well. Must be entered in the main
    thread; what it gives does not depend on the event loop that it was made in.
    """
    home = Path(tempfile.mkdtemp(prefix="bakvakt-"))
    # PostgreSQL's account passes through to its own directory.
    home.chmod(0o711)  # noqa: ASYNC240 - quick
    logs = home / "logs" if logs is None else logs
    environment = dict(os.environ)
    servers: list[Server] = [
        KafkaServer(home / "kafka", logs / "kafka.log", take_port(), take_port(), environment),
        RedisServer(home / "redis", logs / "redis.log", take_port(), environment),
        PostgresServer(home / "postgres", logs / "postgres.log", take_port(), environment),
    ]
    processes: dict[str, Running] = {}

    async def start_one(server: Server) -> None:
        processes[server.name] = await start(server)

    try:
        await together(*(start_one(server) for server in servers))
        urls = {server.name: server.url for server in servers}
        yield RunningServers(**urls, processes=processes)
    finally:
        # Nobody wants the data, so nobody waits for it to be written.
        await asyncio.gather(*(running.abandon() for running in processes.values()))
        shutil.rmtree(home, ignore_errors=True)

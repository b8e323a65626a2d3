"""Redis of a test's own: one with settings that the shared one lacks, or a cluster."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis

from deploy.local.ports import LOOPBACK, take_port
from deploy.local.process import Program, Running
from deploy.local.redis_server import RedisServer
from deploy.local.servers import start, together
from tests.conditions import until

PRIMARIES = 3
SLOTS = 16_384
# After this a primary that says nothing is failed over.
NODE_TIMEOUT_MS = 1_000


@dataclass(frozen=True)
class TunedRedis(RedisServer):
    """Redis with further settings."""

    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def program(self) -> Program:
        program = super().program
        options = [part for key, value in self.settings.items() for part in (f"--{key}", value)]
        return msgspec.structs.replace(program, command=(*program.command, *options))


@dataclass
class Node:
    """One Redis and its process."""

    server: TunedRedis
    running: Running
    password: str = ""
    """Of the default user, where that has been given one."""

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.server.port}"

    async def ask(self, *command: str) -> Any:
        """The answer of this very server."""
        client: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped keywords
            f"redis://:{self.password}@{self.address}", decode_responses=True
        )
        async with client:
            return await client.execute_command(*command)

    async def kill(self) -> None:
        """As kill -9."""
        await self.running.abandon()

    async def start_again(self) -> None:
        """On what it has written; returns when it serves."""
        self.running = await start(self.server)


@asynccontextmanager
async def running_redis(**settings: str) -> AsyncGenerator[Node]:
    """One with these settings (`_` stands for `-`), gone afterwards with its data.

    In the main thread; what it gives does not depend on the event loop.
    """
    async with _running(1, lambda _: settings) as (node,):
        yield node


@dataclass(frozen=True)
class Cluster:
    """Three primaries, and a replica of each."""

    nodes: list[Node]

    @property
    def url(self) -> str:
        """Of all of them: any may be down."""
        return "redis+cluster://" + ",".join(node.address for node in self.nodes)

    async def primary_of(self, key: str) -> Node:
        """Who serves the key now, as those say that are up."""
        slot = int(await self._up().ask("CLUSTER", "KEYSLOT", key))
        for first, last, (_, port, *_), *_ in await self._up().ask("CLUSTER", "SLOTS"):
            if int(first) <= slot <= int(last):
                return next(node for node in self.nodes if node.server.port == int(port))
        raise AssertionError(f"nobody serves {key}")

    async def until_whole(self) -> None:
        """Every server knows every other, all slots are served, all replicas follow and are told of.

        Clients are told of a replica only when it has been sent something: a ping will do.
        """

        async def whole() -> bool:
            states: list[str] = [await node.ask("CLUSTER", "INFO") for node in self.nodes]
            known = f"cluster_known_nodes:{len(self.nodes)}"
            slots = [await node.ask("CLUSTER", "SLOTS") for node in self.nodes]
            roles = [await node.ask("INFO", "replication") for node in self.nodes]
            return (
                all("cluster_state:ok" in state and known in state for state in states)
                and all(len(some) > 3 for told in slots for some in told)
                and [role["role"] for role in roles].count("master") == PRIMARIES
                and all(role.get("master_link_status", "up") == "up" for role in roles)
            )

        await until(whole, timeout_s=30, what="the cluster is whole")

    def _up(self) -> Node:
        return next(node for node in self.nodes if node.running.exit_status() is None)


@asynccontextmanager
async def running_cluster(
    more: Callable[[], Mapping[str, str]] = dict[str, str],
) -> AsyncGenerator[Cluster]:
    """A real cluster on free ports, gone afterwards with its data. As `running_redis`.

    `more` gives further settings, for each server anew.
    """

    def settings(_: int) -> dict[str, str]:
        return {
            **more(),
            "cluster_enabled": "yes",
            "cluster_port": str(take_port()),
            "cluster_node_timeout": str(NODE_TIMEOUT_MS),
            "cluster_replica_validity_factor": "0",
            "repl_diskless_sync_delay": "0",
            "repl_ping_replica_period": "1",
        }

    async with _running(2 * PRIMARIES, settings) as nodes:
        cluster = Cluster(nodes)
        await _join(cluster)
        yield cluster


async def _join(cluster: Cluster) -> None:
    first, *others = cluster.nodes
    ids = [await node.ask("CLUSTER", "MYID") for node in cluster.nodes]
    for number, node in enumerate(cluster.nodes, start=1):
        await node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number))
    for number, node in enumerate(cluster.nodes[:PRIMARIES]):
        begin, end = (SLOTS * n // PRIMARIES for n in (number, number + 1))
        await node.ask("CLUSTER", "ADDSLOTSRANGE", str(begin), str(end - 1))
    for node in others:
        bus = first.server.settings["cluster-port"]
        await node.ask("CLUSTER", "MEET", LOOPBACK, str(first.server.port), bus)

    async def known() -> bool:
        told = [str(await node.ask("CLUSTER", "NODES")) for node in cluster.nodes]
        return all(one.count("connected") == len(cluster.nodes) for one in told)

    await until(known, timeout_s=30, what="they know each other")
    for primary, node in zip(ids, cluster.nodes[PRIMARIES:], strict=False):
        await node.ask("CLUSTER", "REPLICATE", primary)
    await cluster.until_whole()


@asynccontextmanager
async def _running(
    count: int, settings: Callable[[int], Mapping[str, str]]
) -> AsyncGenerator[list[Node]]:
    home = Path(tempfile.mkdtemp(prefix="bakvakt-redis-"))
    nodes: dict[int, Node] = {}

    async def start_one(number: int) -> None:
        server = TunedRedis(
            home / str(number),
            home / f"{number}.log",
            take_port(),
            dict(os.environ),
            settings={key.replace("_", "-"): value for key, value in settings(number).items()},
        )
        nodes[number] = Node(server, await start(server))

    try:
        await together(*(start_one(number) for number in range(count)))
        yield [nodes[number] for number in range(count)]
    finally:
        await asyncio.gather(*(node.running.abandon() for node in nodes.values()))
        shutil.rmtree(home, ignore_errors=True)

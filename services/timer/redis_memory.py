"""Whether Redis has room: for what it is given, and for a shard that is built anew beside what is there."""

from collections.abc import Awaitable, Callable, Mapping
from math import inf
from typing import Any, NamedTuple, cast

import structlog
from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from services.timer.metrics import REDIS_LIMIT_BYTES, REDIS_NEEDED_BYTES, REDIS_USED_BYTES
from services.timer.redis_client import Client

log = structlog.get_logger()

# Above this share of its memory Redis is too full; what rewriting its append-only file takes comes on top.
FULL = 0.7


class Memory(NamedTuple):
    """What a Redis says of its memory, in bytes."""

    used: int
    limit: int
    """Its maxmemory; where it has none, the memory of its machine. 0: it does not say."""
    data: int
    """Keys and values."""

    def needed(self, shards: int) -> int:
        """What must be free so that a shard can be built anew.

        The old one is freed beside other work, so both are there for a while. Sites are not spread evenly:
        a shard may be twice as large as the mean.
        """
        return 2 * self.data // shards

    def problem(self, shards: int) -> str | None:
        """Why there is too little room; None: there is enough."""
        if not self.limit:
            return None
        if self.used > FULL * self.limit:
            return f"{100 * self.used // self.limit} % of it is used"
        if self.limit - self.used < self.needed(shards):
            return "a shard could not be built anew beside what is there"
        return None


def read_memory(info: Mapping[str, Any]) -> Memory:
    """From what `INFO memory` answers."""
    limit = info.get("maxmemory") or info.get("total_system_memory") or 0
    return Memory(
        int(info.get("used_memory", 0)), int(limit), int(info.get("used_memory_dataset", 0))
    )


class Headroom:
    """The memory of the Redis of these shards, as metrics; a warning each time that it gets too little.

    Of a cluster, that of the primary with the least room.
    """

    def __init__(self, redis: Client, address: str, shards: int) -> None:
        self._redis = redis
        self._address = address
        self._shards = shards
        self._told: str | None = None

    async def look(self) -> None:
        """Ask Redis, and tell. Where it does not answer, or not to us, what was told last stays."""
        try:
            found = await self._ask()
        except (RedisError, RedisClusterException):
            return
        if not found:  # a cluster of which no server has a slot yet
            return
        memory = max(found, key=lambda memory: memory.used / (memory.limit or inf))
        shards = max(1, self._shards // len(found))
        REDIS_USED_BYTES.set(memory.used)
        REDIS_LIMIT_BYTES.set(memory.limit)
        REDIS_NEEDED_BYTES.set(memory.needed(shards))
        problem = memory.problem(shards)
        if problem and not self._told:
            log.warning(
                "Redis has too little memory: when it is full no case is applied and deadlines repeat",
                address=self._address,
                problem=problem,
                used_bytes=memory.used,
                limit_bytes=memory.limit,
            )
        self._told = problem

    async def _ask(self) -> list[Memory]:
        if not isinstance(self._redis, RedisCluster):
            return [read_memory(await self._info())]
        await self._redis.initialize()
        primaries = self._redis.get_primaries()
        return [read_memory(await self._info(target_nodes=node)) for node in primaries]

    async def _info(self, **target: Any) -> Mapping[str, Any]:
        ask = cast(Callable[..., Awaitable[Any]], self._redis.execute_command)  # pyright: ignore[reportUnknownMemberType] - redis-py leaves its keywords untyped
        return await ask("INFO", "memory", **target)

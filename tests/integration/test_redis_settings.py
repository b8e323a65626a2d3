"""What the timer says to a Redis whose settings are not what it needs: each a real redis-server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from deploy.local.ports import take_port
from deploy.local.process import Running
from deploy.local.redis_server import RedisServer as LocalRedis
from deploy.local.server import until_ready
from services.timer.main import TimerService, build
from services.timer.plan import Moment, Plan
from services.timer.records import Change
from services.timer.redis_memory import Headroom
from services.timer.redis_server import RedisServer
from services.timer.store import StoreError
from services.timer.wheel import WheelStore
from shared.errors import ConfigError
from shared.times import now_ms
from tests.integration.timer_model import connect

SHARDS = 2


@asynccontextmanager
async def redis_with(home: Path, *options: str) -> AsyncGenerator[str]:
    """A Redis that was started with these options behind ours; gives its URL."""
    server = LocalRedis(home / "data", home / "redis.log", take_port(), {})
    await server.prepare()
    program = server.program
    running = Running(msgspec.structs.replace(program, command=(*program.command, *options)))
    try:
        await until_ready(server, running)
        yield server.url
    finally:
        await running.abandon()


def timer_of(redis_url: str) -> TimerService:
    return build({"BAKVAKT_REDIS": redis_url, "BAKVAKT_PARTITIONS": str(SHARDS)})


def plan(at_ms: int) -> Plan:
    return Plan(1, 0, "A", "site-1", "north", (Moment(at_ms, "step", "1", "due", at_ms),))


async def test_a_redis_that_may_drop_clocks_is_refused_at_start(tmp_path: Path) -> None:
    async with redis_with(tmp_path, "--maxmemory-policy", "volatile-ttl") as url:
        with pytest.raises(ConfigError, match="volatile-ttl drops clocks, needs noeviction"):
            await timer_of(url).run(asyncio.Event())


async def test_a_redis_without_a_file_is_warned_of(tmp_path: Path) -> None:
    async with redis_with(tmp_path, "--appendonly", "no") as url:
        server = RedisServer(url, timeout_s=5, shards=SHARDS)
        with capture_logs() as logs:
            await server.check()
        await server.close()
    (warned,) = (line for line in logs if line["log_level"] == "warning")
    assert "no append-only file" in warned["event"]


async def test_too_little_memory_is_warned_of_once_and_told_as_metrics(tmp_path: Path) -> None:
    async with redis_with(tmp_path) as url, connect(url) as redis:
        server = RedisServer(url, timeout_s=5, shards=SHARDS)
        headroom = Headroom(server.redis, server.address, SHARDS)
        with capture_logs() as logs:
            await headroom.look()  # the machine's memory
            assert logs == []
            used = (await redis.info("memory"))["used_memory"]
            await redis.config_set("maxmemory", str(used * 5 // 4))
            await headroom.look()
            await headroom.look()
        await server.close()
    (warned,) = logs
    assert warned["log_level"] == "warning"
    assert "too little memory" in warned["event"]
    assert metric("limit") == used * 5 // 4
    assert 0.7 * metric("limit") < metric("used") < metric("limit")
    assert metric("needed") > 0


async def test_a_full_redis_drops_nothing_and_goes_on_when_it_has_room(tmp_path: Path) -> None:
    at_ms = now_ms() + 3_600_000
    async with redis_with(tmp_path) as url, connect(url) as redis:
        server = RedisServer(url, timeout_s=5, shards=SHARDS)
        store = WheelStore(server.redis, "full", 0)
        await store.take_over()
        await store.apply([Change("c1", 1, plan(at_ms))], 1)
        await redis.config_set("maxmemory", "1")
        with pytest.raises(StoreError, match="OutOfMemory"):
            await store.apply([Change("c2", 1, plan(at_ms))], 2)
        await redis.config_set("maxmemory", "0")
        taken = await store.take_over()
        assert (taken.next_case, taken.standing) == (1, 1)
        assert (await store.apply([Change("c2", 1, plan(at_ms))], 2)).standing == 2
        await server.close()


def metric(name: str) -> float:
    value: Any = REGISTRY.get_sample_value(f"bakvakt_timer_redis_{name}_bytes")
    return value

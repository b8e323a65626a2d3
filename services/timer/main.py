"""The timer's wiring: settings to servers to group to shards."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import NoReturn

from aiohttp import web

from services.timer.api import ClockApi
from services.timer.config import TimerSettings, files_of
from services.timer.metrics import forget_rebuilds_but
from services.timer.pace import CatchUp
from services.timer.redis_memory import Headroom
from services.timer.redis_server import RedisServer
from services.timer.store import StoreError
from services.timer.task import ShardTask
from services.timer.view import ShardView
from services.timer.wheel import WheelStore
from shared.config import load
from shared.kafka.group import Group
from shared.kafka.ready import wait_for_kafka
from shared.kafka.topics import Topics
from shared.lifecycle import run_service, wait_for_server


class TimerService:
    """One instance of the timer."""

    name = "timer"

    def __init__(self, settings: TimerSettings) -> None:
        self.host = settings.host
        self.port = settings.port
        self.log = settings.log
        self._settings = settings
        self._topics = Topics(settings.prefix)
        self._redis = _redis(settings, shards=settings.partitions)
        # However many look at the clocks, no owner of a shard is left without a connection.
        self._looked_at = _redis(settings, shards=0)
        self._catch_up = CatchUp(settings.timer_catch_up_rate)
        self._api = ClockApi(
            self._partitions,
            [
                ShardView(self._looked_at.redis, settings.prefix, partition)
                for partition in range(settings.partitions)
            ],
            self._topics.cases,
        )
        self._headroom = Headroom(self._redis.redis, self._redis.address, settings.partitions)
        self._waiting_for: str | None = "Redis"
        self._group: Group | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        """Wait for Redis and Kafka, then own shards until `stopping` is set."""
        try:
            if not await self._reach_servers(stopping):
                return
            self._group = Group(
                self._settings.kafka,
                f"{self._settings.prefix}.timer",
                self._topics.cases,
                self._build_task,
                session_timeout_ms=self._settings.session_timeout_ms,
            )
            await self._group.run(stopping)
        finally:
            await self._redis.close()
            await self._looked_at.close()

    def not_ready(self) -> list[str]:
        """The server that is not reached yet, or the shards that are not taken over yet."""
        if self._group is None:
            return [f"{self._waiting_for}: not reached yet"]
        return self._group.not_ready()

    async def refresh_metrics(self) -> None:
        """The memory of Redis; all else is kept up to date as things happen, or counts itself when read."""
        if self._group is not None:
            forget_rebuilds_but(self._group.partitions)
            await self._headroom.look()

    def routes(self) -> Iterable[web.RouteDef]:
        """The clocks, under /v1/clocks."""
        return self._api.routes()

    def _partitions(self) -> Collection[int]:
        return self._group.partitions if self._group is not None else ()

    async def _reach_servers(self, stopping: asyncio.Event) -> bool:
        if not await wait_for_server(
            "Redis", self._redis.address, self._redis.check, stopping, absent=(StoreError,)
        ):
            return False
        await self._headroom.look()
        self._waiting_for = "Kafka"
        return await wait_for_kafka(self._settings, stopping)

    def _store(self, partition: int) -> WheelStore:
        return WheelStore(self._redis.redis, self._settings.prefix, partition)

    def _build_task(self, partition: int) -> ShardTask:
        return ShardTask(
            self._settings.kafka,
            self._topics,
            self._store(partition),
            partition=partition,
            partitions=self._settings.partitions,
            tick_ms=self._settings.timer_tick_ms,
            catch_up=self._catch_up,
        )


def _redis(settings: TimerSettings, *, shards: int) -> RedisServer:
    return RedisServer(
        settings.redis,
        timeout_s=settings.redis_timeout_s,
        shards=shards,
        files=files_of(settings),
    )


def build(environ: Mapping[str, str]) -> TimerService:
    """The service that the environment describes; raises ConfigError naming all that is wrong."""
    return TimerService(load(TimerSettings, environ, "timer"))


def main() -> NoReturn:
    """One instance of the timer; ends the process."""
    run_service(build)

"""Instances of the timer, their Redis and their Kafka die, stall and forget under load.

What is published is compared with the oracle at the end of each: nothing early, nothing lost, nothing twice,
nothing after a stop. These are the rows of the failure matrix in docs/services/timer.md.
"""

import asyncio
import shutil
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from deploy.local.process import Running
from deploy.local.servers import running_servers
from tests.chaos.timers import PARTITIONS, Timer, Timers, loaded_timers
from tests.conditions import until
from tests.kafka_log import ends_of
from tests.redis_servers import Node, running_cluster, running_redis


async def lost_a_script(timers: Timers, what: str) -> None:
    """An instance has noticed."""
    await until(
        lambda: any(what in instance.log for instance in timers.instances),
        timeout_s=20,
        what=f"a log has {what}",
    )


async def test_redis_is_flushed(kafka: str, prefix: str, tmp_path: Path) -> None:
    async with (
        running_redis() as redis,
        loaded_timers(kafka, redis.server.url, prefix, tmp_path) as timers,
    ):
        for _ in range(2):
            async with timers.outage():
                await redis.ask("FLUSHALL")
                await asyncio.sleep(0.7)
        await lost_a_script(timers, '"reason": "ownership"')


async def test_redis_comes_back_without_its_last_seconds(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with (
        running_redis() as redis,
        loaded_timers(kafka, redis.server.url, prefix, tmp_path) as timers,
    ):
        before = tmp_path / "before"
        shutil.copytree(redis.server.directory, before)
        await asyncio.sleep(2)
        async with timers.outage():
            await redis.kill()
            shutil.rmtree(redis.server.directory)
            shutil.copytree(before, redis.server.directory)
            await redis.start_again()
            await lost_a_script(timers, '"reason": "redis"')


@pytest.mark.long
async def test_redis_is_killed_and_started_again(kafka: str, prefix: str, tmp_path: Path) -> None:
    async with (
        running_redis() as redis,
        loaded_timers(kafka, redis.server.url, prefix, tmp_path, instances=2) as timers,
    ):
        for away_s in (0, 3, 0):
            async with timers.outage():
                await redis.kill()
                await asyncio.sleep(away_s)
                await redis.start_again()


async def test_one_is_killed_between_publishing_and_noting_it(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with (
        running_redis() as redis,
        loaded_timers(kafka, redis.server.url, prefix, tmp_path, instances=2) as timers,
    ):
        *_, victim = timers.alive
        async with timers.outage():
            async with asyncio.timeout(30):
                await stopped_before_it_notes(timers, redis, victim)
            victim.send(signal.SIGKILL)
            await until(lambda: has_left(redis, victim), what="Redis knows that it is dead")
            await redis.ask("CLIENT", "UNPAUSE")


async def has_left(redis: Node, instance: Timer) -> bool:
    """Redis does none of its commands any more."""
    return f"name={instance.name} " not in await redis.ask("CLIENT", "LIST")


async def stopped_before_it_notes(timers: Timers, redis: Node, victim: Timer) -> None:
    """Redis writes nothing any more, and the instance has published what Redis does not know of.

    Several deadlines, for their cases may be stopped or closed before the next owner comes.
    """
    partitions = await victim.partitions()
    while True:
        await stopped_in_a_transaction(timers, victim)
        await redis.ask("CLIENT", "PAUSE", "20000", "WRITE")
        victim.send(signal.SIGCONT)
        await asyncio.sleep(0.3)
        victim.send(signal.SIGSTOP)
        noted = {
            number: await redis.ask(
                "HGET", f"{{{timers.topics.prefix}:t{number}}}:meta", "deadlines"
            )
            for number in partitions
        }
        unknown = [
            record
            for record in await timers.published()
            if record.partition in partitions and record.offset >= int(noted[record.partition] or 0)
        ]
        if len(unknown) >= 4:
            return
        victim.send(signal.SIGCONT)
        await redis.ask("CLIENT", "UNPAUSE")


@pytest.mark.long
async def test_one_is_killed_between_claiming_and_publishing(
    kafka: str, prefix: str, redis_url: str, tmp_path: Path
) -> None:
    async with loaded_timers(kafka, redis_url, prefix, tmp_path, instances=2) as timers:
        *_, victim = timers.alive
        async with timers.outage():
            async with asyncio.timeout(30):
                await stopped_in_a_transaction(timers, victim)
            victim.send(signal.SIGKILL)
            await victim.ended()


async def stopped_in_a_transaction(timers: Timers, victim: Timer) -> None:
    """What it has claimed is in Kafka, and neither committed nor given up."""
    partitions = await victim.partitions()
    while True:
        victim.send(signal.SIGSTOP)
        written = await ends_of(timers.kafka, timers.topics.deadlines, committed=False)
        decided = await ends_of(timers.kafka, timers.topics.deadlines)
        if any(decided[number] < written[number] for number in partitions):
            return
        victim.send(signal.SIGCONT)
        await asyncio.sleep(0.05)


@pytest.mark.long
async def test_one_that_stalls_past_its_session_publishes_nothing_and_steals_nothing(
    kafka: str, prefix: str, redis_url: str, tmp_path: Path
) -> None:
    async with loaded_timers(kafka, redis_url, prefix, tmp_path, instances=2) as timers:
        *others, victim = timers.alive
        async with timers.outage():
            async with asyncio.timeout(30):
                await stopped_in_a_transaction(timers, victim)
            await timers.until_shared(*others)
            victim.send(signal.SIGCONT)
            await timers.until_shared(*others, victim)
        assert '"reason": "fenced"' in victim.log, "it tried to go on with what it had in hand"


async def test_a_primary_is_failed_over_and_its_last_seconds_are_lost(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    """Its replica hears nothing more of it for two seconds, then takes its place."""
    async with (
        running_cluster() as cluster,
        loaded_timers(kafka, cluster.url, prefix, tmp_path) as timers,
    ):
        primary = await cluster.primary_of(f"{{{prefix}:t0}}:meta")
        async with timers.outage():
            await primary.ask("ACL", "SETUSER", "default", "-psync", "-sync")
            await primary.ask("CLIENT", "KILL", "TYPE", "replica")
            await asyncio.sleep(2)
            await primary.kill()
            await lost_a_script(timers, '"reason": "redis"')


@pytest.mark.long
async def test_one_primary_after_the_other_is_killed(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with (
        running_cluster() as cluster,
        loaded_timers(kafka, cluster.url, prefix, tmp_path, instances=2) as timers,
    ):
        for number in range(PARTITIONS):
            primary = await cluster.primary_of(f"{{{prefix}:t{number}}}:meta")
            async with timers.outage():
                await primary.kill()
                await asyncio.sleep(1)
            await primary.start_again()
            await cluster.until_whole()


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_kafka_is_down_for_a_minute(prefix: str, tmp_path: Path, how: signal.Signals) -> None:
    """On servers of its own."""
    async with (
        running_servers() as servers,
        AsyncExitStack() as last,
        loaded_timers(servers.kafka, servers.redis, prefix, tmp_path) as timers,
        timers.outage(),
    ):
        broker = servers.processes["kafka"]
        assert broker.identity is not None
        broker.identity.send(how)
        await asyncio.sleep(60)
        if how is signal.SIGKILL:
            await broker.ended()
            last.push_async_callback(Running(broker.program).abandon)
        else:
            broker.identity.send(signal.SIGCONT)

"""Floors: the least that Kafka and Redis themselves cost for what a bench of ours does.

Each knows nothing of our code: it uses the client library with the settings that are written here, so a
floor does not move when ours does. All are coroutines of the measuring process, to be run under uvloop as
the services are. They count the CPU of that process, and that of the server whose pid they are given.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import RecordMetadata
from redis.asyncio import Redis

from tests.acceptance.stack import PARTITIONS
from tests.bench.meter import Cost, Meter

KeyValue = tuple[bytes | None, bytes | None]
Timer = tuple[str, int, bytes]
"""Its name, when it is due (epoch ms), and what it carries."""

MAX_BATCH_BYTES = 512 * 1024
# aiokafka's own 100 ms would lie in the path of each transaction.
RETRY_BACKOFF_MS = 5
SCHEDULE_BATCH, FIRE_BATCH = 500, 256  # the timer's own limits


# ---- Kafka ----


@asynccontextmanager
async def producing(
    kafka: str, transactional_id: str | None = None
) -> AsyncGenerator[AIOKafkaProducer]:
    """acks=all, no linger, no idempotence but that of a transactional one."""
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka,
        transactional_id=transactional_id,
        acks="all",
        linger_ms=0,
        max_batch_size=MAX_BATCH_BYTES,
        retry_backoff_ms=RETRY_BACKOFF_MS,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def consuming(
    kafka: str, topic: str, partitions: Sequence[int] = range(PARTITIONS)
) -> AsyncGenerator[AIOKafkaConsumer]:
    """These partitions from their start, in no group, committed records only.

    One partition where latency is measured: aiokafka asks for the others as soon as one has given something,
    and that request may wait its 500 ms before the one is asked for again.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, isolation_level="read_committed", enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, partition) for partition in partitions])
        await consumer.seek_to_beginning()
        yield consumer
    finally:
        await consumer.stop()


async def fill(kafka: str, topic: str, records: Mapping[int, Sequence[KeyValue]]) -> None:
    """Write the records of each partition by `send_batch`; returns when Kafka has all."""
    async with producing(kafka) as producer:
        for partition, some in records.items():
            await asyncio.gather(*await _send_batches(producer, topic, partition, some))


async def consume(
    kafka: str,
    topic: str,
    count: int,
    *,
    broker_pid: int,
    decode: Callable[[bytes], object] | None = None,
    target: str = "",
    outputs: Sequence[KeyValue] = (),
) -> Cost:
    """Read `count` records with `getmany`, whatever it gives at a time.

    With `decode`: and decode the value of each, nothing else. With `outputs`: and write these to `target`
    by `send_batch`, evenly as the input is read and to the same partition; returns when Kafka has them.
    """
    seen = sent = 0
    answers: list[asyncio.Future[RecordMetadata]] = []
    async with consuming(kafka, topic) as consumer, producing(kafka) as producer:
        meter = Meter(broker=broker_pid)
        while seen < count:
            found = await consumer.getmany(timeout_ms=500, max_records=count - seen)
            for partition, records in found.items():
                if decode is not None:
                    for record in records:
                        decode(record.value or b"")
                seen += len(records)
                due = outputs[sent : len(outputs) * seen // count]
                if due:
                    answers += await _send_batches(producer, target, partition.partition, due)
                    sent += len(due)
        await asyncio.gather(*answers)
        return meter.read()


async def send_batches(
    kafka: str, topic: str, records: Sequence[KeyValue], *, broker_pid: int
) -> Cost:
    """Write `records` by `send_batch`, batches of up to 512 KiB, all under way at once."""
    async with producing(kafka) as producer:
        meter = Meter(broker=broker_pid)
        await asyncio.gather(*await _send_batches(producer, topic, 0, records))
        return meter.read()


async def send_each(
    kafka: str, topic: str, records: Sequence[KeyValue], *, broker_pid: int
) -> Cost:
    """Write `records` by `send`, one call each, which leaves the making of batches to aiokafka."""
    async with producing(kafka) as producer:
        meter = Meter(broker=broker_pid)
        for key, value in records:
            await producer.send(topic, value, key, partition=0)
        await producer.flush()
        return meter.read()


async def hops_s(kafka: str, topic: str, samples: int) -> list[float]:
    """From `send` of one record to the consumer that has it, one after the other on idle clients."""
    found: list[float] = []
    async with producing(kafka) as producer, consuming(kafka, topic, [0]) as consumer:
        for _ in range(samples):
            began_s = time.perf_counter()
            await producer.send(topic, b"x", partition=0)
            await consumer.getone()
            found.append(time.perf_counter() - began_s)
    return found[samples // 10 :]  # the first ones find out where things are


async def transactional_hops_s(kafka: str, source: str, target: str, samples: int) -> list[float]:
    """As `hops_s`, with somebody between who reads each record and writes it on in a transaction."""

    async def carry() -> None:
        async with (
            consuming(kafka, source, [0]) as consumer,
            producing(kafka, f"{source}.carrier") as producer,
        ):
            while True:
                record = await consumer.getone()
                await producer.begin_transaction()
                await (await producer.send(target, record.value, partition=0))
                await producer.commit_transaction()

    found: list[float] = []
    async with (
        asyncio.TaskGroup() as group,
        producing(kafka) as producer,
        consuming(kafka, target, [0]) as consumer,
    ):
        carrier = group.create_task(carry())
        for _ in range(samples):
            began_s = time.perf_counter()
            await producer.send(source, b"x", partition=0)
            await consumer.getone()
            found.append(time.perf_counter() - began_s)
        carrier.cancel()
    return found[samples // 10 :]


async def _send_batches(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[KeyValue]
) -> list[asyncio.Future[RecordMetadata]]:
    answers: list[asyncio.Future[RecordMetadata]] = []
    batch = producer.create_batch()
    for key, value in records:
        if batch.append(key=key, value=value, timestamp=None) is None:  # full
            answers.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)
    answers.append(await producer.send_batch(batch, topic, partition=partition))
    return answers


# ---- Redis ----


async def set_values(url: str, keys: Sequence[str], value: bytes, *, redis_pid: int) -> Cost:
    """SET of each key, 500 commands a pipeline, no transaction."""
    return await _pipelined(url, [("SET", key, value) for key in keys], redis_pid)


async def get_values(url: str, keys: Sequence[str], *, redis_pid: int) -> Cost:
    """GET of each key, 500 commands a pipeline, no transaction."""
    return await _pipelined(url, [("GET", key) for key in keys], redis_pid)


async def schedule(url: str, name: str, timers: Sequence[Timer], *, redis_pid: int) -> Cost:
    """Put timers into a sorted set (name, due) and a hash (name, what it carries).

    500 at a time in one ZADD and one HSET, which go in one pipeline.
    """
    async with _connected(url) as redis:
        meter = Meter(redis=redis_pid)
        for start in range(0, len(timers), SCHEDULE_BATCH):
            some = timers[start : start + SCHEDULE_BATCH]
            scores = [part for timer, due_ms, _ in some for part in (due_ms, timer)]
            fields = [part for timer, _, carried in some for part in (timer, carried)]
            await _run(redis, ("ZADD", f"{name}:due", *scores), ("HSET", f"{name}:timers", *fields))
        return meter.read()


async def fire(url: str, name: str, count: int, now_ms: int, *, redis_pid: int) -> Cost:
    """Take `count` due timers out again, 256 at a time: ZRANGE by score, HMGET, then ZREM and HDEL."""
    fired = 0
    async with _connected(url) as redis:
        meter = Meter(redis=redis_pid)
        while fired < count:
            due, carried = f"{name}:due", f"{name}:timers"
            by_score = ("BYSCORE", "LIMIT", 0, FIRE_BATCH)
            (names,) = await _run(redis, ("ZRANGE", due, "-inf", now_ms, *by_score))
            await _run(redis, ("HMGET", carried, *names))
            await _run(redis, ("ZREM", due, *names), ("HDEL", carried, *names))
            fired += len(names)
        return meter.read()


async def used_memory_bytes(url: str) -> int:
    """What Redis says that it uses."""
    async with _connected(url) as redis:
        (memory,) = await _run(redis, ("INFO", "memory"))
        return int(memory["used_memory"])


async def _pipelined(url: str, commands: Sequence[tuple[Any, ...]], redis_pid: int) -> Cost:
    async with _connected(url) as redis:
        meter = Meter(redis=redis_pid)
        for start in range(0, len(commands), SCHEDULE_BATCH):
            await _run(redis, *commands[start : start + SCHEDULE_BATCH])
        return meter.read()


@asynccontextmanager
async def _connected(url: str) -> AsyncGenerator[Redis]:
    redis = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType] - untyped keywords
    try:
        await redis.ping()  # pyright: ignore[reportUnknownMemberType] - untyped keywords
        yield redis
    finally:
        await redis.aclose()


async def _run(redis: Redis, *commands: tuple[Any, ...]) -> list[Any]:
    """One round trip; redis-py leaves its types unknown."""
    pipeline: Any = redis.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return await pipeline.execute()

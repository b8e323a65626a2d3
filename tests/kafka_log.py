"""Reading and writing topics in tests, by a client that knows nothing of ours."""

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

Record = ConsumerRecord[bytes | None, bytes | None]


@asynccontextmanager
async def producing(kafka: str) -> AsyncGenerator[AIOKafkaProducer]:
    """Any Kafka client's producer."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=9 * 1024 * 1024)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def read_topic(kafka: str, topic: str) -> list[Record]:
    """All committed records of the topic, partition by partition, each in order."""
    records: list[Record] = []
    async with _assigned(kafka, topic, committed=True) as consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for found in (await consumer.getmany(timeout_ms=200)).values():
                records += found
    return sorted(records, key=lambda record: (record.partition, record.offset))


async def ends_of(kafka: str, topic: str, *, committed: bool = True) -> dict[int, int]:
    """Where the log of each partition ends; with `committed`, the part of it that is decided."""
    async with _assigned(kafka, topic, committed=committed) as consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
    return {partition.partition: end for partition, end in ends.items()}


@asynccontextmanager
async def _assigned(kafka: str, topic: str, *, committed: bool) -> AsyncGenerator[AIOKafkaConsumer]:
    """A reader of all partitions of the topic from their beginning."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        isolation_level="read_committed" if committed else "read_uncommitted",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        count = len(await producer.partitions_for(topic))
        await producer.stop()
        consumer.assign([TopicPartition(topic, number) for number in range(count)])
        yield consumer
    finally:
        await consumer.stop()


def documents(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The JSON documents among them."""
    return [json.loads(record.value) for record in records if record.value]

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


async def read_topic(kafka: str, topic: str, *, committed: bool = True) -> list[Record]:
    """All committed records of the topic, or all there are, partition by partition, each in order."""
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
        partitions = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Record] = []
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for found in (await consumer.getmany(timeout_ms=200)).values():
                records += found
    finally:
        await consumer.stop()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def documents(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The JSON documents among them."""
    return [json.loads(record.value) for record in records if record.value]

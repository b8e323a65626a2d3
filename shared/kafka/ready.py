"""Waiting for Kafka to be there, with the topics that we rely on."""

import asyncio

from aiokafka.errors import KafkaError

from shared.config import Settings
from shared.kafka.topics import check_inputs, check_topics
from shared.lifecycle import wait_for_server


async def wait_for_kafka(
    settings: Settings, stopping: asyncio.Event, *, inputs: tuple[str, ...] = ()
) -> bool:
    """False: stopping. Raises ConfigError where a topic is missing, or not as it must be."""

    async def check() -> None:
        await check_topics(
            settings.kafka,
            settings.prefix,
            partitions=settings.partitions,
            replication=settings.replication,
        )
        if inputs:
            await check_inputs(settings.kafka, inputs)

    return await wait_for_server("Kafka", settings.kafka, check, stopping, absent=(KafkaError,))

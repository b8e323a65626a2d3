"""A client that is left while Kafka is away leaves nothing running behind, however long Kafka stays away."""

import asyncio
import signal
from types import CoroutineType
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from deploy.local.servers import running_servers
from shared.errors import BakvaktError
from shared.kafka.clients import make_member
from shared.kafka.ending import end_client
from shared.kafka.producer import FencedProducer, Outgoing, PlainProducer
from shared.kafka.reader import Reader
from shared.kafka.topics import Topics, apply_topics
from tests.conditions import until

SHORT_S = 1.0


def aiokafka_tasks() -> list[str]:
    """The coroutines of all its tasks in this loop."""
    coroutines = [
        cast("CoroutineType[Any, Any, Any]", task.get_coro()) for task in asyncio.all_tasks()
    ]
    return [
        coroutine.__qualname__
        for coroutine in coroutines
        if "/aiokafka/" in coroutine.cr_code.co_filename
    ]


async def leave_in_a_hurry(client: PlainProducer) -> None:
    """Who leaves it is cancelled meanwhile, as where one part of a task after another finds Kafka gone."""
    leaving = asyncio.create_task(client.__aexit__(None, None, None))
    await asyncio.sleep(SHORT_S / 2)
    assert not leaving.done()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_nothing_is_left_of_clients_whose_kafka_has_gone() -> None:
    """Each is in the middle of something: a transaction, a send, a fetch, a membership; and one is left by
    somebody who is cancelled."""
    async with running_servers() as servers:
        topics = Topics("gone")
        await apply_topics(servers.kafka, "gone", partitions=1, replication=1)
        record = Outgoing(topics.faults, 0, b"key", b"value")
        member = make_member(servers.kafka, "gone", 10_000)
        fenced, plain = FencedProducer(servers.kafka, "gone"), PlainProducer(servers.kafka)
        input_partition = TopicPartition(topics.faults, 0)
        hurried = await PlainProducer(servers.kafka).__aenter__()
        async with Reader(servers.kafka, {input_partition: None}) as reading, plain, fenced:
            await fenced.commit([record])
            await plain.send([record])
            assert await reading.read(timeout_ms=5_000)
            member.subscribe([topics.faults])
            await member.start()
            broker = servers.processes["kafka"].identity
            assert broker is not None
            broker.send(signal.SIGKILL)
            sends = (fenced.commit, plain.send, hurried.send)
            given = await asyncio.gather(
                *(send([record] * 3) for send in sends), return_exceptions=True
            )
            assert all(isinstance(each, BakvaktError) for each in given), given
            await leave_in_a_hurry(hurried)
            await end_client(member, SHORT_S)
        late = FencedProducer(servers.kafka, "late")
        with pytest.raises(BakvaktError):
            await late.__aenter__()
        await until(lambda: not aiokafka_tasks(), timeout_s=5, what="no task of aiokafka is left")

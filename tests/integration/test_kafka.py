"""shared/kafka on a real broker: fencing, whole transactions, topics, lost input, assignment."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.errors import ConfigError, FencedError, ReadError, TransactionError
from shared.kafka.group import Group, Ownership
from shared.kafka.producer import FencedProducer, Outgoing, PlainProducer
from shared.kafka.reader import Reader
from shared.kafka.topics import Topics, apply_topics, check_inputs, check_topics
from shared.metrics import LOST_INPUT
from shared.times import now_ms
from tests.conditions import until
from tests.kafka_log import Record, read_topic


@pytest.fixture
async def topics(kafka: str, prefix: str) -> Topics:
    await apply_topics(kafka, prefix, partitions=4, replication=1)
    return Topics(prefix)


async def values(kafka: str, topic: str) -> list[bytes | None]:
    return [record.value for record in await read_topic(kafka, topic)]


async def test_a_newer_producer_fences_an_older_one(kafka: str, topics: Topics) -> None:
    def record(value: bytes) -> list[Outgoing]:
        return [Outgoing(topics.faults, 0, b"k", value)]

    async with FencedProducer(kafka, f"{topics.prefix}.x") as old:
        await old.commit(record(b"1"))
        async with FencedProducer(kafka, f"{topics.prefix}.x") as new:
            await new.commit(record(b"2"))
            with pytest.raises(FencedError):
                await old.commit(record(b"3"))
            await new.commit(record(b"4"))
    assert await values(kafka, topics.faults) == [b"1", b"2", b"4"]


async def test_a_transaction_is_written_whole_or_not_at_all(kafka: str, topics: Topics) -> None:
    too_large = Outgoing(topics.cases, 1, b"k", b"x" * (11 * 1024 * 1024))
    async with FencedProducer(kafka, f"{topics.prefix}.x") as producer:
        with pytest.raises(TransactionError):
            await producer.commit([Outgoing(topics.faults, 0, b"k", b"lost"), too_large])
    async with FencedProducer(kafka, f"{topics.prefix}.x") as producer:
        await producer.commit([Outgoing(topics.faults, 0, b"k", b"kept")])
    assert await values(kafka, topics.faults) == [b"kept"]
    assert await values(kafka, topics.cases) == []


async def test_a_large_batch_keeps_its_order(kafka: str, topics: Topics) -> None:
    numbers = [b"%d" % number + b"." * 1000 for number in range(3000)]
    async with PlainProducer(kafka) as producer:
        await producer.send(Outgoing(topics.alarms, 2, b"k", number) for number in numbers)
    assert await values(kafka, topics.alarms) == numbers


async def test_outside_a_transaction_no_later_batch_comes_before_an_earlier_one(
    kafka: str, topics: Topics
) -> None:
    """The classifier takes a place in the input that it has passed for a redelivery."""
    too_large = Outgoing(topics.alarms, 0, None, b"x" * (11 * 1024 * 1024))
    small = [Outgoing(topics.alarms, 0, None, b"%d" % number) for number in range(3)]
    async with PlainProducer(kafka) as producer:
        with pytest.raises(TransactionError):
            await producer.send([small[0], too_large, *small[1:]])
    assert await values(kafka, topics.alarms) in ([], [b"0"])


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_what_producers_compress_is_read(kafka: str, topics: Topics, codec: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka, compression_type=codec)
    await producer.start()
    for _ in range(20):
        await producer.send(topics.alarms, b"report " * 100, partition=0)
    await producer.stop()
    async with Reader(kafka, {TopicPartition(topics.alarms, 0): None}) as reader:
        found = [record.value async for record in reader.records_to_end()]
    assert found == [b"report " * 100] * 20


async def test_the_end_is_known_only_as_of_an_answer_that_was_asked_for_later(
    kafka: str, topics: Topics
) -> None:
    partition = TopicPartition(topics.alarms, 0)
    began_ms = now_ms()
    async with Reader(kafka, {partition: None}) as reader:

        async def known() -> int | None:
            await reader.read(timeout_ms=100)
            return reader.read_to_end_ms(partition, await reader.position(partition))

        first_ms = await until(known)
        assert began_ms <= first_ms <= now_ms()

        async def moved() -> bool:
            return (await known() or 0) > first_ms

        await until(moved)
        async with PlainProducer(kafka) as producer:
            await producer.send([Outgoing(topics.alarms, 0, None, b"unread")])
        await asyncio.sleep(0)
        position = await reader.position(partition)

        async def unread() -> bool:
            await reader.read(timeout_ms=0)
            return reader.read_to_end_ms(partition, position) is None

        await until(unread)


async def test_a_kafka_that_does_not_answer_is_an_error_not_silence(
    kafka: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.kafka.reader.MAX_SILENCE_MS", -1)
    async with Reader(kafka, {TopicPartition(topics.alarms, 0): None}) as reader:
        with pytest.raises(ReadError, match="has not answered"):
            await reader.read(timeout_ms=0)


async def test_what_the_log_no_longer_holds_is_told_and_passed_over(
    kafka: str, topics: Topics
) -> None:
    partition = TopicPartition(topics.alarms, 0)
    async with PlainProducer(kafka) as producer:
        await producer.send([Outgoing(topics.alarms, 0, None, b"first")])
    counter = LOST_INPUT.labels(topics.alarms, "0")
    async with Reader(kafka, {partition: 700}) as reader:
        found: list[Record] = await until(lambda: reader.read(timeout_ms=200))
    assert [record.value for record in found] == [b"first"]
    assert counter._value.get() == 1  # pyright: ignore[reportPrivateUsage] - the library has no getter


async def test_topics_are_made_once_and_checked(kafka: str, prefix: str) -> None:
    with pytest.raises(ConfigError, match="topics apply"):
        await check_topics(kafka, prefix, partitions=4, replication=1)
    made = await apply_topics(kafka, prefix, partitions=4, replication=1)
    assert set(made) == set(Topics(prefix).settings())
    assert await apply_topics(kafka, prefix, partitions=4, replication=1) == []
    with pytest.raises(ConfigError, match="has 4 partitions, BAKVAKT_PARTITIONS says 8"):
        await check_topics(kafka, prefix, partitions=8, replication=1)
    with pytest.raises(ConfigError, match="has 1 replicas, BAKVAKT_REPLICATION asks for 3"):
        await check_topics(kafka, prefix, partitions=4, replication=3)


async def test_a_topic_that_would_lose_documents_is_refused(kafka: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(Topics(prefix).faults, 4, 1)])
    await admin.close()
    with pytest.raises(ConfigError, match=r"cleanup.policy=delete, needs compact"):
        await apply_topics(kafka, prefix, partitions=4, replication=1)


async def test_a_missing_input_is_named(kafka: str, prefix: str) -> None:
    with pytest.raises(ConfigError, match=f"{prefix}-reports is not there"):
        await check_inputs(kafka, (f"{prefix}-reports",))


class Recorder:
    """A service that only notes which partitions it serves, and how often each task was built."""

    def __init__(self, error: Exception | None = None) -> None:
        self.built: list[int] = []
        self.serving: set[int] = set()
        self.error = error

    def build(self, partition: int) -> "Recorder":
        self.built.append(partition)
        return self

    async def run(self, ownership: Ownership) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        ownership.ready = True
        self.serving.add(ownership.partition)
        while not ownership.ended:
            await ownership.sleep(0.05)
        self.serving.discard(ownership.partition)


@asynccontextmanager
async def member(kafka: str, topics: Topics, recorder: Recorder) -> AsyncGenerator[Group]:
    group = Group(
        kafka, f"{topics.prefix}.g", topics.alarms, recorder.build, session_timeout_ms=6000
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(group.run(stopping))
    try:
        yield group
    finally:
        stopping.set()
        await running


async def test_a_rebalance_leaves_the_partitions_that_stay_alone(
    kafka: str, topics: Topics
) -> None:
    first, second = Recorder(), Recorder()
    async with member(kafka, topics, first) as one:
        await until(lambda: first.serving == {0, 1, 2, 3})
        assert one.not_ready() == []
        async with member(kafka, topics, second):
            await until(lambda: len(second.serving) == 2 and len(first.serving) == 2)
            assert first.serving | second.serving == {0, 1, 2, 3}
            assert sorted(first.built) == [0, 1, 2, 3]
        await until(lambda: first.serving == {0, 1, 2, 3})
    assert len(first.built) == 6
    assert first.serving == set()


@pytest.mark.parametrize("error", [FencedError("fenced"), TransactionError("?"), ValueError("bug")])
async def test_a_task_that_ends_in_an_error_is_built_anew(
    kafka: str, topics: Topics, error: Exception
) -> None:
    recorder = Recorder(error)
    async with member(kafka, topics, recorder):
        await until(lambda: recorder.serving == {0, 1, 2, 3})
    assert len(recorder.built) == 5


async def test_a_task_that_died_without_a_word_is_built_anew(kafka: str, topics: Topics) -> None:
    recorder = Recorder()
    async with member(kafka, topics, recorder) as group:
        await until(lambda: recorder.serving == {0, 1, 2, 3})
        for task in asyncio.all_tasks():
            if task.get_name() == f"{topics.prefix}.g[2]":
                task.cancel()
        await until(lambda: recorder.built.count(2) == 2)
        await until(lambda: group.not_ready() == [])


async def test_no_offset_is_told_to_a_group_that_shares_its_partitions_out_anew(
    kafka: str, topics: Topics
) -> None:
    """The answer would come once we have joined, and make aiokafka leave and join again, without end."""
    recorder = Recorder()
    async with member(kafka, topics, recorder) as group:
        await until(lambda: recorder.serving == {0, 1, 2, 3})
        offsets = {TopicPartition(topics.alarms, 0): 0}
        assert await group.membership.commit(offsets)
        await group.on_partitions_revoked([])
        assert not await group.membership.commit(offsets)
        await group.on_partitions_assigned([TopicPartition(topics.alarms, p) for p in range(4)])
        assert await group.membership.commit(offsets)


async def test_membership_is_proven_by_a_commit_that_only_a_member_can_make(
    kafka: str, topics: Topics
) -> None:
    recorder = Recorder()
    async with member(kafka, topics, recorder) as group:
        await until(lambda: recorder.serving == {0, 1, 2, 3})
        ours = Ownership(group.membership, TopicPartition(topics.alarms, 0))
        async with asyncio.timeout(5):
            await ours.prove()
        not_ours = Ownership(group.membership, TopicPartition(topics.faults, 0))
        proof = asyncio.create_task(not_ours.prove())
        done, _ = await asyncio.wait([proof], timeout=1.5)
        assert not done
        not_ours.end()
        await proof

"""The exactly-once task on a real broker, arrow by arrow (docs/exactly-once.md); its state adds up."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError
from prometheus_client import REGISTRY

from shared.kafka.clients import make_member
from shared.kafka.exactly_once import MAX_COMMITS, CommitSlots, ExactlyOnceTask, Seed
from shared.kafka.group import Group, Membership, Ownership
from shared.kafka.pace import Weight
from shared.kafka.producer import FencedProducer, Outgoing, PlainProducer
from shared.kafka.reader import Record
from shared.kafka.topics import Topics, apply_topics
from tests.conditions import until
from tests.kafka_log import read_topic

P = 0
OFFSET_KEY = b"offset"


class Totals:
    """Adds up what the input says, and publishes each total; what is "quiet" is added only."""

    ready = True

    def __init__(self, topics: Topics) -> None:
        self.topics = topics
        self.offset = 0
        self.total = 0
        self.restored_records = 0
        self.stops_on_restore: Ownership | None = None

    def restore(self, key: bytes, value: bytes | None) -> None:
        self.restored_records += 1
        if self.stops_on_restore is not None:
            self.stops_on_restore.end()
        if key == OFFSET_KEY:
            self.offset = int(value or b"")
        else:
            self.total = int(value or b"")

    def seed(self, record: Record) -> None:
        self.total += int(record.value or b"")

    def restored(self) -> None:
        pass

    def stage(self) -> "Sum":
        return Sum(self)

    def tell(self) -> None:
        pass

    def withdraw(self) -> None:
        pass


class Sum:
    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._told: list[int] = []
        self._offset = totals.offset
        self.total = totals.total
        self.weight = Weight.NOTHING

    def take(self, records: Sequence[Record]) -> int:
        for taken, record in enumerate(records):
            if not self._take(record):
                return taken
        return len(records)

    def _take(self, record: Record) -> bool:
        word, _, number = (record.value or b"").decode().partition(" ")
        if word == "full" and self.weight:
            return False
        self.total += int(number)
        if word == "quiet":
            self.weight = max(self.weight, Weight.QUIET)
        else:
            self._told.append(self.total)
            self.weight = max(self.weight, Weight.URGENT if word == "urgent" else Weight.NEWS)
        return True

    def lose_input(self) -> None:
        """Told as a total below nothing."""
        self._told.append(-1)
        self.weight = Weight.NEWS

    def follow_clock(self, at_ms: int) -> bool:
        return True

    def write(self, offset: int) -> Iterator[Outgoing]:
        self._offset = offset
        topics = self._totals.topics
        for total in self._told:
            yield Outgoing(topics.faults, P, b"total", b"%d" % total)
        yield Outgoing(topics.classifier_state, P, b"total", b"%d" % self.total)
        yield Outgoing(topics.classifier_state, P, OFFSET_KEY, b"%d" % offset)

    def apply(self) -> None:
        self._totals.total, self._totals.offset = self.total, self._offset


class Gate(CommitSlots):
    """Commits stand before it while it is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.open = asyncio.Event()
        self.open.set()

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None]:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        yield


class Stage:
    """A group whose tasks add up, and what they were given."""

    def __init__(self, kafka: str, topics: Topics) -> None:
        self.kafka = kafka
        self.topics = topics
        self.group_name = f"{topics.prefix}.sums"
        self.gate = Gate()
        self.built: list[Totals] = []
        self._sent = 0

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.topics.alarms, P)

    @property
    def transactional_id(self) -> str:
        return f"{self.group_name}.{self.topics.alarms}.{P}"

    def task(self, _: int = P) -> ExactlyOnceTask:
        totals = Totals(self.topics)
        self.built.append(totals)
        return ExactlyOnceTask(
            self.kafka,
            self.group_name,
            changelog=self.topics.classifier_state,
            state=totals,
            slots=self.gate,
            seed=Seed(self.topics.fleet, totals.seed),
        )

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[Group]:
        """A member of the group, ready; ended as SIGTERM would end it."""
        group = Group(
            self.kafka, self.group_name, self.topics.alarms, self.task, session_timeout_ms=6000
        )
        stopping = asyncio.Event()
        running = asyncio.create_task(group.run(stopping))
        try:
            await until(lambda: not group.not_ready(), what="the task serves")
            yield group
        finally:
            stopping.set()
            await running

    async def send(self, *words: str) -> None:
        async with PlainProducer(self.kafka) as producer:
            await producer.send(
                Outgoing(self.topics.alarms, P, None, word.encode()) for word in words
            )
        self._sent += len(words)

    async def told(self) -> list[int]:
        records = await read_topic(self.kafka, self.topics.faults)
        return [int(record.value or b"") for record in records]

    async def until_told(self, *totals: int) -> None:
        """Exactly these, in this order: none lost, none twice."""

        async def all_told() -> bool:
            return len(await self.told()) >= len(totals)

        await until(all_told, timeout_s=30)
        assert await self.told() == list(totals)

    def failed(self, reason: str) -> float:
        """How many commits have failed for this reason."""
        name = "bakvakt_task_commits_failed_total"
        return value_of(name, group=self.group_name, reason=reason)

    def lost_input(self) -> float:
        name = "bakvakt_kafka_lost_input_total"
        return value_of(name, topic=self.topics.alarms, partition=str(P))

    def oldest_unjudged_s(self) -> float:
        name = "bakvakt_task_oldest_unjudged_seconds"
        return value_of(name, topic=self.topics.alarms, partition=str(P))


def value_of(metric: str, **labels: str) -> float:
    """As Prometheus would get it."""
    return REGISTRY.get_sample_value(metric, labels) or 0.0


@pytest.fixture
async def stage(kafka: str, prefix: str) -> Stage:
    await apply_topics(kafka, prefix, partitions=1, replication=1)
    return Stage(kafka, Topics(prefix))


async def test_a_new_owner_goes_on_where_the_newest_commit_ended(stage: Stage) -> None:
    """Arrows a, b, c, d, f."""
    async with stage.serving():
        await stage.send("add 1", "add 2")
        await stage.until_told(1, 3)
    async with stage.serving():
        await stage.send("add 3")
        await stage.until_told(1, 3, 6)
    assert stage.built[1].restored_records > 0


async def test_what_is_full_is_committed_and_the_rest_goes_into_the_next_batch(
    stage: Stage,
) -> None:
    """Arrow e."""
    async with stage.serving():
        await stage.send("add 1", "add 2", "full 3", "full 4", "add 5")
        await stage.until_told(1, 3, 6, 10, 15)


async def test_what_nobody_waits_for_is_committed_once_a_second_and_the_rest_sooner(
    stage: Stage,
) -> None:
    """Arrow e."""
    async with stage.serving():
        await stage.send("quiet 1")
        await until(lambda: stage.built[0].total == 1)
        began_s = asyncio.get_running_loop().time()
        await stage.send("quiet 1")
        await until(lambda: stage.built[0].total == 2)
        waited_s = asyncio.get_running_loop().time() - began_s
        assert 0.8 < waited_s < 3
        await stage.send("quiet 1", "urgent 1")
        await stage.until_told(4)


async def test_a_former_owner_in_the_middle_of_a_batch_publishes_nothing(stage: Stage) -> None:
    """Arrow g: a newer owner takes over while the batch stands before its commit."""
    async with stage.serving():
        stage.gate.open.clear()
        await stage.send("add 1")
        await until(lambda: stage.gate.waiting)
        async with FencedProducer(stage.kafka, stage.transactional_id):
            stage.gate.open.set()
            await until(lambda: stage.failed("fenced") == 1)
            assert await stage.told() == []
        await stage.until_told(1)
        await stage.send("add 2")
        await stage.until_told(1, 3)
    assert len(stage.built) == 2


@pytest.mark.parametrize("committed", [True, False])
async def test_a_commit_without_an_answer_is_settled_by_the_log_and_not_guessed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    """Arrow h: Kafka has or has not committed, and in neither case is anything lost or told twice."""
    commit = AIOKafkaProducer.commit_transaction
    unanswered: list[AIOKafkaProducer] = []

    async def commit_unheard(self: AIOKafkaProducer) -> None:
        if unanswered:
            await commit(self)
            return
        unanswered.append(self)
        if committed:
            await commit(self)
        await asyncio.Event().wait()

    async with stage.serving():
        monkeypatch.setattr("shared.kafka.producer.COMMIT_TIMEOUT_S", 0.5)
        monkeypatch.setattr(AIOKafkaProducer, "commit_transaction", commit_unheard)
        await stage.send("add 1", "add 2")
        await until(lambda: stage.failed("outcome_unknown") == 1)
        monkeypatch.undo()
        await stage.send("add 3")
        await stage.until_told(1, 3, 6)
    assert len(stage.built) == 2
    # The total and the offset.
    assert stage.built[1].restored_records == (2 if committed else 0)


async def test_a_commit_that_kafka_refuses_is_done_anew(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow g."""

    async def refuse(self: AIOKafkaProducer) -> None:
        monkeypatch.undo()
        raise KafkaError

    async with stage.serving():
        monkeypatch.setattr(AIOKafkaProducer, "begin_transaction", refuse)
        await stage.send("add 1")
        await stage.until_told(1)
        assert stage.failed("transaction") == 1


async def test_an_error_in_a_rule_commits_nothing_of_its_batch(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow i."""
    take = Sum.take

    def fail_on_2(self: Sum, records: Sequence[Record]) -> int:
        if any(record.value == b"add 2" for record in records):
            raise ZeroDivisionError
        return take(self, records)

    async with stage.serving():
        monkeypatch.setattr(Sum, "take", fail_on_2)
        await stage.send("add 1", "add 2", "add 3")
        await until(lambda: len(stage.built) > 1)
        assert await stage.told() == []
        monkeypatch.undo()
        await stage.until_told(1, 3, 6)


async def test_a_restore_that_is_interrupted_leaves_nothing_behind(stage: Stage) -> None:
    """Arrow j."""
    async with stage.serving():
        await stage.send("add 1")
        await stage.until_told(1)
    member = make_member(stage.kafka, stage.group_name, 6000)
    ownership = Ownership(Membership(member), stage.partition)
    task = stage.task()
    stage.built[-1].stops_on_restore = ownership
    async with asyncio.timeout(10):
        await task.run(ownership)
    await member.stop()
    assert not ownership.ready
    assert ownership.processed is None
    async with stage.serving():
        await stage.send("add 2")
        await stage.until_told(1, 3)


async def test_what_is_gathered_when_the_ownership_ends_is_committed_at_once(stage: Stage) -> None:
    """Arrow k: without waiting for more, and nothing is left for the next owner to do again."""
    async with stage.serving():
        await stage.send("quiet 1")
        await until(lambda: stage.built[0].total == 1)
        await stage.send("quiet 1")
        await until(stage.oldest_unjudged_s, what="it is gathered")
        began_s = asyncio.get_running_loop().time()
    assert stage.built[0].total == 2
    assert asyncio.get_running_loop().time() - began_s < 5
    async with stage.serving():
        await until(lambda: stage.built[1].total == 2)


async def test_input_that_the_log_no_longer_holds_is_told_and_passed_over(stage: Stage) -> None:
    """Arrow l: the batch hears of it once, before all that came behind."""
    async with stage.serving():
        await stage.send("add 1")
        await stage.until_told(1)
    await stage.send("add 10", "add 100", "add 1000")
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.kafka)
    await admin.start()
    await admin.delete_records({stage.partition: RecordsToDelete(before_offset=3)})
    await admin.close()
    async with stage.serving():
        await stage.send("add 2")
        await stage.until_told(1, -1, 1001, 1003)
    assert stage.lost_input() == 1


async def test_a_task_that_remembers_nothing_begins_at_the_log_s_start_and_has_lost_nothing(
    stage: Stage,
) -> None:
    await stage.send("add 1", "add 2")
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.kafka)
    await admin.start()
    await admin.delete_records({stage.partition: RecordsToDelete(before_offset=1)})
    await admin.close()
    async with stage.serving():
        await stage.until_told(2)
    assert stage.lost_input() == 0


async def test_only_a_task_that_remembers_nothing_takes_its_seed_in_and_once(stage: Stage) -> None:
    async with PlainProducer(stage.kafka) as producer:
        await producer.send([Outgoing(stage.topics.fleet, P, b"a", b"100")])
    await stage.send("news 1")
    async with stage.serving():
        await stage.until_told(101)
    async with PlainProducer(stage.kafka) as producer:
        await producer.send([Outgoing(stage.topics.fleet, P, b"b", b"1000")])
    await stage.send("news 1")
    async with stage.serving():
        await stage.until_told(101, 102)


async def test_at_most_16_commits_are_under_way_and_none_waits_for_those_that_hang(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.kafka.exactly_once.SLOT_TIMEOUT_S", 0.3)
    slots, done, under_way = CommitSlots(), asyncio.Event(), 0

    async def hang() -> None:
        nonlocal under_way
        async with slots.one():
            under_way += 1
            await done.wait()

    hanging = [asyncio.create_task(hang()) for _ in range(MAX_COMMITS + 4)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert under_way == MAX_COMMITS
    await until(lambda: under_way == MAX_COMMITS + 4, timeout_s=5)
    done.set()
    await asyncio.gather(*hanging)
    again = [asyncio.create_task(hang()) for _ in range(MAX_COMMITS)]
    await asyncio.gather(*again)
    assert under_way == 2 * MAX_COMMITS + 4

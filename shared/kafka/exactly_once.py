"""A partition's task that judges each record once and publishes what comes of it once, whatever dies.

What is published, the changelog and the offset of a batch are one transaction. States and arrows:
docs/exactly-once.md. What a record means is the business of `State` and `Batch`; nothing here knows it.
"""

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog
from aiokafka import TopicPartition

from shared.errors import BakvaktError
from shared.kafka.group import Ownership
from shared.kafka.pace import MAX_RECORDS, Weight, commit_in_ms
from shared.kafka.producer import FencedProducer, Outgoing
from shared.kafka.reader import Reader, Record
from shared.metrics import COMMIT_SECONDS, COMMITS_FAILED, OLDEST_UNJUDGED_SECONDS, RESTORE_SECONDS
from shared.times import now_ms

log = structlog.get_logger()

READ_TIMEOUT_MS = 200
MAX_COMMITS = 16
SLOT_TIMEOUT_S = 1.0
# A batch on which the judging takes this long is full: others of the event loop have their turn.
MAX_JUDGING_S = 0.1
# Metrics are asked for much less often, and to tell them costs as much as to judge a record.
TELL_INTERVAL_S = 0.5
# Records between two looks at the clock: those that are slow to judge take up to 20 ms each.
AT_A_TIME = 10


class Batch(Protocol):
    """What some records change, staged beside the state: dropped, or applied once it is committed."""

    @property
    def weight(self) -> Weight:
        """What it holds beside its offset."""
        ...

    def take(self, records: Sequence[Record]) -> int:
        """Judge the records in their order; gives how many. Not all: the batch is full.

        Whatever it raises ends the task, with nothing of the batch committed.
        """
        ...

    def lose_input(self) -> None:
        """Records are gone that were to be taken next; those that come now lie behind them."""
        ...

    def follow_clock(self, at_ms: int) -> bool:
        """All input up to this moment is taken: do what is due by then. False: the batch is full."""
        ...

    def write(self, offset: int) -> Iterable[Outgoing]:
        """What is to be committed, the changelog's records and `offset`, of the next input record, among it.

        May raise where the batch must not be committed.
        """
        ...

    def apply(self) -> None:
        """It is committed: from now on it is part of the state."""
        ...


class State(Protocol):
    """What a partition's task remembers: all of it is in the changelog. No I/O."""

    @property
    def offset(self) -> int:
        """Of the next input record."""
        ...

    @property
    def ready(self) -> bool:
        """Whether the partition counts as served."""
        ...

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one record of the changelog in."""
        ...

    def restored(self) -> None:
        """That was the last one."""
        ...

    def stage(self) -> Batch:
        """A new batch on top of the state; one at a time."""
        ...

    def tell(self) -> None:
        """Bring its metrics up to date; called several times a second."""
        ...

    def withdraw(self) -> None:
        """The partition is no longer ours: its metrics say nothing more."""
        ...


class Seed(NamedTuple):
    """What a task that remembers nothing takes in before its input: the same partition of another topic.

    What comes of it has to be part of the first batch: only then it is remembered.
    """

    topic: str
    take: Callable[[Record], None]


class CommitSlots:
    """The commits of a process take turns: very many at once only make each other slower.

    Nobody waits longer than SLOT_TIMEOUT_S, so commits that hang on one broker do not hold back the others'.
    """

    def __init__(self, count: int = MAX_COMMITS) -> None:
        self._free = asyncio.Semaphore(count)

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None]:
        """To be held while a transaction is open."""
        held = await self._take()
        try:
            yield
        finally:
            if held:
                self._free.release()

    async def _take(self) -> bool:
        try:
            async with asyncio.timeout(SLOT_TIMEOUT_S):
                return await self._free.acquire()
        except TimeoutError:
            return False


@dataclass
class _Gathering:
    """A batch on its way to the commit."""

    batch: Batch
    offset: int
    """Of the next input record, behind all that the batch has taken."""
    records: int = 0
    full: bool = False
    began_s: float | None = None
    """Since when it has held anything, by the loop's clock."""


class ExactlyOnceTask:
    """Reads one partition of the group's topic; writes what comes of it, and its changelog, exactly once.

    Taking over: InitProducerId fences the former owner and settles its open transaction, so the changelog
    is read to an end that nobody can move; the input is read on from the offset found there.
    """

    def __init__(
        self,
        kafka: str,
        group: str,
        *,
        changelog: str,
        state: State,
        slots: CommitSlots,
        seed: Seed | None = None,
    ) -> None:
        self._kafka = kafka
        self._group = group
        self._changelog = changelog
        self._state = state
        self._slots = slots
        self._seed = seed
        self._unread: list[Record] = []
        self._oldest_ms: int | None = None
        self._tell_at_s = 0.0

    async def run(self, ownership: Ownership) -> None:
        """See shared.kafka.group.PartitionTask."""
        partition = ownership.topic_partition
        transactional_id = f"{self._group}.{partition.topic}.{partition.partition}"
        began_s = time.monotonic()
        try:
            async with FencedProducer(self._kafka, transactional_id) as producer:
                offset = await self._restore(ownership)
                if ownership.ended:
                    return
                async with Reader(self._kafka, {partition: offset}) as reader:
                    RESTORE_SECONDS.labels(self._group).observe(time.monotonic() - began_s)
                    await self._work(ownership, producer, reader)
        finally:
            self._withdraw(partition)

    async def _restore(self, ownership: Ownership) -> int | None:
        """Where to read on; None: nothing is remembered, so from the log's start."""
        records = await self._read_whole(self._changelog, ownership, self._take_changelog)
        if not records and self._seed is not None:
            seeds = await self._read_whole(self._seed.topic, ownership, self._seed.take)
            log.info("partition seeded", partition=ownership.partition, records=seeds)
        if ownership.ended:
            return None
        self._state.restored()
        gc.freeze()  # it stays: to look through a million of them for cycles takes 0.3 s
        log.info(
            "partition restored",
            group=self._group,
            partition=ownership.partition,
            records=records,
            offset=self._state.offset,
        )
        return self._state.offset if records else None

    async def _read_whole(
        self, topic: str, ownership: Ownership, take: Callable[[Record], None]
    ) -> int:
        """Our partition of the topic, to its end, or until the ownership ends; how many records it had."""
        records = 0
        async with Reader(
            self._kafka, {TopicPartition(topic, ownership.partition): None}
        ) as reader:
            async for batch in reader.batches_to_end():
                if ownership.ended:
                    break
                records += len(batch)
                for record in batch:
                    take(record)
        return records

    def _take_changelog(self, record: Record) -> None:
        if record.key is not None:
            self._state.restore(record.key, record.value)

    async def _work(self, ownership: Ownership, producer: FencedProducer, reader: Reader) -> None:
        """Gather and commit until the ownership ends; what is gathered by then is committed at once."""
        gathering = self._begin()
        while not ownership.ended:
            self._tell(ownership)
            await self._gather(gathering, reader, ownership.topic_partition)
            if self._is_due(gathering, ended=ownership.ended):
                await self._commit(gathering, producer)
                gathering = self._begin()

    def _begin(self) -> _Gathering:
        self._oldest_ms = self._unread[0].timestamp if self._unread else None
        return _Gathering(self._state.stage(), self._state.offset)

    async def _gather(
        self, gathering: _Gathering, reader: Reader, partition: TopicPartition
    ) -> None:
        """Take in what has come; wait for it no longer than the batch may wait."""
        batch = gathering.batch
        if not self._unread:
            wait_ms = self._commit_in_ms(gathering)
            pause_ms = READ_TIMEOUT_MS if wait_ms is None else min(wait_ms, READ_TIMEOUT_MS)
            room, losses = MAX_RECORDS - gathering.records, reader.losses
            self._unread += await reader.read(timeout_ms=pause_ms, max_records=room)
            if reader.losses > losses:
                batch.lose_input()
            if self._unread and self._oldest_ms is None:
                self._oldest_ms = self._unread[0].timestamp
        gathering.records += self._judge(batch)
        if self._unread:
            gathering.offset, gathering.full = self._unread[0].offset, True
        else:
            gathering.offset = await reader.position(partition)
            end_ms = reader.read_to_end_ms(partition, gathering.offset)
            # Where all input is read, time goes on without records.
            gathering.full = end_ms is not None and not batch.follow_clock(end_ms)
        if gathering.began_s is None and self._weight(gathering):
            gathering.began_s = time.monotonic()

    def _judge(self, batch: Batch) -> int:
        """What is unread, as far as the batch takes it in its time; how many records that were."""
        unread, judged_by_s, taken = self._unread, time.monotonic() + MAX_JUDGING_S, 0
        while taken < len(unread) and time.monotonic() < judged_by_s:
            some = unread[taken : taken + AT_A_TIME]
            judged = batch.take(some)
            taken += judged
            if judged < len(some):
                break
        del unread[:taken]
        return taken

    def _is_due(self, gathering: _Gathering, *, ended: bool) -> bool:
        wait_ms = self._commit_in_ms(gathering)
        return wait_ms is not None and (wait_ms == 0 or gathering.full or ended)

    def _commit_in_ms(self, gathering: _Gathering) -> int | None:
        began_s = gathering.began_s
        gathered_s = 0.0 if began_s is None else time.monotonic() - began_s
        return commit_in_ms(self._weight(gathering), gathering.records, round(gathered_s * 1000))

    def _weight(self, gathering: _Gathering) -> Weight:
        moved = gathering.offset != self._state.offset
        return max(gathering.batch.weight, Weight.QUIET if moved else Weight.NOTHING)

    async def _commit(self, gathering: _Gathering, producer: FencedProducer) -> None:
        """After whatever it raises batch, state, producer and reader are of no more use."""
        outgoing = list(gathering.batch.write(gathering.offset))
        try:
            async with self._slots.one():
                with COMMIT_SECONDS.labels(self._group).time():
                    await producer.commit(outgoing)
        except BakvaktError as error:
            COMMITS_FAILED.labels(self._group, error.reason).inc()
            raise
        gathering.batch.apply()

    def _tell(self, ownership: Ownership) -> None:
        """Again and again: a former task of this partition, ending late, may have withdrawn it."""
        ownership.ready = self._state.ready
        ownership.processed = self._state.offset
        if time.monotonic() < self._tell_at_s:
            return
        self._tell_at_s = time.monotonic() + TELL_INTERVAL_S
        partition = ownership.topic_partition
        self._state.tell()
        oldest = OLDEST_UNJUDGED_SECONDS.labels(partition.topic, str(partition.partition))
        oldest.set_function(self._oldest_s)

    def _withdraw(self, partition: TopicPartition) -> None:
        self._state.withdraw()
        OLDEST_UNJUDGED_SECONDS.remove(partition.topic, str(partition.partition))

    def _oldest_s(self) -> float:
        return 0.0 if self._oldest_ms is None else max(0, now_ms() - self._oldest_ms) / 1000

"""The owner of one shard: applies its case records and publishes its deadlines."""

import asyncio
from collections.abc import Mapping, Sequence
from math import ceil

import structlog
from aiokafka import TopicPartition

from services.timer.metrics import REBUILT, forget_shard, tell_rebuilt, tell_standing
from services.timer.pace import CatchUp
from services.timer.progress import Progress
from services.timer.publisher import Publisher
from services.timer.records import Change, read_change, read_fired
from services.timer.store import Store, TakenOver
from shared.documents.dead_letter import DeadLetter, make_dead_letter
from shared.errors import OwnershipError, RecordError
from shared.kafka.group import Ownership
from shared.kafka.producer import FencedProducer, bury, tell_buried
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import TOMBSTONES_KEPT_MS, Topics

log = structlog.get_logger()

# How much of the log is applied at a time.
APPLY_LIMIT = 2_000
# For how long the broker keeps a fetch that brings nothing: what an idle shard costs. What comes is answered
# at once all the same.
FETCH_WAIT_MS = 5_000
# Reading to the log's end that took no longer than this needs no second look at where it ends now.
SHORT_S = 1.0


class ShardTask:
    """Owns shard `partition`: never early, never lost, at least once (README.md)."""

    def __init__(
        self,
        kafka: str,
        topics: Topics,
        store: Store,
        *,
        partition: int,
        partitions: int,
        tick_ms: int,
        catch_up: CatchUp,
    ) -> None:
        """`catch_up` is that of all shards of the instance."""
        self._kafka = kafka
        self._topics = topics
        self._input = TopicPartition(topics.cases, partition)
        self._output = TopicPartition(topics.deadlines, partition)
        self._partitions = partitions
        self._store = store
        self._tick_ms = tick_ms
        self._catch_up = catch_up
        self._next_case: int | None = None
        self._standing = 0

    async def run(self, ownership: Ownership) -> None:
        """Take over, catch up, then read, apply, claim, publish, acknowledge until the end."""
        transactional_id = (
            f"{self._topics.prefix}.timer.{self._input.topic}.{self._input.partition}"
        )
        try:
            async with FencedProducer(self._kafka, transactional_id) as producer:
                taken = await self._take_over(ownership)
                async with Reader(
                    self._kafka,
                    {self._input: self._next_case},
                    ask_ends=True,
                    fetch_max_wait_ms=FETCH_WAIT_MS,
                ) as reader:
                    await self._check_offset(taken, reader)
                    progress = Progress(ownership, self._store, anew=taken.next_case is None)
                    ends = reader.ends_at_start
                    await self._read_cases_to_end(ownership, reader, producer, progress, ends)
                    began_s = asyncio.get_running_loop().time()
                    await self._read_deadlines_to_end(ownership, taken.next_deadline, progress)
                    if asyncio.get_running_loop().time() - began_s >= SHORT_S:
                        ends = await self._ask_ends()  # a stop may have come meanwhile
                        await self._read_cases_to_end(ownership, reader, producer, progress, ends)
                    if ownership.ended:
                        return
                    await progress.done()
                    log.info(
                        "shard taken over",
                        partition=self._input.partition,
                        next_case=self._next_case,
                        standing=self._standing,
                    )
                    publisher = Publisher(
                        self._store,
                        producer,
                        self._output,
                        tick_ms=self._tick_ms,
                        catch_up=self._catch_up,
                        owned_from_ms=taken.now_ms,
                    )
                    while not ownership.ended:
                        await self._serve(ownership, reader, producer, publisher)
        finally:
            forget_shard(self._input.partition)
            if ownership.ended:
                tell_rebuilt(self._input.partition)

    async def _take_over(self, ownership: Ownership) -> TakenOver:
        """Kafka's fence is up already; then Redis', and only then the proof that we may have raised both."""
        taken = await self._store.take_over()
        self._next_case = ownership.processed = taken.next_case
        await ownership.prove()
        self._standing = taken.standing
        if taken.next_case is None:
            REBUILT.inc()
            log.info("shard is built anew from the log", partition=self._input.partition)
        return taken

    async def _check_offset(self, taken: TakenOver, reader: Reader) -> None:
        """Raises OwnershipError where the log does not lead on from what Redis holds.

        Redis has read what the log does not hold: Kafka was made anew. Or it has not read for so long that
        the log may have forgotten which cases are gone. The shard is emptied then, so the task that is built
        next makes it from the log there is.
        """
        if taken.next_case is None:
            return
        end = reader.ends_at_start[self._input]
        idle_ms = taken.now_ms - (taken.written_ms or taken.now_ms)
        if taken.next_case > end:
            reason = "but the log ends before"
        elif taken.next_case < end and idle_ms > TOMBSTONES_KEPT_MS:
            reason = f"and nothing for {idle_ms // 1000} s: tombstones may be gone"
        else:
            return
        await self._store.start_over()
        raise OwnershipError(
            f"Redis has applied {self._input.topic}[{self._input.partition}] up to {taken.next_case}, "
            f"{reason} (the log ends at {end}); the shard is made anew"
        )

    async def _read_cases_to_end(
        self,
        ownership: Ownership,
        reader: Reader,
        producer: FencedProducer,
        progress: Progress,
        ends: Mapping[TopicPartition, int],
    ) -> None:
        """Apply all that the log holds, before the first claim: a stop may wait there."""
        loop = asyncio.get_running_loop()
        await progress.reads("cases", ends[self._input])
        while not ownership.ended:
            began_s = loop.time()
            async for records in reader.batches_to_end(APPLY_LIMIT, ends=ends):
                next_case = await reader.position(self._input)
                await self._apply(ownership, producer, records, next_case)
                progress.has_read(next_case)
                progress.count(len(records))
                if ownership.ended:
                    return
            await self._apply(ownership, producer, [], await reader.position(self._input))
            if (
                loop.time() - began_s < SHORT_S
            ):  # what has come meanwhile is read before the first claim
                return
            ends = await self._ask_ends()

    async def _ask_ends(self) -> Mapping[TopicPartition, int]:
        """By a connection of its own: on the reader's it waits for FETCH_WAIT_MS behind a fetch."""
        async with Reader(self._kafka, {self._input: self._next_case}, ask_ends=True) as asking:
            return asking.ends_at_start

    async def _read_deadlines_to_end(
        self, ownership: Ownership, start: int | None, progress: Progress
    ) -> None:
        """Acknowledge what a former owner has published and Redis does not know of: it fires no more.

        The former owner is fenced, so none is added meanwhile.
        """
        async with Reader(self._kafka, {self._output: start}, ask_ends=True) as reader:
            if start is not None and start > reader.ends_at_start[self._output]:
                await self._store.start_over()
                raise OwnershipError(
                    f"{self._output.topic}[{self._output.partition}] ends before {start}: it was made "
                    "anew; so is the shard"
                )
            await progress.reads("deadlines", reader.ends_at_start[self._output])
            async for records in reader.batches_to_end(APPLY_LIMIT, ends=reader.ends_at_start):
                fired = [found for record in records if (found := read_fired(record.value))]
                next_deadline = await reader.position(self._output)
                self._standing = await self._store.acknowledge(fired, next_deadline)
                progress.has_read(next_deadline)
                if ownership.ended:
                    return

    async def _serve(
        self, ownership: Ownership, reader: Reader, producer: FencedProducer, publisher: Publisher
    ) -> None:
        """Wait until something comes or is due; apply what has come, publish what is due."""
        pause_ms = ceil(publisher.pause_s * 1000)
        reading = reader.read(timeout_ms=pause_ms, max_records=APPLY_LIMIT)
        records = await ownership.unless_ended(reading)
        if records is None:
            return
        position = await reader.position(self._input)
        first_ms = await self._apply(ownership, producer, records, position)
        if first_ms is not None:
            publisher.expect(first_ms)
        if not publisher.pause_s:
            standing = await publisher.publish()
            self._standing = self._standing if standing is None else standing
        # Each time: a former task of this shard, ending late, may have withdrawn the figure.
        tell_standing(self._input.partition, self._standing)

    async def _apply(
        self,
        ownership: Ownership,
        producer: FencedProducer,
        records: Sequence[Record],
        next_case: int,
    ) -> int | None:
        """The records, then the offset behind them; what is no case goes to the dead letters first.

        Gives the earliest moment to come of the cases; None: they have none.
        """
        if next_case == self._next_case:
            return None
        changes: list[Change] = []
        letters: list[DeadLetter] = []
        for record in records:
            try:
                changes.append(self._store.prepare(self._read(record)))
            except RecordError as error:
                letters.append(make_dead_letter(error, record))
        topic, partition = self._topics.dead_letters, self._input.partition
        await producer.commit(bury(letter, topic, partition) for letter in letters)
        for letter in letters:
            tell_buried("timer", letter)
        self._standing, first_ms = await self._store.apply(changes, next_case)
        self._next_case = ownership.processed = next_case
        return first_ms

    def _read(self, record: Record) -> Change:
        return read_change(
            record.key,
            record.value,
            written_ms=record.timestamp,
            partition=self._input.partition,
            partitions=self._partitions,
        )

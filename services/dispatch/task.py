"""One partition of dispatch, from take-over to loss."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import structlog
from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.dispatch import store
from services.dispatch.batch import Batch, Event
from services.dispatch.bell import Belfry
from services.dispatch.cases import case_id_of
from services.dispatch.changes import Changes
from services.dispatch.database import transaction
from services.dispatch.deadlines import moments_of
from services.dispatch.decision import Rules
from services.dispatch.inbox import read_record
from services.dispatch.metrics import DEADLINES, TRANSACTION_SECONDS
from services.dispatch.pager import Pager
from services.dispatch.relay import Relay
from services.dispatch.retention import Forgetting
from services.dispatch.teller import Teller
from services.dispatch.webhook import Delivery
from shared.documents.deadline import Deadline
from shared.documents.fault import Fault
from shared.errors import RecordError
from shared.failures import RULE_FAILED, FailureLimit
from shared.kafka.group import Ownership
from shared.kafka.producer import FencedProducer, tell_buried
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import Topics
from shared.times import now_ms
from shared.waiting import unless_cancelled_within

log = structlog.get_logger()

# A transaction of this many inputs takes some 0.1 s; what waits behind it is a page.
RECORDS_AT_ONCE = 500


@dataclass(frozen=True)
class Context:
    """What the tasks of all partitions share."""

    kafka: str
    topics: Topics
    partitions: int
    engine: AsyncEngine
    rules: Rules
    delivery: Delivery
    bells: Belfry
    url: str
    """Where people reach dispatch, for the links in pages."""

    teller_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    pagers: dict[int, Pager] = field(default_factory=dict[int, Pager])
    failures: defaultdict[int, FailureLimit] = field(
        default_factory=lambda: defaultdict[int, FailureLimit](FailureLimit)
    )
    """Of each partition; they outlive its tasks."""

    def changes(self, partition: int) -> Changes:
        return Changes(self.topics, partition, self.partitions, self.url)

    def pager(self, partition: int) -> Pager:
        """The partition's only one: it outlives the task."""
        if partition not in self.pagers:
            self.pagers[partition] = Pager(
                self.engine, self.delivery, partition=partition, bell=self.bells[partition].pager
            )
        return self.pagers[partition]


class DispatchTask:
    """Reads the faults and deadlines of one partition, relays what goes out, delivers its pages.

    Promise: what an input causes, its offset, and what goes out are committed together, once.
    """

    def __init__(self, context: Context, partition: int) -> None:
        self._context = context
        self._partition = partition
        self._bells = context.bells[partition]
        self._failures = context.failures[partition]
        self._next: store.Offsets = {}

    async def run(self, ownership: Ownership) -> None:
        context, partition = self._context, self._partition
        faults = context.topics.faults
        async with AsyncExitStack() as stack:
            # First of all: what a former owner still has in hand cannot come to Kafka after this.
            producer = await stack.enter_async_context(
                FencedProducer(
                    context.kafka, f"{context.topics.prefix}.dispatch.{faults}.{partition}"
                )
            )
            offsets = await self.open_inputs()
            ownership.processed = offsets[faults]
            await ownership.prove()
            if ownership.ended:
                return
            # Where it was the rules that stopped the last task, this one has to get past that place first.
            ownership.ready = not self._failures.reached
            log.info("partition taken over", partition=partition, next=offsets)
            relay = Relay(
                context.engine,
                context.kafka,
                producer,
                topics=context.topics,
                partition=partition,
                bells=context.bells,
            )
            teller = Teller(
                context.engine,
                context.topics,
                partition=partition,
                partitions=context.partitions,
                bells=context.bells,
                turn=context.teller_turn,
            )
            async with asyncio.TaskGroup() as group:
                for part in (
                    self._take_in,
                    relay.run,
                    teller.run,
                    context.pager(partition).run,
                    Forgetting(context.engine, partition).run,
                ):
                    group.create_task(unless_cancelled_within(part(ownership)))

    async def open_inputs(self) -> store.Offsets:
        """Find out where our inputs are to be read from; from now on we expect them to be there."""
        topics = self._context.topics
        async with transaction(self._context.engine) as connection:
            self._next = await store.open_inputs(
                connection, self._partition, (topics.faults, topics.deadlines)
            )
        return self._next

    async def _take_in(self, ownership: Ownership) -> None:
        """Faults and deadlines, as they come; but first all faults that came while nobody was here.

        So a fault that has cleared meanwhile is not escalated by the deadlines that it made moot.
        """
        faults = self._context.topics.faults
        async with Reader(self._context.kafka, self._places([faults])) as reader:
            async for batch in reader.batches_to_end(RECORDS_AT_ONCE):
                await self._apply_for(ownership, batch)
                if ownership.ended:
                    return
        async with Reader(self._context.kafka, self._places(self._next)) as reader:
            while not ownership.ended:
                records = await reader.read(timeout_ms=500, max_records=RECORDS_AT_ONCE)
                await self._apply_for(ownership, records)

    def _places(self, topics: Iterable[str]) -> dict[TopicPartition, int | None]:
        return {
            TopicPartition(topic, self._partition): self._next[topic] or None for topic in topics
        }

    async def _apply_for(self, ownership: Ownership, records: Sequence[Record]) -> None:
        if records:
            await self.apply(records)
            ownership.ready = True
            ownership.processed = self._next[self._context.topics.faults]

    async def apply(self, records: Sequence[Record]) -> None:
        """Judge `records` and commit what they cause, with the offsets behind them.

        Raises OwnershipError when somebody else has read on in our place, and TooManyFailures; nothing is
        changed then.
        """
        events = self._read_all(records)
        new = {record.topic: record.offset + 1 for record in records}
        with TRANSACTION_SECONDS.time():
            async with transaction(self._context.engine) as connection:
                await self._lock(connection, events)
                events = [*await self._take_parked(connection, events), *events]
                batch = await self._load(connection, events)
                at_ms = now_ms()
                batch.judge(events, at_ms)
                failed = self._check_failures(batch, at_ms)
                await store.write(connection, batch.changes)
                await store.move_inputs(connection, self._partition, self._next, new)
        self._failures.note(at_ms, failed)
        self._next = {**self._next, **new}
        self._bells.ring()
        self._tell(batch)

    def _read_all(self, records: Iterable[Record]) -> list[Event]:
        return [event for record in records if (event := self._read(record)) is not None]

    def _read(self, record: Record) -> Event | None:
        try:
            document = read_record(record, self._context.topics, self._context.partitions)
        except RecordError as error:
            return Event(record, error)
        return None if document is None else Event(record, document)

    def _check_failures(self, batch: Batch, at_ms: int) -> int:
        """On how many records a rule of ours failed.

        Raises TooManyFailures where one fails so often that waiting is better.
        """
        causes = [error.__cause__ for _, error in batch.refused if error.reason == RULE_FAILED]
        if causes:
            # One traceback for all: they are nearly always the same, and they cost ms.
            log.error("a rule failed", partition=self._partition, exc_info=causes[0])
        self._failures.check(at_ms, len(causes))
        return len(causes)

    def _tell(self, batch: Batch) -> None:
        for outcome, count in batch.outcomes.items():
            DEADLINES.labels(outcome).inc(count)
        for letter, _ in batch.refused:
            tell_buried("dispatch", letter)

    async def _lock(self, connection: AsyncConnection, events: Sequence[Event]) -> None:
        """Our inputs; those of all partitions where a former case may be about to be opened in another.

        Locks are taken in one order by everybody (inputs, then cases by their ids), so nobody deadlocks.
        """
        moved = [fault for fault in _faults(events) if fault.moved_from is not None]
        if moved and await store.may_be_opened_elsewhere(
            connection, [(fault.fault_id, case_id_of(fault.moved_from or "")) for fault in moved]
        ):
            await store.lock_all_inputs(connection)
        await store.lock_inputs(connection, self._partition, self._next)

    async def _take_parked(
        self, connection: AsyncConnection, events: Sequence[Event]
    ) -> list[Event]:
        """The deadlines that wait for the cases that may be opened now."""
        opening = [case_id_of(fault.fault_id) for fault in _faults(events)]
        if not opening:
            return []
        deadlines = self._context.topics.deadlines
        return [
            event._replace(parked_ms=parked_ms)
            for record, parked_ms in await store.take_parked(connection, deadlines, opening)
            if (event := self._read(record)) is not None
        ]

    async def _load(self, connection: AsyncConnection, events: Sequence[Event]) -> Batch:
        """The records that the events speak of."""
        faults = _faults(events)
        deadlines = [event.content for event in events if isinstance(event.content, Deadline)]
        former = {fault.moved_from for fault in faults if fault.moved_from is not None}
        # Cases are locked before anything of theirs is read: people change them at the same time.
        cases = await store.lock_cases(
            connection,
            [
                *(case_id_of(fault.fault_id) for fault in faults),
                *map(case_id_of, former),
                *(deadline.case_id for deadline in deadlines),
            ],
        )
        fired = [
            key
            for fault_id in former
            if (case := cases.get(case_id_of(fault_id))) is not None
            for key in moments_of(case)
        ]
        return Batch(
            rules=self._context.rules,
            changes=self._context.changes(self._partition),
            cases=cases,
            faults=await store.find_faults(
                connection,
                fault_ids=[*(fault.fault_id for fault in faults), *former],
                case_ids=[deadline.case_id for deadline in deadlines],
            ),
            seen=await store.find_seen(
                connection,
                [*((deadline.deadline_id, deadline.version) for deadline in deadlines), *fired],
            ),
        )


def _faults(events: Iterable[Event]) -> list[Fault]:
    return [event.content for event in events if isinstance(event.content, Fault)]

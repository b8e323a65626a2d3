"""Reads what Kafka still has about faults: the reports that opened them, and their revisions.

What cannot be read is no error: the result says why it is not there.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from msgspec.structs import replace

from deploy.cli.explanation import (
    History,
    Report,
    Revision,
    make_report,
    make_revision,
    report_place,
)
from shared.documents.fault import Fault, decode_fault
from shared.kafka.clients import make_reader
from shared.kafka.partition import partition_of
from shared.times import MINUTE_MS, from_rfc3339, to_rfc3339

Record = ConsumerRecord[bytes | None, bytes | None]

ANSWER_TIMEOUT_S = 10
STOP_TIMEOUT_S = 3
# Revisions lie among those of all faults of the partition since then: some 200,000 can be looked through.
REVISIONS_TIMEOUT_S = 10
POLL_MS = 200
# A revision is published after its report was received; but two machines' clocks may disagree.
CLOCKS_DISAGREE_MS = 5 * MINUTE_MS


class NotThere(Exception):
    """Kafka does not have what is looked for; the text says what it has."""


async def read_reports(kafka: str, faults: Sequence[Fault]) -> dict[str, Report]:
    """By fault_id: the report that opened the fault, by the place that the fault names."""
    found: dict[str, Report] = {}
    problem = None
    try:
        async with _reading(kafka) as client:
            for fault in faults:
                found[fault.fault_id] = await _read_report(client, fault)
    except (KafkaError, TimeoutError) as error:
        problem = _unread(kafka, error)
    return {
        fault.fault_id: found.get(fault.fault_id) or replace(report_place(fault), problem=problem)
        for fault in faults
    }


async def read_histories(
    kafka: str, topic: str, site_id: str, faults: Sequence[Fault]
) -> dict[str, History]:
    """By fault_id: the revisions that `topic` still has; all faults are of one site."""
    revisions: dict[str, list[Revision]] = {fault.fault_id: [] for fault in faults}
    problem = None
    try:
        async with _reading(kafka) as client, asyncio.timeout(REVISIONS_TIMEOUT_S):
            partitions = await _partitions(client, topic)
            place = TopicPartition(topic, partition_of(site_id, partitions))
            start_ms = min(from_rfc3339(fault.opened_at) for fault in faults) - CLOCKS_DISAGREE_MS
            await _collect(client, place, start_ms, revisions)
    except NotThere as error:
        problem = str(error)
    except TimeoutError:
        problem = f"the partition is long: not all of it was read within {REVISIONS_TIMEOUT_S} s"
    except KafkaError as error:
        problem = _unread(kafka, error)
    return {
        fault_id: History(topic=topic, revisions=found, problem=problem)
        for fault_id, found in revisions.items()
    }


async def read_faults(kafka: str, topic: str, is_wanted: Callable[[Fault], bool]) -> list[Fault]:
    """The newest revisions of all faults of `topic`, those that are wanted.

    Raises NotThere: no such topic, or nobody answers.
    """
    found: dict[bytes, Fault] = {}
    try:
        async with _reading(kafka) as client:
            async for record in _everything(client, topic):
                fault = decode_fault(record.value) if record.value else None
                if fault is not None and is_wanted(fault):
                    found[record.key or b""] = fault
                else:
                    found.pop(record.key or b"", None)
    except (KafkaError, TimeoutError) as error:
        raise NotThere(_unread(kafka, error)) from error
    return list(found.values())


@asynccontextmanager
async def _reading(kafka: str) -> AsyncGenerator[AIOKafkaConsumer]:
    client = make_reader(kafka)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await client.start()
        yield client
    finally:
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await client.stop()


async def _read_report(client: AIOKafkaConsumer, fault: Fault) -> Report:
    report = report_place(fault)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            record = await _record_at(
                client, TopicPartition(report.topic, report.partition), report.offset
            )
    except NotThere as error:
        return replace(report, problem=str(error))
    return make_report(report, fault, to_rfc3339(record.timestamp), record.value)


async def _record_at(client: AIOKafkaConsumer, place: TopicPartition, offset: int) -> Record:
    """Raises NotThere."""
    if place.partition >= await _partitions(client, place.topic):
        raise NotThere(f"{place.topic} has no partition {place.partition}")
    client.assign([place])
    start = (await client.beginning_offsets([place]))[place]
    end = (await client.end_offsets([place]))[place]
    if offset < start:
        raise NotThere(f"retention has taken it: the partition begins at offset {start} now")
    if offset >= end:
        raise NotThere(f"the partition ends before it, at offset {end}")
    client.seek(place, offset)
    while await client.position(place) <= offset:
        for records in (await client.getmany(timeout_ms=POLL_MS, max_records=1)).values():
            for record in records:
                if record.offset == offset:
                    return record
    raise NotThere("the partition goes on behind it, but has no record at this offset")


async def _everything(client: AIOKafkaConsumer, topic: str) -> AsyncIterator[Record]:
    """All records of the topic up to the ends that it has now. Raises NotThere, TimeoutError."""
    places = [TopicPartition(topic, number) for number in range(await _partitions(client, topic))]
    ends = await client.end_offsets(places)
    client.assign(places)
    await client.seek_to_beginning(*places)
    while any([await client.position(place) < end for place, end in ends.items()]):
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            read = await client.getmany(timeout_ms=POLL_MS, max_records=5_000)
        for records in read.values():
            for record in records:
                yield record


async def _collect(
    client: AIOKafkaConsumer,
    place: TopicPartition,
    start_ms: int,
    revisions: dict[str, list[Revision]],
) -> None:
    """Add the revisions of the faults that are keys of `revisions`, from this time to the log's end."""
    client.assign([place])
    end = (await client.end_offsets([place]))[place]
    first = (await client.offsets_for_times({place: start_ms}))[place]
    if first is None:
        return
    client.seek(place, first.offset)
    keys = {fault_id.encode(): found for fault_id, found in revisions.items()}
    while await client.position(place) < end:
        for records in (await client.getmany(timeout_ms=POLL_MS, max_records=5_000)).values():
            for record in records:
                found = keys.get(record.key or b"")
                if found is not None and record.value is not None:
                    fault = decode_fault(record.value)
                    found.append(make_revision(fault, to_rfc3339(record.timestamp)))


async def _partitions(client: AIOKafkaConsumer, topic: str) -> int:
    """How many the topic has. Asked of all topics: asking for one might make it. Raises NotThere."""
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        if topic not in await client.topics():
            raise NotThere(f"there is no topic {topic} on this Kafka")
        first = TopicPartition(topic, 0)
        client.assign([first])
        await client.end_offsets([first])  # by then the client knows the topic
    return len(client.partitions_for_topic(topic) or ())


def _unread(kafka: str, error: Exception) -> str:
    why = str(error) or repr(error)
    if isinstance(error, TimeoutError | KafkaConnectionError):
        why = "no broker answers"
    return f"Kafka at {kafka} was not read: {why}"

"""What `explain` finds of an alarm in Kafka, and what it says where Kafka does not have it any more."""

import json
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from msgspec.structs import replace

from deploy.cli.kafka_lookup import read_histories, read_reports
from shared.documents.fault import Fault, FaultSource, encode_fault
from shared.kafka.partition import partition_of
from shared.kafka.producer import FencedProducer, Outgoing
from shared.kafka.topics import Topics, apply_topics
from shared.times import now_ms
from tests.kafka_log import producing
from tests.unit.dispatch_documents import make_fault

PARTITIONS = 2


@pytest.fixture
async def topics(kafka: str, prefix: str) -> Topics:
    await apply_topics(
        kafka, prefix, partitions=PARTITIONS, replication=1, inputs=(f"{prefix}-reports",)
    )
    return Topics(prefix)


def fault_from(topics: Topics, offset: int, number: int = 1, **fields: Any) -> Fault:
    source = FaultSource(f"{topics.prefix}-reports", 1, offset)
    return make_fault(number, at_ms=now_ms(), source=source, **fields)


async def send_reports(kafka: str, topics: Topics, *values: object) -> None:
    async with producing(kafka) as producer:
        for value in values:
            encoded = json.dumps(value).encode()
            await producer.send_and_wait(f"{topics.prefix}-reports", encoded, partition=1)


async def test_report_is_found_by_the_place_that_its_fault_names(
    kafka: str, topics: Topics
) -> None:
    first, second = fault_from(topics, 0), fault_from(topics, 1, 2)
    mine = {"emu_id": second.emu_id, "code": second.code, "component": second.component}
    await send_reports(kafka, topics, {"emu_id": "emu-9"}, [{"emu_id": "emu-9"}, mine])
    found = await read_reports(kafka, [first, second])
    assert found[first.fault_id].problem == "what is there does not speak of emu-1"
    report = found[second.fault_id]
    assert (report.reports, report.reports_in_record, report.problem) == ([mine], 2, None)
    assert report.kafka_at is not None


async def test_report_that_is_not_there_any_more_is_told_with_the_reason(
    kafka: str, topics: Topics
) -> None:
    await send_reports(kafka, topics, *({"emu_id": "emu-1", "number": n} for n in range(4)))
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        place = TopicPartition(f"{topics.prefix}-reports", 1)
        await admin.delete_records({place: RecordsToDelete(before_offset=2)})
    finally:
        await admin.close()
    faults = [fault_from(topics, offset, offset) for offset in (1, 3, 4)]
    absent = f"{topics.prefix}-absent"
    faults.append(make_fault(8, source=FaultSource(absent, 0, 0)))
    faults.append(make_fault(9, source=FaultSource(place.topic, 70, 0)))
    found = await read_reports(kafka, faults)
    taken, kept, behind, no_topic, no_partition = (found[fault.fault_id] for fault in faults)
    assert taken.problem == "retention has taken it: the partition begins at offset 2 now"
    assert kept.problem == "what is there does not speak of emu-3"
    assert behind.problem == "the partition ends before it, at offset 4"
    assert no_topic.problem == f"there is no topic {absent} on this Kafka"
    assert no_partition.problem == f"{place.topic} has no partition 70"
    # Asking has not made it.
    assert (await read_reports(kafka, [faults[3]]))[faults[3].fault_id].problem == no_topic.problem


async def test_revisions_of_a_fault_are_told_apart_from_those_of_others(
    kafka: str, topics: Topics
) -> None:
    mine, other = fault_from(topics, 0), fault_from(topics, 1, 2)
    revisions = [
        mine,
        other,
        replace(mine, revision=2, change="repeated", count=7),
        replace(other, revision=2, change="cleared", state="cleared"),
        replace(mine, revision=3, change="cleared", state="cleared", count=7),
    ]
    partition = partition_of(mine.site_id, PARTITIONS)
    async with FencedProducer(kafka, f"{topics.prefix}.test") as producer:
        await producer.commit(
            Outgoing(topics.faults, partition, fault.fault_id.encode(), encode_fault(fault))
            for fault in revisions
        )
    found = await read_histories(kafka, topics.faults, mine.site_id, [mine])
    history = found[mine.fault_id]
    assert history.problem is None
    assert [(was.revision, was.change, was.count) for was in history.revisions] == [
        (1, "opened", 1),
        (2, "repeated", 7),
        (3, "cleared", 7),
    ]
    # One that was opened when this log had ended already.
    later = replace(mine, opened_at="2999-01-01T00:00:00.000Z")
    (history,) = (await read_histories(kafka, topics.faults, mine.site_id, [later])).values()
    assert (history.revisions, history.problem) == ([], None)


async def test_kafka_that_is_away_or_another_is_told_and_is_no_error(kafka: str) -> None:
    fault = make_fault()
    nowhere = "127.0.0.1:1"
    (report,) = (await read_reports(nowhere, [fault])).values()
    assert report.problem == f"Kafka at {nowhere} was not read: no broker answers"
    (history,) = (await read_histories(nowhere, "t.faults", "site-1", [fault])).values()
    assert history.problem == report.problem
    (history,) = (await read_histories(kafka, "t.faults", "site-1", [fault])).values()
    assert history.problem == "there is no topic t.faults on this Kafka"

"""Ingest finds the site of an EMU by its record, and every alarm that it routes by one is behind its fact."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from services.ingest.fleet_reader import FleetReader
from services.ingest.main import IngestService
from services.ingest.main import build as build_ingest
from services.ingest.metrics import CONTRADICTED_SITES, FLEET_REFUSED, UNKNOWN_EMUS
from shared.documents.internal import Edge, Fact, Tick, decode_internal
from shared.errors import ReadError
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing
from shared.kafka.reader import Reader
from shared.kafka.topics import apply_topics
from tests.conditions import until
from tests.integration.dispatch_stage import PARTITIONS, Stage, http, staged
from tests.integration.services import running
from tests.integration.test_fleet import HERE, THERE, alarms, all_told, emu, imported
from tests.kafka_log import producing


@pytest.fixture
async def stage(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    async with staged(kafka, postgres_url, prefix) as made:
        inputs = (f"{prefix}-reports",)
        await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=inputs)
        yield made


def ingest(stage: Stage) -> IngestService:
    names = ("KAFKA", "PREFIX", "PARTITIONS", "REPLICATION")
    common = {f"BAKVAKT_{name}": stage.environ[f"BAKVAKT_{name}"] for name in names}
    return build_ingest({**common, "BAKVAKT_INPUT_TOPICS": reports(stage)})


def reports(stage: Stage) -> str:
    return f"{stage.topics.prefix}-reports"


async def send(stage: Stage, *said: dict[str, Any]) -> None:
    async with producing(stage.kafka) as producer:
        for each in said:
            report = {"code": "E-17", "state": "raised", "at": "2026-11-22T10:00:00Z", **each}
            await producer.send_and_wait(reports(stage), json.dumps(report).encode(), partition=0)


async def edges(stage: Stage) -> list[Edge]:
    found = [decode_internal(record.value or b"") for record in await alarms(stage)]
    return [edge for edge in found if isinstance(edge, Edge)]


def counted(counter: Any, *labels: str) -> float:
    return counter.labels(*labels)._value.get()


async def test_reports_go_where_the_record_says_behind_the_fact_also_after_a_move(
    stage: Stage,
) -> None:
    async with stage.dispatch() as url, http(url) as ask:
        await imported(ask, emu(1, THERE))
        await all_told(stage)
        async with running(ingest(stage)):
            await send(
                stage,
                {"emu_id": "emu-1"},
                {"emu_id": "emu-1", "site_id": HERE},
                {"emu_id": "emu-1", "site_id": THERE},
                {"emu_id": "emu-2", "site_id": HERE},
                {"emu_id": "emu-2"},
            )
            first = await until(lambda: some(stage, 5))
            assert [edge.site_id for edge in by_offset(first, "emu-1")] == [THERE] * 3
            assert [edge.site_id for edge in by_offset(first, "emu-2")] == [HERE, "unknown:emu-2"]
            assert counted(CONTRADICTED_SITES, reports(stage)) == 1
            assert counted(UNKNOWN_EMUS, reports(stage)) == 2
            await imported(ask, emu(1, HERE))

            async def moved() -> bool:
                await send(stage, {"emu_id": "emu-1"})
                return any(edge.site_id == HERE for edge in by_offset(await edges(stage), "emu-1"))

            await until(moved, timeout_s=30.0)
    facts = set[tuple[str, str]]()
    for record in await alarms(stage):
        said = decode_internal(record.value or b"")
        if isinstance(said, Tick):  # to every partition
            continue
        assert record.partition == partition_of(said.site_id, PARTITIONS)
        if isinstance(said, Fact):
            facts.add((said.emu_id, said.site_id))
        elif said.emu_id == "emu-1":
            assert (said.emu_id, said.site_id) in facts


async def some(stage: Stage, count: int) -> list[Edge] | None:
    found = await edges(stage)
    return found if len(found) >= count else None


def by_offset(found: list[Edge], emu_id: str) -> list[Edge]:
    own = [edge for edge in found if edge.emu_id == emu_id]
    return sorted(own, key=lambda edge: edge.source.offset)


async def test_ingest_takes_no_report_before_it_has_the_whole_fleet(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    async def refuse(self: Reader) -> None:
        tries.append(self)
        raise KafkaError("not now")

    await send(stage, {"emu_id": "emu-1"})
    with monkeypatch.context() as patch:
        patch.setattr(Reader, "_start", refuse)
        service, stopping = ingest(stage), asyncio.Event()
        work = asyncio.create_task(service.run(stopping))
        await until(lambda: len(tries) >= 2)
        (missing,) = service.not_ready()
        assert missing.startswith(f"{stage.topics.fleet}: still being read")
        assert await alarms(stage) == []
    await until(lambda: not service.not_ready())
    await until(lambda: some(stage, 1))
    stopping.set()
    await work


async def test_a_fleet_that_cannot_be_read_stays_as_it_was_and_is_read_on_from_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    partition = partition_of(HERE, PARTITIONS)

    async def write(*values: bytes) -> None:
        await stage.write(Outgoing(stage.topics.fleet, partition, b"e", value) for value in values)

    def record(number: int) -> bytes:
        return json.dumps(emu(number, revision=1)).encode()

    refused = counted(FLEET_REFUSED, "invalid")
    await write(record(1), b"no record")
    reader, stopping = FleetReader(stage.kafka, stage.topics.fleet, PARTITIONS), asyncio.Event()
    work = asyncio.create_task(reader.run(stopping))
    await until(reader.whole.is_set)
    assert len(reader.fleet) == 1
    failed: list[object] = []

    async def fail(self: Reader, **_: object) -> list[Any]:
        failed.append(self)
        raise ReadError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "read", fail)
        await until(lambda: len(failed) >= 1)
    assert len(reader.fleet) == 1
    await write(record(2))
    await until(lambda: len(reader.fleet) == 2)
    assert counted(FLEET_REFUSED, "invalid") == refused + 1, "what was read is not read again"
    stopping.set()
    await work

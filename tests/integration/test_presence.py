"""EMUs that go and come back, through ingest, classifier and a real broker; times are shortened alike."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from services.ingest import ticks
from shared.documents.internal import Tick, decode_internal
from shared.kafka.partition import partition_of
from shared.kafka.topics import apply_topics
from shared.policy import HeartbeatTerms
from tests.at_once import rules_at_once
from tests.conditions import until
from tests.integration.services import running
from tests.integration.test_alarms_to_faults import PARTITIONS, Stage, report
from tests.kafka_log import ends_of, producing, read_topic

OFFLINE = "bakvakt:emu_offline"
# With the interval of 1 s that the heartbeats here say.
SILENCE_S = 3
BEAT_S = 0.2


@pytest.fixture
async def stage(kafka: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """An EMU is silent after 3 s, ingest speaks each 0.2 s, and a step of 3 s is an outage."""
    monkeypatch.setattr(ticks, "TICK_INTERVAL_MS", 200)
    monkeypatch.setattr("services.classifier.listening.LARGEST_STEP_MS", 3_000)
    terms = HeartbeatTerms(missed=SILENCE_S, least_s=1)
    stage = Stage(kafka, prefix, rules_at_once(tmp_path)._replace(heartbeat=terms))
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=(stage.input,))
    return stage


def said(kind: str, number: int = 1, **fields: object) -> dict[str, object]:
    """A report of that type, by the EMU and of the site of `report`."""
    plain = {key: report(number)[key] for key in ("emu_id", "site_id", "at")}
    return {**plain, "type": kind, **({"interval_s": 1} if kind == "heartbeat" else {}), **fields}


class Heart:
    """How often it has beaten, and whether it was ever silent for long: this machine is a busy one."""

    beats = 0
    newest_s = 0.0
    longest_gap_s = 0.0

    def beat(self) -> None:
        now_s = time.monotonic()
        if self.beats:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self.newest_s)
        self.beats, self.newest_s = self.beats + 1, now_s

    def check(self, told: list[tuple[str, str, bool]]) -> None:
        """It was never taken for offline, if it really was there."""
        if self.longest_gap_s < SILENCE_S - 1:
            assert told == []


@asynccontextmanager
async def beating(stage: Stage, number: int) -> AsyncGenerator[Heart]:
    """An EMU that is there, whatever becomes of us."""
    heart = Heart()

    async def beat() -> None:
        async with producing(stage.kafka) as producer:
            while True:
                value = json.dumps(said("heartbeat", number)).encode()
                await producer.send_and_wait(stage.input, value)
                heart.beat()
                await asyncio.sleep(BEAT_S)

    living = asyncio.create_task(beat())
    try:
        yield heart
    finally:
        living.cancel()
        await asyncio.wait([living])


async def told(stage: Stage, number: int) -> list[tuple[str, str, bool]]:
    return [
        (fault["code"], fault["change"], fault["stale"])
        for fault in await stage.faults()
        if fault["emu_id"] == f"emu-{number}"
    ]


async def is_offline(stage: Stage, number: int) -> bool:
    return (OFFLINE, "opened", False) in await told(stage, number)


async def test_an_emu_that_falls_silent_is_offline_and_what_stood_is_stale_until_it_is_spoken_of(
    stage: Stage,
) -> None:
    code: Any = report()["code"]
    async with running(stage.ingest(), stage.classifier()):
        async with beating(stage, 2) as heart:
            await stage.send(report())
            await until(lambda: _count(stage, 1, 1), timeout_s=90)
            await stage.send(
                said("heartbeat")
            )  # the newest word of it: inputs are read side by side
            await until(lambda: is_offline(stage, 1), timeout_s=90)
            heart.check(await told(stage, 2))
        await stage.send(said("online"))
        await until(lambda: _count(stage, 1, 4))
        active = [{"code": code}]
        await stage.send(said("snapshot", complete=True, active=active))
        await until(lambda: _count(stage, 1, 5))
    assert sorted((await told(stage, 1))[1:3]) == [
        (OFFLINE, "opened", False),
        (code, "stale", True),
    ]
    assert (await told(stage, 1))[3:] == [(OFFLINE, "cleared", False), (code, "repeated", False)]
    faults = [fault for fault in await stage.faults() if fault["code"] == OFFLINE]
    heartbeats = await read_topic(stage.kafka, stage.input)
    opened = next(fault["source"] for fault in faults if fault["emu_id"] == "emu-1")
    (source,) = [
        record
        for record in heartbeats
        if (record.partition, record.offset) == (opened["partition"], opened["offset"])
    ]
    assert b"heartbeat" in (source.value or b"")
    assert b"emu-1" in (source.value or b"")


async def _count(stage: Stage, number: int, faults: int) -> bool:
    return len(await told(stage, number)) >= faults


@pytest.mark.parametrize("stopped", ["ingest", "classifier"])
async def test_an_outage_of_ours_makes_no_emu_offline(stage: Stage, stopped: str) -> None:
    """Twice as long as the silence that counts; who is really gone is found after it."""
    ingest, classifier = stage.ingest, stage.classifier
    broken, other = (ingest, classifier) if stopped == "ingest" else (classifier, ingest)
    async with beating(stage, 1) as heart, running(other()):
        async with running(broken()):
            await stage.send(said("heartbeat", 2))
            await until(lambda: _is_heard(stage, 2))
        before = heart.beats
        await until(lambda: heart.beats >= before + 2 * SILENCE_S / BEAT_S, timeout_s=60)
        async with running(broken()):
            await until(lambda: is_offline(stage, 2), timeout_s=90)
            heart.check(await told(stage, 1))


async def _is_heard(stage: Stage, number: int) -> bool:
    """The classifier remembers it."""
    written = await read_topic(stage.kafka, stage.topics.classifier_state)
    return any(f"emu-{number}".encode() in (record.key or b"") for record in written)


async def test_each_input_partition_is_told_of_in_every_partition_and_its_word_grows(
    stage: Stage,
) -> None:
    async def ticks_of(partition: int) -> list[Tick]:
        records = await read_topic(stage.kafka, stage.topics.alarms)
        found = [decode_internal(one.value or b"") for one in records if one.partition == partition]
        return [tick for tick in found if isinstance(tick, Tick)]

    async with running(stage.ingest()):
        for partition in range(PARTITIONS):
            await until(lambda p=partition: _speaks(ticks_of(p), of=PARTITIONS))
    found = await ticks_of(0)
    for partition in range(len(found[0].inputs)):
        words = [tick.read_to_ms for tick in found if tick.partition == partition]
        assert all(one <= other for one, other in pairwise(words))


async def _speaks(ticks_of: Any, *, of: int) -> bool:
    found: list[Tick] = await ticks_of
    known = {tick.partition for tick in found if tick.read_to_ms > 0}
    return bool(found) and known == set(range(found[-1].inputs[0][1]))


async def test_what_stands_when_alarms_are_lost_is_stale(stage: Stage) -> None:
    code: Any = report()["code"]
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(report(1))
        await until(lambda: _count(stage, 1, 1))
    alarms = TopicPartition(stage.topics.alarms, partition_of("site-1", PARTITIONS))
    async with running(stage.ingest()):
        await stage.send(report(1))
        await until(lambda: _grows(stage, alarms))
    ends = await ends_of(stage.kafka, alarms.topic)
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.kafka)
    await admin.start()
    await admin.delete_records({alarms: RecordsToDelete(before_offset=ends[alarms.partition])})
    await admin.close()
    async with running(stage.ingest(), stage.classifier()):
        await until(lambda: _count(stage, 1, 2))
        await stage.send(report(1, state="cleared"))
        await until(lambda: _count(stage, 1, 3))
    assert (await told(stage, 1))[1:] == [(code, "stale", True), (code, "cleared", False)]


async def _grows(stage: Stage, alarms: TopicPartition) -> bool:
    """Both alarms are there."""
    records = await read_topic(stage.kafka, alarms.topic)
    return sum(b"emu-1" in (record.value or b"") for record in records) == 2

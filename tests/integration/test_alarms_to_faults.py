"""Ingest and classifier on a real broker: each report is a fault's or a dead letter."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from msgspec.structs import replace

from services.classifier.config import ClassifierSettings
from services.classifier.main import ClassifierService
from services.classifier.rules import Rules, make_rules
from services.ingest.config import IngestSettings
from services.ingest.main import IngestService
from services.ingest.main import build as build_ingest
from shared.catalogue import load_catalogue
from shared.documents.emu import EmuRecord, encode_emu_record
from shared.documents.internal import Tick, decode_internal, encode_internal
from shared.errors import ConfigError
from shared.failures import MOST_IN_WINDOW
from shared.kafka.partition import partition_of
from shared.kafka.topics import Topics, apply_topics
from shared.policy import load_policy
from shared.times import DAY_MS, from_rfc3339, now_ms, to_rfc3339
from tests.at_once import rules_at_once
from tests.conditions import until
from tests.integration.services import running
from tests.kafka_log import Record, documents, ends_of, producing, read_topic
from tests.unit.alarms import edge

PARTITIONS = 4
CATALOGUE = load_catalogue()
# Of each grade.
CODES = ("sunspec:701.Alrm.0", "unknown.code", "sunspec:203.Evt.2", "foxbms2:DIAG_ID_I2C_RTC_ERROR")


class Stage:
    """One prefix's topics and services."""

    def __init__(self, kafka: str, prefix: str, rules: Rules) -> None:
        self._rules = rules
        self.kafka = kafka
        self.topics = Topics(prefix)
        self.input = f"{prefix}-reports"
        common: dict[str, Any] = {
            "kafka": kafka,
            "prefix": prefix,
            "partitions": PARTITIONS,
            "replication": 1,
            "session_timeout_ms": 6000,
        }
        self._ingest = IngestSettings(**common, input_topics=(self.input,))
        self._classifier = ClassifierSettings(**common)

    def ingest(self) -> IngestService:
        return IngestService(self._ingest, CATALOGUE)

    def classifier(self) -> ClassifierService:
        return ClassifierService(self._classifier, self._rules)

    async def send(self, *values: object) -> None:
        async with producing(self.kafka) as producer:
            for value in values:
                raw = value if isinstance(value, bytes) else json.dumps(value).encode()
                await producer.send_and_wait(self.input, raw)

    async def alarms(self) -> list[Record]:
        """What was said of EMUs; without the ticks."""
        records = await read_topic(self.kafka, self.topics.alarms)
        return [one for one in records if not isinstance(decode_internal(one.value or b""), Tick)]

    async def faults(self) -> list[dict[str, Any]]:
        return documents(await read_topic(self.kafka, self.topics.faults))


@pytest.fixture
async def stage(kafka: str, prefix: str, tmp_path: Path) -> Stage:
    stage = Stage(kafka, prefix, rules_at_once(tmp_path))
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=(stage.input,))
    return stage


def report(number: int = 1, **fields: object) -> dict[str, object]:
    return {
        "emu_id": f"emu-{number}",
        "site_id": f"site-{number}",
        "code": "sunspec:203.Evt.2",
        "state": "raised",
        "at": to_rfc3339(now_ms()),
        **fields,
    }


async def test_reports_become_faults_in_their_site_s_partition(stage: Stage) -> None:
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(*(report(number) for number in range(20)))
        await stage.send([report(number) for number in range(20, 40)])
        await until(lambda: _count(stage, 40))

    records = await read_topic(stage.kafka, stage.topics.faults)
    for record in records:
        (fault,) = documents([record])
        assert record.partition == partition_of(fault["site_id"], PARTITIONS)
        assert record.key == fault["fault_id"].encode()
        assert (fault["grade"], fault["kind"], fault["count"]) == ("C", "meter_power", 1)
        assert fault["source"]["topic"] == stage.input
    assert {fault["emu_id"] for fault in documents(records)} == {f"emu-{n}" for n in range(40)}


async def test_a_classifier_that_remembers_nothing_knows_the_emus_of_the_fleet(
    stage: Stage,
) -> None:
    record = EmuRecord(emu_id="emu-1", site_id="site-1", desk="north", revision=3)
    elsewhere = replace(record, site_id="site-9", desk="other", revision=9)
    home = partition_of(record.site_id, PARTITIONS)
    assert partition_of(elsewhere.site_id, PARTITIONS) != home
    async with producing(stage.kafka) as producer:
        for value in (encode_emu_record(record), b"{", encode_emu_record(elsewhere)):
            key = b"emu-1" if value != b"{" else b"emu-2"
            await producer.send_and_wait(stage.topics.fleet, value, key, home)
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(report(1), report(2))
        await until(lambda: _count(stage, 2))
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(report(1, code="other"))
        await until(lambda: _count(stage, 3))
    told = [(fault["emu_id"], fault["desk"], fault["emu_state"]) for fault in await stage.faults()]
    known, unknown = ("emu-1", "north", "in_service"), ("emu-2", "default", "unknown")
    assert sorted(told) == [known, known, unknown]


async def _count(stage: Stage, faults: int) -> bool:
    return len(await stage.faults()) == faults


async def test_bad_reports_are_dead_letters_and_the_stream_goes_on(stage: Stage) -> None:
    bad: list[tuple[object, str]] = [
        (b"{", "not_json"),
        ({"emu_id": "x"}, "invalid"),
        (report(at=5), "invalid"),
        (report(emu_id="a\x07"), "invalid"),
        (report(emu_id="e" * 129), "invalid"),
        (report(type="poem"), "unknown_type"),
        (b" " * 1_048_577, "too_large"),
        ([1] * 10_001, "too_many"),
    ]
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(*(value for value, _ in bad), report())
        await until(lambda: _count(stage, 1))

    letters = await read_topic(stage.kafka, stage.topics.dead_letters)
    assert sorted(dict(letter.headers)["reason"].decode() for letter in letters) == sorted(
        reason for _, reason in bad
    )
    for letter in letters:
        headers = dict(letter.headers)
        assert headers["topic"].decode() == stage.input
        assert headers["detail"]
        assert int(headers["offset"]) >= 0


def all_bits(registers: int, emu: int) -> dict[str, object]:
    """A report of registers with all 64 bits set, of which the catalogue has none."""
    said = [{"model": "m", "point": f"{n:x}", "bits": 2**64 - 1} for n in range(registers)]
    reported = {"emu_id": f"emu-{emu}", "site_id": "site-1", "at": to_rfc3339(now_ms())}
    return {**reported, "type": "registers", "registers": said}


@asynccontextmanager
async def longest_turn() -> AsyncGenerator[list[float]]:
    """The most CPU that was used without a turn of the event loop for others, in seconds."""
    longest_s = [0.0]

    async def watch() -> None:
        while True:
            began_s = time.thread_time()
            await asyncio.sleep(0.001)
            longest_s[0] = max(longest_s[0], time.thread_time() - began_s)

    watching = asyncio.create_task(watch())
    try:
        yield longest_s
    finally:
        watching.cancel()


async def test_however_many_bits_are_set_others_have_their_turn_and_the_stream_goes_on(
    stage: Stage,
) -> None:
    poison = [all_bits(350, emu=number) for number in range(40)]
    legal = [all_bits(31, emu=number) for number in range(2)]
    async with running(stage.ingest(), stage.classifier()), longest_turn() as longest_s:
        await stage.send(poison, legal, legal, report())
        await until(lambda: _count(stage, 2 * 31 * 64 + 1), timeout_s=60)

    assert longest_s[0] < 0.5
    letters = await read_topic(stage.kafka, stage.topics.dead_letters)
    assert [dict(letter.headers)["reason"] for letter in letters] == [b"too_many"] * 40


async def test_a_redelivery_by_ingest_is_counted_once(stage: Stage) -> None:
    """What a crash before its commit makes ingest write: the same sources at later offsets."""
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(*(report(number) for number in range(10)))
        await until(lambda: _count(stage, 10))
    async with producing(stage.kafka) as producer:
        for record in await read_topic(stage.kafka, stage.topics.alarms):
            await producer.send_and_wait(
                stage.topics.alarms, record.value, record.key, record.partition
            )
    async with running(stage.classifier(), stage.ingest()):
        await stage.send(report(99))
        await until(lambda: _count(stage, 11))
    assert {fault["count"] for fault in await stage.faults()} == {1}


async def test_a_coordinator_that_does_not_know_the_offset_yet_is_asked_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka passes over an answer that is only an error; it must not read as "no offset"."""
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(report(1))
        await until(lambda: _count(stage, 1))
    answers = {"left out": 5}
    ask = AIOKafkaAdminClient.list_consumer_group_offsets

    async def loading(self: AIOKafkaAdminClient, *args: Any, **kwargs: Any) -> Any:
        if answers["left out"] > 0:
            answers["left out"] -= 1
            return {}
        return await ask(self, *args, **kwargs)

    monkeypatch.setattr(AIOKafkaAdminClient, "list_consumer_group_offsets", loading)
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(report(2))
        await until(lambda: _count(stage, 2))
    assert answers["left out"] == 0
    assert len(await stage.alarms()) == 2


def fail(*_: object, **_named: object) -> None:
    """As a rule with a bug."""
    raise ZeroDivisionError


async def test_a_rule_that_fails_again_and_again_stops_the_partition_and_loses_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarms = [report(1, emu_id=f"emu-{number}") for number in range(150)]
    with monkeypatch.context() as broken:
        broken.setattr("services.classifier.batch.judge_edge", fail)
        classifier = stage.classifier()
        async with running(stage.ingest(), classifier):
            await stage.send(alarms)
            await until(classifier.not_ready)
        # Below the limit they are judged by the catalogue alone, however the stream is cut into batches.
        letters = await read_topic(stage.kafka, stage.topics.dead_letters)
        assert len(letters) <= MOST_IN_WINDOW
    async with running(stage.classifier()):
        await until(lambda: _count(stage, 150))


async def test_a_record_on_which_a_rule_fails_is_judged_by_its_catalogue_grade_and_copied(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault and the dead letter are one transaction; the next record is judged as ever."""
    async with running(stage.ingest(), stage.classifier()):
        with monkeypatch.context() as broken:
            broken.setattr("services.classifier.batch.judge_edge", fail)
            await stage.send(report(1))
            await until(lambda: _count(stage, 1))
        (fault,) = await stage.faults()
        assert (fault["change"], fault["grade"]) == ("opened", "C")
        assert "a rule of ours failed" in fault["grade_reason"]
        (letter,) = await read_topic(stage.kafka, stage.topics.dead_letters)
        headers = dict(letter.headers)
        assert headers["reason"] == b"rule_failed"
        assert headers["detail"] == b"ZeroDivisionError(); it was judged by the catalogue alone"
        (alarm,) = await stage.alarms()
        assert letter.value == alarm.value
        await stage.send(report(1, state="cleared"))
        await until(lambda: _count(stage, 2))
    assert [fault["revision"] for fault in await stage.faults()] == [1, 2]


async def test_a_rule_that_fails_at_a_wake_up_is_a_dead_letter_and_the_fault_is_told_all_the_same(
    kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(kafka, prefix, make_rules(CATALOGUE, load_policy(None)))
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=(stage.input,))
    monkeypatch.setattr("services.classifier.batch.wake", fail)
    classifier = stage.classifier()
    async with running(stage.ingest(), classifier):
        await stage.send(report(1, code="unknown.code"))
        await until(lambda: _count(stage, 1))
        assert classifier.not_ready() == []
    (letter,) = await read_topic(kafka, stage.topics.dead_letters)
    headers = dict(letter.headers)
    assert headers["reason"] == b"rule_failed"
    assert b"at a wake-up; it was judged by the catalogue alone" in headers["detail"]
    assert (letter.key or b"").decode().split("\x1f") == ["c", "emu-1", "emu", "unknown.code"]


async def test_what_cannot_be_judged_even_by_the_catalogue_is_a_dead_letter_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(stage.ingest(), stage.classifier()):
        with monkeypatch.context() as broken:
            broken.setattr("services.classifier.batch.judge_edge", fail)
            broken.setattr("services.classifier.batch.judge_plainly", fail)
            await stage.send(report(1))

            async def buried() -> bool:
                return len(await read_topic(stage.kafka, stage.topics.dead_letters)) == 1

            await until(buried)
        await stage.send(report(2))
        await until(lambda: _count(stage, 1))
    (letter,) = await read_topic(stage.kafka, stage.topics.dead_letters)
    assert b"could not be judged by the catalogue alone either" in dict(letter.headers)["detail"]


async def test_an_input_topic_of_our_own_is_refused(prefix: str) -> None:
    environ = {"BAKVAKT_PREFIX": prefix, "BAKVAKT_INPUT_TOPICS": f"x,{prefix}.dead-letters"}
    with pytest.raises(ConfigError, match="dead-letters is a topic of our own"):
        build_ingest(environ)


async def test_a_restart_publishes_nothing_and_forgets_nothing(stage: Stage) -> None:
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(*(report(number) for number in range(200)))
        await until(lambda: _count(stage, 200))
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(report(7, state="cleared"))
        await until(lambda: _count(stage, 201))
    last = [fault for fault in await stage.faults() if fault["emu_id"] == "emu-7"]
    assert [(fault["revision"], fault["change"]) for fault in last] == [
        (1, "opened"),
        (2, "cleared"),
    ]
    assert len({fault["fault_id"] for fault in last}) == 1


async def test_a_restart_with_10_000_standing_faults_publishes_nothing(stage: Stage) -> None:
    """The log of faults does not grow by a byte, so nobody who reads it has anything to page for."""
    raises = [report(number, code=CODES[number % len(CODES)]) for number in range(10_000)]
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(*(raises[first : first + 500] for first in range(0, 10_000, 500)))
        await until(lambda: _count(stage, 10_000), timeout_s=60)
    faults = await ends_of(stage.kafka, stage.topics.faults)
    remembered = await ends_of(stage.kafka, stage.topics.classifier_state)
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(
            *(report(number, code="never.raised", state="cleared") for number in range(20))
        )

        async def all_at_work() -> bool:
            ends = await ends_of(stage.kafka, stage.topics.classifier_state)
            return all(ends[number] > end for number, end in remembered.items())

        await until(all_at_work)
    assert await ends_of(stage.kafka, stage.topics.faults) == faults


async def test_a_fault_is_told_after_the_hold_of_its_grade_though_nothing_else_comes(
    kafka: str, prefix: str
) -> None:
    stage = Stage(kafka, prefix, make_rules(CATALOGUE, load_policy(None)))
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=(stage.input,))
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(report(1, code="unknown.code"), report(2, code="sunspec:701.Alrm.0"))
        await until(lambda: _count(stage, 2))
    told = {
        fault["grade"]: record.timestamp - from_rfc3339(fault["opened_at"])
        for record in await read_topic(kafka, stage.topics.faults)
        for fault in documents([record])
    }
    assert told["A"] < 3_000 <= told["B"] < 6_000


def words(alrm: int, error: int, **fields: object) -> dict[str, object]:
    """A report of two registers of one EMU."""
    return {
        "type": "registers",
        "emu_id": "emu-r",
        "site_id": "site-r",
        "at": to_rfc3339(now_ms()),
        "registers": [
            {"model": 701, "point": "Alrm", "component": "pcs-1", "bits": alrm},
            {"model": "victron:battery", "point": "ErrorCode", "bits": error},
        ],
        **fields,
    }


async def test_words_of_registers_raise_what_they_show_and_clear_what_they_no_longer_show(
    stage: Stage,
) -> None:
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(words(0b11, 16, boot=1, seq=1), words(0b11, 16, boot=1, seq=2))
        await until(lambda: _count(stage, 3))
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(
            words(0b11, 16, boot=1, seq=3),
            words(2**64, 0, boot=1, seq=4),
            # Nothing of what is late, and nothing of what was refused, is applied.
            words(0b10, 15, boot=1, seq=6),
            words(0b11, 0, boot=1, seq=5),
            report(1),
        )
        await until(lambda: _count(stage, 7))

    faults = [fault for fault in await stage.faults() if fault["emu_id"] == "emu-r"]
    assert [(fault["change"], fault["component"], fault["code"]) for fault in faults] == [
        ("opened", "pcs-1", "sunspec:701.Alrm.0"),
        ("opened", "pcs-1", "sunspec:701.Alrm.1"),
        ("opened", "emu", "victron:battery/ErrorCode.16"),
        ("cleared", "emu", "victron:battery/ErrorCode.16"),
        ("cleared", "pcs-1", "sunspec:701.Alrm.0"),
        ("opened", "emu", "victron:battery/ErrorCode.15"),
    ]
    assert {fault["count"] for fault in faults} == {1}
    alarms = await stage.alarms()
    assert len(alarms) == 6, "one record for a report, however many bits it has"
    (letter,) = await read_topic(stage.kafka, stage.topics.dead_letters)
    headers = dict(letter.headers)
    assert headers["reason"] == b"invalid"
    assert b"$.registers[0].bits" in headers["detail"]


async def test_the_document_of_a_fault_that_was_closed_30_days_ago_is_taken_away(
    stage: Stage,
) -> None:
    """A raise and a clear of 40 days ago; the clock of the host does the rest, and any word then."""
    then_ms, alarms = now_ms() - 40 * DAY_MS, stage.topics.alarms
    words = [edge(n, code=CODES[0], raised=not n, receipt_ms=then_ms) for n in (0, 1, 2)]
    home = partition_of("s1", PARTITIONS)
    async with running(stage.classifier()), producing(stage.kafka) as producer:
        for count, word in zip((1, 3, 3), words, strict=True):
            await producer.send_and_wait(alarms, encode_internal(word), b"e1", home)
            await until(lambda count=count: _count(stage, count))

        async def taken_away() -> bool:
            records = await read_topic(stage.kafka, stage.topics.faults)
            return bool(records) and records[-1].value is None

        await until(taken_away)
    *told, last = await read_topic(stage.kafka, stage.topics.faults)
    assert [fault["change"] for fault in documents(told)] == ["opened", "cleared", "closed"]
    assert last.key == told[0].key


async def test_two_instances_share_the_partitions(stage: Stage) -> None:
    async with running(stage.ingest(), stage.classifier(), stage.classifier()):
        await stage.send(*(report(number) for number in range(100)))
        await until(lambda: _count(stage, 100))
    faults = await stage.faults()
    assert len({fault["fault_id"] for fault in faults}) == 100


async def test_a_record_in_the_wrong_partition_is_a_dead_letter(stage: Stage) -> None:
    async with running(stage.ingest(), stage.classifier()):
        await stage.send(report(1))
        await until(lambda: _count(stage, 1))
        (alarm,) = await stage.alarms()
        assert decode_internal(alarm.value or b"").emu_id == "emu-1"
        wrong = (alarm.partition + 1) % PARTITIONS
        async with producing(stage.kafka) as producer:
            await producer.send_and_wait(stage.topics.alarms, alarm.value, alarm.key, wrong)
            await producer.send_and_wait(stage.topics.alarms, b"\x00junk", None, wrong)

        async def reasons() -> list[str]:
            letters = await read_topic(stage.kafka, stage.topics.dead_letters)
            return sorted(dict(letter.headers)["reason"].decode() for letter in letters)

        async def both() -> bool:
            return await reasons() == ["undecodable", "wrong_partition"]

        await until(both)
    assert len(await stage.faults()) == 1

"""`simulate` on a real Kafka: what it says that it has sent is what has arrived."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.process import ProcessIdentity, boot_id
from deploy.local.state import ROOT, State, StateDirectory
from services.classifier.config import ClassifierSettings
from services.classifier.main import ClassifierService
from services.ingest.config import IngestSettings
from services.ingest.main import IngestService
from shared.catalogue import load_catalogue
from shared.kafka.partition import partition_of
from shared.kafka.topics import Topics, apply_topics
from tests.at_once import rules_at_once
from tests.conditions import until
from tests.integration.services import running
from tests.kafka_log import Record, documents, read_topic
from tests.unit.simulated_reports import Reader, reports_in

PARTITIONS = 3
SENT = re.compile(r"Sent to \S+ of \S+: ([\d,]+) alarms? in ([\d,]+) records?")


def start(kafka: str, *arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "deploy.cli", "simulate", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "BAKVAKT_KAFKA": kafka},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: "subprocess.Popen[str]") -> tuple[int, int]:
    """How many alarms and records it says that it has sent."""
    said, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    match = SENT.search(said)
    assert match, said
    alarms, records = (int(figure.replace(",", "")) for figure in match.groups())
    return alarms, records


def count(records: Sequence[Record]) -> tuple[int, int]:
    reports = [report for record in records for report in reports_in(record.value or b"")]
    return sum(len(report.get("registers", "1")) for report in reports), len(records)


async def input_topic(kafka: str, prefix: str) -> str:
    topic = f"{prefix}-reports"
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=(topic,))
    return topic


async def test_as_much_arrives_as_is_said_in_each_emu_s_order(kafka: str, prefix: str) -> None:
    topic = await input_topic(kafka, prefix)
    said = end(start(kafka, "--rate", 20_000, "--emus", 50, "--for", "1s", "--topic", topic))
    records = await read_topic(kafka, topic)
    assert count(records) == said
    assert 20_000 <= said[0] < 20_020  # the last record may hold more than one alarm
    newest: dict[str, tuple[int, int]] = {}
    for record in records:
        assert record.key is not None
        assert record.partition == partition_of(record.key.decode(), PARTITIONS)
        for report in reports_in(record.value or b""):
            assert report["emu_id"] == record.key.decode()
            if "seq" in report:
                number = (report["boot"], report["seq"])
                assert number > newest.get(report["emu_id"], (0, 0))
                newest[report["emu_id"]] = number
    assert newest


async def test_it_and_topics_mean_the_kafka_of_the_up_that_runs_here(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    topic = await input_topic(kafka, prefix)
    running_up(tmp_path, kafka)
    (tmp_path / "report.jsonl").write_text('{"emu_id": "emu-1"}')
    checked = run(tmp_path, prefix, "topics", "check")
    assert checked.returncode == 0, checked.stderr
    sent = run(tmp_path, prefix, "simulate", "--from", tmp_path / "report.jsonl", "--topic", topic)
    assert f"Sent to {topic} of {kafka}:" in sent.stdout, sent.stderr
    assert count(await read_topic(kafka, topic)) == (1, 1)
    elsewhere = run(tmp_path, prefix, "topics", "check", BAKVAKT_KAFKA="127.0.0.1:1")
    assert "127.0.0.1:1" in elsewhere.stderr, "a Kafka that is named goes before that of `up`"


def running_up(directory: Path, kafka: str) -> None:
    """As if a supervisor of this process had started that Kafka."""
    (directory / "run").mkdir()
    state = State(
        boot_id=boot_id(),
        supervisor=ProcessIdentity.own(),
        ready=True,
        kafka=kafka,
        redis="",
        postgres="",
        children=[],
    )
    StateDirectory(directory).write(state)


def run(
    state: Path, prefix: str, *arguments: object, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """A command without BAKVAKT_KAFKA, unless the settings have it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("BAKVAKT_")}
    made = {
        "PYTHONPATH": str(ROOT),
        "BAKVAKT_STATE": str(state),
        "BAKVAKT_PREFIX": prefix,
        "BAKVAKT_PARTITIONS": str(PARTITIONS),
        "BAKVAKT_REPLICATION": "1",
    }
    return subprocess.run(
        [sys.executable, "-P", "-m", "deploy.cli", *map(str, arguments)],
        env={**own, **made, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_a_signal_ends_it_and_what_it_has_sent_has_arrived(kafka: str, prefix: str) -> None:
    topic = await input_topic(kafka, prefix)
    process = start(kafka, "--rate", 200, "--topic", topic)
    await until(lambda: read_topic(kafka, topic))
    process.send_signal(signal.SIGTERM)
    said = end(process)
    assert count(await read_topic(kafka, topic)) == said


async def test_what_stands_in_the_fleet_is_what_stands_as_faults(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    topic = await input_topic(kafka, prefix)
    common: dict[str, Any] = {
        "kafka": kafka,
        "prefix": prefix,
        "partitions": PARTITIONS,
        "replication": 1,
        "session_timeout_ms": 6000,
    }
    catalogue, topics = load_catalogue(), Topics(prefix)
    ingest = IngestService(IngestSettings(**common, input_topics=(topic,)), catalogue)
    classifier = ClassifierService(ClassifierSettings(**common), rules_at_once(tmp_path))
    async with running(ingest, classifier):
        said = await asyncio.to_thread(
            end, start(kafka, "--rate", 3_000, "--emus", 60, "--for", "2s", "--topic", topic)
        )
        assert said[0] >= 6_000
        reader = Reader()
        for record in await read_topic(kafka, topic):
            reader.read(record.value or b"")
        assert len(reader.standing) > 10

        async def same() -> bool:
            return await standing_faults(kafka, topics) == reader.standing

        await until(same, timeout_s=30)
    assert await read_topic(kafka, topics.dead_letters) == []


async def standing_faults(kafka: str, topics: Topics) -> set[tuple[str, str, str]]:
    """By the newest revision of each."""
    newest = {
        fault["fault_id"]: fault for fault in documents(await read_topic(kafka, topics.faults))
    }
    return {
        (fault["emu_id"], fault["component"], fault["code"])
        for fault in newest.values()
        if fault["state"] == "open"
    }


async def test_a_file_is_sent_as_it_is(kafka: str, prefix: str, tmp_path: Path) -> None:
    topic = await input_topic(kafka, prefix)
    lines = [
        b'{"emu_id":"emu-1","at":"2026-11-22T10:00:00.000Z","n":1}',
        b'[{"emu_id":"emu-2","at":"2026-11-22T10:00:00.000Z"},{"emu_id":"emu-1","at":"no time"}]',
        b'{"emu_id":"emu-1"}',
    ]
    file = tmp_path / "reports.jsonl"
    file.write_bytes(b"\n".join(lines))
    assert end(start(kafka, "--from", file, "--rate", 50, "--topic", topic)) == (4, 3)
    records = await read_topic(kafka, topic)
    values = {record.value: record.key for record in records}
    assert values[lines[0]] == b"emu-1"
    assert values[lines[1]] == b"emu-2"
    (stamped,) = values.keys() - set(lines)
    assert set(json.loads(stamped or b"")) == {"at", "emu_id"}


async def test_a_topic_that_is_not_there_is_named(kafka: str, prefix: str) -> None:
    process = start(kafka, "--for", "1s", "--topic", f"{prefix}-none")
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaints.startswith(f"input topic {prefix}-none is not there")
    assert "Traceback" not in complaints

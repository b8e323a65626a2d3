"""`bakvakt catalogue gaps` on a real Kafka: faults of unknown codes, and the reports that opened them."""

import asyncio
import json
from typing import Any

from typer.testing import CliRunner

from deploy.cli.main import app
from shared.documents.fault import Fault, FaultSource, encode_fault
from shared.kafka.topics import Topics, apply_topics
from tests.kafka_log import producing
from tests.unit.dispatch_documents import make_fault


def fault(fault_id: str, code: str, source: FaultSource, **fields: Any) -> Fault:
    known: dict[str, Any] = {"kind": "other_alarm", "emu_id": "e1"}
    return make_fault(fault_id=fault_id, code=code, source=source, **(known | fields))


async def fill(kafka: str, prefix: str, topic: str) -> None:
    await apply_topics(kafka, prefix, partitions=2, replication=1, inputs=(topic,))
    async with producing(kafka) as producer:
        report = {"emu_id": "e1", "code": "acme:PUMP", "text": "Pump has stopped"}
        sent = [await producer.send_and_wait(topic, json.dumps(report).encode(), partition=0)]
        sent.append(await producer.send_and_wait(topic, b'{"emu_id": "e1"}', partition=0))
        here, next_to_it = (FaultSource(topic, 0, record.offset) for record in sent)
        gone, absent = FaultSource(topic, 0, 999), FaultSource(f"{prefix}.none", 0, 0)
        faults = [
            fault("f1", "acme:PUMP", here, model="P1", firmware="2.0"),
            fault("f1", "acme:PUMP", here, model="P1", firmware="2.0", revision=2, count=7),
            fault("f2", "acme:PUMP", next_to_it, emu_id="e2", model="P1", firmware="2.0"),
            fault("f3", "OLD", gone),
            fault("f4", "OTHER", absent),
            fault("f5", "sunspec:802.Evt1.1", here),  # catalogued meanwhile
            fault("f6", "acme:FAN", here, kind="fan"),
            fault("f7", "acme:FORGOTTEN", here),
        ]
        for number, document in enumerate(faults):
            await producer.send_and_wait(
                Topics(prefix).faults,
                encode_fault(document),
                key=document.fault_id.encode(),
                partition=number % 2 if document.fault_id != "f1" else 0,
            )
        await producer.send_and_wait(Topics(prefix).faults, None, key=b"f7", partition=1)


def test_unknown_codes_are_counted_and_shown_with_a_report(kafka: str, prefix: str) -> None:
    topic = f"{prefix}.input"
    asyncio.run(fill(kafka, prefix, topic))
    runner = CliRunner(
        env={"BAKVAKT_KAFKA": kafka, "BAKVAKT_PREFIX": prefix, "BAKVAKT_CATALOGUE": None}
    )
    result = runner.invoke(app, ["catalogue", "gaps", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [(gap["code"], gap["vendor"], gap["reports"], gap["emus"]) for gap in found] == [
        ("acme:PUMP", "acme", 8, 2), ("OLD", "unknown", 1, 1), ("OTHER", "unknown", 1, 1),
    ]  # fmt: skip
    assert [gap["sample"]["fault_id"] for gap in found] == ["f1", "f3", "f4"]
    assert found[0]["report"]["reports"][0]["text"] == "Pump has stopped"
    assert [gap["report"]["reports"] for gap in found[1:]] == [[], []]

    shown = runner.invoke(app, ["catalogue", "gaps"]).stdout
    assert 'PUMP" = { kind = "?", component = "?", title = "Pump has stopped"' in shown
    assert "#   fault f3" in shown


def test_no_topic_of_faults_is_said(kafka: str, prefix: str) -> None:
    result = CliRunner(env={"BAKVAKT_KAFKA": kafka, "BAKVAKT_PREFIX": prefix}).invoke(
        app, ["catalogue", "gaps"]
    )
    assert result.exit_code == 1
    assert f"there is no topic {prefix}.faults on this Kafka" in result.stderr


def test_no_kafka_is_said() -> None:
    result = CliRunner(env={"BAKVAKT_KAFKA": "127.0.0.1:9"}).invoke(app, ["catalogue", "gaps"])
    assert result.exit_code == 1
    assert result.stderr == "Kafka at 127.0.0.1:9 was not read: no broker answers\n"

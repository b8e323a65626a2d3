"""An EMU changes its site, on a real broker: what one task writes to another's input is read there."""

from pathlib import Path

from shared.documents.internal import encode_internal
from shared.kafka.partition import partition_of
from shared.kafka.topics import apply_topics
from shared.times import now_ms
from tests.at_once import rules_at_once
from tests.conditions import until
from tests.integration.services import running
from tests.integration.test_alarms_to_faults import PARTITIONS, Stage
from tests.kafka_log import producing
from tests.unit.alarms import edge, fact
from tests.unit.moving import moved

OLD, NEW = "site-1", "site-9"


async def test_what_stands_goes_along_and_what_reaches_the_old_partition_is_forwarded(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    assert partition_of(OLD, PARTITIONS) != partition_of(NEW, PARTITIONS)
    stage = Stage(kafka, prefix, rules_at_once(tmp_path))
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1)
    at_ms = now_ms()
    records = [
        fact(1, site_id=OLD, receipt_ms=at_ms),
        edge(1, site_id=OLD, receipt_ms=at_ms),
        *moved(2, NEW, OLD, receipt_ms=at_ms),
        edge(2, site_id=OLD, code="late", receipt_ms=at_ms),
        edge(3, site_id=NEW, code="new", receipt_ms=at_ms),
    ]
    async with running(stage.classifier()):
        async with producing(kafka) as producer:
            for record in records:
                home = partition_of(record.site_id, PARTITIONS)
                await producer.send_and_wait(
                    stage.topics.alarms, encode_internal(record), b"e1", home
                )

        async def all_told() -> bool:
            return len(await stage.faults()) >= 5

        await until(all_told, timeout_s=30)
    told = [(fault["change"], fault["site_id"], fault["code"]) for fault in await stage.faults()]
    assert sorted(told) == [
        ("moved", OLD, "unknown.code"),
        ("opened", OLD, "unknown.code"),
        ("opened", NEW, "late"),
        ("opened", NEW, "new"),
        ("opened", NEW, "unknown.code"),
    ]

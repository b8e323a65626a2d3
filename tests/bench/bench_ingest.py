"""Ingest against a process that reads, decodes and writes as much, and checks nothing."""

import msgspec
import uvloop

from shared.documents.report import AlarmReport
from tests.bench import floors
from tests.bench.figures import Measurement
from tests.bench.frame import Bench, Repetitions, Setup
from tests.bench.loads import reports, spread
from tests.bench.service import against_floor, cost_of, make_topics, running
from tests.kafka_log import read_topic


def run(setup: Setup) -> Repetitions:
    """A fresh instance and fresh topics for each repetition."""
    for number in setup.repetitions:
        yield uvloop.run(_measure(setup, f"ingest-{number}"))


async def _measure(setup: Setup, prefix: str) -> list[Measurement]:
    kafka, count = setup.servers.kafka, setup.size
    source, out = f"{prefix}-reports", f"{prefix}-out"
    topics = await make_topics(setup, prefix, source, out)
    records = reports(count, conditions=max(1, count // 10))

    async def fill() -> None:
        await floors.fill(kafka, source, spread(records))

    async with running(setup, "ingest", prefix, INPUT_TOPICS=source) as ingest:

        async def all_read() -> bool:
            return await ingest.metric("bakvakt_ingest_reports_total") >= count

        ours = await cost_of(ingest, fill, all_read, broker=setup.broker_pid)
    written = [(record.key, record.value) for record in await read_topic(kafka, topics.alarms)]
    floor = await floors.consume(
        kafka,
        source,
        count,
        broker_pid=setup.broker_pid,
        decode=msgspec.json.Decoder(AlarmReport).decode,
        target=out,
        outputs=written,
    )
    return against_floor("a report", count, floor, ours)


BENCH = Bench(
    name="ingest",
    question="What does a report cost ingest, against reading, decoding and writing as much?",
    size=100_000,
    counts="reports",
    run=run,
)

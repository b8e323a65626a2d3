"""The classifier against a process that reads, decodes and writes as much, and judges nothing."""

import uvloop

from shared.documents.internal import decode_internal
from tests.at_once import settings_at_once
from tests.bench import floors
from tests.bench.figures import Measurement
from tests.bench.frame import Bench, Repetitions, Setup
from tests.bench.loads import alarms
from tests.bench.service import against_floor, cost_of, make_topics, running
from tests.kafka_log import read_topic

# Each condition is spoken of ten times: raised once and repeated, or raised, cleared, raised, ...
WORDS_A_CONDITION = 10


def run(setup: Setup) -> Repetitions:
    """A fresh instance and fresh topics for each repetition and each mixture."""
    for number in setup.repetitions:
        yield [
            *uvloop.run(_measure(setup, "90 % repeats", f"repeats-{number}", clears=False)),
            *uvloop.run(_measure(setup, "100 % transitions", f"turns-{number}", clears=True)),
        ]


async def _measure(setup: Setup, mixture: str, prefix: str, *, clears: bool) -> list[Measurement]:
    """Outputs are faults and changelog; the floor writes the same records as the classifier did."""
    kafka, count = setup.servers.kafka, setup.size
    out = f"{prefix}-out"
    topics = await make_topics(setup, prefix, out)
    conditions = max(1, count // WORDS_A_CONDITION)
    records = alarms(count, conditions=conditions, clears=clears)

    async def fill() -> None:
        await floors.fill(kafka, topics.alarms, records)

    settings = settings_at_once(setup.directory / f"{prefix}-at-once")
    named = {name.removeprefix("BAKVAKT_"): value for name, value in settings.items()}
    async with running(setup, "classifier", prefix, **named) as classifier:

        async def all_judged() -> bool:
            return await classifier.metric("bakvakt_classifier_alarms_total") >= count

        ours = await cost_of(classifier, fill, all_judged, broker=setup.broker_pid)
    written = [
        (record.key, record.value)
        for topic in (topics.faults, topics.classifier_state)
        for record in await read_topic(kafka, topic)
    ]
    floor = await floors.consume(
        kafka,
        topics.alarms,
        count,
        broker_pid=setup.broker_pid,
        decode=decode_internal,
        target=out,
        outputs=written,
    )
    return [
        *against_floor(f"an alarm, {mixture}", count, floor, ours),
        Measurement(f"outputs an alarm, {mixture}", "records", len(written) / count),
    ]


BENCH = Bench(
    name="classifier",
    question="What does an alarm cost the classifier, against reading, decoding and writing as much?",
    size=100_000,
    counts="alarms",
    run=run,
)

"""What many standing conditions cost the classifier: memory, a restore, an alarm about a few of them."""

import os
from pathlib import Path
from typing import NamedTuple

import uvloop

from tests.at_once import rules_at_once, settings_at_once
from tests.bench import floors
from tests.bench.figures import Measurement
from tests.bench.frame import Bench, Repetitions, Setup
from tests.bench.loads import STANDING_AN_EMU, repeats, standing
from tests.bench.meter import cpu_s
from tests.bench.service import cost_of, make_topics, running

FEW = 1_000
ALARMS = 50_000
CHUNK = 100_000
PAGE_BYTES = os.sysconf("SC_PAGESIZE")


class _Found(NamedTuple):
    """Of one instance with so many conditions."""

    records: int
    """Of its changelog."""
    ready_cpu_s: float
    """What it has used when it is ready, from its start on."""
    memory_bytes: int
    alarm_us: float


def run(setup: Setup) -> Repetitions:
    """Two instances one after the other: with few conditions, and with many of which the same few speak."""
    for number in setup.repetitions:
        few = uvloop.run(_measure(setup, f"few-{number}", FEW))
        many = uvloop.run(_measure(setup, f"many-{number}", setup.size))
        more = setup.size - FEW
        few_alarm = f"an alarm, {FEW:,} stand"
        yield [
            Measurement(few_alarm, "us", few.alarm_us),
            Measurement(f"an alarm, {setup.size:,} stand", "us", many.alarm_us, few_alarm),
            Measurement("memory a condition", "B", (many.memory_bytes - few.memory_bytes) / more),
            Measurement("memory of the process", "MB", many.memory_bytes / 1e6),
            Measurement(
                "restored records of the changelog, of its CPU",
                "1/s",
                (many.records - few.records) / (many.ready_cpu_s - few.ready_cpu_s),
            ),
        ]


async def _measure(setup: Setup, prefix: str, conditions: int) -> _Found:
    kafka = setup.servers.kafka
    topics = await make_topics(setup, prefix)
    at_once = setup.directory / f"{prefix}-at-once"
    rules = rules_at_once(at_once)
    for first in range(0, conditions, CHUNK):
        some = standing(range(first, min(first + CHUNK, conditions)), rules)
        await floors.fill(kafka, topics.classifier_state, some)
    alarms = repeats(ALARMS, conditions=FEW)

    async def fill() -> None:
        await floors.fill(kafka, topics.alarms, alarms)

    settings = settings_at_once(setup.directory / f"{prefix}-service")
    named = {name.removeprefix("BAKVAKT_"): value for name, value in settings.items()}
    async with running(setup, "classifier", prefix, **named) as classifier:
        ready_cpu_s = cpu_s(classifier.pid)
        memory_bytes = _resident_bytes(classifier.pid)

        async def all_judged() -> bool:
            return await classifier.metric("bakvakt_classifier_alarms_total") >= ALARMS

        cost = await cost_of(classifier, fill, all_judged)
        memory_bytes = max(memory_bytes, _resident_bytes(classifier.pid))
    return _Found(
        records=conditions + conditions // STANDING_AN_EMU,
        ready_cpu_s=ready_cpu_s,
        memory_bytes=memory_bytes,
        alarm_us=cost.cpu_s / ALARMS * 1e6,
    )


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * PAGE_BYTES


BENCH = Bench(
    name="standing",
    question="What do many standing conditions cost the classifier, in memory, at a restore, an alarm?",
    size=1_000_000,
    counts="conditions",
    run=run,
    repetitions=3,
)

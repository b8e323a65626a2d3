"""A classifier that has little to do: how soon a fault of grade A is told, and what few alarms cost."""

import asyncio
import itertools
import time
from collections.abc import Iterator

import uvloop

from shared.documents.internal import Edge, Source, encode_internal
from shared.kafka.partition import partition_of
from shared.kafka.topics import apply_topics
from shared.times import now_ms
from tests.at_once import settings_at_once
from tests.bench import floors
from tests.bench.figures import Measurement, percentile
from tests.bench.frame import Bench, Repetitions, Setup
from tests.bench.loads import CODE
from tests.bench.meter import Meter
from tests.bench.service import ServiceProcess, make_topics, running

CODE_A = "sunspec:802.Evt1.1"
SAMPLES = 200
# Between an answer and the next alarm, so that each finds the classifier at rest.
REST_S = 0.03
PARTITIONS = 24
ALARMS_A_SECOND = 10  # in each partition
REPEATS = 10  # one alarm in ten opens a fault, the others repeat one
IDLE_S = 10


def run(setup: Setup) -> Repetitions:
    """A fresh instance for each of the two, in each repetition."""
    for number in setup.repetitions:
        yield [
            *uvloop.run(_latency(setup, f"latency-{number}")),
            *uvloop.run(_shares(setup, f"shares-{number}")),
        ]


async def _latency(setup: Setup, prefix: str) -> list[Measurement]:
    """From the send of an alarm to the reader of faults that has its fault."""
    kafka = setup.servers.kafka
    source, target = f"{prefix}-source", f"{prefix}-target"
    topics = await make_topics(setup, prefix, source, target)
    hops_s = await floors.transactional_hops_s(kafka, source, target, SAMPLES)
    found_s: list[float] = []
    async with (
        running(setup, "classifier", prefix),
        floors.producing(kafka) as producer,
        floors.consuming(kafka, topics.faults, [0]) as faults,
    ):
        emus = (name for name in _names("emu") if partition_of(name, 4) == 0)
        for number, emu_id in zip(range(SAMPLES), emus, strict=False):
            await asyncio.sleep(REST_S)
            began_s = time.perf_counter()
            await producer.send(topics.alarms, _edge(number, emu_id, CODE_A), partition=0)
            await faults.getone()
            found_s.append(time.perf_counter() - began_s)
    warm_s = found_s[SAMPLES // 10 :]
    return [
        Measurement(
            f"{name} {label}", "ms", percentile(times_s, share) * 1e3, floor and floor + label
        )
        for name, times_s, floor in (
            ("transactional hop", hops_s, None),
            ("alarm to fault (A)", warm_s, "transactional hop "),
        )
        for label, share in (("p50", 0.5), ("p99", 0.99))
    ]


async def _shares(setup: Setup, prefix: str) -> list[Measurement]:
    """CPU of one core, of an instance that owns 24 partitions."""
    kafka = setup.servers.kafka
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=())
    settings = settings_at_once(setup.directory / f"{prefix}-at-once")
    named = {name.removeprefix("BAKVAKT_"): value for name, value in settings.items()}
    named["PARTITIONS"] = str(PARTITIONS)
    async with (
        running(setup, "classifier", prefix, **named) as classifier,
        floors.producing(kafka) as producer,
    ):
        meter = _Share(classifier)
        await asyncio.sleep(IDLE_S)
        idle = meter.read()
        meter = _Share(classifier)
        await _send_evenly(producer, f"{prefix}.alarms", setup.size)
        busy = meter.read()
    name = f"{PARTITIONS} partitions"
    return [
        Measurement(f"{name}, no alarms", "% of a core", idle),
        Measurement(f"{name}, {ALARMS_A_SECOND} alarms/s each", "% of a core", busy),
    ]


class _Share:
    """Of one core, in percent, from its making on."""

    def __init__(self, service: ServiceProcess) -> None:
        self._meter = Meter(service=service.pid)

    def read(self) -> float:
        cost = self._meter.read()
        return cost.servers_s["service"] / cost.took_s * 100


async def _send_evenly(producer: floors.AIOKafkaProducer, topic: str, count: int) -> None:
    """One to each partition in turn, as many a second as there are to be."""
    sites = {partition_of(name, PARTITIONS): name for name in itertools.islice(_names("s"), 1000)}
    began_s = time.monotonic()
    for number in range(count):
        partition, turn = number % PARTITIONS, number // PARTITIONS
        due_s = began_s + number / (PARTITIONS * ALARMS_A_SECOND)
        await asyncio.sleep(max(0, due_s - time.monotonic()))
        emu_id = f"emu-{partition}-{turn // REPEATS}"
        alarm = _edge(turn, emu_id, CODE, site_id=sites[partition])
        await producer.send(topic, alarm, partition=partition)


def _edge(number: int, emu_id: str, code: str, *, site_id: str | None = None) -> bytes:
    at_ms = now_ms()
    return encode_internal(
        Edge(
            source=Source(1, "reports", 0, number, 0),
            emu_id=emu_id,
            site_id=site_id or emu_id,
            component="emu",
            code=code,
            raised=True,
            at_ms=at_ms,
            receipt_ms=at_ms,
        )
    )


def _names(prefix: str) -> Iterator[str]:
    return (f"{prefix}-{number}" for number in itertools.count())


BENCH = Bench(
    name="quiet",
    question="How soon does an idle classifier tell a fault, and what do few alarms cost it?",
    size=4_800,
    counts="alarms",
    run=run,
    repetitions=3,
)

"""The main job with all four services, as `up` runs them: latency of an idle system, then throughput."""

import asyncio
import itertools
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TextIO

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer

from shared.documents.report import AlarmReport
from shared.kafka.partition import partition_of
from shared.times import now_ms, to_rfc3339
from tests.acceptance.stack import PARTITIONS, Stack, started
from tests.bench import floors
from tests.bench.figures import Measurement, percentile
from tests.bench.frame import Bench, Repetitions, Setup
from tests.bench.loads import reports, spread
from tests.bench.meter import Meter
from tests.bench.service import ServiceProcess, make_topics, until_done

SAMPLES = 100
REPEATS = 10  # one alarm in ten opens a fault, the others repeat one
SERVICES = ("ingest", "classifier", "dispatch", "timer")
COUNTED_BY = {
    "ingest": "bakvakt_ingest_reports_total",
    "classifier": "bakvakt_classifier_alarms_total",
}
PATIENCE_S = 120
LOOK_INTERVAL_S = 0.001


def run(setup: Setup) -> Repetitions:
    """The services run on from one repetition to the next; each has EMUs of its own."""
    with started(setup.directory / "state", setup.servers, "main-job", {}) as stack:
        for number in setup.repetitions:
            yield uvloop.run(_measure(setup, stack, f"r{number}"))


async def _measure(setup: Setup, stack: Stack, fleet: str) -> list[Measurement]:
    hop, source, out = (f"main-job-{fleet}-{name}" for name in ("hop", "in", "out"))
    await make_topics(setup, "main-job", hop, source, out)
    with _new_pages(stack) as pages:
        latencies = await _latencies(stack, pages, fleet, hop)
        costs = await _costs(setup, stack, fleet, source, out)
        # The next repetition is to find an idle system again.
        await _all_paged(setup, stack, pages)
    return latencies + costs


async def _latencies(stack: Stack, pages: TextIO, fleet: str, hop: str) -> list[Measurement]:
    """From the producer's send to what a reader sees: a plain hop, the Fault, the page."""
    found_s: dict[str, list[float]] = {"report to fault": [], "report to page": []}
    hops_s = await floors.hops_s(stack.kafka, hop, SAMPLES)
    async with (
        floors.producing(stack.kafka) as producer,
        floors.consuming(stack.kafka, stack.topics.faults, [0]) as faults,
        asyncio.timeout(PATIENCE_S),
    ):
        for emu_id in _of_partition_0(f"{fleet}-latency", SAMPLES):
            began_s = time.perf_counter()
            await producer.send(stack.input, _report_of_grade_a(emu_id))
            await _until_told(faults, emu_id)
            found_s["report to fault"].append(time.perf_counter() - began_s)
            while f'"{emu_id}"' not in pages.read():  # noqa: ASYNC110 - a file wakes nobody
                await asyncio.sleep(LOOK_INTERVAL_S)
            found_s["report to page"].append(time.perf_counter() - began_s)
    # As of the plain hops: the first ones find out where things are.
    warm_s = {name: times_s[SAMPLES // 10 :] for name, times_s in found_s.items()}
    return [
        Measurement(
            f"{name} {label}",
            "ms",
            percentile(times_s, share) * 1e3,
            None if name == "hop" else f"hop {label}",
        )
        for name, times_s in {"hop": hops_s, **warm_s}.items()
        for label, share in (("p50", 0.5), ("p99", 0.99))
    ]


def _of_partition_0(fleet: str, count: int) -> Iterator[str]:
    """So many EMUs, each a site of its own; their faults come to one partition, the reader's."""
    names = (f"{fleet}-{number}" for number in itertools.count())
    return itertools.islice((name for name in names if partition_of(name, PARTITIONS) == 0), count)


async def _costs(
    setup: Setup, stack: Stack, fleet: str, source: str, out: str
) -> list[Measurement]:
    """CPU an alarm: the floor's, which writes on the bytes that it has read, and that of two services."""
    count = setup.size
    records = reports(count, conditions=max(1, count // REPEATS), fleet=fleet)
    await floors.fill(stack.kafka, source, spread(records))
    floor = await floors.consume(
        stack.kafka,
        source,
        count,
        broker_pid=setup.broker_pid,
        decode=msgspec.json.Decoder(AlarmReport).decode,
        target=out,
        outputs=records,
    )
    used_s, took_s = await _judge(stack, records)
    return [
        Measurement("floor of an alarm", "us", floor.cpu_s / count * 1e6),
        *(
            Measurement(f"an alarm: {name}", "us", service_s / count * 1e6, "floor of an alarm")
            for name, service_s in used_s.items()
        ),
        Measurement("alarms, everything on this machine", "1/s", count / took_s),
    ]


async def _judge(
    stack: Stack, records: Sequence[floors.KeyValue]
) -> tuple[Mapping[str, float], float]:
    """CPU of ingest and of the classifier until they have done with `records`, and the time."""
    services = {name: ServiceProcess(stack.pid(name), stack.url(name)) for name in COUNTED_BY}

    async def counts() -> list[float]:
        return [await services[name].metric(metric) for name, metric in COUNTED_BY.items()]

    before = await counts()

    async def all_judged() -> bool:
        now = await counts()
        return all(b >= a + len(records) for a, b in zip(before, now, strict=True))

    meter = Meter(**{name: service.pid for name, service in services.items()})
    began_s = time.monotonic()
    await floors.fill(stack.kafka, stack.input, spread(records))
    ended_s = await until_done(all_judged, *(service.pid for service in services.values()))
    return meter.read().servers_s, ended_s - began_s


async def _until_told(faults: AIOKafkaConsumer, emu_id: str) -> None:
    name = f'"{emu_id}"'.encode()
    while name not in ((await faults.getone()).value or b""):
        pass


async def _all_paged(setup: Setup, stack: Stack, pages: TextIO) -> None:
    paged = 0

    async def all_paged() -> bool:
        nonlocal paged
        paged += pages.read().count("\n")
        return paged >= setup.size // REPEATS

    await until_done(all_paged, *(stack.pid(name) for name in (*SERVICES, "receiver")))


@contextmanager
def _new_pages(stack: Stack) -> Generator[TextIO]:
    """The receiver's file, from its present end on."""
    file = stack.bakvakt.state_directory.pages
    file.touch()
    with file.open(encoding="utf-8") as pages:
        pages.seek(0, 2)
        yield pages


def _report_of_grade_a(emu_id: str) -> bytes:
    return msgspec.json.encode(
        {
            "emu_id": emu_id,
            "site_id": emu_id,
            "code": "sunspec:701.Alrm.0",
            "state": "raised",
            "at": to_rfc3339(now_ms()),
        }
    )


BENCH = Bench(
    name="main-job",
    question="What do ingest and classifier cost an alarm, and how soon is a report a fault and a page?",
    size=50_000,
    counts="alarms",
    run=run,
)

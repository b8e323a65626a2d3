"""The timer against a sorted set and a hash in the same Redis, and Kafka's own cost of the same records."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
import uvloop

from shared.documents.case import Case
from shared.kafka.topics import Topics
from shared.times import DAY_MS, now_ms
from tests.bench import floors
from tests.bench.figures import Measurement
from tests.bench.frame import Bench, CannotMeasure, Repetitions, Setup
from tests.bench.loads import cases, one_clock, three_clocks
from tests.bench.meter import Cost, Meter, together
from tests.bench.service import (
    ServiceProcess,
    against_floor,
    cost_of,
    make_topics,
    running,
    until_done,
)
from tests.kafka_log import read_topic

Records = Mapping[int, Sequence[floors.KeyValue]]

CLOCKS_A_CASE = 3


def run(setup: Setup) -> Repetitions:
    """A fresh instance and fresh topics for each repetition, in the same Redis."""
    for number in setup.repetitions:
        yield uvloop.run(_measure(setup, f"timer-{number}"))


async def _measure(setup: Setup, prefix: str) -> list[Measurement]:
    topics = await make_topics(setup, prefix, f"{prefix}-out")
    async with running(setup, "timer", prefix) as timer:
        apply, bytes_a_case = await _apply(setup, topics, timer)
        fire = await _fire(setup, topics, timer, apply.took_s)
    floor_apply, floor_bytes = await _floor_of_apply(setup, topics)
    floor_fire = await _floor_of_fire(setup, topics)
    return [
        *against_floor("a case applied", setup.size, floor_apply, apply),
        *against_floor("a deadline fired", setup.size, floor_fire, fire),
        Measurement("floor of memory a case", "B", floor_bytes),
        Measurement("memory a case", "B", bytes_a_case, "floor of memory a case"),
    ]


async def _apply(setup: Setup, topics: Topics, timer: ServiceProcess) -> tuple[Cost, float]:
    """Cases of three clocks that end in a day, and what each takes in Redis."""
    records = cases(setup.size, "far", three_clocks(now_ms(), DAY_MS))
    before_bytes = await floors.used_memory_bytes(setup.servers.redis)
    cost = await _lay_before(setup, topics, timer, records, CLOCKS_A_CASE * setup.size)
    used_bytes = await floors.used_memory_bytes(setup.servers.redis) - before_bytes
    return cost, used_bytes / setup.size


async def _fire(setup: Setup, topics: Topics, timer: ServiceProcess, applied_in_s: float) -> Cost:
    """As many more cases, all due in the same moment, which comes once all of them are applied."""
    count = setup.size
    due_ms = now_ms() + int(2_000 * applied_in_s) + 5_000 + count // 5
    records = cases(count, "near", one_clock(now_ms(), due_ms))
    await _lay_before(setup, topics, timer, records, (CLOCKS_A_CASE + 1) * count)
    left_ms = due_ms - now_ms()
    if left_ms < 0:
        raise CannotMeasure(
            f"The last case was applied {-left_ms} ms after it was due: the machine has too much to do."
        )
    await asyncio.sleep(left_ms / 1000)
    meter = Meter(ours=timer.pid, broker=setup.broker_pid, redis=setup.redis_pid)

    async def all_fired() -> bool:
        return await timer.metric("bakvakt_timer_fired_total") >= count

    await until_done(all_fired, timer.pid)
    used_s = dict(meter.read().servers_s)
    published = await read_topic(setup.servers.kafka, topics.deadlines)
    took_s = (max(record.timestamp for record in published) - due_ms) / 1000
    return Cost(used_s.pop("ours"), used_s, took_s)


async def _lay_before(
    setup: Setup, topics: Topics, timer: ServiceProcess, records: Records, clocks: int
) -> Cost:
    """The cost of applying `records`, after which so many clocks stand."""

    async def fill() -> None:
        await floors.fill(setup.servers.kafka, topics.cases, records)

    async def all_applied() -> bool:
        return await timer.metric("bakvakt_timer_clocks_standing") >= clocks

    return await cost_of(timer, fill, all_applied, broker=setup.broker_pid, redis=setup.redis_pid)


async def _floor_of_apply(setup: Setup, topics: Topics) -> tuple[Cost, float]:
    """Read and decode as many cases, and schedule one timer for each; what a timer takes in Redis."""
    url, count = setup.servers.redis, setup.size
    read = await floors.consume(
        setup.servers.kafka,
        topics.cases,
        count,
        broker_pid=setup.broker_pid,
        decode=msgspec.json.Decoder(Case).decode,
    )
    timers = _timers(count, now_ms() + DAY_MS)
    before_bytes = await floors.used_memory_bytes(url)
    name = f"{topics.prefix}-floor"
    scheduled = await floors.schedule(url, name, timers, redis_pid=setup.redis_pid)
    used_bytes = await floors.used_memory_bytes(url) - before_bytes
    return together(read, scheduled), used_bytes / count


async def _floor_of_fire(setup: Setup, topics: Topics) -> Cost:
    """Take as many due timers out again, and write the deadlines that the timer wrote by `send_batch`."""
    url, kafka, count = setup.servers.redis, setup.servers.kafka, setup.size
    name, now = f"{topics.prefix}-due", now_ms()
    await floors.schedule(url, name, _timers(count, now), redis_pid=setup.redis_pid)
    fired = await floors.fire(url, name, count, now, redis_pid=setup.redis_pid)
    written = [(record.key, record.value) for record in await read_topic(kafka, topics.deadlines)]
    out = f"{topics.prefix}-out"
    sent = await floors.send_batches(kafka, out, written, broker_pid=setup.broker_pid)
    return together(fired, sent)


def _timers(count: int, due_ms: int) -> list[floors.Timer]:
    """Names as long as those of cases; 64 bytes each to carry."""
    return [(f"c{number:015}", due_ms, b"x" * 64) for number in range(count)]


BENCH = Bench(
    name="timer",
    question="What do applying a case and firing a deadline cost, against sorted set and hash?",
    size=20_000,
    counts="cases",
    run=run,
)

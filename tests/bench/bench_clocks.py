"""Many clocks that stand: lateness, a burst, a rebuild; and what an idle timer costs."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import uvloop
from aiokafka import AIOKafkaConsumer

from shared.documents.case import Case, Clock, Warn, encode_case
from shared.documents.deadline import decode_deadline
from shared.documents.ids import make_id
from shared.kafka.partition import partition_of
from shared.kafka.topics import Topics, apply_topics
from shared.times import DAY_MS, HOUR_MS, from_rfc3339, now_ms, to_rfc3339
from tests.acceptance.stack import PARTITIONS
from tests.bench import floors
from tests.bench.figures import Measurement, percentile
from tests.bench.frame import Bench, CannotMeasure, Repetitions, Setup
from tests.bench.loads import SITES
from tests.bench.meter import Meter
from tests.bench.service import ServiceProcess, make_topics, running
from tests.conditions import until
from tests.integration.timer_model import connect

MONTH_MS = 30 * DAY_MS
CHUNK = 20_000
IDLE_SHARDS, IDLE_S = 24, 20
FIRES_A_SECOND, STEADY_S = 2_000, 20
BURST = 100_000
PATIENCE_S = 600
# To ask costs the timer some ms.
LOOK_INTERVAL_S = 0.5


def run(setup: Setup) -> Repetitions:
    """A fresh instance and fresh topics for each repetition."""
    for number in setup.repetitions:
        yield uvloop.run(_measure(setup, f"clocks-{number}"))


async def _measure(setup: Setup, prefix: str) -> list[Measurement]:
    idle = await _idle(setup, f"{prefix}-idle")
    topics = await make_topics(setup, prefix)
    async with running(setup, "timer", prefix) as timer:
        await _lay_out(setup, topics, "standing", _spread(setup.size))
        await _until_standing(timer, setup.size)
        steady_ms = await _fire(setup, topics, timer, FIRES_A_SECOND * STEADY_S, STEADY_S)
        burst_ms = await _fire(setup, topics, timer, BURST, 1)
        rebuilt_s = await _rebuild(setup, timer)
    return [
        Measurement(f"idle, {IDLE_SHARDS} shards", "% of a core", idle),
        Measurement(f"late at {FIRES_A_SECOND} a second: p50", "ms", percentile(steady_ms, 0.5)),
        Measurement(f"late at {FIRES_A_SECOND} a second: p99", "ms", percentile(steady_ms, 0.99)),
        Measurement(f"{BURST} due in one second: the last is late", "ms", max(burst_ms)),
        Measurement("rebuilt after FLUSHALL", "s", rebuilt_s),
    ]


async def _idle(setup: Setup, prefix: str) -> float:
    await apply_topics(
        setup.servers.kafka, prefix, partitions=IDLE_SHARDS, replication=1, inputs=()
    )
    async with running(setup, "timer", prefix, PARTITIONS=str(IDLE_SHARDS)) as timer:
        await asyncio.sleep(10)
        meter = Meter(ours=timer.pid)
        await asyncio.sleep(IDLE_S)
        cost = meter.read()
    return cost.servers_s["ours"] / cost.took_s * 100


def _spread(count: int) -> Iterator[int]:
    """When so many cases are due: evenly from tomorrow on over a month, in no order."""
    start_ms = now_ms() + DAY_MS
    return (start_ms + int(number * 0.6180339887 % 1 * MONTH_MS) for number in range(count))


async def _lay_out(setup: Setup, topics: Topics, fleet: str, due_ms: Iterator[int]) -> None:
    """Cases of one clock with two warnings an hour apart, in portions that fit into memory."""
    number, more = 0, True
    while more:
        more = False
        records: dict[int, list[floors.KeyValue]] = {home: [] for home in range(PARTITIONS)}
        for _, due in zip(range(CHUNK), due_ms, strict=False):
            case = _case(fleet, number, due)
            home = partition_of(case.site_id, PARTITIONS)
            records[home].append((case.case_id.encode(), encode_case(case)))
            number, more = number + 1, True
        if more:
            await floors.fill(setup.servers.kafka, topics.cases, records)


def _case(fleet: str, number: int, due_ms: int) -> Case:
    warn = (
        Warn("0.5", to_rfc3339(due_ms + HOUR_MS)),
        Warn("0.8", to_rfc3339(due_ms + 2 * HOUR_MS)),
        Warn("1", to_rfc3339(due_ms)),
    )
    return Case(
        case_id=make_id("c", fleet, number),
        revision=1,
        change="opened",
        state="open",
        grade="C",
        grade_worst="C",
        site_id=f"site-{number % SITES}",
        clocks={"response": Clock(to_rfc3339(now_ms()), to_rfc3339(due_ms), "breach", warn)},
    )


async def _until_standing(timer: ServiceProcess, clocks: int) -> None:
    async def all_stand() -> bool:
        await asyncio.sleep(LOOK_INTERVAL_S)
        return await timer.metric("bakvakt_timer_clocks_standing") >= clocks

    await until(all_stand, timeout_s=PATIENCE_S, what=f"{clocks} clocks stand")


async def _fire(
    setup: Setup, topics: Topics, timer: ServiceProcess, count: int, seconds: int
) -> Sequence[int]:
    """How late each of so many deadlines comes to a reader, due evenly over `seconds`."""
    standing = int(await timer.metric("bakvakt_timer_clocks_standing"))
    first_ms = now_ms() + 10_000 + count // 4
    due_ms = (first_ms + number * seconds * 1_000 // count for number in range(count))
    async with _arrivals(setup, topics, first_ms) as late_ms:
        await _lay_out(setup, topics, f"due-{first_ms}", due_ms)
        await _until_standing(timer, standing + count)
        if now_ms() > first_ms:
            raise CannotMeasure("The cases were not applied before they were due.")
        await until(lambda: len(late_ms) >= count, timeout_s=PATIENCE_S, what="all have fired")
        return late_ms


@asynccontextmanager
async def _arrivals(setup: Setup, topics: Topics, first_ms: int) -> AsyncGenerator[list[int]]:
    """How late what is due from `first_ms` on is, when a reader of committed records has it."""
    late_ms: list[int] = []

    async def read(consumer: AIOKafkaConsumer) -> None:
        while True:
            found = await consumer.getmany(timeout_ms=1_000)
            now = now_ms()
            dues = (
                from_rfc3339(decode_deadline(record.value or b"").due_at)
                for records in found.values()
                for record in records
            )
            late_ms.extend(now - due for due in dues if due >= first_ms)

    async with AsyncExitStack() as stack:
        reading: list[asyncio.Task[None]] = []
        for partition in range(PARTITIONS):
            one = floors.consuming(setup.servers.kafka, topics.deadlines, [partition])
            reading.append(asyncio.create_task(read(await stack.enter_async_context(one))))
        try:
            yield late_ms
        finally:
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)


async def _rebuild(setup: Setup, timer: ServiceProcess) -> float:
    """From the loss of all that Redis held until every shard is served again."""
    standing = await timer.metric("bakvakt_timer_clocks_standing")
    rebuilt = await timer.metric("bakvakt_timer_rebuilt_total")
    async with connect(setup.servers.redis) as redis:
        await redis.flushall()
    began_s = time.monotonic()

    async def all_rebuilt() -> bool:
        await asyncio.sleep(LOOK_INTERVAL_S)
        return (
            await timer.metric("bakvakt_timer_rebuilt_total") >= rebuilt + PARTITIONS
            and await timer.metric("bakvakt_timer_clocks_standing") >= standing
        )

    await until(all_rebuilt, timeout_s=PATIENCE_S, what="every shard is built anew")
    return time.monotonic() - began_s


BENCH = Bench(
    name="clocks",
    question="With so many clocks standing, how late is the timer, and how soon is it built anew?",
    size=100_000,
    counts="standing cases",
    run=run,
    repetitions=1,
)

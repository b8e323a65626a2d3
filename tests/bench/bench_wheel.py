"""The timer's wheel against a sorted set and a hash of the same plans, in the same Redis."""

from collections.abc import Iterator, Sequence

import uvloop

from services.timer.plan import Moment, Plan
from services.timer.records import Change
from services.timer.redis_server import RedisServer
from services.timer.store import Store
from services.timer.wheel import WheelStore
from shared.documents.ids import make_id
from shared.times import DAY_MS, HOUR_MS, now_ms
from tests.bench import floors
from tests.bench.figures import Measurement
from tests.bench.frame import Bench, Repetitions, Setup
from tests.bench.loads import SITES
from tests.bench.meter import Cost, Meter, together
from tests.sorted_sets.store import SortedSetStore

SHARDS = 4
BATCH, CLAIM_LIMIT = 500, 256
# So many of them are measured: the last to be applied, and all that fire.
MEASURED = 10_000
MONTH_MS = 30 * DAY_MS
SHARES = ("0.5", "0.8", "1")


def run(setup: Setup) -> Repetitions:
    """A fresh shard each for both stores; the wheel last, where Redis holds the other's cases as well."""
    for number in setup.repetitions:
        yield uvloop.run(_measure(setup, f"wheel-{number}"))


async def _measure(setup: Setup, prefix: str) -> list[Measurement]:
    found: list[Measurement] = []
    server = RedisServer(setup.servers.redis, timeout_s=60, shards=SHARDS)
    try:
        for name, make_store, floor in (
            ("sets", SortedSetStore, None),
            ("wheel", WheelStore, "sets"),
        ):
            stores = [make_store(server.redis, f"{prefix}-{name}", n) for n in range(SHARDS)]
            found += await _measure_store(setup, name, stores, floor)
    finally:
        await server.close()
    return found


async def _measure_store(
    setup: Setup, name: str, stores: Sequence[Store], floor: str | None
) -> list[Measurement]:
    before_bytes = await floors.used_memory_bytes(setup.servers.redis)
    measured = min(MEASURED, setup.size // 2)
    due_ms = now_ms()
    for store in stores:
        await store.take_over()
    applied: list[Cost] = []
    next_case = [0] * SHARDS
    for number, changes in enumerate(_batches(setup.size, due_ms, due_now=measured)):
        shard = number % SHARDS
        next_case[shard] += len(changes)
        meter = Meter(redis=setup.redis_pid)
        await stores[shard].apply(changes, next_case[shard])
        applied.append(meter.read())
    used_bytes = await floors.used_memory_bytes(setup.servers.redis) - before_bytes
    last = applied[-(measured // BATCH) :]
    fired, meter = 0, Meter(redis=setup.redis_pid)
    for store in stores:
        fired += await _fire_all(store)
    cost = meter.read()
    assert fired == measured
    return [
        *_costs(f"{name}: apply", together(*last), BATCH * len(last), floor and f"{floor}: apply"),
        *_costs(f"{name}: fire", cost, fired, floor and f"{floor}: fire"),
        Measurement(
            f"{name}: memory a case", "B", used_bytes / setup.size, floor and f"{floor}: memory a case"
        ),
    ]  # fmt: skip


async def _fire_all(store: Store) -> int:
    """Claim and acknowledge, without anything between, until nothing is due."""
    fired = 0
    while True:
        claimed = await store.claim(CLAIM_LIMIT)
        if not claimed.cases:
            return fired
        fired += len(claimed.cases)
        await store.acknowledge(
            [(case_id, [plan.moments[0].identity]) for case_id, plan in claimed.cases]
        )


def _batches(count: int, now: int, *, due_now: int) -> Iterator[list[Change]]:
    """Cases of three clocks that end within a month, nine moments; of the last ones the first is due."""
    for start in range(0, count, BATCH):
        yield [
            _case(number, now, due=number >= count - due_now)
            for number in range(start, min(start + BATCH, count))
        ]


def _case(number: int, now: int, *, due: bool) -> Change:
    moments: list[Moment] = []
    for place, clock in enumerate(("response", "processing", "resolution"), 1):
        # Spread evenly, and each time the same: multiples of the golden ratio.
        length_ms = HOUR_MS + int(number * place * 0.6180339887 % 1 * MONTH_MS)
        end_ms = now + length_ms
        moments += [
            Moment(
                now + int(length_ms * float(share)),
                clock,
                share,
                "breach" if share == "1" else "warning",
                end_ms,
            )
            for share in SHARES
        ]
    moments.sort(key=lambda moment: moment.at_ms)
    if due:
        first = moments[0]
        moments[0] = Moment(now - 1, first.clock, first.share, first.event, first.version)
    plan = Plan(1, now, "C", f"site-{number % SITES}", "default", tuple(moments))
    return Change(make_id("c", "wheel", number), 1, plan)


def _costs(name: str, cost: Cost, count: int, floor: str | None) -> list[Measurement]:
    """Of one case: the client's CPU and Redis'."""
    redis_floor = floor and f"{floor}: Redis"
    return [
        Measurement(name, "us", cost.cpu_s / count * 1e6, floor),
        Measurement(f"{name}: Redis", "us", cost.servers_s["redis"] / count * 1e6, redis_floor),
    ]


BENCH = Bench(
    name="wheel",
    question="What do the timer's wheel, and a sorted set with a hash, cost for the same plans?",
    size=40_000,
    counts="standing cases",
    run=run,
)

"""Redis' own cost by redis-py: the floors that the timer is held against."""

import uvloop

from shared.times import now_ms
from tests.bench import floors
from tests.bench.figures import Measurement
from tests.bench.frame import Bench, Repetitions, Setup
from tests.bench.meter import Cost

VALUE = b"x" * 64


def run(setup: Setup) -> Repetitions:
    """Fresh keys for each repetition."""
    for number in setup.repetitions:
        yield uvloop.run(_measure(setup, f"redis-{number}"))


async def _measure(setup: Setup, prefix: str) -> list[Measurement]:
    url, redis_pid, count = setup.servers.redis, setup.redis_pid, setup.size
    now = now_ms()
    keys = [f"{prefix}:{number:08}" for number in range(count)]
    timers = [(key, now - count + number, VALUE) for number, key in enumerate(keys)]

    written = await floors.set_values(url, keys, VALUE, redis_pid=redis_pid)
    read = await floors.get_values(url, keys, redis_pid=redis_pid)
    before_bytes = await floors.used_memory_bytes(url)
    scheduled = await floors.schedule(url, prefix, timers, redis_pid=redis_pid)
    after_bytes = await floors.used_memory_bytes(url)
    fired = await floors.fire(url, prefix, count, now, redis_pid=redis_pid)
    return [
        *_costs("SET", written, count),
        *_costs("GET", read, count, "SET"),
        *_costs("schedule", scheduled, count, "SET"),
        *_costs("fire", fired, count, "SET"),
        Measurement("memory a timer", "B", (after_bytes - before_bytes) / count),
    ]


def _costs(name: str, cost: Cost, count: int, floor: str | None = None) -> list[Measurement]:
    """Of one command or timer: the client's CPU, Redis' CPU, and how many a second."""
    redis_floor = floor and f"{floor}: Redis"
    return [
        Measurement(name, "us", cost.cpu_s / count * 1e6, floor),
        Measurement(f"{name}: Redis", "us", cost.servers_s["redis"] / count * 1e6, redis_floor),
        Measurement(f"{name}: rate", "1/s", count / cost.took_s),
    ]


BENCH = Bench(
    name="redis",
    question="What do SET and GET cost in pipelines, and a timer as sorted set and hash?",
    size=200_000,
    counts="commands and timers",
    run=run,
)

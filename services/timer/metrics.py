"""The timer's own metrics."""

from collections.abc import Collection, Generator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge, Histogram

from shared.times import now_ms

_standing: dict[int, int] = {}
_first_due_ms: dict[int, int] = {}
_skew_ms: dict[int, int] = {}
_rebuilt_since_ms: dict[int, int] = {}

CLOCKS_STANDING = Gauge(
    "bakvakt_timer_clocks_standing",
    "Clocks that run: not stopped, their own end not fired. Of the shards that this instance owns.",
)
OLDEST_DUE_SECONDS = Gauge(
    "bakvakt_timer_oldest_due_seconds",
    "For how long the oldest deadline of this instance's shards has been due; 0 when none is.",
)
SKEW_SECONDS = Gauge(
    "bakvakt_timer_skew_seconds",
    "How far Redis' clock and this host's are apart, at the least; over 5 s nothing fires.",
)
LATENESS_SECONDS = Histogram(
    "bakvakt_timer_lateness_seconds",
    "From when a deadline could have fired (due, known, its shard taken over) until Kafka had it.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30, 60),
)
FIRED = Counter("bakvakt_timer_fired_total", "Deadlines published, by event.", ["event"])
FOLDED = Counter(
    "bakvakt_timer_folded_total",
    "Warnings that were not published because the end of their own clock had passed as well.",
)
RECOVERED = Counter(
    "bakvakt_timer_recovered_total",
    "Deadlines published late because their shard had no owner when they were due.",
)
REBUILT = Counter(
    "bakvakt_timer_rebuilt_total",
    "Shards built anew from the log: Redis held nothing of them, or nothing that leads on to it.",
)
REBUILD_SECONDS = Histogram(
    "bakvakt_timer_rebuild_seconds",
    "From the take-over of a shard of which Redis held nothing until it was served.",
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600),
)
REBUILD_OLDEST_SECONDS = Gauge(
    "bakvakt_timer_rebuild_oldest_seconds",
    "For how long a shard has been built anew, the one of longest; 0 when none is. Its clocks do not fire.",
)
REPLAYED = Counter(
    "bakvakt_timer_replayed_total",
    "Records of cases that were applied at a take-over, before the shard was served.",
)
IN_FLIGHT = Gauge(
    "bakvakt_timer_in_flight",
    "Cases that are claimed and not acknowledged: their deadlines are on the way to Kafka.",
)
FENCED = Counter(
    "bakvakt_timer_fenced_total",
    "Scripts that Redis refused, by what refused them: epoch (a newer owner has taken over), offsets"
    " (Redis is not as this owner left it).",
    ["by"],
)
REDIS_USED_BYTES = Gauge("bakvakt_timer_redis_used_bytes", "Memory that Redis uses.")
REDIS_LIMIT_BYTES = Gauge(
    "bakvakt_timer_redis_limit_bytes",
    "Memory that Redis may use: its maxmemory, else that of its machine.",
)
REDIS_NEEDED_BYTES = Gauge(
    "bakvakt_timer_redis_needed_bytes",
    "Memory that should be free in Redis, so that a shard can be built anew beside what is there.",
)
SCRIPT_SECONDS = Histogram(
    "bakvakt_timer_script_seconds",
    "Time until Redis had answered, by script.",
    ["script"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)

SKEW_SECONDS.set_function(lambda: max(map(abs, _skew_ms.values()), default=0) / 1000)
CLOCKS_STANDING.set_function(lambda: sum(_standing.values()))


def _oldest_due_s() -> float:
    return max(0, now_ms() - min(_first_due_ms.values(), default=now_ms())) / 1000


def _rebuild_oldest_s() -> float:
    return max(0, now_ms() - min(_rebuilt_since_ms.values(), default=now_ms())) / 1000


# Counted when somebody looks, so they grow while a task is stuck.
OLDEST_DUE_SECONDS.set_function(_oldest_due_s)
REBUILD_OLDEST_SECONDS.set_function(_rebuild_oldest_s)


@contextmanager
def in_flight(cases: int) -> Generator[None]:
    """So many cases are in flight while the context is open."""
    IN_FLIGHT.inc(cases)
    try:
        yield
    finally:
        IN_FLIGHT.dec(cases)


def tell_standing(partition: int, clocks: int) -> None:
    """`clocks` run in the shard now."""
    _standing[partition] = clocks


def tell_first_due(partition: int, first_due_ms: int | None) -> None:
    """The shard's earliest moment that has not fired; None: there is none."""
    if first_due_ms is None:
        _first_due_ms.pop(partition, None)
    else:
        _first_due_ms[partition] = first_due_ms


def tell_skew(partition: int, skew_ms: int) -> None:
    """By how much the clock of the shard's Redis is ahead of this host's; negative: behind."""
    _skew_ms[partition] = skew_ms


def forget_shard(partition: int) -> None:
    """The shard is not this instance's any more."""
    _standing.pop(partition, None)
    _first_due_ms.pop(partition, None)
    _skew_ms.pop(partition, None)


def tell_rebuilding(partition: int, *, anew: bool) -> bool:
    """The shard is taken over; `anew`: Redis holds nothing of it. Whether it is being built anew."""
    if anew:
        _rebuilt_since_ms.setdefault(partition, now_ms())
    return partition in _rebuilt_since_ms


def forget_rebuilds_but(owned: Collection[int]) -> None:
    """Of shards that went to another instance while their task here was waiting to be built again."""
    for partition in [one for one in _rebuilt_since_ms if one not in owned]:
        tell_rebuilt(partition)


def tell_rebuilt(partition: int) -> None:
    """The shard is served, or is another's to build."""
    _rebuilt_since_ms.pop(partition, None)

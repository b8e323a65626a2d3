"""The timer's own metrics."""

from prometheus_client import Counter, Gauge, Histogram

from shared.times import now_ms

_standing: dict[int, int] = {}
_first_due_ms: dict[int, int] = {}
_skew_ms: dict[int, int] = {}

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


# Counted when somebody looks, so it grows while a task is stuck.
OLDEST_DUE_SECONDS.set_function(_oldest_due_s)


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

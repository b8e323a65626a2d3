"""How far ingest has read its input partitions: silence is judged up to there, and not by a clock. Pure."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from shared.documents.internal import Tick
from shared.times import MINUTE_MS

Input = tuple[str, int]
"""(topic, partition) of an input."""

# Ticks come every 5 s. A larger step is an outage of ours, or of the Kafka that the EMUs write to: what
# they have not said in that time they may not have been able to say.
LARGEST_STEP_MS = 15_000
# What inputs there are is said by those that have spoken lately. Who fell silent before was taken out of
# the configuration, if none of the others names it.
LATELY_MS = MINUTE_MS

_NOTHING: Mapping[Input, Tick] = {}


class Listening(NamedTuple):
    """The newest word on each input partition, and what follows from all of them. In memory only."""

    ticks: Mapping[Input, Tick] = _NOTHING
    heard_to_ms: int = 0
    """All that EMUs have said up to this receipt is known; 0: not all inputs have spoken yet."""
    since_ms: int = 0
    """From here to there nothing was missed: silence is counted from here at the earliest."""


def listen(listening: Listening, tick: Tick, now_ms: int) -> Listening:
    """With one word more. `now_ms` is the task's time: what was heard before may have been forgotten."""
    ticks = {**listening.ticks, (tick.topic, tick.partition): _newest(listening, tick)}
    newest_ms = max(known.receipt_ms for known in ticks.values())
    lately = [known for known in ticks.values() if newest_ms - known.receipt_ms <= LATELY_MS]
    needed = _inputs_of(lately)
    heard_to_ms = min(ticks[one].read_to_ms if one in ticks else 0 for one in needed)
    since_ms = listening.since_ms
    if heard_to_ms - listening.heard_to_ms > LARGEST_STEP_MS:
        since_ms = max(heard_to_ms, now_ms)
    kept = {one: known for one, known in ticks.items() if one in needed}
    return Listening(kept, heard_to_ms, since_ms)


def _newest(listening: Listening, tick: Tick) -> Tick:
    """Of each figure the newest: a former owner of the input may speak late, and is right all the same."""
    known = listening.ticks.get((tick.topic, tick.partition))
    if known is None or known.generation < tick.generation:
        return tick
    if known.generation > tick.generation:
        return known
    newer = tick if tick.receipt_ms >= known.receipt_ms else known
    return replace(newer, read_to_ms=max(known.read_to_ms, tick.read_to_ms))


def _inputs_of(ticks: Collection[Tick]) -> set[Input]:
    """All that any of them names, themselves included."""
    own = {(tick.topic, tick.partition) for tick in ticks}
    named = {one for tick in ticks for one in tick.inputs}
    return own | {(topic, number) for topic, count in named for number in range(count)}

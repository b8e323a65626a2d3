"""Times, durations, clocks and ids in words for people. Pure: the time and the zone are arguments."""

from datetime import UTC, datetime, tzinfo
from typing import Literal, NamedTuple

from shared.documents.case import Case, Clock
from shared.times import DAY_MS, HOUR_MS, MINUTE_MS, from_rfc3339

# As git does: enough to be unambiguous among some thousands, short enough to be typed.
SHORT_ID = 8

# What a person has to do, or what happens, before the clock ends; any other goes by its own name.
_ACTS = {
    "response": "acknowledge",
    "processing": "decide",
    "resolution": "solve",
    "step": "page the next person",
}
# It ends by itself when somebody acknowledges, and asks nothing of anybody.
STEP = "step"


class Reader(NamedTuple):
    """For whom times are put into words: when they look, and where they are (None: as this machine)."""

    now_ms: int
    zone: tzinfo | None = None


class ClockNews(NamedTuple):
    """How a running clock stands."""

    text: str
    standing: Literal["ahead", "late", "breached"]


def duration(ms: int) -> str:
    """The two units that matter: "40 ms", "45 s", "3 min 20 s", "2 h 5 min", "4 d 3 h"."""
    if ms < 1000:
        return f"{ms} ms"
    for unit_ms, unit, part_ms, part in (
        (DAY_MS, "d", HOUR_MS, "h"),
        (HOUR_MS, "h", MINUTE_MS, "min"),
        (MINUTE_MS, "min", 1000, "s"),
    ):
        if ms >= unit_ms:
            whole, rest = ms // unit_ms, ms % unit_ms // part_ms
            return f"{whole} {unit} {rest} {part}" if rest else f"{whole} {unit}"
    return f"{ms // 1000} s"


def moment(at: str, reader: Reader, *, exact: bool = False) -> str:
    """A document's time where the reader is, with its zone; the date unless it is today's."""
    local = _local(from_rfc3339(at), reader.zone)
    time = local.strftime("%H:%M:%S") + (f".{local.microsecond // 1000:03d}" if exact else "")
    date = "" if local.date() == _local(reader.now_ms, reader.zone).date() else f"{local.date()} "
    return f"{date}{time} {local.tzname()}"


def ago(at: str, reader: Reader) -> str:
    """How long that was before now; the clocks of two machines may disagree a little."""
    return f"{duration(max(0, reader.now_ms - from_rfc3339(at)))} ago"


def act(clock: str) -> str:
    """What is to be done before the clock of this name ends."""
    return _ACTS.get(clock, clock)


def clock_news(name: str, clock: Clock, *, breached: bool, now_ms: int) -> ClockNews:
    """Of a clock that runs. `breached` is what is stored: past its end a breach may not be noted yet."""
    left_ms = from_rfc3339(clock.due) - now_ms
    if left_ms > 0:
        return ClockNews(f"{act(name)} in {duration(left_ms)}", "ahead")
    if breached:
        return ClockNews(f"{act(name)}: breached {duration(-left_ms)} ago", "breached")
    return ClockNews(f"{act(name)}: was due {duration(-left_ms)} ago", "late")


def next_clock(case: Case, now_ms: int) -> ClockNews | None:
    """The running clock that people look at first: the one that ends, or has ended, first."""
    running = [
        (from_rfc3339(clock.due), name)
        for name, clock in case.clocks.items()
        if clock.stopped_at is None and name != STEP
    ]
    if not running:
        return None
    _, name = min(running)
    return clock_news(name, case.clocks[name], breached=name in case.breached, now_ms=now_ms)


def short(id_: str) -> str:
    """The beginning of an id, which commands take as well."""
    return id_[:SHORT_ID]


def plain(text: str) -> str:
    """Text from outside, without what could drive a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _local(epoch_ms: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).astimezone(zone)

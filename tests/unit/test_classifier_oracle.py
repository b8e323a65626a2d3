"""The classifier publishes what a plain reading of its rules says, whatever happens on the way."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.catalogue import Catalogue
from shared.documents.fault import Fault, FaultSource
from shared.documents.internal import (
    Active,
    Edge,
    Fact,
    Part,
    Presence,
    Ruling,
    Snapshot,
    Tick,
)
from shared.times import HOUR_MS, MINUTE_MS
from tests.unit.alarms import (
    HOLDS_MS,
    NOON_MS,
    Desk,
    edge,
    fact,
    presence,
    row,
    ruling,
    snapshot,
    tick,
)
from tests.unit.classifier_oracle import OFFLINE, Oracle

# What is graver may be no hazard, and a hazard may be of no higher grade.
BY_LEVEL = {
    ("v", "info"): row("v", "A", level="info"),
    ("v", "fault"): row("v", "B", kind="fire", hazard=True),
}
# The last is of no row: B, and D at level info.
ROWS = (
    row("x.1", "A", hazard=True),
    row("x.2", "C", off_delay_s=30),
    row("y", "D", on_delay_s=5),
    row("w", "B", on_delay_s=60, off_delay_s=300),
    row("v", "B"),
)
CODES = (*(one.code for one in ROWS), "z.unknown")
ABSENCE = row(OFFLINE[1], "B", on_delay_s=300, off_delay_s=60)
CATALOGUE = Catalogue((*ROWS, ABSENCE), "test", by_level=BY_LEVEL)

GAPS_MS = (
    0, 500, 5_000, 5_000, 20_000, 30_000, 61_000, 6 * MINUTE_MS, 16 * MINUTE_MS, 20 * MINUTE_MS,
    7 * HOUR_MS, 24 * HOUR_MS,
)  # fmt: skip

# How old what is said is when it comes; most of it of hours ago, as after an outage.
OLD = (1, 4 * HOUR_MS, 4 * HOUR_MS + 1_000, 4 * HOUR_MS - 5_000, 3 * HOUR_MS, 5 * HOUR_MS)

Record = Edge | Snapshot | Ruling | Presence | Fact | Tick
# Of a counter that begins again at 256, and some that it cannot have.
NUMBERS = (
    st.integers(0, 12) | st.integers(0, 12) | st.sampled_from([60, 190, 200, 250, 255, 256, 300])
)

Stream = list[Record]


@st.composite
def words(draw: st.DrawFn, codes: list[str]) -> Record:
    """An edge or a snapshot of one of two EMUs, perhaps numbered, or a person's word on a condition of one.

    Offsets and times are set later.
    """
    if not draw(st.integers(0, 9)):
        action = draw(st.sampled_from(["clear", "regrade", "regrade", "detach"]))
        grade = draw(st.sampled_from(["A", "B", "C", "D"])) if action == "regrade" else None
        return ruling(code=draw(st.sampled_from(codes)), action=action, grade=grade)
    numbered = draw(st.booleans())
    said: dict[str, Any] = {
        "emu_id": draw(st.sampled_from(["e1", "e1", "e2"])),
        "boot": draw(st.sampled_from(["b1", "b1", "b2"])) if numbered else None,
        "seq": draw(NUMBERS) if numbered else None,
        "firmware": draw(st.sampled_from([None, "1", "2"])),
        "historical": not draw(st.integers(0, 11)),
    }
    levels = st.sampled_from([None, "info", "fault"])
    if draw(st.integers(0, 4)):
        return edge(
            code=draw(st.sampled_from(codes)),
            raised=draw(st.booleans()),
            level=draw(levels),
            **said,
        )
    parts = draw(
        st.lists(
            st.builds(
                Part,
                st.just("bms/rack-1"),
                st.sampled_from([None, (), ("x",), ("y", "z", "w", "v"), ("x.1",)]),
                st.lists(st.builds(Active, st.sampled_from(codes), levels), max_size=3).map(tuple),
            ),
            max_size=2,
        )
    )
    return snapshot(0, *parts, **said)


@st.composite
def presences(draw: st.DrawFn) -> Record:
    """What an EMU says of its presence, or what its broker does."""
    return presence(
        0,
        draw(st.sampled_from(["heartbeat", "heartbeat", "online", "offline", "offline"])),
        emu_id=draw(st.sampled_from(["e1", "e1", "e2"])),
        boot=draw(st.sampled_from([None, "b1", "b2"])),
        seq=draw(st.integers(0, 3)),
        historical=not draw(st.integers(0, 9)),
    )


@st.composite
def facts(draw: st.DrawFn) -> Record:
    """A revision of one's record, perhaps an old one."""
    return fact(
        draw(st.integers(1, 9)),
        emu_id=draw(st.sampled_from(["e1", "e2"])),
        desk=draw(st.sampled_from(["north", "south"])),
        firmware=draw(st.sampled_from([None, "7"])),
        state=draw(st.sampled_from(["commissioning", "in_service", "in_service", "retired"])),
    )


@st.composite
def listening(draw: st.DrawFn, from_ms: int) -> Stream:
    """Some minutes of ingest's words on two partitions, one of which may lag; with heartbeats or without."""
    step_ms = draw(st.sampled_from([5_000, 10_000, 15_000]))
    lag_ms = draw(st.sampled_from([0, 0, 20_000]))
    every = draw(st.sampled_from([None, 1, 3, 6]))
    stream: Stream = []
    for number in range(draw(st.integers(1, 24))):
        at_ms = from_ms + number * step_ms
        if every is not None and number % every == 0:
            stream.append(presence(0, receipt_ms=at_ms, interval_s=10.0))
        for partition, read_to_ms in enumerate((at_ms, at_ms - lag_ms)):
            inputs = (("emu.alarms", 2),)
            stream.append(tick(read_to_ms, partition, inputs=inputs, receipt_ms=at_ms))
    return stream


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Words one after the other, one of them now and then from an input that lags behind.

    Some are of a condition that comes and goes, as most do; and in some streams EMUs come and go as well.
    """
    stream: Stream = []
    now_ms = NOON_MS
    codes = draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=3, unique=True))
    said = words(codes)
    if draw(st.booleans()):
        absence = st.just(ruling(component=OFFLINE[0], code=OFFLINE[1]))
        said = words(codes) | words(codes) | presences() | facts() | absence
    drawn = draw(st.lists(said, min_size=1, max_size=30))
    flaps = draw(st.booleans())
    listens = draw(st.sampled_from([0, 0, 1, 3]))
    gaps = draw(st.sampled_from([GAPS_MS, GAPS_MS, GAPS_MS[:4]]))
    ages = draw(st.sampled_from([(1,), (1, 1, 20 * MINUTE_MS, 21 * MINUTE_MS, 7 * HOUR_MS), OLD]))
    for word in drawn:
        if flaps and draw(st.integers(0, 7)):
            word = edge(code=codes[0], raised=len(stream) % 2 == 0)  # noqa: PLW2901 - instead of it
        if listens and not draw(st.integers(0, 9 // listens)):
            stream += draw(listening(now_ms))
            now_ms = stream[-1].receipt_ms
        now_ms += draw(st.sampled_from(gaps))
        lag_ms = draw(st.sampled_from([0, 0, 0, 0, 3_000, 70_000, HOUR_MS]))
        old_ms = draw(st.sampled_from(ages))
        stream.append(at(word, now_ms - lag_ms, old_ms))
    return [placed(record, offset) for offset, record in enumerate(stream)]


def at(word: Record, receipt_ms: int, old_ms: int) -> Record:
    if isinstance(word, Ruling | Fact | Tick):
        return replace(word, receipt_ms=receipt_ms)
    return replace(word, receipt_ms=receipt_ms, at_ms=receipt_ms - old_ms)


def placed(record: Record, offset: int) -> Record:
    if isinstance(record, Tick):
        return record
    return replace(record, source=replace(record.source, offset=offset))


def may_come_again(record: Record) -> bool:
    """A heartbeat is not kept, so a restart knows none again; a word of ingest has no place."""
    return not isinstance(record, Tick | Presence)


def in_any_order(told: list[Fault], since: int) -> None:
    """What is marked as stale for lost input is told in any order."""
    told[since:] = sorted(told[since:], key=lambda one: (one.emu_id, one.component, one.code))


def with_absences_numbered(faults: list[Fault]) -> list[Fault]:
    """A restart may have forgotten the last sign of life: it is left out, and the id that is made of it."""
    ids: dict[str, str] = {}
    told: list[Fault] = []
    for fault in faults:
        if fault.code == OFFLINE[1]:
            fault_id = ids.setdefault(fault.fault_id, f"absence {len(ids)}")
            told.append(replace(fault, fault_id=fault_id, source=FaultSource("", 0, 0)))
        else:
            told.append(fault)
    return told


@settings(max_examples=600, deadline=None)
@given(streams(), st.data())
def test_every_fault_is_as_a_plain_reading_of_the_rules_has_it(
    stream: Stream, data: st.DataObject
) -> None:
    """Cut into any batches, some aborted or delivered again; between any two a restart, or lost input."""
    oracle, desk = Oracle(CATALOGUE, HOLDS_MS), Desk(CATALOGUE, hold_ms=HOLDS_MS)

    def restart() -> None:
        desk.restart()
        oracle.restart()

    position = 0
    while position < len(stream):
        end = data.draw(st.integers(position + 1, len(stream)))
        if data.draw(st.integers(0, 9)) == 0:
            desk.hear_in_vain(*stream[position:end])
            restart()
        again = stream[data.draw(st.integers(0, position)) : position]
        desk.hear(*filter(may_come_again, again), *stream[position:end])
        for record in stream[position:end]:
            oracle.hear(record)
        if data.draw(st.booleans()):
            restart()
        if data.draw(st.integers(0, 9)) == 0:
            before = len(oracle.published)
            oracle.lose_input()
            desk.lose_input()
            for told in (oracle.published, desk.published):
                in_any_order(told, before)
        position = end
    end_ms = max(record.receipt_ms for record in stream) + 30 * HOUR_MS
    oracle.follow(end_ms)
    desk.hear(until_ms=end_ms)
    assert with_absences_numbered(desk.published) == with_absences_numbered(oracle.published)
    assert len(desk.partition.conditions) == len(oracle.lives)

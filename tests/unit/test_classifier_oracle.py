"""The classifier publishes what a plain reading of its rules says, whatever happens on the way."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from shared.catalogue import Catalogue
from shared.documents.internal import Active, Edge, Part, Ruling, Snapshot
from shared.times import HOUR_MS, MINUTE_MS
from tests.unit.alarms import HOLDS_MS, NOON_MS, Desk, edge, row, ruling, snapshot
from tests.unit.classifier_oracle import Oracle

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
CATALOGUE = Catalogue(ROWS, "test", by_level=BY_LEVEL)

GAPS_MS = (
    0, 500, 5_000, 5_000, 20_000, 30_000, 61_000, 6 * MINUTE_MS, 16 * MINUTE_MS, 20 * MINUTE_MS,
    7 * HOUR_MS, 24 * HOUR_MS,
)  # fmt: skip

# How old what is said is when it comes; most of it of hours ago, as after an outage.
OLD = (1, 4 * HOUR_MS, 4 * HOUR_MS + 1_000, 4 * HOUR_MS - 5_000, 3 * HOUR_MS, 5 * HOUR_MS)

Record = Edge | Snapshot | Ruling
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
def streams(draw: st.DrawFn) -> Stream:
    """Words one after the other, one of them now and then from an input that lags behind.

    Some are of a condition that comes and goes, as most do.
    """
    stream: Stream = []
    now_ms = NOON_MS
    codes = draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=3, unique=True))
    drawn = draw(st.lists(words(codes), min_size=1, max_size=30))
    flaps = draw(st.booleans())
    gaps = draw(st.sampled_from([GAPS_MS, GAPS_MS, GAPS_MS[:4]]))
    ages = draw(st.sampled_from([(1,), (1, 1, 20 * MINUTE_MS, 21 * MINUTE_MS, 7 * HOUR_MS), OLD]))
    for offset, word in enumerate(drawn):
        if flaps and draw(st.integers(0, 7)):
            word = edge(code=codes[0], raised=offset % 2 == 0)  # noqa: PLW2901 - instead of it
        now_ms += draw(st.sampled_from(gaps))
        lag_ms = draw(st.sampled_from([0, 0, 0, 0, 3_000, 70_000, HOUR_MS]))
        old_ms = draw(st.sampled_from(ages))
        stream.append(at(word, offset, now_ms - lag_ms, old_ms))
    return stream


def at(word: Record, offset: int, receipt_ms: int, old_ms: int) -> Record:
    source = replace(word.source, offset=offset)
    if isinstance(word, Ruling):
        return replace(word, source=source, receipt_ms=receipt_ms)
    return replace(word, source=source, receipt_ms=receipt_ms, at_ms=receipt_ms - old_ms)


@settings(max_examples=600, deadline=None)
@given(streams(), st.data())
def test_every_fault_is_as_a_plain_reading_of_the_rules_has_it(
    stream: Stream, data: st.DataObject
) -> None:
    """Cut into any batches, some of them aborted or delivered again, restarts between any two records."""
    oracle, desk = Oracle(CATALOGUE, HOLDS_MS), Desk(CATALOGUE, hold_ms=HOLDS_MS)
    for record in stream:
        oracle.hear(record)
    position = 0
    while position < len(stream):
        end = data.draw(st.integers(position + 1, len(stream)))
        if data.draw(st.integers(0, 9)) == 0:
            desk.hear_in_vain(*stream[position:end])
            desk.restart()
        again = stream[data.draw(st.integers(0, position)) : position]
        desk.hear(*again, *stream[position:end])
        if data.draw(st.booleans()):
            desk.restart()
        position = end
    end_ms = max(record.receipt_ms for record in stream) + 30 * HOUR_MS
    oracle.follow(end_ms)
    desk.hear(until_ms=end_ms)
    assert desk.published == oracle.published
    assert len(desk.partition.conditions) == len(oracle.lives)

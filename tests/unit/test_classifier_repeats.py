"""The short way of a repeat makes of it what all the rules make, or leaves it to them."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.classifier.judge import judge_edge
from services.classifier.order import remember_source
from services.classifier.repeats import judge_repeat
from services.classifier.revisions import make_condition, make_revision
from services.classifier.rules import Rules
from services.classifier.state import Boot, Condition, Emu, Link, Marks, Regrade
from shared.documents.internal import Edge, Source
from tests.unit.alarms import CATALOGUE, HEARTBEAT, HOLDS_MS, NOON_MS, edge

RULES = Rules(CATALOGUE, HOLDS_MS, HEARTBEAT)
LEVELS = st.sampled_from([None, "info", "warning", "fault"])
CODES = st.sampled_from(["unknown.code", "sunspec:203.Evt.2", "sunspec:802.Evt1.1"])
TIMES = st.sampled_from([None, NOON_MS - 5, NOON_MS + 30_000, NOON_MS + 3_600_000])
MARKS = st.none() | st.builds(
    Marks, stale=st.booleans(), past=st.booleans(),
    regrade=st.none() | st.just(Regrade("ruling", "B", "Ruled")),
)  # fmt: skip


@st.composite
def emus(draw: st.DrawFn) -> Emu:
    """One that has said the raise at offset 0, and perhaps more."""
    emu = remember_source(Emu(), Source(1, "emu.alarms", 0, 0, 0), NOON_MS)
    if draw(st.booleans()):
        emu = remember_source(emu, Source(1, "emu.alarms", draw(st.integers(0, 1)), 3, 0), NOON_MS)
    if draw(st.booleans()):
        emu = replace(emu, boots=(Boot("b1", ((1, 4),)), Boot("b2", ((1, 2), (4, 5)))))
    link = Link("s1", emu.sources[0], NOON_MS, gone=draw(st.booleans()))
    return replace(emu, link=draw(st.sampled_from([None, None, link])))


@st.composite
def conditions(draw: st.DrawFn, code: str) -> Condition:
    """What a raise at noon has become."""
    condition = make_revision(
        make_condition(edge(code=code, level=draw(LEVELS)), RULES), NOON_MS, CATALOGUE
    )
    return replace(
        condition,
        count=draw(st.integers(1, 9)),
        ladder=draw(st.integers(0, 3)),
        publish_at_ms=draw(TIMES),
        cleared_at_ms=draw(st.none() | TIMES),
        clears_at_ms=draw(st.none() | st.none() | TIMES),
        ripe_at_ms=draw(st.none() | st.none() | TIMES),
        marks=draw(st.none() | MARKS),
        grade=draw(st.sampled_from([condition.grade, condition.grade, "D"])),
        kind=draw(st.sampled_from([condition.kind, None])),
    )


@st.composite
def edges(draw: st.DrawFn, code: str) -> Edge:
    """Any word on it."""
    receipt_ms = NOON_MS + draw(st.sampled_from([-1_000, 0, 1_000, 59_999, 60_000, 900_000]))
    number = draw(st.sampled_from([None, None, 1, 2, 5, 6, 9]))
    return edge(
        draw(st.integers(0, 5)),
        code=code,
        receipt_ms=receipt_ms,
        at_ms=receipt_ms - draw(st.sampled_from([0, 0, 600_000, 600_001])),
        raised=draw(st.sampled_from([True, True, True, False])),
        level=draw(LEVELS),
        model=draw(st.sampled_from([None, "mark-2"])),
        boot=None if number is None else draw(st.sampled_from(["b1", "b2", "b3"])),
        seq=number,
        historical=draw(st.sampled_from([False, False, True])),
    )


@given(st.data(), emus(), CODES)
def test_the_short_way_leads_where_the_long_one_does(
    data: st.DataObject, emu: Emu, code: str
) -> None:
    condition, word = data.draw(conditions(code)), data.draw(edges(code))
    judged = judge_repeat(emu, condition, word, CATALOGUE)
    if judged is None:
        return
    outcome = judge_edge(emu, condition, word, NOON_MS, RULES)
    assert judged == (outcome.emu, outcome.conditions[0])
    assert (outcome.verdict, outcome.told) == ("repeat", ())


def test_a_plain_repeat_goes_the_short_way() -> None:
    emu = remember_source(Emu(), Source(1, "emu.alarms", 0, 0, 0), NOON_MS)
    condition = make_revision(make_condition(edge(), RULES), NOON_MS, CATALOGUE)
    assert judge_repeat(emu, condition, edge(1), CATALOGUE) is not None
    assert judge_repeat(emu, condition, edge(0), CATALOGUE) is None

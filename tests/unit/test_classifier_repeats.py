"""The short way of a repeat makes of it what all the rules make, or leaves it to them."""

from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.classifier.judge import judge_edge
from services.classifier.order import remember_source
from services.classifier.presence import note_life
from services.classifier.repeats import judge_repeat
from services.classifier.revisions import make_condition, make_revision
from services.classifier.rules import Rules
from services.classifier.state import Boot, Condition, Emu, Link, Marks, Regrade, Spoken
from shared.documents.internal import Edge, Source
from tests.unit.alarms import CATALOGUE, HEARTBEAT, HOLDS_MS, NOON_MS, edge

T = TypeVar("T")

RULES = Rules(CATALOGUE, HOLDS_MS, HEARTBEAT)
CODES = st.sampled_from(["unknown.code", "sunspec:203.Evt.2", "sunspec:802.Evt1.1"])
FIRST = Source(1, "emu.alarms", 0, 0, 0)


def mostly(usual: T, *others: T) -> st.SearchStrategy[T]:
    """So that most cases are odd in one thing or in none."""
    return st.sampled_from([usual] * (12 * len(others)) + list(others))


@st.composite
def emus(draw: st.DrawFn, *, numbered: bool) -> Emu:
    """One that has said the raise at offset 0, and perhaps more."""
    boots = (Boot("b1", ((1, 4),)), Boot("b2", ((1, 2), (4, 5))))
    wrapped = (Boot("b2", ((1, 2), (4, 5)), wraps_at=256),)
    more = remember_source(
        remember_source(Emu(), FIRST, NOON_MS), replace(FIRST, partition=1), NOON_MS
    )
    link = Link("s1", FIRST, NOON_MS, 30_000)
    gone = replace(link, gone=True)
    return Emu(
        sources=draw(mostly((FIRST,), (), (replace(FIRST, generation=2),), more.sources)),
        boots=draw(mostly(boots, (), boots[:1], wrapped)) if numbered else (),
        spoken=(Spoken("b2", draw(st.integers(1, 5)), (1, 2)),) if draw(st.booleans()) else (),
        heard_ms=NOON_MS,
        link=draw(st.sampled_from([None, link, link, gone])),
    )


@st.composite
def conditions(draw: st.DrawFn, code: str, *, numbered: bool) -> Condition:
    """What a raise at noon has become."""
    first = edge(code=code, level=draw(mostly(None, "info", "fault")))
    condition = make_revision(make_condition(first, RULES), NOON_MS, CATALOGUE)
    later_ms = NOON_MS + 30_000
    return replace(
        condition,
        boot=draw(mostly("b2", "b1", "b0")) if numbered else None,
        seq=draw(mostly(5, 1, 9)) if numbered else None,
        ladder=draw(st.integers(0, 3)),
        publish_at_ms=draw(st.none() | st.just(later_ms)),
        cleared_at_ms=draw(mostly(None, NOON_MS)),
        clears_at_ms=draw(mostly(None, later_ms)),
        ripe_at_ms=draw(mostly(None, later_ms)),
        marks=draw(
            mostly(
                None, Marks(stale=True), Marks(past=True), Marks(regrade=Regrade("age", "D", ""))
            )
        ),
        grade=draw(mostly(condition.grade, "D")),
        kind=draw(mostly(condition.kind, None)),
    )


@st.composite
def words(draw: st.DrawFn, code: str, *, numbered: bool) -> Edge:
    """A word on it, most often the next one."""
    receipt_ms = NOON_MS + draw(mostly(1_000, -1_000, 0, 59_999, 60_000, 900_000))
    return edge(
        draw(mostly(1, 0)),
        code=code,
        receipt_ms=receipt_ms,
        at_ms=receipt_ms - draw(mostly(0, 600_000, 600_001)),
        raised=draw(mostly(True, False)),
        level=draw(mostly(None, "info", "fault")),
        model=draw(st.sampled_from([None, "mark-2"])),
        boot=draw(mostly("b2", "b1", "b3", None)) if numbered else draw(mostly(None, "b2")),
        seq=draw(mostly(6, 3, 5, 7, None)) if numbered else None,
        historical=draw(mostly(False, True)),
    )


@settings(max_examples=600, deadline=None)
@given(st.data(), CODES, st.booleans())
def test_the_short_way_leads_where_the_long_one_does(
    data: st.DataObject, code: str, numbered: bool
) -> None:
    emu = data.draw(emus(numbered=numbered))
    condition = data.draw(conditions(code, numbered=numbered))
    word = data.draw(words(code, numbered=numbered))
    judged = judge_repeat(emu, condition, word, CATALOGUE)
    if judged is None:
        return
    outcome = judge_edge(emu, condition, word, NOON_MS, RULES)
    if emu.link is not None:
        outcome = note_life(emu, None, word, outcome, now_ms=NOON_MS, rules=RULES)
    assert judged == (outcome.emu, outcome.conditions[0])
    assert (outcome.verdict, outcome.told) == ("repeat", ())


def test_a_plain_repeat_goes_the_short_way() -> None:
    emu = remember_source(Emu(), FIRST, NOON_MS)
    condition = make_revision(make_condition(edge(), RULES), NOON_MS, CATALOGUE)
    assert judge_repeat(emu, condition, edge(1), CATALOGUE) is not None
    assert judge_repeat(emu, condition, edge(0), CATALOGUE) is None


def test_so_does_one_of_an_emu_that_numbers_its_reports_and_sends_heartbeats() -> None:
    link = Link("s1", FIRST, NOON_MS, 30_000)
    emu = replace(remember_source(Emu(), FIRST, NOON_MS), boots=(Boot("b", ((1, 1),)),), link=link)
    raised = make_condition(edge(boot="b", seq=1), RULES)
    condition = make_revision(raised, NOON_MS, CATALOGUE)
    judged = judge_repeat(emu, condition, edge(1, boot="b", seq=2), CATALOGUE)
    assert judged is not None
    assert judged[0].boots == (Boot("b", ((1, 2),)),)
    assert judge_repeat(emu, condition, edge(1, boot="b", seq=3), CATALOGUE) is None
    gone = replace(emu, link=replace(link, gone=True))
    assert judge_repeat(gone, condition, edge(1, boot="b", seq=2), CATALOGUE) is None

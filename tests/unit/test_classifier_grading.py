"""What was a hazard stays one, and what becomes one is told, whatever the catalogue says by now."""

from typing import Any

import pytest

from services.classifier.state import Condition, encode
from shared.catalogue import Catalogue, Row
from shared.documents.internal import Active
from shared.times import HOUR_MS
from tests.unit.alarms import HOLDS_MS, NOON_MS, Desk, changes, edge, part, snapshot


def row(grade: Any, level: str = "fault", *, hazard: bool = False, kind: str = "heat") -> Row:
    return Row(
        code="a:heat",
        kind=kind,
        level=level,
        component="emu",
        title="Heat",
        meaning="",
        grade=grade,
        reason=f"{level}: {grade}",
        clears_by="auto",
        source="test",
        hazard=hazard,
    )


def catalogue(*by_level: Row) -> Catalogue:
    """The code at each of these levels; without one, a harmless B."""
    return Catalogue([row("B")], "test", by_level={("a:heat", one.level): one for one in by_level})


FIRE = row("A", hazard=True, kind="fire")
NOTHING = Catalogue([], "empty")


def raised(offset: int, level: str | None = "fault", **fields: Any) -> Any:
    receipt_ms = NOON_MS + offset * 1000
    return edge(offset, code="a:heat", level=level, receipt_ms=receipt_ms, **fields)


@pytest.mark.parametrize("lost", [NOTHING, catalogue(), catalogue(row("D"))])
def test_a_standing_hazard_stays_one_whatever_a_new_catalogue_says(lost: Catalogue) -> None:
    desk = Desk(catalogue(FIRE))
    (opened,) = desk.hear(raised(1))
    desk.restart(lost)
    told = desk.hear(raised(120), raised(121, raised=False), until_ms=NOON_MS + HOUR_MS)
    assert changes(told) == ["repeated", "cleared", "closed"]
    for fault in (opened, *told):
        assert (fault.grade, fault.hazard, fault.kind) == ("A", True, "fire")


def test_what_the_catalogue_has_lost_keeps_its_kind() -> None:
    desk = Desk(catalogue())
    desk.hear(raised(1))
    desk.restart(NOTHING)
    (cleared,) = desk.hear(raised(2, raised=False))
    assert (cleared.kind, cleared.hazard) == ("heat", False)


def test_what_the_catalogue_learns_is_told() -> None:
    desk = Desk(NOTHING)
    (opened,) = desk.hear(raised(1))
    assert opened.kind == "other_alarm"
    desk.restart(catalogue(FIRE))
    (regraded,) = desk.hear(raised(2))
    assert (regraded.change, regraded.grade, regraded.kind, regraded.hazard) == (
        "regraded", "A", "fire", True,
    )  # fmt: skip


@pytest.mark.parametrize("grade", ["B", "C"])
def test_what_becomes_a_hazard_is_news_at_an_equal_or_a_lower_grade(grade: str) -> None:
    known = catalogue(row(grade, "fault", hazard=True, kind="fire"))
    by_edge, by_snapshot = Desk(known), Desk(known)
    for desk in (by_edge, by_snapshot):
        desk.hear(raised(1, level=None))
    (told,) = by_edge.hear(raised(2))
    assert (told.change, told.grade, told.hazard, told.kind) == ("regraded", "B", True, "fire")
    named = part(None, Active("a:heat", "fault"))
    (told,) = by_snapshot.hear(snapshot(2, named, receipt_ms=NOON_MS + 2000))
    assert (told.change, told.grade, told.hazard, told.kind) == ("regraded", "B", True, "fire")


def test_a_graver_level_that_is_no_hazard_takes_none_back() -> None:
    desk = Desk(catalogue(row("B", hazard=True, kind="fire"), row("A", "warning")))
    desk.hear(raised(1))
    (told,) = desk.hear(raised(2, "warning"))
    assert (told.change, told.grade, told.hazard, told.kind) == ("regraded", "A", True, "fire")


def test_what_becomes_a_hazard_waits_no_longer() -> None:
    desk = Desk(catalogue(row("B", hazard=True)), hold_ms=HOLDS_MS)
    assert desk.hear(raised(1, level=None)) == []
    (told,) = desk.hear(raised(2))
    assert (told.change, told.hazard) == ("opened", True)


def test_a_hazard_of_before_this_was_remembered_is_no_news() -> None:
    desk = Desk(catalogue(FIRE))
    desk.hear(raised(1))
    (key,) = [key for key in desk.changelog if key.startswith(b"c")]
    (condition,) = desk.partition.conditions
    fields = [getattr(condition, name) for name in Condition.__struct_fields__]
    desk.changelog[key] = encode(fields[: Condition.__struct_fields__.index("kind")])
    desk.restart()
    assert desk.hear(raised(2)) == []
    (told,) = desk.hear(raised(3, raised=False))
    assert (told.kind, told.hazard) == ("fire", True)

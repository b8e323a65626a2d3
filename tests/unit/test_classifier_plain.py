"""A record on which a rule fails is judged by its catalogue grade alone."""

from collections.abc import Iterable

import pytest

from services.classifier.plain import RULE_FAILED_REASON
from services.classifier.state import REOPEN_WINDOW_MS
from shared.catalogue import Catalogue
from shared.documents.fault import Fault
from shared.documents.internal import InternalRecord
from shared.times import MINUTE_MS
from tests.unit.alarms import (
    CATALOGUE,
    CODE_A,
    HOLDS_MS,
    NOON_MS,
    Desk,
    changes,
    edge,
    part,
    ruling,
    snapshot,
)


def failing(desk: Desk, *records: InternalRecord) -> list[Fault]:
    """Each is one on which a rule fails; what is published for them."""
    before = len(desk.published)
    batch = desk.partition.stage()
    for record in records:
        batch.follow_clock(record.receipt_ms)
        batch.judge_plainly(record)
    desk.commit(batch)
    return desk.published[before:]


def rule_with_a_bug(*_: object) -> None:
    raise ZeroDivisionError


@pytest.fixture
def desk() -> Desk:
    return Desk()


def named(faults: Iterable[Fault]) -> list[tuple[str, str]]:
    return [(fault.change, fault.code) for fault in faults]


def test_a_raise_opens_a_fault_of_the_catalogue_s_grade_that_says_why(desk: Desk) -> None:
    (fault,) = failing(desk, edge(1, code=CODE_A))
    row = CATALOGUE.look_up(CODE_A, None)
    assert (fault.change, fault.revision, fault.grade) == ("opened", 1, row.grade)
    assert fault.grade_reason.startswith(f"{row.reason}; {RULE_FAILED_REASON}. ")
    assert (fault.hazard, fault.kind, fault.count) == (row.hazard, row.kind, 1)


def test_a_rule_that_fails_at_wake_ups_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is told when it is due, and closed, as by the rules; repeats come with the next revision."""
    desk = Desk(CATALOGUE, hold_ms=HOLDS_MS)
    monkeypatch.setattr("services.classifier.batch.wake", rule_with_a_bug)
    raised = edge(1, code="goodwe:BMS_WARNING_CODES.6")  # B: on-delay 10 s, off-delay 30 s
    desk.hear(raised, until_ms=NOON_MS + 60_000)
    desk.hear(edge(2, code=raised.code, receipt_ms=NOON_MS + 61_000))
    desk.hear(edge(3, code=raised.code, receipt_ms=NOON_MS + 62_000))
    desk.hear(until_ms=NOON_MS + 10 * MINUTE_MS)
    gone = edge(4, code=raised.code, raised=False, receipt_ms=NOON_MS + 11 * MINUTE_MS)
    desk.hear(gone, until_ms=NOON_MS + 40 * MINUTE_MS)
    assert changes(desk.published) == ["opened", "repeated", "cleared", "closed"]
    assert [fault.count for fault in desk.published] == [1, 2, 3, 3]
    assert len(desk.partition.conditions) == 0


def test_what_cannot_be_woken_at_all_waits_for_its_next_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(CATALOGUE, hold_ms=HOLDS_MS)
    with monkeypatch.context() as broken:
        broken.setattr("services.classifier.batch.wake", rule_with_a_bug)
        broken.setattr("services.classifier.batch.wake_plainly", rule_with_a_bug)
        assert desk.hear(edge(1), edge(2, code=CODE_A), until_ms=NOON_MS + 60_000) != []
        assert {fault.code for fault in desk.published} == {CODE_A}
    desk.restart()
    assert named(desk.hear(until_ms=NOON_MS + 60_000)) == [("opened", "unknown.code")]


def test_a_clear_clears_and_the_fault_is_closed_by_the_rules(desk: Desk) -> None:
    told = [*failing(desk, edge(1)), *failing(desk, edge(2, raised=False))]
    told += desk.hear(until_ms=NOON_MS + REOPEN_WINDOW_MS)
    assert changes(told) == ["opened", "cleared", "closed"]
    assert [fault.revision for fault in told] == [1, 2, 3]
    assert len({fault.fault_id for fault in told}) == 1


def test_it_goes_on_with_what_the_rules_had_made(desk: Desk) -> None:
    """And they with what it has made."""
    told = [*desk.hear(edge(1)), *failing(desk, edge(2, raised=False))]
    told += [*desk.hear(edge(3)), *failing(desk, edge(4), edge(5, raised=False), edge(6))]
    assert changes(told) == ["opened", "cleared", "reopened", "cleared", "reopened"]
    assert [fault.revision for fault in told] == [1, 2, 3, 4, 5]


def test_it_has_the_id_that_the_rules_would_have_given_it() -> None:
    assert failing(Desk(), edge(1))[0].fault_id == Desk().hear(edge(1))[0].fault_id


def test_a_clear_that_was_heard_before_any_raise_hides_no_fault(desk: Desk) -> None:
    desk.hear(edge(1, boot="b", seq=2, raised=False))
    assert changes(failing(desk, edge(2, boot="b", seq=3))) == ["opened"]


def test_a_graver_level_regrades_and_a_lighter_one_does_not(desk: Desk) -> None:
    told = failing(desk, edge(1, level="info"), edge(2, level="fault"), edge(3, level="info"))
    assert [(fault.change, fault.grade) for fault in told] == [("opened", "D"), ("regraded", "B")]


def test_a_snapshot_raises_what_it_names_and_clears_what_it_speaks_of_and_does_not_name(
    desk: Desk,
) -> None:
    desk.hear(edge(1, code="x.1"), edge(2, code="x.2"), edge(3, code="y.1"))
    told = failing(desk, snapshot(4, part("x", "x.2", "x.3")))
    assert named(told) == [("cleared", "x.1"), ("opened", "x.3")]


def test_a_person_s_clear_clears(desk: Desk) -> None:
    desk.hear(edge(1))
    word = ruling(receipt_ms=NOON_MS + 1000)
    assert changes(failing(desk, word)) == ["cleared"]


def test_it_waits_for_nothing_and_ends_what_waits() -> None:
    desk = Desk(Catalogue(CATALOGUE.rows, "test"), hold_ms=HOLDS_MS)
    row = next(row for row in CATALOGUE.rows if row.off_delay_s and row.on_delay_s)
    code = row.code
    assert desk.hear(edge(1, code=code)) == []
    assert changes(failing(desk, edge(2, code=code))) == ["opened"]
    assert desk.hear(edge(3, raised=False, code=code)) == []
    assert changes(failing(desk, edge(4, code=code), edge(5, raised=False, code=code))) == [
        "cleared"
    ]
    assert desk.hear(edge(6, code=code)) == []
    assert failing(desk, edge(7, raised=False, code=code)) == []
    assert changes(desk.hear(until_ms=NOON_MS + REOPEN_WINDOW_MS)) == ["closed"]


def test_a_redelivery_is_dropped(desk: Desk) -> None:
    failing(desk, edge(1), edge(2, raised=False))
    assert failing(desk, edge(1)) == []


def test_it_is_in_the_changelog(desk: Desk) -> None:
    failing(desk, edge(1))
    desk.restart()
    assert desk.standing() == {("bms/rack-1", "unknown.code")}
    assert failing(desk, edge(1)) == []

"""A record on which a rule fails is judged by its catalogue grade alone."""

from collections.abc import Iterable
from typing import Any

import pytest

from services.classifier import moves
from services.classifier.plain import RULE_FAILED_REASON
from services.classifier.state import REOPEN_WINDOW_MS
from shared.catalogue import Catalogue
from shared.documents.fault import Fault
from shared.documents.internal import Edge, InternalRecord
from shared.times import HOUR_MS, MINUTE_MS, to_rfc3339
from tests.unit.alarms import (
    CATALOGUE,
    CODE_A,
    HOLDS_MS,
    NOON_MS,
    Desk,
    changes,
    edge,
    fact,
    part,
    presence,
    ruling,
    snapshot,
    tick,
)
from tests.unit.moving import Partitions, X, Y, Z, moved


def failing(desk: Desk, *records: InternalRecord) -> list[Fault]:
    """Each is one on which a rule fails; what is published for them."""
    before = len(desk.published)
    batch = desk.partition.stage()
    for record in records:
        batch.follow_clock(record.receipt_ms)
        batch.judge_plainly(record)
    desk.commit(batch)
    return desk.published[before:]


def rule_with_a_bug(*_: object, **__: object) -> None:
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


def of_the_past(offset: int, code: str, **fields: Any) -> Edge:
    return edge(offset, code=code, historical=True, at_ms=NOON_MS - HOUR_MS + offset, **fields)


def test_a_rule_that_fails_at_the_end_of_a_backlog_hides_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What stands is told with clocks from then, what has gone as cleared, and the partition goes on."""
    desk = Desk(CATALOGUE, hold_ms=HOLDS_MS)
    desk.hear(of_the_past(1, "x.1"), of_the_past(2, "x.2"))
    gone = of_the_past(300_000, "x.2", raised=False)
    assert desk.hear(gone) == []
    with monkeypatch.context() as broken:
        broken.setattr("services.classifier.backlog._come_out", rule_with_a_bug)
        batch = desk.partition.stage()
        assert batch.follow_clock(NOON_MS + MINUTE_MS)
        desk.commit(batch)
    assert [(fault.code, fault.change, fault.state) for fault in desk.published] == [
        ("x.1", "opened", "open"),
        ("x.2", "opened", "cleared"),
    ]
    assert desk.published[0].clocks_from == to_rfc3339(NOON_MS + MINUTE_MS)
    (failure,) = batch.failures
    assert isinstance(failure.error, ZeroDivisionError)
    told = desk.hear(until_ms=NOON_MS + HOUR_MS)
    assert named(told) == [("closed", "x.2")]


def test_a_rule_that_fails_at_a_silence_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.hear(presence(1, interval_s=30))
    ticks = [tick(NOON_MS + at_ms) for at_ms in range(0, 2 * MINUTE_MS, 5_000)]
    with monkeypatch.context() as broken:
        broken.setattr("services.classifier.batch.judge_silence", rule_with_a_bug)
        (fault,) = desk.hear(*ticks)
    assert (fault.change, fault.code) == ("opened", "bakvakt:emu_offline")
    assert desk.partition.offline == 1
    alive = presence(2, receipt_ms=NOON_MS + 3 * MINUTE_MS)
    assert changes(desk.hear(alive)) == ["cleared"]


def test_what_goes_to_another_site_goes_there_although_a_rule_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), edge(1, site_id=X, code="x.1"))
    past: dict[str, Any] = {"site_id": X, "historical": True, "at_ms": NOON_MS - HOUR_MS}
    fleet.hear(edge(2, code="x.2", **past))
    own, old = moved(2, Y, X)
    leaving, coming = fleet.states[0].stage(), fleet.states[1].stage()
    with monkeypatch.context() as broken:
        broken.setattr("services.classifier.backlog._come_out", rule_with_a_bug)
        broken.setattr("services.classifier.moves.receive", rule_with_a_bug)
        with pytest.raises(ZeroDivisionError):
            leaving.judge(old)
        leaving.judge_plainly(old)
        (transfer,) = leaving.sent
        coming.judge(own)
        with pytest.raises(ZeroDivisionError):
            coming.judge(transfer)
        coming.judge_plainly(transfer)
    assert sorted(named(leaving.faults)) == [
        ("moved", "x.1"),
        ("moved", "x.2"),
        ("opened", "x.2"),
    ]
    assert sorted(named(coming.faults)) == [("opened", "x.1"), ("opened", "x.2")]


def test_who_waits_too_long_for_a_transfer_waits_no_longer_although_a_rule_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has gone on meanwhile, so its wait ends with another transfer."""
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), edge(1, site_id=X))
    own, _ = moved(2, Y, X)
    fleet.hear(own)
    _, on = moved(3, Z, Y)
    fleet.hear(on)
    batch = fleet.states[1].stage()
    with monkeypatch.context() as broken:
        calls = iter([True])
        honest = moves.hand_over

        def fails_once(*known: Any, plainly: bool = False) -> Any:
            if next(calls, False):
                raise ZeroDivisionError
            assert plainly
            return honest(*known, plainly=plainly)

        broken.setattr("services.classifier.moves.hand_over", fails_once)
        batch.stop_waiting(NOON_MS + HOUR_MS)
        batch.stop_waiting(NOON_MS + 2 * HOUR_MS)
    assert len(batch.sent) == 1
    assert len(batch.failures) == 1


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

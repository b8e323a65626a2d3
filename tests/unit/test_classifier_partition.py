"""A fault's life, told by what a partition publishes. Time is an argument: nothing sleeps."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.batch import MAX_FAULTS
from services.classifier.state import REOPEN_WINDOW_MS
from shared.documents.fault import Fault
from shared.documents.internal import Edge, Snapshot
from shared.times import HOUR_MS, MINUTE_MS, to_rfc3339
from tests.unit.alarms import CATALOGUE, NOON_MS, Desk, changes, edge, part, ruling, snapshot


def test_ten_reports_of_one_condition_are_one_fault_with_count_10_after_a_minute() -> None:
    desk = Desk()
    for second in range(10):
        desk.hear(edge(second, receipt_ms=NOON_MS + second * 1000))
    assert changes(desk.published) == ["opened"]

    desk.hear(until_ms=NOON_MS + MINUTE_MS - 1)
    assert changes(desk.published) == ["opened"]
    desk.hear(until_ms=NOON_MS + MINUTE_MS)

    first, last = desk.published
    assert (first.count, last.count) == (1, 10)
    assert last.change == "repeated"
    assert last.fault_id == first.fault_id
    assert (first.revision, last.revision) == (1, 2)
    assert last.last_at == to_rfc3339(NOON_MS + 9_000)


def test_repeats_that_go_on_are_told_after_1_5_15_60_and_60_minutes() -> None:
    desk = Desk()
    for step in range(3 * 60 * 2):  # each 30 s for 3 hours: never a quiet minute
        desk.hear(edge(step, receipt_ms=NOON_MS + step * 30_000))
    told = [fault for fault in desk.published if fault.change == "repeated"]
    # A trailing revision comes 1, 5, 15, 60, 60 minutes after the one before it.
    waits = [1, 5, 15, 60, 60]
    assert [fault.count for fault in told] == [2 * sum(waits[: n + 1]) for n in range(len(waits))]


def test_the_first_repeat_after_a_quiet_minute_is_told_at_once() -> None:
    desk = Desk()
    desk.hear(edge(1))
    assert changes(desk.hear(edge(2, receipt_ms=NOON_MS + MINUTE_MS))) == ["repeated"]
    assert changes(desk.hear(edge(3, receipt_ms=NOON_MS + MINUTE_MS + 1))) == []


def test_one_report_delivered_ten_times_counts_once() -> None:
    desk = Desk()
    for offset in range(10):
        desk.hear(edge(offset, boot="b", seq=1))
    desk.hear(until_ms=NOON_MS + HOUR_MS)
    assert [(fault.change, fault.count) for fault in desk.published] == [("opened", 1)]


def test_a_redelivered_record_counts_once() -> None:
    desk = Desk()
    for _ in range(10):
        desk.hear(edge(7))
    desk.hear(until_ms=NOON_MS + HOUR_MS)
    assert [(fault.change, fault.count) for fault in desk.published] == [("opened", 1)]


def test_a_clear_clears_at_once_and_the_fault_is_closed_after_its_window() -> None:
    desk = Desk()
    desk.hear(edge(1))
    cleared_ms = NOON_MS + 5_000
    desk.hear(edge(2, raised=False, receipt_ms=cleared_ms))
    desk.hear(until_ms=cleared_ms + REOPEN_WINDOW_MS - 1)
    assert changes(desk.published) == ["opened", "cleared"]
    desk.hear(until_ms=cleared_ms + REOPEN_WINDOW_MS)

    assert changes(desk.published) == ["opened", "cleared", "closed"]
    assert [fault.state for fault in desk.published] == ["open", "cleared", "closed"]
    assert desk.published[-1].cleared_at == to_rfc3339(cleared_ms)
    assert len(desk.partition.conditions) == 0


def test_a_raise_within_the_window_reopens_the_same_fault_and_a_later_one_opens_another() -> None:
    desk = Desk()
    desk.hear(edge(1))
    desk.hear(edge(2, raised=False, receipt_ms=NOON_MS + 1))
    desk.hear(edge(3, receipt_ms=NOON_MS + REOPEN_WINDOW_MS))
    assert changes(desk.published) == ["opened", "cleared", "reopened"]
    assert len({fault.fault_id for fault in desk.published}) == 1
    reopened = desk.published[-1]
    assert (reopened.state, reopened.flaps, reopened.cleared_at) == ("open", 1, None)
    assert reopened.opened_at == desk.published[0].opened_at

    again_ms = NOON_MS + 3 * REOPEN_WINDOW_MS
    desk.hear(edge(4, raised=False, receipt_ms=again_ms))
    desk.hear(edge(5, receipt_ms=again_ms + REOPEN_WINDOW_MS))
    assert changes(desk.published)[-3:] == ["cleared", "closed", "opened"]
    assert len({fault.fault_id for fault in desk.published}) == 2


def test_the_reopen_window_is_as_long_while_catching_up() -> None:
    """Another input has moved the task's time an hour ahead of this one."""
    desk = Desk()
    desk.hear(edge(1, emu_id="other", receipt_ms=NOON_MS + HOUR_MS))
    for minute in range(0, 30, 2):
        desk.hear(edge(10 + minute, receipt_ms=NOON_MS + minute * MINUTE_MS))
        desk.hear(edge(11 + minute, raised=False, receipt_ms=NOON_MS + (minute + 1) * MINUTE_MS))
    ours = [fault for fault in desk.published if fault.emu_id == "e1"]
    assert len({fault.fault_id for fault in ours}) == 1


def test_a_raise_after_the_window_is_another_fault_while_catching_up() -> None:
    desk = Desk()
    desk.hear(edge(1, emu_id="other", receipt_ms=NOON_MS + HOUR_MS))
    desk.hear(edge(2))
    desk.hear(edge(3, raised=False, receipt_ms=NOON_MS + 1))
    told = desk.hear(edge(4, receipt_ms=NOON_MS + 1 + REOPEN_WINDOW_MS))
    assert changes(told) == ["closed", "opened"]
    assert told[0].fault_id != told[1].fault_id


def test_a_condition_that_comes_back_graver_is_graded_so() -> None:
    desk = Desk()
    desk.hear(edge(1, level="info"))
    desk.hear(edge(2, level="info", raised=False))
    (reopened,) = desk.hear(edge(3, level="fault"))
    assert (reopened.change, reopened.grade) == ("reopened", "B")


def test_repeats_leave_no_trace_in_the_list_of_wake_ups() -> None:
    desk = Desk()
    for offset in range(1000):
        desk.hear(edge(offset, receipt_ms=NOON_MS + offset))
    assert desk.partition.wake_ups <= 2


def test_numbered_clears_of_nothing_leave_no_trace_in_the_list_of_wake_ups() -> None:
    desk = Desk()
    for number in range(1000):
        word = edge(number, boot="b", seq=number, raised=False, receipt_ms=NOON_MS + number)
        desk.hear(word)
    assert desk.partition.wake_ups <= 2


@pytest.mark.parametrize("minutes", [1, 8, 14])
def test_the_newest_numbered_clear_is_remembered_for_the_reopen_window(minutes: int) -> None:
    desk = Desk()
    desk.hear(edge(1, boot="b", seq=4, raised=False))
    newest_ms = NOON_MS + minutes * MINUTE_MS
    desk.hear(edge(2, boot="b", seq=6, raised=False, receipt_ms=newest_ms))
    late = edge(3, boot="b", seq=5, receipt_ms=newest_ms + REOPEN_WINDOW_MS - 1)
    (fault,) = desk.hear(late)
    assert (fault.change, fault.state) == ("opened", "cleared")


def test_wake_ups_that_hold_no_longer_are_thrown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.classifier.partition.MAX_STALE_WAKE_UPS", 10)
    desk = Desk()
    for number in range(1000):
        receipt_ms = NOON_MS + number * 10
        desk.hear(edge(number, raised=number % 2 == 0, receipt_ms=receipt_ms))
    assert desk.partition.wake_ups <= 12
    told = desk.hear(until_ms=NOON_MS + HOUR_MS)
    assert told[-1].change == "closed"


def test_very_many_wake_ups_are_spread_over_batches_and_none_is_lost() -> None:
    count = 2 * MAX_FAULTS + 10
    desk = Desk()
    desk.hear(*(edge(n, emu_id=f"e{n}") for n in range(count)))
    desk.hear(*(edge(count + n, emu_id=f"e{n}", raised=False) for n in range(count)))
    closed: list[int] = []
    finished = False
    while not finished:
        batch = desk.partition.stage()
        finished = batch.follow_clock(NOON_MS + HOUR_MS)
        desk.partition.apply(batch)
        closed.append(len(batch.faults))
    assert closed == [MAX_FAULTS, MAX_FAULTS, 10]
    assert len(desk.partition.conditions) == 0


def test_a_late_clear_does_not_end_a_newer_raise() -> None:
    desk = Desk()
    desk.hear(edge(1, boot="b", seq=5))
    desk.hear(edge(2, boot="b", seq=4, raised=False))
    assert changes(desk.published) == ["opened"]


def test_a_late_raise_counts_but_does_not_reopen() -> None:
    desk = Desk()
    desk.hear(edge(1, boot="b", seq=1))
    desk.hear(edge(2, boot="b", seq=9, raised=False))
    desk.hear(edge(3, boot="b", seq=5))
    assert changes(desk.published) == ["opened", "cleared"]


def test_a_clear_that_overtakes_the_first_raise_leaves_a_fault_that_has_cleared() -> None:
    desk = Desk()
    assert desk.hear(edge(1, boot="b", seq=6, raised=False)) == []
    desk.restart()
    (fault,) = desk.hear(edge(2, boot="b", seq=5, receipt_ms=NOON_MS + 1000))
    assert (fault.change, fault.state, fault.revision) == ("opened", "cleared", 1)
    assert desk.standing() == set()
    assert changes(desk.hear(edge(3, boot="b", seq=7, receipt_ms=NOON_MS + 2000))) == ["reopened"]


def test_a_clear_of_nothing_is_forgotten_after_the_reopen_window_and_was_no_fault() -> None:
    desk = Desk()
    desk.hear(edge(1, boot="b", seq=6, raised=False))
    desk.hear(edge(2, code="unnumbered", raised=False))
    assert len(desk.partition.conditions) == 1
    assert desk.hear(until_ms=NOON_MS + 2 * REOPEN_WINDOW_MS) == []
    assert len(desk.partition.conditions) == 0
    assert set(desk.partition.open_by_grade.values()) == {0}


def test_an_unknown_code_is_b_and_d_as_information_and_only_rises() -> None:
    desk = Desk()
    desk.hear(edge(1, level="info"))
    desk.hear(edge(2, level="fault"))
    desk.hear(edge(3, level="info"))
    assert [(fault.change, fault.grade) for fault in desk.published] == [
        ("opened", "D"),
        ("regraded", "B"),
    ]
    assert desk.published[0].kind == "other_alarm"


def test_a_ruling_clears_a_standing_condition() -> None:
    desk = Desk()
    desk.hear(edge(1))
    word = ruling(receipt_ms=NOON_MS + 1000)
    assert changes(desk.hear(word)) == ["cleared"]
    assert changes(desk.hear(word)) == []


def test_a_restart_publishes_nothing() -> None:
    desk = Desk()
    desk.hear(*(edge(n, emu_id=f"e{n}") for n in range(1000)))
    desk.restart()
    assert desk.hear(until_ms=NOON_MS + HOUR_MS) == []
    assert desk.partition.open_by_grade["B"] == 1000


def test_time_never_goes_back() -> None:
    desk = Desk()
    desk.hear(edge(1, receipt_ms=NOON_MS))
    desk.hear(edge(2, emu_id="e2", receipt_ms=NOON_MS - HOUR_MS))
    assert desk.partition.meta.now_ms == NOON_MS


@pytest.mark.parametrize("grade", ["A", "B", "C", "D"])
def test_open_faults_are_counted_by_grade(grade: str) -> None:
    row = next(row for row in CATALOGUE.rows if row.grade == grade)
    desk = Desk()
    desk.hear(edge(1, code=row.code), until_ms=NOON_MS + HOUR_MS)
    assert desk.partition.open_by_grade == {"A": 0, "B": 0, "C": 0, "D": 0} | {grade: 1}
    cleared_ms = NOON_MS + HOUR_MS
    desk.hear(
        edge(2, code=row.code, raised=False, receipt_ms=cleared_ms), until_ms=cleared_ms + HOUR_MS
    )
    assert desk.partition.open_by_grade == {"A": 0, "B": 0, "C": 0, "D": 0}


@st.composite
def streams(draw: st.DrawFn) -> list[Edge | Snapshot]:
    """Raises, clears, snapshots of two conditions of two EMUs, some numbered, gaps of up to 20 minutes."""
    receipt_ms = NOON_MS
    stream: list[Edge | Snapshot] = []
    for offset in range(draw(st.integers(1, 25))):
        receipt_ms += draw(st.sampled_from([0, 500, 20_000, 61_000, 20 * MINUTE_MS]))
        numbered = draw(st.booleans())
        common: dict[str, Any] = {
            "receipt_ms": receipt_ms,
            "emu_id": draw(st.sampled_from(["e1", "e2"])),
            "boot": draw(st.sampled_from(["b1", "b2"])) if numbered else None,
            "seq": draw(st.integers(0, 8)) if numbered else None,
        }
        if draw(st.booleans()):
            scope = draw(st.sampled_from([None, (), ("x",), ("y",), ("x", "y")]))
            active = draw(st.lists(st.sampled_from(["x.1", "y.1"]), unique=True))
            stream.append(snapshot(offset, part(scope, *active), **common))
        else:
            code = draw(st.sampled_from(["x.1", "y.1"]))
            stream.append(edge(offset, code=code, raised=draw(st.booleans()), **common))
    return stream


@settings(max_examples=300, deadline=None)
@given(streams(), st.data())
def test_batches_aborts_restarts_and_redeliveries_change_nothing(
    stream: list[Edge | Snapshot], data: st.DataObject
) -> None:
    """The same faults, revision for revision, as one record at a time without any mishap."""
    smooth, rough = Desk(), Desk()
    for record in stream:
        smooth.hear(record)

    position = 0
    while position < len(stream):
        end = data.draw(st.integers(position + 1, len(stream)))
        if data.draw(st.booleans()):
            rough.hear_in_vain(*stream[position:end])
            rough.restart()
        again = stream[data.draw(st.integers(0, position)) : position]
        rough.hear(*again, *stream[position:end])
        if data.draw(st.booleans()):
            rough.restart()
        position = end

    end_ms = stream[-1].receipt_ms + 2 * HOUR_MS
    smooth.hear(until_ms=end_ms)
    rough.hear(until_ms=end_ms)
    assert rough.published == smooth.published


@settings(max_examples=300, deadline=None)
@given(streams())
def test_revisions_grow_by_one_and_states_follow_the_life_of_a_fault(
    stream: list[Edge | Snapshot],
) -> None:
    desk = Desk()
    for record in stream:
        desk.hear(record)
    desk.hear(until_ms=stream[-1].receipt_ms + 2 * HOUR_MS)
    follows = {
        None: {"open", "cleared"},
        "open": {"open", "cleared"},
        "cleared": {"open", "closed"},
        "closed": set[str](),
    }
    newest: dict[str, Fault] = {}
    for fault in desk.published:
        before = newest.get(fault.fault_id)
        assert fault.revision == (before.revision if before else 0) + 1
        assert fault.state in follows[before.state if before else None]
        assert fault.count >= (before.count if before else 1)
        newest[fault.fault_id] = fault


@settings(max_examples=300, deadline=None)
@given(streams())
def test_what_stands_at_the_end_is_what_a_plain_reading_says(stream: list[Edge | Snapshot]) -> None:
    """Oracle for edges without numbers: the last word on each condition."""
    plain = [record for record in stream if isinstance(record, Edge) and record.seq is None]
    desk = Desk()
    said: dict[tuple[str, str], bool] = {}
    raises: dict[tuple[str, str], int] = {}
    for record in plain:
        desk.hear(record)
        said[(record.emu_id, record.code)] = record.raised
        raises[(record.emu_id, record.code)] = raises.get((record.emu_id, record.code), 0) + (
            record.raised
        )
    stands = {
        (condition.emu_id, condition.code)
        for condition in desk.partition.conditions
        if condition.is_raised
    }
    assert stands == {key for key, raised in said.items() if raised}
    counted = {key: 0 for key in raises}
    newest = {fault.fault_id: fault for fault in desk.published}
    for condition in desk.partition.conditions:
        newest.pop(condition.fault_id)
        counted[(condition.emu_id, condition.code)] += condition.count
    for fault in newest.values():
        counted[(fault.emu_id, fault.code)] += fault.count
    assert counted == raises

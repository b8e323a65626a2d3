"""What is over is forgotten in time, and what stands never is."""

from services.classifier.lifetime import CLOSED_KEPT_MS, MAX_FORGOTTEN, SILENT_KEPT_MS
from services.classifier.state import REOPEN_WINDOW_MS, emu_key
from shared.times import DAY_MS, HOUR_MS
from tests.unit.alarms import CODE_A, NOON_MS, Desk, changes, edge

CLOSED_MS = NOON_MS + REOPEN_WINDOW_MS


def closed_desk(faults: int = 1) -> Desk:
    """So many faults of one EMU, closed a reopen window after noon."""
    desk = Desk()
    desk.hear(*(edge(n, code=f"c{n}") for n in range(faults)))
    desk.hear(*(edge(faults + n, code=f"c{n}", raised=False) for n in range(faults)))
    desk.hear(until_ms=CLOSED_MS)
    assert len(desk.published) == 3 * faults
    return desk


def test_a_fault_s_document_goes_30_days_after_it_was_closed() -> None:
    desk = closed_desk()
    desk.hear(until_ms=CLOSED_MS + CLOSED_KEPT_MS - 1)
    assert desk.buried == []
    desk.hear(until_ms=CLOSED_MS + CLOSED_KEPT_MS + HOUR_MS)
    assert desk.buried == [desk.published[0].fault_id]
    desk.hear(until_ms=CLOSED_MS + 3 * CLOSED_KEPT_MS)
    assert len(desk.buried) == 1, "once"


def test_a_restart_does_not_forget_to_forget() -> None:
    desk = closed_desk()
    desk.restart()
    desk.hear(until_ms=CLOSED_MS + CLOSED_KEPT_MS + HOUR_MS)
    assert desk.buried == [desk.published[0].fault_id]
    desk.restart()
    desk.hear(until_ms=CLOSED_MS + 2 * CLOSED_KEPT_MS)
    assert len(desk.buried) == 1, "once"


def test_a_batch_takes_a_bounded_number_of_documents_away_and_none_is_left() -> None:
    desk = closed_desk(MAX_FORGOTTEN + 5)
    desk.restart()
    desk.hear(until_ms=CLOSED_MS + CLOSED_KEPT_MS + HOUR_MS)
    assert len(desk.buried) == MAX_FORGOTTEN
    desk.hear(edge(9_999, code=CODE_A))
    assert sorted(desk.buried) == sorted({fault.fault_id for fault in desk.published[:-1]})


def test_what_was_to_be_taken_away_by_an_aborted_batch_is_taken_away_by_the_next() -> None:
    desk = closed_desk()
    batch = desk.partition.stage()
    batch.follow_clock(CLOSED_MS + 2 * CLOSED_KEPT_MS)
    batch.end(7)
    assert len(batch.buried) == 1
    desk.hear(until_ms=CLOSED_MS + 2 * CLOSED_KEPT_MS)
    assert len(desk.buried) == 1


def test_a_fault_that_is_cleared_or_reopened_keeps_its_document() -> None:
    desk = Desk()
    desk.hear(edge(1), edge(2, raised=False))
    assert changes(desk.hear(edge(3, receipt_ms=NOON_MS + 1))) == ["reopened"]
    desk.hear(until_ms=NOON_MS + 400 * DAY_MS)
    assert desk.buried == []


def test_what_stands_survives_400_days_and_all_restarts() -> None:
    desk = Desk()
    desk.hear(edge(1, boot="b", seq=1), edge(2, emu_id="e2", code="other"))
    told = list(desk.published)
    for day in range(0, 400, 40):
        desk.hear(until_ms=NOON_MS + day * DAY_MS)
        desk.restart()
    assert desk.published == told
    later_ms = NOON_MS + 400 * DAY_MS
    assert changes(desk.hear(edge(3, raised=False, receipt_ms=later_ms))) == ["cleared"]
    assert desk.published[-1].fault_id == told[0].fault_id


def test_an_emu_that_says_nothing_for_30_days_is_forgotten_once_nothing_of_it_stands() -> None:
    desk = closed_desk()
    desk.hear(edge(10, emu_id="e2"))
    desk.hear(until_ms=NOON_MS + SILENT_KEPT_MS - 1)
    assert desk.changelog[emu_key("e1")] is not None
    desk.hear(until_ms=NOON_MS + SILENT_KEPT_MS + DAY_MS)
    assert desk.changelog[emu_key("e1")] is None
    assert desk.changelog[emu_key("e2")] is not None, "its fault stands"
    assert set(desk.partition.known.by_id) == {"e2"}
    desk.restart()
    assert set(desk.partition.known.by_id) == {"e2"}


def test_an_emu_that_speaks_in_the_batch_that_would_forget_it_is_kept() -> None:
    desk = closed_desk()
    late_ms = NOON_MS + SILENT_KEPT_MS + DAY_MS
    desk.hear(edge(10, raised=False, boot="b", seq=3, receipt_ms=late_ms))
    desk.restart()
    assert desk.partition.known.of("e1").emu.heard_ms == late_ms

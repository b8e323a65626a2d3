"""Counters of 8, 16 and 32 bits begin again at 0 within one boot, and no live alarm is lost for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.classifier.numbers import RANGES
from services.classifier.state import OLD_MS
from shared.documents.internal import Edge
from tests.unit.alarms import NOON_MS, Desk, changes, edge


def words(*numbers: int, code: str = "c") -> list[Edge]:
    """A raise, a clear, a raise ... of one condition, with these numbers, a second between them."""
    return [
        edge(
            n,
            code=code,
            boot="b",
            seq=seq,
            raised=n % 2 == 0,
            receipt_ms=NOON_MS + n * 1_000,
        )
        for n, seq in enumerate(numbers)
    ]


def test_a_counter_of_8_bits_that_runs_for_four_laps_loses_nothing_and_doubles_nothing() -> None:
    desk = Desk()
    stream = words(*(n % 256 for n in range(1_000)))
    for n in range(0, 1_000, 100):
        desk.hear(*stream[n : n + 100], *stream[n : n + 50])  # some of them twice
        desk.restart()
    last = desk.published[-1]
    assert (last.change, last.count, last.flaps) == ("cleared", 500, 499)


@pytest.mark.parametrize("size", RANGES)
def test_what_comes_after_the_wrap_is_newer_and_what_is_late_from_before_it_is_late(
    size: int,
) -> None:
    desk = Desk()
    raised, cleared, late, _, again = words(size - 3, 0, size - 1, 1, 2)
    assert changes(desk.hear(raised, cleared)) == ["opened", "cleared"]
    assert desk.hear(late) == [], "it was raised before it was cleared"
    assert changes(desk.hear(again)) == ["reopened"]


def test_one_report_heard_again_after_the_wrap_is_still_the_same_report() -> None:
    desk = Desk()
    raised, cleared, _ = words(254, 0, 1)
    desk.hear(raised, cleared)
    for offset, word in ((8, cleared), (9, raised)):
        again = edge(offset, code="c", boot="b", seq=word.seq, raised=word.raised)
        desk.hear(again)
    assert desk.partition.known.of("e1").emu.boots[0].seen == ((254, 254), (256, 256))
    assert changes(desk.published) == ["opened", "cleared"]


def test_backlog_does_not_make_a_counter_wrap() -> None:
    for late in ({"historical": True}, {"at_ms": NOON_MS - OLD_MS - 1}):
        desk = Desk()
        desk.hear(edge(1, code="c", boot="b", seq=200, raised=False))
        desk.hear(edge(2, code="c", boot="b", seq=10, **late))
        assert desk.partition.known.of("e1").emu.boots[0].wraps_at == 0
        assert desk.standing() == set()


def test_a_counter_that_was_taken_for_one_that_wraps_loses_nothing_when_it_goes_on() -> None:
    """A bridge that sends the first 250 reports again, within minutes; then go on all that follow."""
    desk = Desk()
    numbers = [*range(250), *range(250), *range(250, 700)]
    stream = words(*numbers)
    desk.hear(*stream)
    assert (
        sum(last - first + 1 for first, last in desk.partition.known.of("e1").emu.boots[0].seen)
        >= 700
    )
    assert desk.published[-1].change == "cleared"
    assert desk.published[-1].count >= 350


@given(st.lists(st.integers(0, 600), min_size=1, max_size=60))
def test_whatever_numbers_come_a_new_number_above_all_of_its_boot_is_new(
    numbers: list[int],
) -> None:
    desk = Desk()
    desk.hear(*words(*numbers))
    late_ms = NOON_MS + 600_000
    *_, told = desk.hear(edge(1_000, code="d", boot="b", seq=601, receipt_ms=late_ms))
    assert (told.code, told.change, told.state) == ("d", "opened", "open")
    gone = edge(1_001, code="d", boot="b", seq=602, raised=False, receipt_ms=late_ms)
    assert changes(desk.hear(gone)) == ["cleared"]

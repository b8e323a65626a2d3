"""Which report is new, and which of two is the newer."""

from hypothesis import given
from hypothesis import strategies as st

from services.classifier.order import (
    MAX_INTERVALS,
    is_counted,
    is_late,
    is_redelivered,
    remember_report,
    remember_source,
)
from services.classifier.state import Emu
from shared.documents.internal import Edge, Source
from tests.unit.alarms import NOON_MS, condition_of, edge


def with_reports(*reports: tuple[str, int]) -> Emu:
    emu = Emu()
    for boot, seq in reports:
        emu = remember_report(emu, edge(boot=boot, seq=seq))
    return emu


@given(st.lists(st.integers(0, 40)), st.integers(0, 40))
def test_a_number_is_counted_exactly_if_it_was_heard(heard: list[int], asked: int) -> None:
    emu = with_reports(*(("b", seq) for seq in heard))
    assert is_counted(emu, edge(boot="b", seq=asked)) == (asked in heard)


@given(st.lists(st.integers(0, 10**6), max_size=200))
def test_forgetting_never_takes_an_unheard_number_for_heard(heard: list[int]) -> None:
    emu = with_reports(*(("b", seq) for seq in heard))
    (boot,) = emu.boots or (None,)
    if boot is None:
        return
    assert len(boot.seen) <= MAX_INTERVALS
    claimed = sum(last - first + 1 for first, last in boot.seen)
    assert claimed <= len(set(heard))
    assert all(
        any(seq in range(first, last + 1) for first, last in boot.seen)
        for seq in sorted(set(heard))[-MAX_INTERVALS:]
    )


def test_numbers_without_gaps_are_one_interval() -> None:
    emu = with_reports(*(("b", seq) for seq in range(10_000)))
    assert emu.boots[0].seen == ((0, 9_999),)


def test_the_same_number_in_another_boot_is_another_report() -> None:
    assert not is_counted(with_reports(("b1", 5)), edge(boot="b2", seq=5))


def test_without_numbers_each_report_counts() -> None:
    emu = remember_report(Emu(), edge())
    assert not is_counted(emu, edge())


def late(emu: Emu, known: Edge, new: Edge) -> bool:
    return is_late(emu, condition_of(known), (new.component, new.code), new)


def test_within_a_boot_the_number_decides() -> None:
    emu = with_reports(("b", 5))
    assert late(emu, edge(boot="b", seq=5), edge(boot="b", seq=4))
    assert not late(emu, edge(boot="b", seq=5), edge(boot="b", seq=6))


def test_a_boot_not_seen_before_is_newer() -> None:
    assert not late(with_reports(("b1", 900)), edge(boot="b1", seq=900), edge(boot="b2", seq=1))


def test_a_report_of_an_earlier_boot_is_older() -> None:
    emu = with_reports(("b1", 1), ("b2", 1))
    assert late(emu, edge(boot="b2", seq=1), edge(boot="b1", seq=2))


def test_without_numbers_what_arrives_later_is_newer() -> None:
    assert not late(Emu(), edge(boot="b", seq=5), edge())
    assert not late(Emu(), edge(), edge(boot="b", seq=5))


def source(offset: int, index: int = 0, *, generation: int = 1, partition: int = 0) -> Source:
    return Source(generation, "emu.alarms", partition, offset, index)


def test_a_redelivery_is_what_is_not_above_the_newest_of_its_input() -> None:
    emu = remember_source(Emu(), source(7, 3), NOON_MS)
    assert is_redelivered(emu, source(7, 3))
    assert is_redelivered(emu, source(6, 9))
    assert not is_redelivered(emu, source(7, 4))
    assert not is_redelivered(emu, source(8))
    assert not is_redelivered(emu, source(1, partition=1))
    assert not is_redelivered(emu, source(0, generation=2))


def test_a_new_generation_of_a_topic_replaces_the_old_one() -> None:
    emu = remember_source(Emu(), source(700), NOON_MS)
    emu = remember_source(emu, source(1, generation=2), NOON_MS)
    assert emu.sources == (source(1, generation=2),)

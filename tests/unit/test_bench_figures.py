"""What a bench makes of its measurements: ratios within a repetition, and what has changed since."""

import random
import statistics
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import Figure, Measurement, Spread, compare, make_figures, percentile
from tests.bench.machine import busy_warning

POSITIVE = st.floats(min_value=1e-3, max_value=1e6)


def pair(floor: float, ours: float) -> list[Measurement]:
    return [Measurement("floor", "us", floor), Measurement("ours", "us", ours, "floor")]


def ratio_of(figures: Sequence[Figure]) -> Spread:
    (ratio,) = [figure.ratio for figure in figures if figure.ratio is not None]
    return ratio


def test_a_ratio_is_that_of_one_repetition_and_not_of_the_medians() -> None:
    # In the second repetition the machine was four times as slow, in the third ours alone was slow.
    figures = make_figures([pair(1, 5), pair(4, 20), pair(2, 14)])
    floor, ours = figures
    assert floor.value == Spread(median=2, least=1, most=4)
    assert ours.value == Spread(median=14, least=5, most=20)
    assert ours.ratios == (5, 5, 7)
    assert ours.ratio == Spread(median=5, least=5, most=7)
    assert (floor.ratios, floor.ratio) == ((), None)


@given(st.lists(st.tuples(POSITIVE, POSITIVE, st.integers(1, 64)), min_size=1, max_size=7))
def test_a_machine_that_is_slow_for_a_whole_repetition_changes_no_ratio(
    repetitions: list[tuple[float, float, int]],
) -> None:
    calm = make_figures([pair(floor, ours) for floor, ours, _ in repetitions])
    slow = make_figures([pair(floor * by, ours * by) for floor, ours, by in repetitions])
    assert ratio_of(slow).median == pytest.approx(ratio_of(calm).median)


def test_a_floor_that_measured_nothing_gives_no_ratio() -> None:
    (_, ours) = make_figures([pair(0, 5), pair(1, 5)])
    assert (ours.ratios, ours.ratio) == ((), None)
    assert ours.value.median == 5


def test_a_floor_that_is_not_measured_is_told() -> None:
    with pytest.raises(ValueError, match="'ours' has a floor that is not measured: 'floor'"):
        make_figures([pair(1, 5)[1:]])


def test_repetitions_that_measure_different_things_are_told() -> None:
    with pytest.raises(ValueError, match="different things"):
        make_figures([pair(1, 5), pair(1, 5)[:1]])


def test_a_change_is_that_of_the_ratio_whatever_the_times_are() -> None:
    earlier = make_figures([pair(1, 4), pair(1, 4)])
    now = make_figures([pair(10, 50), pair(10, 60)])
    (change,) = compare(earlier, now)
    assert change.name == "ours"
    assert change.share == pytest.approx(5.5 / 4 - 1)


@pytest.mark.parametrize(
    ("earlier", "now", "beyond"),
    [
        ((4, 5, 6), (7, 8, 9), True),
        ((4, 5, 6), (1, 2, 3), True),
        ((4, 5, 6), (6, 8, 9), False),  # they touch
        ((4, 5, 6), (1, 9, 9), False),  # one lies around the other
    ],
)
def test_a_change_counts_where_no_repetition_of_one_run_lies_among_those_of_the_other(
    earlier: Sequence[float], now: Sequence[float], beyond: bool
) -> None:
    (change,) = compare(
        make_figures([pair(1, ours) for ours in earlier]),
        make_figures([pair(1, ours) for ours in now]),
    )
    assert change.is_beyond_spread == beyond


def test_only_what_both_runs_have_is_compared() -> None:
    other = [Measurement("floor", "us", 1), Measurement("new", "us", 2, "floor")]
    assert compare(make_figures([pair(1, 5)]), make_figures([other])) == []


@given(st.lists(POSITIVE, min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(
    values: list[float], percent: int
) -> None:
    found = percentile(random.sample(values, len(values)), percent / 100)

    def not_above(limit: float) -> int:
        return sum(value <= limit for value in values)

    enough = [value for value in values if 100 * not_above(value) >= percent * len(values)]
    assert found == min(enough)


def test_the_half_is_the_median_of_an_odd_number_of_values() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert percentile(values, 0.5) == statistics.median(values)
    assert percentile(values, 0.99) == 5.0


@pytest.mark.parametrize(("load", "cores"), [(0.0, 2), (0.5, 2), (4.0, 16)])
def test_a_machine_with_little_to_do_is_not_warned_of(load: float, cores: int) -> None:
    assert busy_warning(load, cores) is None


@pytest.mark.parametrize(("load", "cores"), [(0.6, 2), (2.0, 2), (4.1, 16)])
def test_a_busy_machine_is_warned_of_with_its_load(load: float, cores: int) -> None:
    warning = busy_warning(load, cores)
    assert warning is not None
    assert f"{load:.2f} on {cores} cores" in warning

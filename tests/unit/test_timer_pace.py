"""When a shard is looked at, how fast it catches up, and whether its clock is trusted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.timer.pace import MOST_SKEW_MS, CatchUp, Watch, is_trusted, skew_ms

TICK_MS = 2_000
NOW_MS = 1_795_342_500_000


@pytest.mark.parametrize(
    ("redis_ms", "skew"),
    [
        (1_000, 0),  # between question and answer: that may be
        (1_500, 0),
        (2_000, 0),
        (2_700, 700),
        (400, -600),
    ],
)
def test_only_what_lies_outside_of_question_and_answer_is_skew(redis_ms: int, skew: int) -> None:
    assert skew_ms(1_000, 2_000, redis_ms) == skew


@given(
    true=st.integers(-(10**9), 10**9),
    sent_ms=st.integers(0, 10_000),
    way_ms=st.integers(0, 60_000),
    back_ms=st.integers(0, 60_000),
)
def test_skew_is_never_more_than_it_is_nor_on_the_other_side(
    true: int, sent_ms: int, way_ms: int, back_ms: int
) -> None:
    redis_ms = sent_ms + way_ms + true
    found = skew_ms(sent_ms, sent_ms + way_ms + back_ms, redis_ms)
    assert min(0, true) <= found <= max(0, true)
    assert abs(true) - abs(found) <= way_ms + back_ms


def test_five_seconds_are_trusted_and_more_is_not() -> None:
    assert is_trusted(MOST_SKEW_MS)
    assert is_trusted(-MOST_SKEW_MS)
    assert not is_trusted(MOST_SKEW_MS + 1)
    assert not is_trusted(-MOST_SKEW_MS - 1)


def test_an_owner_looks_at_once_and_then_when_something_is_due() -> None:
    watch = Watch(TICK_MS)
    assert watch.pause_s(7.0) == 0
    watch.looked(NOW_MS, NOW_MS + 300, 7.0)
    assert watch.pause_s(7.0) == pytest.approx(0.3, abs=0.001)
    assert watch.pause_s(7.4) == 0
    watch.looked(NOW_MS + 400, NOW_MS - 5, 7.4)
    assert watch.pause_s(7.4) == 0


@pytest.mark.parametrize("next_ms", [None, NOW_MS + 3_600_000])
def test_it_looks_once_a_tick_where_nothing_is_due(next_ms: int | None) -> None:
    watch = Watch(TICK_MS)
    watch.looked(NOW_MS, next_ms, 7.0)
    assert watch.pause_s(7.0) == TICK_MS / 1000
    assert watch.pause_s(100.0) == 0


def test_it_looks_earlier_for_what_a_new_case_brings_and_never_later() -> None:
    watch = Watch(TICK_MS)
    watch.looked(NOW_MS, NOW_MS + 1_000, 7.0)
    watch.expect(NOW_MS + 200)
    watch.expect(NOW_MS + 1_500)
    assert watch.pause_s(7.0) == pytest.approx(0.2, abs=0.001)
    watch.expect(NOW_MS - 60_000)
    assert watch.pause_s(7.0) == 0


@given(
    looks=st.lists(
        st.tuples(
            st.integers(0, 20_000),  # how far Redis' clock has gone since the last look
            st.none() | st.integers(-5_000, 50_000),  # what comes next, from then
            st.lists(st.integers(-5_000, 50_000), max_size=3),  # what new cases bring
        ),
        min_size=1,
    ),
    back_ms=st.integers(0, 10**7),
)
def test_it_is_awake_when_something_is_due_if_the_clocks_go_alike(
    looks: list[tuple[int, int | None, list[int]]], back_ms: int
) -> None:
    """However Redis' clock has stood before, also where it has gone back."""
    watch, at_s, redis_ms = Watch(TICK_MS), 1_000.0, NOW_MS
    for step_ms, comes_in_ms, brought_in_ms in looks:
        at_s += step_ms / 1000
        redis_ms += step_ms - back_ms
        comes_ms = None if comes_in_ms is None else redis_ms + comes_in_ms
        watch.looked(redis_ms, comes_ms, at_s)
        for brought_ms in brought_in_ms:
            watch.expect(redis_ms + brought_ms)
        wake_s = watch.pause_s(at_s)
        firsts = [TICK_MS, *brought_in_ms]
        if comes_in_ms is not None:
            firsts.append(comes_in_ms)
        assert wake_s == pytest.approx(max(0, min(firsts)) / 1000, abs=0.001)


@given(
    per_s=st.integers(1, 100_000),
    shards=st.integers(1, 24),
    wanted=st.lists(st.integers(0, 1_024), min_size=1, max_size=50),
)
def test_shards_together_never_publish_faster_than_is_allowed(
    per_s: int, shards: int, wanted: list[int]
) -> None:
    """Each batch of at most 1,024 is reserved whole; what it did not need is given back."""
    catch_up, at_s, began_s, published = CatchUp(per_s), 50.0, 50.0, 0
    for number, count in enumerate(wanted * shards):
        wait_s = catch_up.wait_s(at_s)
        assert wait_s <= 1_024 / per_s + 0.001, "nobody waits for longer than one batch takes"
        at_s += wait_s
        assert published <= per_s * (at_s - began_s) * 1.0001 + 0.01, number
        catch_up.spend(1_024, at_s)
        catch_up.spend(count - 1_024, at_s)
        published += count


def test_who_has_nothing_to_catch_up_with_takes_nothing_from_the_others() -> None:
    catch_up = CatchUp(10)
    for _ in range(100):
        catch_up.spend(1_024, 5.0)
        catch_up.spend(-1_024, 5.0)
    assert catch_up.wait_s(5.0) == pytest.approx(0, abs=1e-6)
    catch_up.spend(20, 5.0)
    assert catch_up.wait_s(5.0) == pytest.approx(2.0, abs=1e-6)

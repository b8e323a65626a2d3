"""The limit above which failing rules stop a partition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import TooManyFailures
from shared.failures import MOST_IN_WINDOW, WINDOW_MS, FailureLimit
from tests.unit.dispatch_documents import T0


def passes(limit: FailureLimit, at_ms: int, count: int) -> bool:
    """Its batch is committed then."""
    try:
        limit.check(at_ms, count)
    except TooManyFailures:
        return False
    limit.note(at_ms, count)
    return True


def test_a_hundred_pass_and_the_next_one_does_not() -> None:
    limit = FailureLimit()
    limit.note(T0, 60)
    limit.note(T0 + 1, 40)
    with pytest.raises(TooManyFailures) as raised:
        limit.check(T0 + 2, 1)
    assert raised.value.reason == "rule_failed"
    assert limit.reached


def test_batch_without_failures_always_passes() -> None:
    limit = FailureLimit()
    limit.note(T0, MOST_IN_WINDOW)
    assert not passes(limit, T0, 1)
    assert passes(limit, T0, 0)
    assert not limit.reached


def test_what_came_again_and_again_is_not_counted_again_and_again() -> None:
    limit = FailureLimit()
    limit.note(T0, MOST_IN_WINDOW)
    assert not any(passes(limit, T0 + at_ms, 1) for at_ms in range(0, WINDOW_MS, 10_000))
    assert passes(limit, T0 + WINDOW_MS, 1)


def test_a_batch_that_was_not_committed_is_not_counted() -> None:
    limit = FailureLimit()
    for _ in range(3):
        limit.check(T0, 60)


@given(st.lists(st.tuples(st.integers(0, WINDOW_MS), st.integers(0, 150))))
def test_no_more_than_a_hundred_pass_within_any_ten_minutes(batches: list[tuple[int, int]]) -> None:
    limit, at_ms = FailureLimit(), T0
    passed: list[tuple[int, int]] = []
    for wait_ms, count in batches:
        at_ms += wait_ms
        if passes(limit, at_ms, count):
            passed.append((at_ms, count))
        else:
            assert limit.reached
    for end_ms, _ in passed:
        window = [count for when_ms, count in passed if end_ms - WINDOW_MS < when_ms <= end_ms]
        assert sum(window) <= MOST_IN_WINDOW

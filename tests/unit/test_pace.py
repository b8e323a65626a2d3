"""When a batch is committed."""

from hypothesis import given
from hypothesis import strategies as st

from shared.kafka.pace import GATHER_MS, MAX_RECORDS, QUIET_MS, Weight, commit_in_ms

WEIGHTS = st.sampled_from(Weight)
COUNTS = st.integers(0, 2 * MAX_RECORDS)
TIMES = st.integers(0, 3 * QUIET_MS)


def test_a_batch_that_holds_nothing_is_not_committed() -> None:
    assert commit_in_ms(Weight.NOTHING, 0, 10**6) is None


@given(COUNTS, TIMES)
def test_what_somebody_waits_for_is_committed_at_once(records: int, gathered_ms: int) -> None:
    assert commit_in_ms(Weight.URGENT, records, gathered_ms) == 0


def test_news_gathers_for_50_ms() -> None:
    assert [commit_in_ms(Weight.NEWS, 1, ms) for ms in (0, 49, 50, 51)] == [50, 1, 0, 0]


def test_what_nobody_else_sees_gathers_for_a_second() -> None:
    assert [commit_in_ms(Weight.QUIET, 1, ms) for ms in (0, 999, 1000)] == [1000, 1, 0]


def test_5_000_records_are_committed_at_once() -> None:
    assert commit_in_ms(Weight.QUIET, 5_000, 0) == 0
    assert commit_in_ms(Weight.NEWS, 5_000, 0) == 0
    assert commit_in_ms(Weight.NEWS, 4_999, 0) == GATHER_MS


@given(WEIGHTS, WEIGHTS, COUNTS, TIMES)
def test_what_is_weightier_never_waits_longer(
    one: Weight, other: Weight, records: int, gathered_ms: int
) -> None:
    lighter, heavier = (
        commit_in_ms(weight, records, gathered_ms) for weight in sorted((one, other))
    )
    if lighter is not None and heavier is not None:
        assert 0 <= heavier <= lighter <= QUIET_MS

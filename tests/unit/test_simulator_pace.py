"""Rates and durations, at times that are arguments."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.simulator.pace import Pace, check_rate, parse_duration, parse_start
from shared.times import to_rfc3339


@given(rate=st.floats(0.01, 1e5), steps=st.lists(st.floats(0, 3), max_size=30))
def test_what_is_due_is_sent_at_the_rate_whenever_one_looks(
    rate: float, steps: list[float]
) -> None:
    pace = Pace(rate)
    pace.begin(100.0)
    now_s = 100.0
    for step_s in steps:
        now_s += step_s
        sent = int(pace.due(now_s))
        assert abs(sent - (now_s - 100) * rate) <= 1 + 1e-6 * sent
        # Nothing more is due until it has waited, and then something is.
        wait_s = pace.wait_s(sent, now_s)
        assert 0 <= wait_s <= 1 / rate + 1e-9
        assert pace.due(now_s + wait_s + 1e-6) > sent or wait_s == 0


def test_it_ends_after_its_time() -> None:
    pace = Pace(2, for_s=90)
    pace.begin(0)
    assert pace.last == pace.due(1e9) == 180
    assert Pace(2).last == math.inf


def test_a_short_delay_is_made_up_for_and_nothing_is_said() -> None:
    pace = Pace(10)
    pace.begin(0)
    pace.catch_up(5, 1.2)
    assert not pace.was_late
    assert pace.due(1.2) == 13


def test_a_long_one_is_said_and_is_not_made_up_for_in_one_burst() -> None:
    pace = Pace(10)
    pace.begin(0)
    pace.catch_up(5, 2.0)
    assert pace.was_late
    assert pace.due(2.0) == 21
    pace.catch_up(5, 3_600.0)
    assert pace.due(3_600.0) == 6
    assert pace.due(3_601.0) == 16


@pytest.mark.parametrize("rate", [0, -1, -0.001, math.inf, -math.inf, math.nan, 1e300, 1e-300])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        check_rate(rate)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [("90s", 90), ("10m", 600), ("1h", 3600), ("1h30m", 5400), ("0.5s", 0.5), ("1h0m1s", 3601)],
)
def test_durations_are_written_with_their_units(text: str, duration_s: float) -> None:
    assert parse_duration(text) == duration_s


@pytest.mark.parametrize("text", ["8761h", "99999999h", "9" * 400 + "s"])
def test_nothing_goes_on_for_more_than_a_year(text: str) -> None:
    assert parse_duration("8760h") == 365 * 86_400
    with pytest.raises(ValueError, match="is too long; write 8760h"):
        parse_duration(text)


def test_a_start_leaves_room_for_the_times_that_follow() -> None:
    assert to_rfc3339(parse_start("9000-01-01T00:00:00Z") + 8760 * 3_600_000).startswith(
        "9001-01-01"
    )
    assert parse_start("1970-01-01T00:00:00Z") == 0
    for text in ("9999-12-31T23:59:59Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        with pytest.raises(ValueError, match="is not between"):
            parse_start(text)


@pytest.mark.parametrize("text", ["", "90", "s", "1d", "-5s", "1s1m", "0s", "0h0m", "1.5h", " 1s"])
def test_other_texts_are_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="90s, 10m, 1h or 1h30m"):
        parse_duration(text)

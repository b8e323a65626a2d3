"""The plan of a case: what fires when."""

import msgspec
import pytest

from services.timer.plan import Moment, Plan, PlannedCase, make_plan
from shared.documents.case import Case, Clock, Warn, encode_case

START = "2026-11-22T10:00:00.000Z"
HALF = "2026-11-22T10:07:30.000Z"
FIFTH_LEFT = "2026-11-22T10:12:00.000Z"
DUE = "2026-11-22T10:15:00.000Z"
DUE_MS = 1_795_342_500_000


def make_case(**clocks: Clock) -> PlannedCase:
    case = Case(
        case_id="c1",
        revision=3,
        change="opened",
        state="open",
        grade="A",
        grade_worst="A",
        site_id="s1",
        desk="north",
        clocks=clocks,
    )
    return msgspec.json.decode(encode_case(case), type=PlannedCase)


def clock(*warn: Warn, stopped_at: str | None = None, event: str = "breach") -> Clock:
    return Clock(
        start=START, due=DUE, event="breach" if event == "breach" else "due", warn=warn,
        stopped_at=stopped_at,
    )  # fmt: skip


def test_each_share_is_a_moment_and_the_last_is_the_clocks_own_event() -> None:
    case = make_case(
        processing=clock(Warn("0.5", HALF), Warn("0.8", FIFTH_LEFT), Warn("1", DUE)),
    )
    assert make_plan(case, written_ms=7) == Plan(
        revision=3,
        written_ms=7,
        grade="A",
        site_id="s1",
        desk="north",
        moments=(
            Moment(DUE_MS - 450_000, "processing", "0.5", "warning", DUE_MS),
            Moment(DUE_MS - 180_000, "processing", "0.8", "warning", DUE_MS),
            Moment(DUE_MS, "processing", "1", "breach", DUE_MS),
        ),
    )


def test_a_clock_that_names_no_share_has_its_own_end() -> None:
    plan = make_plan(make_case(step=clock(event="due")), written_ms=7)
    assert plan.moments == (Moment(DUE_MS, "step", "1", "due", DUE_MS),)


def test_a_stopped_clock_has_no_moments() -> None:
    plan = make_plan(make_case(response=clock(Warn("0.5", HALF), stopped_at=HALF)), written_ms=7)
    assert plan.moments == ()


def test_moments_of_all_clocks_are_in_order_of_time() -> None:
    case = make_case(a=clock(Warn("0.8", FIFTH_LEFT)), b=clock(Warn("0.5", HALF)))
    assert [moment.at_ms for moment in make_plan(case, written_ms=7).moments] == [
        DUE_MS - 450_000,
        DUE_MS - 180_000,
        DUE_MS,
        DUE_MS,
    ]


@pytest.mark.parametrize("at", ["2026-11-22T11:15:00.123456+01:00", "2026-11-22T10:15:00.123Z"])
def test_a_time_is_any_of_rfc_3339_and_milliseconds_count(at: str) -> None:
    plan = make_plan(make_case(step=Clock(start=START, due=at, event="due")), written_ms=7)
    assert plan.moments == (Moment(DUE_MS + 123, "step", "1", "due", DUE_MS + 123),)


@pytest.mark.parametrize("due", ["soon", "2026-11-22T10:15:00", ""])
def test_a_time_that_is_none_is_refused_with_its_place(due: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$.clocks\[...\].due"):
        make_case(response=Clock(start=START, due=due, event="breach"))

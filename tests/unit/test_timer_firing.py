"""What fires at a given time, and the documents that it becomes."""

import pytest

from services.timer.firing import fire, lateness_ms, make_deadline, next_moment
from services.timer.plan import Moment, Plan
from shared.documents.deadline import Deadline

HALF = Moment(500, "response", "0.5", "warning", 1000)
MOST = Moment(800, "response", "0.8", "warning", 1000)
END = Moment(1000, "response", "1", "breach", 1000)
STEP = Moment(900, "step", "1", "due", 900)


def plan(*fired: Moment, moments: tuple[Moment, ...] = (HALF, MOST, STEP, END)) -> Plan:
    return Plan(1, 0, "A", "s1", "north", moments, tuple(moment.identity for moment in fired))


@pytest.mark.parametrize(
    ("now_ms", "fired", "publish", "folded"),
    [
        (499, (), (), ()),  # never early
        (500, (), (HALF,), ()),  # due means at or before now
        (600, (HALF,), (), ()),  # what fired stays fired
        (850, (), (HALF, MOST), ()),  # late, but the clock's own end has not come
        (900, (HALF, MOST), (STEP,), ()),
        (1000, (HALF, MOST), (STEP, END), ()),
        (1000, (HALF,), (STEP, END), (MOST,)),  # the end says it all
        (9999, (), (STEP, END), (HALF, MOST)),
        (9999, (STEP, END), (), (HALF, MOST)),  # the end had been told before
        (9999, (HALF, MOST, STEP, END), (), ()),
    ],
)
def test_what_fires_when(
    now_ms: int,
    fired: tuple[Moment, ...],
    publish: tuple[Moment, ...],
    folded: tuple[Moment, ...],
) -> None:
    firing = fire(plan(*fired), now_ms)
    assert firing.publish == publish
    assert firing.folded == folded
    assert firing.identities == tuple(moment.identity for moment in publish + folded)


def test_the_next_moment_is_the_earliest_that_has_not_fired() -> None:
    assert next_moment(plan()) == HALF
    assert next_moment(plan(HALF, MOST)) == STEP
    assert next_moment(plan(HALF, MOST, STEP, END)) is None


def test_a_warning_is_folded_into_its_own_clock_only() -> None:
    other_end = Moment(400, "step", "1", "due", 400)
    assert fire(plan(moments=(other_end, HALF, END)), 600).publish == (other_end, HALF)


def test_a_moved_clock_fires_again() -> None:
    moved = Moment(700, "response", "1", "breach", 700)
    assert fire(plan(END, moments=(moved,)), 700).publish == (moved,)


def test_a_deadline_says_when_it_was_due_and_when_it_fired() -> None:
    assert make_deadline("c1", plan(), HALF, fired_ms=520, owned_from_ms=0) == Deadline(
        deadline_id="c1:response:0.5",
        version=1000,
        case_id="c1",
        clock="response",
        event="warning",
        share="0.5",
        grade="A",
        site_id="s1",
        desk="north",
        due_at="1970-01-01T00:00:00.500Z",
        fired_at="1970-01-01T00:00:00.520Z",
        late_ms=20,
        recovered=False,
        case_revision=plan().revision,
    )


@pytest.mark.parametrize(
    ("fired_ms", "owned_from_ms", "recovered"),
    [
        (5_000, 4_000, True),  # due before this owner came, and late
        (1_900, 1_800, False),  # an owner came within what is promised anyway
        (5_000, 900, False),  # late by this owner's own fault
    ],
)
def test_recovered_means_late_because_nobody_was_there(
    fired_ms: int, owned_from_ms: int, *, recovered: bool
) -> None:
    deadline = make_deadline("c1", plan(), END, fired_ms=fired_ms, owned_from_ms=owned_from_ms)
    assert deadline.recovered is recovered


@pytest.mark.parametrize(
    ("at_ms", "written_ms", "owned_from_ms", "late_ms"),
    [
        (1_000, 0, 0, 200),
        (1_000, 1_150, 0, 50),  # nobody could know before
        (1_000, 0, 1_190, 10),  # nobody was there before
        (1_000, 1_300, 0, 0),  # Kafka's clock is ahead of Redis'
    ],
)
def test_lateness_counts_from_when_it_could_have_fired(
    at_ms: int, written_ms: int, owned_from_ms: int, late_ms: int
) -> None:
    case = Plan(1, written_ms, "A", "s1", "north", ())
    moment = Moment(at_ms, "response", "1", "breach", at_ms)
    assert lateness_ms(case, moment, published_ms=1_200, owned_from_ms=owned_from_ms) == late_ms

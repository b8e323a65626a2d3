"""Dispatch's decisions on faults, deadlines and people's actions, row by row of the rules."""

import pytest
from msgspec.structs import replace

from services.dispatch import actions
from services.dispatch.actions import NotAllowed
from services.dispatch.cases import judge_fault
from services.dispatch.deadlines import judge_deadline
from services.dispatch.decision import UNCHANGED, Decision, Page, Rules
from services.dispatch.roster import load_roster
from shared.documents.case import Case
from shared.documents.fault import Fault, FaultChange, FaultState, Grade
from shared.policy import load_policy
from shared.times import to_rfc3339
from tests.unit.dispatch_documents import MINUTE, T0, make_deadline, make_fault

RULES = Rules(load_policy(None), load_roster(None))
FIRST, SECOND, LEAD = (person.name for person in RULES.roster.levels("default"))
ALL_CLOCKS = {"response", "processing", "resolution", "step"}


def at(minutes: float) -> str:
    return to_rfc3339(T0 + int(minutes * MINUTE))


def judge(case: Case | None, known: Fault | None, fault: Fault, minutes: float = 0) -> Decision:
    now_ms = T0 + int(minutes * MINUTE)
    return judge_fault(case, known, fault, RULES, published_ms=now_ms, now_ms=now_ms)


def opened(grade: Grade = "A") -> Case:
    return case_of(judge(None, None, make_fault(grade=grade)))


def changed(
    change: FaultChange, state: FaultState, minutes: float = 0, *, grade: Grade = "A"
) -> Fault:
    """The next revision of the fault."""
    cleared_at = None if state == "open" else at(minutes)
    return make_fault(revision=2, change=change, state=state, cleared_at=cleared_at, grade=grade)


def fired(case: Case, clock: str, share: str = "1", minutes: float = 0) -> Decision:
    deadline = make_deadline(case, clock, share)
    return judge_deadline(case, deadline, RULES, T0 + int(minutes * MINUTE))


def case_of(decision: Decision) -> Case:
    assert decision.case is not None
    return decision.case


def page_of(decision: Decision) -> Page:
    assert decision.page is not None
    return decision.page


def running(case: Case) -> set[str]:
    return {name for name, clock in case.clocks.items() if clock.stopped_at is None}


# Opening


@pytest.mark.parametrize(
    ("grade", "minutes", "events", "severity"),
    [
        ("A", (5, 15, 60, 5), ("breach", "breach", "breach", "due"), "major"),
        ("B", (10, 30, 120, 10), ("breach", "breach", "breach", "due"), "general"),
        ("C", (15, 45, 7200, 15), ("breach", "breach", "due", "due"), None),
        ("D", (30, 120, 7200, 30), ("breach", "breach", "due", "due"), None),
    ],
)
def test_opened_fault_opens_a_case_with_the_clocks_of_its_grade(
    grade: Grade, minutes: tuple[int, ...], events: tuple[str, ...], severity: str | None
) -> None:
    case = opened(grade)
    names = ("response", "processing", "resolution", "step")
    assert [case.clocks[name].due for name in names] == [at(due) for due in minutes]
    assert [case.clocks[name].event for name in names] == list(events)
    assert (case.state, case.change, case.revision) == ("open", "opened", 1)
    assert (case.grade, case.grade_worst, case.severity) == (grade, grade, severity)
    assert (case.milestones.opened_at, case.milestones.paged_at) == (at(0), at(0))


def test_engineer_on_call_is_paged_at_once() -> None:
    assert page_of(judge(None, None, make_fault())) == Page(1, 1, FIRST, "opened")


def test_warnings_come_at_the_policys_shares_and_at_the_end() -> None:
    processing = opened().clocks["processing"]
    assert [(warn.share, warn.at) for warn in processing.warn] == [
        ("0.5", at(7.5)),
        ("0.8", at(12)),
        ("1", at(15)),
    ]
    assert [warn.share for warn in opened().clocks["step"].warn] == ["1"]


def test_clocks_run_from_the_fault_and_the_step_from_the_page() -> None:
    case = case_of(judge(None, None, make_fault(), minutes=4))
    assert case.clocks["processing"].due == at(15)
    assert (case.clocks["step"].start, case.clocks["step"].due) == (at(4), at(9))


def test_replay_makes_the_same_case_id() -> None:
    assert opened().case_id == "c" + make_fault().fault_id[1:] == opened().case_id


@pytest.mark.parametrize(
    ("grade", "fault_state", "case_state"),
    [
        ("A", "cleared", "resolved"),
        ("B", "closed", "resolved"),  # a person still closes it
        ("C", "cleared", "resolved"),
        ("D", "closed", "closed"),
    ],
)
def test_fault_that_cleared_before_it_was_seen_pages_nobody(
    grade: Grade, fault_state: FaultState, case_state: str
) -> None:
    fault = changed("cleared", fault_state, 3, grade=grade)
    decision = judge(None, None, fault, minutes=60)
    case = case_of(decision)
    assert decision.page is None
    assert (case.state, case.revision, case.change) == (case_state, 1, "opened")
    assert case.milestones.resolved_at == at(3)
    assert running(case) == set()


@pytest.mark.parametrize("field", ["cause_id", "suppressed_by"])
def test_fault_that_does_not_stand_for_itself_opens_no_case(field: str) -> None:
    assert judge(None, None, replace(make_fault(), **{field: "f1"})) == UNCHANGED


# Deadlines


def test_warning_is_noted_and_changes_nothing() -> None:
    decision = fired(opened(), "processing", "0.5")
    assert (decision.case, decision.page, decision.outcome) == (None, None, "noted")
    assert [note.what for note in decision.notes] == ["warning"]


@pytest.mark.parametrize("clock", ["response", "processing", "resolution"])
def test_broken_promise_is_noted_on_the_case_and_pages_nobody(clock: str) -> None:
    decision = fired(opened(), clock)
    case = case_of(decision)
    assert (case.change, case.breached, case.revision) == ("breached", (clock,), 2)
    assert decision.page is None


def test_target_without_a_promise_is_no_breach() -> None:
    decision = fired(opened("C"), "resolution")
    assert decision.case is None
    assert [note.what for note in decision.notes] == ["due"]


def test_what_nobody_acknowledges_goes_up_level_by_level_and_stays_at_the_top() -> None:
    case = opened()
    pages: list[Page] = []
    for minutes in (5, 10, 15, 20):
        decision = fired(case, "step", minutes=minutes)
        case = case_of(decision)
        pages.append(page_of(decision))
    assert pages == [
        Page(2, 2, SECOND, "escalated"),
        Page(3, 3, LEAD, "escalated"),
        Page(4, 3, LEAD, "escalated"),
        Page(5, 3, LEAD, "escalated"),
    ]
    assert case.clocks["step"].due == at(25)


def test_end_of_processing_time_is_an_end_of_the_step_too() -> None:
    """So an unacknowledged breach goes to the next person, by one step and not by two."""
    case = case_of(fired(opened(), "step", minutes=11))
    assert case.clocks["step"].due == case.clocks["processing"].due == at(15)


@pytest.mark.parametrize("clock", ["response", "processing", "resolution", "step"])
def test_deadline_of_an_old_due_time_does_nothing(clock: str) -> None:
    case = opened()
    deadline = make_deadline(case, clock)
    stale = replace(deadline, version=deadline.version + 1)
    assert judge_deadline(case, stale, RULES, T0) == Decision(outcome="stale")


def test_deadline_of_a_stopped_clock_does_nothing() -> None:
    case = case_of(actions.acknowledge(opened(), "Ada", None, T0 + MINUTE))
    assert fired(case, "step") == Decision(outcome="stopped")


def test_deadline_of_a_case_that_is_not_written_yet_is_parked() -> None:
    deadline = make_deadline(opened(), "step")
    assert judge_deadline(None, deadline, RULES, T0) == Decision(outcome="parked")


@pytest.mark.parametrize("ahead", [0, 1, 5])
@pytest.mark.parametrize("moved_ms", [0, -1, 1])
@pytest.mark.parametrize(
    ("clock", "share"), [("step", "1"), ("processing", "0.5"), ("processing", "1")]
)
def test_case_is_told_above_the_revision_that_only_the_timer_has(
    clock: str, share: str, moved_ms: int, ahead: int
) -> None:
    """And what the deadline does, it does as ever."""
    case = opened()
    deadline = make_deadline(case, clock, share)
    deadline = replace(deadline, version=deadline.version + moved_ms)
    as_ever = judge_deadline(case, deadline, RULES, T0)
    decision = judge_deadline(
        case, replace(deadline, case_revision=case.revision + ahead), RULES, T0
    )
    if not ahead:
        assert decision == as_ever
        return
    (note, *notes) = decision.notes
    assert (decision.outcome, decision.page, tuple(notes)) == (
        as_ever.outcome,
        as_ever.page,
        as_ever.notes,
    )
    assert note.what == "restored"
    told = replace(as_ever.case or case, revision=case.revision + ahead + 1)
    assert decision.case == told


def test_deadline_of_an_unknown_clock_does_nothing() -> None:
    deadline = make_deadline(opened(), "step")
    other = replace(deadline, clock="update")
    assert judge_deadline(opened(), other, RULES, T0).outcome == "stale"


# Clear, close, reopen


def test_clear_ends_all_clocks_at_its_own_time() -> None:
    decision = judge(opened(), make_fault(), changed("cleared", "cleared", 3), minutes=4)
    case = case_of(decision)
    assert (case.state, case.change, decision.page) == ("resolved", "resolved", None)
    assert case.milestones.resolved_at == at(3)
    assert {clock.stopped_at for clock in case.clocks.values()} == {at(3)}
    assert case.breached == ()


def test_clock_that_was_stopped_too_late_is_breached_without_its_deadline() -> None:
    case = case_of(judge(opened(), make_fault(), changed("cleared", "cleared", 16), minutes=17))
    assert case.breached == ("response", "processing")


def test_clear_that_came_late_takes_back_the_breach_that_it_makes_untrue() -> None:
    breached = case_of(fired(opened(), "response", minutes=5))
    breached = case_of(fired(breached, "processing", minutes=15))
    cleared = changed("cleared", "cleared", 6)
    case = case_of(judge(breached, make_fault(), cleared, minutes=16))
    assert (breached.breached, case.breached) == (("response", "processing"), ("response",))


@pytest.mark.parametrize(
    ("grade", "state"), [("A", None), ("B", None), ("C", "closed"), ("D", "closed")]
)
def test_only_c_and_d_are_closed_with_their_fault(grade: Grade, state: str | None) -> None:
    cleared = changed("cleared", "cleared", 3, grade=grade)
    case = case_of(judge(opened(grade), make_fault(), cleared))
    decision = judge(case, cleared, changed("closed", "closed", 3, grade=grade), minutes=18)
    assert (decision.case.state if decision.case else None) == state


def test_closed_fault_ends_its_case_although_the_clear_was_never_seen() -> None:
    """Compaction may have taken the revision between."""
    case = case_of(judge(opened("C"), make_fault(), changed("closed", "closed", 3, grade="C")))
    assert (case.state, case.revision, running(case)) == ("closed", 2, set())


def test_reopened_fault_lets_the_old_times_run_on_and_pages_anew() -> None:
    cleared = changed("cleared", "cleared", 3)
    before = case_of(judge(opened(), make_fault(), cleared))
    decision = judge(before, cleared, changed("reopened", "open"), minutes=9)
    case = case_of(decision)
    assert (case.state, case.change) == ("open", "reopened")
    assert page_of(decision) == Page(2, 1, FIRST, "reopened")
    assert running(case) == ALL_CLOCKS
    assert case.clocks["processing"] == opened().clocks["processing"]
    assert case.clocks["step"].due == at(14)
    assert case.milestones.resolved_at is None


def test_reopened_fault_of_an_acknowledged_case_goes_to_its_assignee_once() -> None:
    acknowledged = case_of(actions.acknowledge(opened(), "Ada", None, T0 + MINUTE))
    cleared = changed("cleared", "cleared", 3)
    resolved = case_of(judge(acknowledged, make_fault(), cleared))
    decision = judge(resolved, cleared, changed("reopened", "open"), minutes=9)
    assert case_of(decision).state == "acknowledged"
    assert page_of(decision) == Page(2, 1, "Ada", "reopened")
    assert running(case_of(decision)) == {"processing", "resolution"}


def test_promise_whose_time_ran_out_while_the_fault_was_gone_is_broken_when_it_is_back() -> None:
    cleared = changed("cleared", "cleared", 3)
    resolved = case_of(judge(opened(), make_fault(), cleared))
    assert fired(resolved, "processing", minutes=15).outcome == "stopped"
    case = case_of(judge(resolved, cleared, changed("reopened", "open"), minutes=16))
    assert (resolved.breached, case.breached) == ((), ("response", "processing"))


def test_case_that_a_person_closed_becomes_open_again_with_its_fault() -> None:
    cleared = changed("cleared", "cleared", 3)
    resolved = case_of(judge(opened(), make_fault(), cleared))
    closed = case_of(actions.close(resolved, "Ada", None, T0 + 4 * MINUTE))
    case = case_of(judge(closed, cleared, changed("reopened", "open"), minutes=5))
    assert (case.state, case.milestones.closed_at) == ("open", None)


def test_case_ruled_clear_stays_resolved_while_the_ruling_is_under_way() -> None:
    resolved = case_of(actions.resolve(opened(), "Ada", "cooled", cleared=True, now_ms=T0))
    repeated = changed("repeated", "open")
    assert judge(resolved, make_fault(), repeated) == UNCHANGED
    assert judge(resolved, repeated, changed("cleared", "cleared", 1)) == UNCHANGED


@pytest.mark.parametrize("change", ["repeated", "stale"])
def test_what_changes_no_state_makes_no_revision(change: FaultChange) -> None:
    assert judge(opened(), make_fault(), changed(change, "open")) == UNCHANGED


# Regrading


def test_regrade_upward_shortens_clocks_and_pages_anew() -> None:
    decision = judge(opened("C"), make_fault(grade="C"), changed("regraded", "open"), minutes=8)
    case = case_of(decision)
    assert (case.grade, case.grade_worst, case.severity) == ("A", "A", "major")
    assert case.clocks["response"].due == at(13)  # 8 + 5 is earlier than 15
    assert case.clocks["processing"].due == at(23)  # 8 + 15 is earlier than 45
    assert (case.clocks["resolution"].due, case.clocks["resolution"].event) == (at(68), "breach")
    assert case.clocks["step"].due == at(13)
    assert page_of(decision) == Page(2, 1, FIRST, "regraded")


def test_regrade_never_moves_a_clock_later() -> None:
    decision = judge(opened("C"), make_fault(grade="C"), changed("regraded", "open"), minutes=14)
    assert case_of(decision).clocks["response"].due == at(15)
    assert case_of(decision).clocks["step"].due == at(15)


def test_regrade_upward_leaves_out_warnings_whose_moment_has_passed() -> None:
    decision = judge(opened("D"), make_fault(grade="D"), changed("regraded", "open"), minutes=40)
    processing = case_of(decision).clocks["processing"]
    assert [(warn.share, warn.at) for warn in processing.warn] == [("0.8", at(44)), ("1", at(55))]


def test_regrade_downward_leaves_the_clocks_alone_and_pages_nobody() -> None:
    decision = judge(opened("A"), make_fault(), changed("regraded", "open", grade="C"), minutes=2)
    case = case_of(decision)
    assert (case.grade, case.grade_worst, case.severity) == ("C", "A", "major")
    assert case.clocks == opened("A").clocks
    assert decision.page is None


def test_promise_stays_a_promise_when_the_fault_is_regraded_down_and_up() -> None:
    down, up = changed("regraded", "open", grade="D"), changed("regraded", "open", grade="C")
    case = case_of(judge(opened("A"), make_fault(), down, minutes=2))
    case = case_of(judge(case, down, up, minutes=3))
    assert case.clocks["resolution"].event == "breach"
    assert case.clocks["resolution"].due == at(60)


def test_regrade_just_after_a_step_that_was_early_by_our_clock_makes_a_step_of_its_own() -> None:
    """The step at the end of the processing time has fired; one with the same due time never would."""
    fault = make_fault(grade="B")
    case = case_of(fired(opened("B"), "step", minutes=25))
    case = case_of(fired(case, "step", minutes=29.995))
    assert case.clocks["step"].start == at(30)
    case = case_of(judge(case, fault, changed("regraded", "open"), minutes=29.999))
    assert case.clocks["step"].due == at(35)


# People


def test_acknowledgement_stops_response_and_step_only() -> None:
    case = case_of(actions.acknowledge(opened(), "Ada", "on my way", T0 + MINUTE))
    assert (case.state, case.change, case.assignee) == ("acknowledged", "acknowledged", "Ada")
    assert running(case) == {"processing", "resolution"}
    assert case.milestones.acknowledged_at == at(1)


def test_acknowledging_again_changes_nothing() -> None:
    case = case_of(actions.acknowledge(opened(), "Ada", None, T0))
    again = actions.acknowledge(case, "Ada", None, T0)
    assert (again.case, again.notes) == (None, ())


def test_acknowledgement_by_somebody_else_hands_the_case_over() -> None:
    case = case_of(actions.acknowledge(opened(), "Ada", None, T0 + MINUTE))
    handed = case_of(actions.acknowledge(case, "Bo", None, T0 + 2 * MINUTE))
    assert (handed.assignee, handed.change, handed.state) == ("Bo", "assigned", "acknowledged")
    assert handed.milestones == case.milestones


def test_late_acknowledgement_is_a_breach_of_the_response() -> None:
    case = case_of(actions.acknowledge(opened(), "Ada", None, T0 + 6 * MINUTE))
    assert case.breached == ("response",)


def test_resolving_while_the_alarm_stands_needs_a_ruling() -> None:
    with pytest.raises(NotAllowed, match="still stands"):
        actions.resolve(opened(), "Ada", "done", cleared=False, now_ms=T0)
    case = case_of(actions.resolve(opened(), "Ada", "done", cleared=True, now_ms=T0 + MINUTE))
    assert (case.state, running(case), case.milestones.resolved_at) == ("resolved", set(), at(1))


def test_closing_needs_a_resolved_case_and_may_be_repeated() -> None:
    with pytest.raises(NotAllowed, match="resolve it"):
        actions.close(opened(), "Ada", None, T0)
    resolved = case_of(actions.resolve(opened(), "Ada", "done", cleared=True, now_ms=T0))
    closed = case_of(actions.close(resolved, "Ada", None, T0 + MINUTE))
    assert (closed.state, closed.milestones.closed_at) == ("closed", at(1))
    assert actions.close(closed, "Ada", None, T0).case is None
    with pytest.raises(NotAllowed):
        actions.resolve(closed, "Ada", "again", cleared=True, now_ms=T0)
    with pytest.raises(NotAllowed):
        actions.acknowledge(closed, "Ada", None, T0)


def test_words_are_kept_where_the_case_stays_as_it_is() -> None:
    resolved = case_of(actions.resolve(opened(), "Ada", "done", cleared=True, now_ms=T0))
    again = actions.resolve(resolved, "Bo", "was the fan", cleared=False, now_ms=T0)
    assert (again.case, [(note.who, note.detail) for note in again.notes]) == (
        None,
        [("Bo", "was the fan")],
    )

"""What becomes of a case: pure decisions on faults and deadlines (the states are drawn in README.md).

Each takes the newest records, what happened, the rules and the time, and gives a `Decision`. Faults are
judged by the state that they are in, not by what their newest revision did: compaction may have taken the
revisions between.
"""

from typing import Literal

from msgspec.structs import replace

from services.dispatch.clocks import (
    END_SHARE,
    PROCESSING,
    RESOLUTION,
    RESPONSE,
    STEP,
    overrun,
    promised_clocks,
    resume,
    shorten,
    step_clock,
    stop,
)
from services.dispatch.decision import UNCHANGED, Decision, Note, Outcome, Page, PageReason, Rules
from shared.documents.case import Case, CaseState
from shared.documents.deadline import Deadline
from shared.documents.fault import Fault, Grade, worse
from shared.policy import GradeTerms
from shared.times import from_rfc3339, to_rfc3339

ENDED: tuple[CaseState, ...] = ("resolved", "closed")
# Nobody needs to close what was solved by itself and never stopped the customer's business (S3.2).
CLOSED_BY_THEMSELVES: tuple[Grade, ...] = ("C", "D")


def case_id_of(fault: Fault) -> str:
    """The case of a fault is named by it, so a replay never opens a second one."""
    return "c" + fault.fault_id[1:]


def judge_fault(
    case: Case | None,
    known: Fault | None,
    fault: Fault,
    rules: Rules,
    *,
    published_ms: int,
    now_ms: int,
) -> Decision:
    """`known` is the revision of the fault before this one, `published_ms` when this one came to Kafka."""
    at_ms = min(published_ms, now_ms)
    if case is None:
        if fault.cause_id is not None or fault.suppressed_by is not None:
            return UNCHANGED  # a symptom or suppressed: it does not stand for itself
        return _open(fault, rules, at_ms, now_ms)
    if fault.state == "open":
        was_cleared = known is None or known.state != "open" or fault.change == "reopened"
        reopened = case.state in ENDED and was_cleared
        return _follow_standing(case, fault, rules, reopened=reopened, at_ms=at_ms, now_ms=now_ms)
    settled, notes = _settle(case, fault, at_ms)
    if not notes:
        return UNCHANGED
    return Decision(replace(settled, revision=case.revision + 1), notes=tuple(notes))


def judge_deadline(case: Case | None, deadline: Deadline, rules: Rules, now_ms: int) -> Decision:
    """Acts only on what the newest case says: the clock runs, and its due time is still this one."""
    reason = _moot(case, deadline)
    if case is None or reason is not None:
        return Decision(outcome=reason or "unknown_case")
    if deadline.share != END_SHARE:
        note = Note("warning", detail=f"{deadline.share} of {deadline.clock} is used up")
        return Decision(notes=(note,), outcome="noted")
    if deadline.clock == STEP:
        # By the timer's clock that time has come, even where ours is behind: the next step must be due
        # later than this one, or it would bear this one's name and never fire.
        return _escalate(case, rules, max(now_ms, deadline.version))
    if case.clocks[deadline.clock].event == "due":
        return Decision(notes=(Note("due", detail=deadline.clock),), outcome="noted")
    breached = (*case.breached, deadline.clock)
    case = replace(case, revision=case.revision + 1, change="breached", breached=breached)
    return Decision(case, notes=(Note("breached", detail=deadline.clock),))


def _moot(case: Case | None, deadline: Deadline) -> Outcome | None:
    """Why the deadline means nothing any more; None: it does."""
    if case is None:
        return "unknown_case"
    clock = case.clocks.get(deadline.clock)
    if clock is None or from_rfc3339(clock.due) != deadline.version:
        return "stale"
    if clock.stopped_at is not None:
        return "stopped"
    if deadline.share == END_SHARE and deadline.clock in case.breached:
        return "repeated"
    return None


def _open(fault: Fault, rules: Rules, at_ms: int, now_ms: int) -> Decision:
    """The case of a fault seen for the first time; nobody is paged for one that has cleared already."""
    terms = rules.terms(fault.grade)
    case = Case(
        case_id=case_id_of(fault),
        revision=1,
        change="opened",
        state="open",
        grade=fault.grade,
        grade_worst=fault.grade,
        severity=_severity(terms),
        site_id=fault.site_id,
        customer_id=fault.customer_id,
        desk=fault.desk,
        policy=fault.policy,
        fault_ids=(fault.fault_id,),
        fault_count=1,
        clocks=promised_clocks(from_rfc3339(fault.clocks_from), terms, rules.policy.warning_shares),
    )
    case = replace(case, milestones=replace(case.milestones, opened_at=fault.opened_at))
    opened = Note("opened", detail=f"grade {fault.grade}: {fault.grade_reason}")
    if fault.state == "open":
        return _page(case, rules, "opened", now_ms, (opened,))
    ended, notes = _settle(case, fault, at_ms)
    return Decision(replace(ended, change="opened"), notes=(opened, *notes))


def _follow_standing(
    case: Case, fault: Fault, rules: Rules, *, reopened: bool, at_ms: int, now_ms: int
) -> Decision:
    regraded = fault.grade != case.grade
    upward = fault.grade < case.grade
    if not reopened and not regraded:
        return UNCHANGED
    notes: list[Note] = []
    if regraded:
        notes.append(
            Note("regraded", detail=f"{case.grade} to {fault.grade}: {fault.grade_reason}")
        )
        case = _regrade(case, fault.grade, rules, at_ms)
    if reopened:
        notes.append(Note("reopened"))
        case = _reopen(case, at_ms)
    case = replace(case, revision=case.revision + 1, change="reopened" if reopened else "regraded")
    if reopened:
        return _page(case, rules, "reopened", now_ms, tuple(notes))
    if upward and case.state not in ENDED:
        return _page(case, rules, "regraded", now_ms, tuple(notes))
    return Decision(case, notes=tuple(notes))


def _settle(case: Case, fault: Fault, at_ms: int) -> tuple[Case, list[Note]]:
    """The case of a fault that stands no more (the same revision still), and what that changed.

    A clear ends all clocks; what nobody has to close is closed with the fault's reopen window.
    """
    notes: list[Note] = []
    if case.state not in ENDED:
        cleared_ms = from_rfc3339(fault.cleared_at or fault.last_at)
        case = end(_forgive(case, cleared_ms), cleared_ms)
        notes.append(Note("resolved", detail="the condition has cleared"))
    own_end = fault.state == "closed" and case.grade_worst in CLOSED_BY_THEMSELVES
    if own_end and case.state != "closed":
        milestones = replace(case.milestones, closed_at=to_rfc3339(at_ms))
        case = replace(case, state="closed", change="closed", milestones=milestones)
        notes.append(Note("closed", detail="the fault's reopen window is over"))
    return case, notes


def _forgive(case: Case, cleared_ms: int) -> Case:
    """What seemed broken while the news of the clear was on its way: those promises were kept."""
    kept = [
        name
        for name in case.breached
        if case.clocks[name].stopped_at is None and from_rfc3339(case.clocks[name].due) > cleared_ms
    ]
    return replace(case, breached=tuple(name for name in case.breached if name not in kept))


def end(case: Case, at_ms: int) -> Case:
    """The case resolved at `at_ms`, with all its clocks stopped (the same revision still)."""
    return replace(
        stop_clocks(case, tuple(case.clocks), at_ms),
        state="resolved",
        change="resolved",
        milestones=replace(case.milestones, resolved_at=to_rfc3339(at_ms)),
    )


def stop_clocks(case: Case, names: tuple[str, ...], at_ms: int) -> Case:
    """Stopped too late is a breach, whether or not its deadline has come in meanwhile."""
    late = [name for name in overrun(case.clocks, names, at_ms) if name not in case.breached]
    return replace(case, clocks=stop(case.clocks, names, at_ms), breached=(*case.breached, *late))


def _reopen(case: Case, at_ms: int) -> Case:
    """Back to work: the old times hold, what has fired stays fired.

    A promise whose time ran out while the fault was gone is broken now that it is back; its deadline may
    have come when it meant nothing, and does not come again.
    """
    milestones = replace(case.milestones, resolved_at=None, closed_at=None)
    running = [RESOLUTION]
    if milestones.processed_at is None:
        running.append(PROCESSING)
    if milestones.acknowledged_at is None:
        running.append(RESPONSE)
    clocks = resume(case.clocks, running)
    late = [name for name in overrun(clocks, running, at_ms) if name not in case.breached]
    return replace(
        case,
        state=_state_of_work(case),
        milestones=milestones,
        clocks=clocks,
        breached=(*case.breached, *late),
    )


def _state_of_work(case: Case) -> CaseState:
    if case.milestones.processed_at is not None:
        return "processed"
    return "open" if case.milestones.acknowledged_at is None else "acknowledged"


def _regrade(case: Case, grade: Grade, rules: Rules, at_ms: int) -> Case:
    """Upward all times get shorter; downward what was promised stays promised."""
    if grade > case.grade:
        return replace(case, grade=grade)
    worst = worse(case.grade_worst, grade)
    return replace(
        case,
        grade=grade,
        grade_worst=worst,
        severity=_severity(rules.terms(worst)),
        clocks=shorten(case.clocks, rules.terms(grade), rules.policy.warning_shares, at_ms),
    )


def _severity(terms: GradeTerms) -> Literal["major", "general"] | None:
    return None if terms.severity == "none" else terms.severity


def _escalate(case: Case, rules: Rules, now_ms: int) -> Decision:
    """One level up; above the top is the top again, until somebody acknowledges."""
    case = replace(case, revision=case.revision + 1, change="escalated", level=case.level + 1)
    return _page(case, rules, "escalated", now_ms, ())


def _page(
    case: Case, rules: Rules, reason: PageReason, now_ms: int, notes: tuple[Note, ...]
) -> Decision:
    """One step: page who has taken the case, else the person of its level, and then wait for them."""
    levels = rules.roster.levels(case.desk)
    level = min(max(case.level, 1), len(levels))
    person = levels[level - 1].name
    clocks = case.clocks
    if case.state == "open":
        before = clocks.get(STEP)
        # Never from before the newest step, where our clock is behind the one that it was due by.
        start_ms = max(now_ms, from_rfc3339(before.start)) if before else now_ms
        # A regrade makes nobody wait longer for the next step than they did before it.
        latest = before if reason == "regraded" else None
        step = step_clock(start_ms, rules.terms(case.grade), (clocks[PROCESSING], latest))
        clocks = {**clocks, STEP: step}
    elif case.assignee is not None and reason == "reopened":
        person = case.assignee
    page = Page(case.step + 1, level, person, reason)
    milestones = case.milestones
    if milestones.paged_at is None:
        milestones = replace(milestones, paged_at=to_rfc3339(now_ms))
    case = replace(case, step=page.step, level=level, clocks=clocks, milestones=milestones)
    paged = Note("paged", detail=f"{person}, level {level}, step {page.step}: {reason}")
    return Decision(case, page, (*notes, paged))

"""What becomes of a case by its fault: pure decisions (the states are drawn in README.md).

Each takes the newest records, what happened, the rules and the time, and gives a `Decision`. Faults are
judged by the state that they are in, not by what their newest revision did: compaction may have taken the
revisions between.
"""

from typing import Literal

from msgspec.structs import replace

from services.dispatch.clocks import (
    PROCESSING,
    RESOLUTION,
    RESPONSE,
    overrun,
    promised_clocks,
    resume,
    shorten,
    stop,
)
from services.dispatch.decision import UNCHANGED, Decision, Note, Rules
from services.dispatch.steps import page_step
from shared.documents.case import Case, CaseState, Milestones
from shared.documents.fault import Fault, Grade, worse
from shared.policy import GradeTerms
from shared.times import from_rfc3339, to_rfc3339

ENDED: tuple[CaseState, ...] = ("resolved", "closed")
# Nobody needs to close what was solved by itself and never stopped the customer's business (S3.2).
CLOSED_BY_THEMSELVES: tuple[Grade, ...] = ("C", "D")
# Work on such an EMU is under way, or over: who is there sees its faults, and nobody is called for them.
OUT_OF_SERVICE = ("commissioning", "retired")
# What the last revision of a fault, and of its case, did where the EMU has gone to another site.
MOVED = "moved"


def case_id_of(fault_id: str) -> str:
    """The case of a fault is named by it, so a replay never opens a second one."""
    return "c" + fault_id[1:]


def is_recorded_only(fault: Fault) -> bool:
    """Whether it opens no case: a symptom, suppressed, or of an EMU that is not in service. Of such an EMU
    a hazard opens one all the same: it endangers those who work there."""
    if fault.cause_id is not None or fault.suppressed_by is not None:
        return True
    return fault.emu_state in OUT_OF_SERVICE and not fault.hazard


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
        return _open(known, fault, rules, at_ms, now_ms) if _opens(known, fault) else UNCHANGED
    if case.change == MOVED:
        return UNCHANGED  # the work went on elsewhere, from what was newer than this
    if fault.change == MOVED:
        return leave(case, at_ms)
    if fault.state == "open":
        return _follow_standing(case, known, fault, rules, at_ms=at_ms, now_ms=now_ms)
    settled, notes = _settle(case, fault, at_ms)
    if not notes:
        return UNCHANGED
    return Decision(replace(settled, revision=case.revision + 1), notes=tuple(notes))


def leave(case: Case, at_ms: int) -> Decision:
    """The case of a fault that has moved away with its EMU: closed, but nobody is told that it is solved."""
    if case.state == "closed":
        return UNCHANGED
    case = replace(
        stop_clocks(case, tuple(case.clocks), at_ms),
        revision=case.revision + 1,
        state="closed",
        change=MOVED,
        milestones=replace(case.milestones, closed_at=to_rfc3339(at_ms)),
    )
    note = Note(
        MOVED,
        detail="its EMU is at another site now; the work goes on in the case that opens there",
    )
    return Decision(case, notes=(note,))


def _opens(known: Fault | None, fault: Fault) -> bool:
    """Whether a fault that is in no case opens one; `known` was recorded only."""
    if is_recorded_only(fault) or fault.change == MOVED:
        return False
    # What has cleared while it was held back never stood for itself, unless its clocks began meanwhile.
    return known is None or fault.state == "open" or fault.clocks_from != known.clocks_from


def _open(known: Fault | None, fault: Fault, rules: Rules, at_ms: int, now_ms: int) -> Decision:
    """The case of a fault that stands for itself now; nobody is paged for one that has cleared already."""
    terms = rules.terms(fault.grade)
    start_ms = from_rfc3339(fault.clocks_from)
    if known is not None and known.clocks_from == fault.clocks_from:
        # Held back until this revision, which does not say since when it is not: a hazard that it became, or
        # the same fault come back. Nobody is late for what nobody was asked to do.
        start_ms = max(start_ms, at_ms)
    case = Case(
        case_id=case_id_of(fault.fault_id),
        revision=1,
        change="opened",
        state="open",
        grade=fault.grade,
        grade_worst=fault.grade,
        severity=severity_of(terms),
        site_id=fault.site_id,
        customer_id=fault.customer_id,
        desk=fault.desk,
        policy=fault.policy,
        fault_ids=(fault.fault_id,),
        fault_count=1,
        milestones=Milestones(opened_at=to_rfc3339(start_ms)),
        clocks=promised_clocks(start_ms, terms, rules.policy.warning_shares),
    )
    opened = Note("opened", detail=f"grade {fault.grade}: {fault.grade_reason}")
    if fault.state == "open":
        return page_step(case, rules, "opened", now_ms, (opened,))
    ended, notes = _settle(case, fault, at_ms)
    return Decision(replace(ended, change="opened"), notes=(opened, *notes))


def _follow_standing(
    case: Case, known: Fault | None, fault: Fault, rules: Rules, *, at_ms: int, now_ms: int
) -> Decision:
    reopened = case.state in ENDED and _is_back(known, fault)
    before, notes = case, list[Note]()
    if (grading := _regrading(case, known, fault)) is not None:
        notes.append(Note("regraded", detail=grading))
        case = replace(_regrade(case, fault.grade, rules, at_ms), change="regraded")
    if (addressing := _readdressing(case, fault)) is not None:
        notes.append(Note("readdressed", detail=addressing))
        case = replace(
            _readdress(case, fault), change="readdressed" if grading is None else "regraded"
        )
    if reopened:
        notes.append(Note("reopened"))
        case = replace(_reopen(case, at_ms), change="reopened")
    if not notes:
        return UNCHANGED
    case = replace(case, revision=case.revision + 1)
    if reopened:
        return page_step(case, rules, "reopened", now_ms, tuple(notes))
    graver = fault.grade < before.grade or _is_newly_hazard(known, fault)
    if graver and case.state not in ENDED:
        return page_step(case, rules, "regraded", now_ms, tuple(notes))
    return Decision(case, notes=tuple(notes))


def _is_back(known: Fault | None, fault: Fault) -> bool:
    """Whether an ended case is opened again: its fault was gone, or held back, and now it is not.

    Not where it stood all the time: a person has ruled it gone, and the ruling is under way.
    """
    if is_recorded_only(fault):
        return False
    if known is None or known.state != "open" or fault.change == "reopened":
        return True
    return is_recorded_only(known)


def _is_newly_hazard(known: Fault | None, fault: Fault) -> bool:
    return fault.hazard and known is not None and not known.hazard


def _regrading(case: Case, known: Fault | None, fault: Fault) -> str | None:
    """What of the grade has changed, in words."""
    hazard = " (a hazard now)" if _is_newly_hazard(known, fault) else ""
    if fault.grade == case.grade and not hazard:
        return None
    # Said to whoever wonders why the times are still the shorter ones.
    kept = "; what was promised stays promised" if fault.grade > case.grade else ""
    reason = fault.grade_reason.removesuffix(".") if kept else fault.grade_reason
    return f"{case.grade} to {fault.grade}{hazard}: {reason}{kept}"


def _readdressing(case: Case, fault: Fault) -> str | None:
    """Whose it is now, where that has changed, in words."""
    pairs = (
        ("customer", case.customer_id, fault.customer_id),
        ("desk", case.desk, fault.desk),
        ("policy", case.policy, fault.policy),
    )
    changed = [
        f"{name} {old or 'none'} to {new or 'none'}" for name, old, new in pairs if old != new
    ]
    return ", ".join(changed) or None


def _readdress(case: Case, fault: Fault) -> Case:
    """For the steps to come. No clock changes: what was promised by the former policy stays promised."""
    return replace(case, customer_id=fault.customer_id, desk=fault.desk, policy=fault.policy)


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
    running = clocks_of_work(case)
    clocks = resume(case.clocks, running)
    late = [name for name in overrun(clocks, running, at_ms) if name not in case.breached]
    return replace(
        case,
        state=state_of_work(case),
        milestones=milestones,
        clocks=clocks,
        breached=(*case.breached, *late),
    )


def clocks_of_work(case: Case) -> list[str]:
    """The promises that are still to be kept while its fault stands."""
    running = [RESOLUTION]
    if case.milestones.processed_at is None:
        running.append(PROCESSING)
    if case.milestones.acknowledged_at is None:
        running.append(RESPONSE)
    return running


def state_of_work(case: Case) -> CaseState:
    """How far people had come with a case that ended, or moved."""
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
        severity=severity_of(rules.terms(worst)),
        clocks=shorten(case.clocks, rules.terms(grade), rules.policy.warning_shares, at_ms),
    )


def severity_of(terms: GradeTerms) -> Literal["major", "general"] | None:
    """What the agreement calls a failure of the grade of `terms`; None: nothing."""
    return None if terms.severity == "none" else terms.severity

"""A fault that goes to another site with its EMU: its work goes on there, in a case of the new site. Pure.

Nobody is paged for a move. The two faults may reach dispatch in either order, and in different partitions;
whoever sees the new fault moves the case, so both are written in one transaction.
"""

from typing import NamedTuple

from msgspec.structs import replace

from services.dispatch.cases import (
    ENDED,
    MOVED,
    case_id_of,
    clocks_of_work,
    judge_fault,
    leave,
    severity_of,
    state_of_work,
)
from services.dispatch.clocks import STEP, resume
from services.dispatch.decision import Decision, Note, Rules
from shared.documents.case import Case, CaseState, Clock, Milestones
from shared.documents.fault import Fault, worse
from shared.times import from_rfc3339


class Move(NamedTuple):
    """What becomes of the two cases."""

    former: Decision
    case: Decision


class Stood(NamedTuple):
    """What is known of the fault before: as it was at its old site, and at this one."""

    there: Fault | None
    here: Fault | None


def move(
    former: Case,
    case: Case | None,
    stood: Stood,
    fault: Fault,
    rules: Rules,
    *,
    published_ms: int,
    now_ms: int,
) -> Move:
    """`fault` takes over the case of the fault that it was before. What it says beyond what that case knows
    (a higher grade, a clear) is judged as ever.

    `case` is its own, where its EMU was heard at the new site before it was known to be there: the two are
    one from now on.
    """
    left = leave(former, min(published_ms, now_ms)).case or former
    if case is None:
        taken, known, change = _take_over(former, fault), _as_it_stood(stood.there), "opened"
    else:
        taken, known, change = _join(former, case, rules), _as_either_stood(stood), "joined"
    decision = judge_fault(taken, known, fault, rules, published_ms=published_ms, now_ms=now_ms)
    judged = decision.case or replace(taken, revision=taken.revision + 1)
    new = judged if judged.change == MOVED else replace(judged, change=change)
    gone = Note(MOVED, detail=f"goes on as {new.case_id} at {fault.site_id}")
    came = Note(MOVED, detail=f"here from {former.site_id}, where it was {former.case_id}")
    return Move(
        Decision(
            replace(left, revision=former.revision + 1, change=MOVED, merged_into=new.case_id),
            notes=(gone,),
        ),
        Decision(new, decision.page, (came, *decision.notes)),
    )


def _take_over(former: Case, fault: Fault) -> Case:
    """The former case's work, as the case of `fault`: times, steps, people, and what was broken stay."""
    case = replace(
        former,
        case_id=case_id_of(fault.fault_id),
        revision=0,
        site_id=fault.site_id,
        customer_id=fault.customer_id,
        desk=fault.desk,
        policy=fault.policy,
        fault_ids=(fault.fault_id,),
        fault_count=1,
    )
    if former.change != MOVED:
        return case
    # It was closed by the move and by nothing else: that is undone here.
    case = replace(
        case,
        state=_state_before(former),
        change="opened",
        milestones=replace(case.milestones, closed_at=None),
    )
    if case.state == "resolved":
        return case
    return replace(case, clocks=resume(case.clocks, _running(case)))


def _join(former: Case, case: Case, rules: Rules) -> Case:
    """Two cases of one fault: what either had promised is promised, and whoever has one has it."""
    if _state_before(former) in ENDED or case.state in ENDED:
        return case
    worst = worse(former.grade_worst, case.grade_worst)
    case = replace(
        case,
        grade=worse(former.grade, case.grade),
        assignee=case.assignee or former.assignee,
        grade_worst=worst,
        severity=severity_of(rules.terms(worst)),
        milestones=_earliest(former.milestones, case.milestones),
        breached=tuple(dict.fromkeys((*former.breached, *case.breached))),
        level=max(former.level, case.level),
    )
    case = replace(case, state=state_of_work(case))
    running = _running(case)
    clocks = {
        name: _joined_clock(name, former.clocks.get(name, clock), clock, running, case)
        for name, clock in case.clocks.items()
    }
    return replace(case, clocks=clocks)


def _joined_clock(name: str, before: Clock, clock: Clock, running: list[str], case: Case) -> Clock:
    """The one that ends first; the wait for the next step is the newer case's."""
    if name != STEP and from_rfc3339(before.due) < from_rfc3339(clock.due):
        clock = before
    if name in running:
        return replace(clock, stopped_at=None)
    return replace(clock, stopped_at=clock.stopped_at or case.milestones.acknowledged_at)


def _earliest(one: Milestones, other: Milestones) -> Milestones:
    def first(name: str) -> str | None:
        reached: list[str] = [at for it in (one, other) if (at := getattr(it, name)) is not None]
        return min(reached, key=from_rfc3339, default=None)

    return Milestones(
        opened_at=first("opened_at"),
        paged_at=first("paged_at"),
        acknowledged_at=first("acknowledged_at"),
        processed_at=first("processed_at"),
    )


def _running(case: Case) -> list[str]:
    """The clocks that run while the case is in work."""
    return [*clocks_of_work(case), *([STEP] if state_of_work(case) == "open" else [])]


def _state_before(former: Case) -> CaseState:
    """Before the move closed it, if that has."""
    if former.change != MOVED:
        return former.state
    return "resolved" if former.milestones.resolved_at is not None else state_of_work(former)


def _as_either_stood(stood: Stood) -> Fault | None:
    """As at the new site; a hazard where it was one at either: somebody was paged for that."""
    there, here = stood
    if there is None or here is None or not there.hazard:
        return here
    return replace(here, hazard=True)


def _as_it_stood(fault: Fault | None) -> Fault | None:
    """What a fault that has moved was before it was closed by that."""
    if fault is None or fault.change != MOVED:
        return fault
    return replace(fault, state="open" if fault.cleared_at is None else "cleared")

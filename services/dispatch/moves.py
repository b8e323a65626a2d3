"""A fault that goes to another site with its EMU: its work goes on there, in a case of the new site. Pure.

Nobody is paged for a move. The two faults may reach dispatch in either order, and in different partitions;
whoever sees the new fault moves the case, so both are written in one transaction.
"""

from typing import NamedTuple

from msgspec.structs import replace

from services.dispatch.cases import (
    MOVED,
    case_id_of,
    clocks_of_work,
    has_come_back,
    judge_fault,
    leave,
    state_of_work,
)
from services.dispatch.clocks import STEP, resume
from services.dispatch.decision import Decision, Note, Rules
from shared.documents.case import Case
from shared.documents.fault import Fault


class Move(NamedTuple):
    """What becomes of the two cases."""

    former: Decision
    case: Decision


def former_case_id(case: Case | None, known: Fault | None, fault: Fault) -> str | None:
    """The case that the fault's case takes over, if there is one; None: there is nothing to take over.

    `case` is the fault's own, `known` its revision before this one.
    """
    if fault.moved_from in (None, fault.fault_id):
        return None
    if case is not None and not has_come_back(known, fault):
        return None
    return case_id_of(fault.moved_from)


def move(
    former: Case,
    stood: Fault | None,
    case: Case | None,
    fault: Fault,
    rules: Rules,
    *,
    published_ms: int,
    now_ms: int,
) -> Move:
    """`fault` takes over the case of the fault that it was before; `stood` is the newest known of that one.

    `case` is a former case of `fault` itself, where it has come back. What the fault says beyond what the
    former case knows (a higher grade, a clear) is judged as ever.
    """
    at_ms = min(published_ms, now_ms)
    left = leave(former, at_ms).case or former
    taken = _take_over(former, fault, revision=case.revision if case else 0)
    decision = judge_fault(
        taken, _as_it_stood(stood), fault, rules, published_ms=published_ms, now_ms=now_ms
    )
    judged = decision.case or replace(taken, revision=taken.revision + 1)
    new = judged if judged.change == MOVED else replace(judged, change="opened")
    gone = Note(MOVED, detail=f"goes on as {new.case_id} at {fault.site_id}")
    here = Note(MOVED, detail=f"here from {former.site_id}, where it was {former.case_id}")
    return Move(
        Decision(
            replace(left, revision=former.revision + 1, change=MOVED, merged_into=new.case_id),
            notes=(gone,),
        ),
        Decision(new, decision.page, (here, *decision.notes)),
    )


def _take_over(former: Case, fault: Fault, *, revision: int) -> Case:
    """The former case's work, as the case of `fault`: times, steps, people, and what was broken stay."""
    case = replace(
        former,
        case_id=case_id_of(fault.fault_id),
        revision=revision,
        change="opened",
        site_id=fault.site_id,
        customer_id=fault.customer_id,
        desk=fault.desk,
        policy=fault.policy,
        merged_into=None,
        fault_ids=(fault.fault_id,),
        fault_count=1,
    )
    if former.change != MOVED:
        return case
    # It was closed by the move and by nothing else: that is undone here.
    case = replace(case, milestones=replace(case.milestones, closed_at=None))
    if case.milestones.resolved_at is not None:
        return replace(case, state="resolved")
    state = state_of_work(case)
    running = [*clocks_of_work(case), *([STEP] if state == "open" else [])]
    return replace(case, state=state, clocks=resume(case.clocks, running))


def _as_it_stood(stood: Fault | None) -> Fault | None:
    """What a fault that has moved was before it was closed by that."""
    if stood is None or stood.change != MOVED:
        return stood
    return replace(stood, state="open" if stood.cleared_at is None else "cleared")

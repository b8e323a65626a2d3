"""What people say of a fault: pure decisions. The classifier is told; its next revision shows the effect.

Who said what, and why, is kept in the case's log. A request that is sent again says nothing new: it is the
last thing in the log already, or the fault is as the person wants it.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from services.dispatch.actions import NotAllowed
from services.dispatch.decision import Decision, Note
from shared.documents.case import Case
from shared.documents.fault import Fault, Grade

RULED = "ruled"


class Word(NamedTuple):
    """A person's word on a fault, for the classifier."""

    fault: Fault
    action: Literal["clear", "regrade", "detach"]
    grade: Grade | None = None


class Order(NamedTuple):
    """What a person's request causes: to the case, and what the classifier is told."""

    decision: Decision
    words: tuple[Word, ...] = ()


class Held(NamedTuple):
    """A case as a request finds it."""

    case: Case
    faults: Mapping[str, Fault]
    """Those in the case, and those that the request names."""
    last: Note | None
    """The newest line of the case's log."""

    @property
    def own(self) -> Fault | None:
        """The fault that the case was opened for; a case need not have one."""
        return self.faults.get(self.case.fault_ids[0]) if self.case.fault_ids else None


def regrade(held: Held, grade: Grade, by: str, reason: str) -> Order:
    """The case's fault is to be of `grade`. The case follows with the fault's next revision.

    Raises NotAllowed where it does not stand, and for a hazard that would be lowered.
    """
    case, fault = held.case, held.own
    if fault is None or fault.state != "open":
        raise NotAllowed(
            f"the alarm of case {case.case_id} does not stand; only what stands is regraded"
            + (f" - it goes on as case {case.merged_into}" if case.merged_into else "")
        )
    under_way = held.last is not None and held.last.what == RULED
    if grade == fault.grade and not under_way:
        return _noted(held, Note("noted", by, f"grade {grade}, as it is: {reason}"))
    if fault.hazard and grade > fault.grade:
        raise NotAllowed(
            f"fault {fault.fault_id} is a hazard ({fault.kind}): its grade {fault.grade} is never lowered"
        )
    note = Note(RULED, by, f"regrade {fault.grade} to {grade}: {reason}")
    return _ruled(held, note, Word(fault, "regrade", grade))


def detach(held: Held, fault: Fault, by: str, reason: str) -> Order:
    """`fault` is no symptom: it is to stand for itself. The case stays as it is.

    Raises NotAllowed where it stands for itself already, is a symptom of another case's fault, or has gone.
    """
    if fault.cause_id is None:
        raise NotAllowed(
            f"fault {fault.fault_id} stands for itself; only a symptom can be detached"
        )
    if fault.cause_id not in held.case.fault_ids:
        raise NotAllowed(
            f"fault {fault.fault_id} is a symptom of fault {fault.cause_id}, which is not that of case "
            f"{held.case.case_id}"
        )
    if fault.state != "open":
        raise NotAllowed(f"fault {fault.fault_id} has cleared; only what stands is detached")
    note = Note(RULED, by, f"detach {fault.fault_id} from {fault.cause_id}: {reason}")
    return _ruled(held, note, Word(fault, "detach"))


def _ruled(held: Held, note: Note, word: Word) -> Order:
    if note == held.last:
        return Order(Decision(outcome="repeated"))
    return Order(Decision(notes=(note,)), (word,))


def _noted(held: Held, note: Note) -> Order:
    return Order(Decision(notes=() if note == held.last else (note,), outcome="repeated"))

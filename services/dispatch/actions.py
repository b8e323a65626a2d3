"""What people do with a case: pure decisions, each idempotent, so a request may be sent again.

What a person wrote is always kept in the case's log, also where the case stays as it is.
"""

from msgspec.structs import replace

from services.dispatch.cases import ENDED, MOVED, end, stop_clocks
from services.dispatch.clocks import RESPONSE, STEP
from services.dispatch.decision import Decision, Note
from shared.documents.case import Case
from shared.errors import BakvaktError
from shared.times import to_rfc3339


class NotAllowed(BakvaktError):
    """The case's state does not allow the action; the text says what to do instead."""

    reason = "not_allowed"


def acknowledge(case: Case, by: str, note: str | None, now_ms: int) -> Decision:
    """`by` takes the case: no further step. Processing goes on, for this is no decision (S3).

    Raises NotAllowed for an ended case that somebody else, or nobody, had taken.
    """
    if case.assignee == by:
        return _kept(Note("noted", by, note))
    _refuse_moved(case)
    if case.state in ENDED:
        raise NotAllowed(
            f"case {case.case_id} is {case.state}; there is nothing left to acknowledge"
            + (" - close it when the work on it is done" if case.state == "resolved" else "")
        )
    case = replace(case, revision=case.revision + 1, assignee=by)
    if case.state != "open":
        return Decision(replace(case, change="assigned"), notes=(Note("assigned", by, note),))
    milestones = replace(case.milestones, acknowledged_at=to_rfc3339(now_ms))
    case = replace(
        stop_clocks(case, (RESPONSE, STEP), now_ms),
        state="acknowledged",
        change="acknowledged",
        milestones=milestones,
    )
    return Decision(case, notes=(Note("acknowledged", by, note),))


def resolve(case: Case, by: str, reason: str, *, cleared: bool, now_ms: int) -> Decision:
    """`cleared`: the alarm is gone, or a ruling "clear" goes with this.

    Raises NotAllowed while the alarm stands without such a ruling, and for a closed case.
    """
    if case.state == "resolved":
        return _kept(Note("noted", by, reason))
    _refuse_moved(case)
    if case.state == "closed":
        raise NotAllowed(f"case {case.case_id} is closed; there is nothing left to resolve")
    if not cleared:
        raise NotAllowed(
            f"the alarm of case {case.case_id} still stands; either wait until it clears, or send "
            '"ruling": "clear" along to declare it gone'
        )
    case = replace(end(case, now_ms), revision=case.revision + 1)
    return Decision(case, notes=(Note("resolved", by, reason),))


def close(case: Case, by: str, reason: str | None, now_ms: int) -> Decision:
    """The work is done. Raises NotAllowed for a case that is not resolved yet."""
    if case.state == "closed":
        return _kept(Note("noted", by, reason))
    if case.state != "resolved":
        raise NotAllowed(f"case {case.case_id} is {case.state}; resolve it before you close it")
    case = replace(
        case,
        revision=case.revision + 1,
        state="closed",
        change="closed",
        milestones=replace(case.milestones, closed_at=to_rfc3339(now_ms)),
    )
    return Decision(case, notes=(Note("closed", by, reason),))


def _refuse_moved(case: Case) -> None:
    """Raises NotAllowed where the work goes on in another case."""
    if case.change != MOVED:
        return
    where = (
        f"it goes on as case {case.merged_into}"
        if case.merged_into
        else "the case that it goes on in opens in a moment"
    )
    raise NotAllowed(f"the EMU of case {case.case_id} is at another site now; {where}")


def _kept(note: Note) -> Decision:
    """The case is as the person wants it already; only their words are new, if there are any."""
    return Decision(notes=(note,) if note.detail else (), outcome="repeated")

"""What a deadline causes: pure. It acts only on what the newest case says."""

from msgspec.structs import replace

from services.dispatch.clocks import END_SHARE, STEP
from services.dispatch.decision import Decision, Note, Outcome, Rules
from services.dispatch.steps import escalate
from shared.documents.case import Case
from shared.documents.deadline import Deadline
from shared.times import from_rfc3339


def judge_deadline(case: Case | None, deadline: Deadline, rules: Rules, now_ms: int) -> Decision:
    """Acts only on what the newest case says: the clock runs, and its due time is still this one.

    `case` None: it is not written yet, and the deadline is to be parked until then. Where the timer has a
    revision of it that is not here, the case is told anew above that one, whatever the deadline does.
    """
    if case is None:
        return Decision(outcome="parked")
    if deadline.case_revision <= case.revision:
        return _judge(case, deadline, rules, now_ms)
    # PostgreSQL has each revision before Kafka does, so it has lost some: it was restored from a copy. Kafka
    # would keep the lost one for ever, and the timer its clocks, for it ignores what is not above it.
    above = replace(case, revision=deadline.case_revision)
    decision = _judge(above, deadline, rules, now_ms)
    lost = (
        f"revisions up to {deadline.case_revision} are lost here; it goes on from {case.revision}"
    )
    return Decision(
        decision.case or replace(above, revision=above.revision + 1),
        decision.page,
        (Note("restored", detail=lost), *decision.notes),
        decision.outcome,
    )


def _judge(case: Case, deadline: Deadline, rules: Rules, now_ms: int) -> Decision:
    reason = _moot(case, deadline)
    if reason is not None:
        return Decision(outcome=reason)
    if deadline.share != END_SHARE:
        note = Note("warning", detail=f"{deadline.share} of {deadline.clock} is used up")
        return Decision(notes=(note,), outcome="noted")
    if deadline.clock == STEP:
        # By the timer's clock that time has come, even where ours is behind: the next step must be due
        # later than this one, or it would bear this one's name and never fire.
        return escalate(case, rules, max(now_ms, deadline.version))
    if case.clocks[deadline.clock].event == "due":
        return Decision(notes=(Note("due", detail=deadline.clock),), outcome="noted")
    breached = (*case.breached, deadline.clock)
    case = replace(case, revision=case.revision + 1, change="breached", breached=breached)
    return Decision(case, notes=(Note("breached", detail=deadline.clock),))


def moments_of(case: Case) -> list[tuple[str, int]]:
    """The (deadline_id, version) of everything that the case's clocks fire."""
    return [
        (f"{case.case_id}:{name}:{share}", from_rfc3339(clock.due))
        for name, clock in case.clocks.items()
        for share in {END_SHARE, *(warn.share for warn in clock.warn)}
    ]


def _moot(case: Case, deadline: Deadline) -> Outcome | None:
    """Why the deadline means nothing any more; None: it does."""
    clock = case.clocks.get(deadline.clock)
    if clock is None or from_rfc3339(clock.due) != deadline.version:
        return "stale"
    if clock.stopped_at is not None:
        return "stopped"
    if deadline.share == END_SHARE and deadline.clock in case.breached:
        return "repeated"
    return None

"""Pure: which moments of a plan fire now, and the deadlines that they become."""

from typing import NamedTuple

from services.timer.plan import OWN_END, Identity, Moment, Plan
from shared.documents.deadline import Deadline
from shared.times import to_rfc3339

# What the timer promises for a shard with an owner. What is later, and was due before this owner took the
# shard over, is told as recovered.
PROMISED_MS = 1_000


class Firing(NamedTuple):
    """The moments of one case that have come."""

    publish: tuple[Moment, ...]
    folded: tuple[Moment, ...]
    """Warnings of a clock whose own end has come as well: that says it all."""

    @property
    def identities(self) -> tuple[Identity, ...]:
        """All of them: what is folded counts as fired."""
        return tuple(moment.identity for moment in self.publish + self.folded)


def fire(plan: Plan, now_ms: int) -> Firing:
    """The moments that have come by `now_ms` and have not fired, by time."""
    fired = plan.fired
    ended = {
        (moment.clock, moment.version)
        for moment in plan.moments
        if moment.share == OWN_END and (moment.at_ms <= now_ms or moment.identity in fired)
    }
    publish: list[Moment] = []
    folded: list[Moment] = []
    for moment in plan.moments:
        if moment.at_ms > now_ms or moment.identity in fired:
            continue
        over = moment.share != OWN_END and (moment.clock, moment.version) in ended
        (folded if over else publish).append(moment)
    return Firing(tuple(publish), tuple(folded))


def next_moment(plan: Plan) -> Moment | None:
    """The earliest moment that has not fired; None: all have."""
    return next(iter(plan.waiting()), None)


def make_deadline(
    case_id: str, plan: Plan, moment: Moment, *, fired_ms: int, owned_from_ms: int
) -> Deadline:
    """The document of a moment that fires at `fired_ms` in a shard that has its owner since
    `owned_from_ms`; all times by Redis' clock."""
    late_ms = fired_ms - moment.at_ms
    return Deadline(
        deadline_id=f"{case_id}:{moment.clock}:{moment.share}",
        version=moment.version,
        case_id=case_id,
        clock=moment.clock,
        event=moment.event,
        share=moment.share,
        grade=plan.grade,
        site_id=plan.site_id,
        desk=plan.desk,
        due_at=to_rfc3339(moment.at_ms),
        fired_at=to_rfc3339(fired_ms),
        late_ms=late_ms,
        recovered=is_recovered(moment.at_ms, fired_ms=fired_ms, owned_from_ms=owned_from_ms),
        case_revision=plan.revision,
    )


def is_recovered(at_ms: int, *, fired_ms: int, owned_from_ms: int) -> bool:
    """Whether what was due at `at_ms` fires later than promised because its shard had no owner then."""
    return fired_ms - at_ms > PROMISED_MS and at_ms < owned_from_ms


def lateness_ms(plan: Plan, moment: Moment, *, published_ms: int, owned_from_ms: int) -> int:
    """How late by the promise: from when it was due, known and in an owner's hands."""
    return max(0, published_ms - max(moment.at_ms, plan.written_ms, owned_from_ms))

"""Pure: the plan of a case, which says what fires when, and what has fired."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Literal, NamedTuple

import msgspec

from shared.documents.fault import Grade

OWN_END = "1"
"""The share of a clock's own end."""

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
# As in shared.times: a call for each of nine moments would be a tenth of what a case costs.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)

Event = Literal["warning", "breach", "due"]
Identity = tuple[str, str, int]
"""(clock, share, version): what tells a moment from all others of its case."""


class Moment(msgspec.Struct, frozen=True, gc=False):
    """One moment of a clock that runs."""

    at_ms: int
    clock: str
    share: str
    event: Event
    version: int
    """The clock's due time in epoch ms: a clock that was moved has other moments than before."""

    @property
    def identity(self) -> Identity:
        return (self.clock, self.share, self.version)


class Plan(msgspec.Struct, frozen=True, gc=False):
    """A case as its shard keeps it."""

    revision: int
    written_ms: int
    """Kafka's time of the revision: before it nobody could know of its moments."""
    grade: Grade
    site_id: str
    desk: str
    moments: tuple[Moment, ...]
    """By time, then by name; with each clock its own end."""
    fired: tuple[Identity, ...] = ()
    """Nothing leaves this list while the case is open, so nothing fires twice."""

    @property
    def plan(self) -> "Plan":
        return self

    def waiting(self) -> tuple[Moment, ...]:
        """The moments that have not fired, by time."""
        if not self.fired:
            return self.moments
        fired = self.fired
        return tuple(
            [
                moment
                for moment in self.moments
                if (moment.clock, moment.share, moment.version) not in fired
            ]
        )

    def outlook(self) -> tuple[int | None, int]:
        """When the first of them comes (None: all have fired); how many clocks have not come to their end."""
        waiting = self.waiting()
        if not waiting:
            return None, 0
        return waiting[0].at_ms, [moment.share for moment in waiting].count(OWN_END)


class _Warn(msgspec.Struct, frozen=True, gc=False):
    share: str
    at: Instant


class _Clock(msgspec.Struct, frozen=True, gc=False):
    due: Instant
    event: Literal["breach", "due"]
    warn: tuple[_Warn, ...] = ()
    stopped_at: str | None = None


class PlannedCase(msgspec.Struct, frozen=True, gc=False):
    """What of a Case the timer reads: to decode the rest would cost as much again."""

    case_id: str
    revision: int
    state: str
    grade: Grade
    site_id: str
    desk: str = "default"
    clocks: dict[str, _Clock] = {}


class Draft(NamedTuple):
    """A plan that is not worked out yet: most go to Redis like this (`entry.pack_draft`)."""

    case: PlannedCase
    written_ms: int

    @property
    def plan(self) -> Plan:
        return make_plan(self.case, self.written_ms)


_by_time = attrgetter("at_ms", "clock", "share", "event")


def make_plan(case: PlannedCase, written_ms: int) -> Plan:
    """Every moment of every clock that runs, by time; nothing fired yet.

    For each clock one moment a share; its own end is among them whether `warn` names it or not.
    """
    moments: list[Moment] = []
    for name, clock in case.clocks.items():
        if clock.stopped_at is not None:
            continue
        version = (clock.due - EPOCH) // MS
        for warn in clock.warn:
            share = warn.share
            if share != OWN_END:
                at_ms = (warn.at - EPOCH) // MS
                moments.append(Moment(at_ms, name, share, "warning", version))
        moments.append(Moment(version, name, OWN_END, clock.event, version))
    moments.sort(key=_by_time)
    return Plan(case.revision, written_ms, case.grade, case.site_id, case.desk, tuple(moments))


def follow(stored: Plan | None, revision: int | None, plan: Plan | None) -> Plan | None:
    """What a case's plan is after a record of it; None: it is not in the shard.

    A revision that is not above the stored one changes nothing (None, a tombstone, is above any); what has
    fired stays fired.
    """
    if stored is None or plan is None:
        late = stored is not None and revision is not None and revision <= stored.revision
        return stored if late else plan
    if plan.revision <= stored.revision:
        return stored
    return msgspec.structs.replace(plan, fired=stored.fired) if stored.fired else plan


def mark(plan: Plan, fired: Iterable[Identity]) -> Plan:
    """The plan in which these have fired as well, in the plan or not; a clock may come back to a time."""
    fresh = tuple(dict.fromkeys(identity for identity in fired if identity not in plan.fired))
    return msgspec.structs.replace(plan, fired=plan.fired + fresh) if fresh else plan

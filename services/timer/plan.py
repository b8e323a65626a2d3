"""Pure: the plan of a case, which says what fires when, and what has fired."""

from collections.abc import Iterable
from operator import attrgetter
from typing import Literal

import msgspec

from shared.documents.case import Case, Clock
from shared.documents.fault import Grade
from shared.errors import RecordError
from shared.times import from_rfc3339

OWN_END = "1"
"""The share of a clock's own end."""

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
    """By time; with each clock its own end."""
    fired: tuple[Identity, ...] = ()
    """Nothing leaves this list while the case is open, so nothing fires twice."""

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
        next_ms = waiting[0].at_ms if waiting else None
        return next_ms, [moment.share for moment in waiting].count(OWN_END)


_by_time = attrgetter("at_ms", "clock")


def make_plan(case: Case, written_ms: int) -> Plan:
    """Every moment of every clock that runs, by time; nothing fired yet.

    Raises RecordError when a time is not RFC 3339.
    """
    moments: list[Moment] = []
    for name, clock in case.clocks.items():
        if clock.stopped_at is None:
            try:
                moments += _moments(name, clock)
            except ValueError as error:
                raise RecordError("invalid_time", f"clock {name!r}: {error}") from error
    moments.sort(key=_by_time)
    return Plan(case.revision, written_ms, case.grade, case.site_id, case.desk, tuple(moments))


def _moments(name: str, clock: Clock) -> list[Moment]:
    """One for each share; the clock's own end is among them whether `warn` names it or not."""
    version = from_rfc3339(clock.due)
    moments = [
        Moment(from_rfc3339(warn.at), name, warn.share, "warning", version)
        for warn in clock.warn
        if warn.share != OWN_END
    ]
    moments.append(Moment(version, name, OWN_END, clock.event, version))
    return moments


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

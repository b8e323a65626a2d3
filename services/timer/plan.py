"""Pure: the plan of a case, which says what fires when, and what has fired."""

from typing import Literal

import msgspec

from shared.documents.case import Case, Clock
from shared.documents.fault import Grade
from shared.errors import RecordError
from shared.times import from_rfc3339

OWN_END = "1"
"""The share of a clock's own end."""


class Moment(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One moment of a clock that runs. lua/common.lua reads these by their place."""

    at_ms: int
    clock: str
    share: str
    event: Literal["warning", "breach", "due"]
    version: int
    """The clock's due time in epoch ms: a clock that was moved has other moments than before."""

    @property
    def identity(self) -> str:
        """What tells it from all others of its case; the same text as in lua/common.lua."""
        return f"{self.clock}:{self.share}:{self.version}"


class Plan(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A case as its shard keeps it. lua/common.lua reads these by their place; extend at the end."""

    revision: int
    written_ms: int
    """Kafka's time of the revision: before it nobody could know of its moments."""
    grade: Grade
    site_id: str
    desk: str
    moments: tuple[Moment, ...]
    fired: tuple[str, ...] = ()
    """Identities. Nothing leaves this list while the case is open, so nothing fires twice."""


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
    moments.sort(key=lambda moment: (moment.at_ms, moment.clock))
    return Plan(case.revision, written_ms, case.grade, case.site_id, case.desk, tuple(moments))


def _moments(name: str, clock: Clock) -> list[Moment]:
    """One for each share; the clock's own end is among them whether `warn` names it or not."""
    version = from_rfc3339(clock.due)
    at_ms = {OWN_END: version} | {warn.share: from_rfc3339(warn.at) for warn in clock.warn}
    return [
        Moment(at, name, share, clock.event if share == OWN_END else "warning", version)
        for share, at in at_ms.items()
    ]

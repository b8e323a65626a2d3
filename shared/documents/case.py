"""The Case document of `bakvakt.cases` (key `case_id`, whole at each revision)."""

from typing import Literal

import msgspec

from shared.documents.fault import Grade

CaseState = Literal["open", "acknowledged", "processed", "resolved", "closed"]
ClockEvent = Literal["breach", "due"]


class Warn(msgspec.Struct, frozen=True, gc=False):
    """One moment of a clock: `share` of its time is used up ("1": its own end) at `at`."""

    share: str
    at: str


class Clock(msgspec.Struct, frozen=True, gc=False, rename={"start": "from"}):
    """One time limit. `event` says what its end means: a broken promise, or just "now"."""

    start: str
    due: str
    event: ClockEvent
    warn: tuple[Warn, ...] = ()
    stopped_at: str | None = None


class Milestones(msgspec.Struct, frozen=True, gc=False):
    """When the case reached what; None: not yet."""

    opened_at: str | None = None
    paged_at: str | None = None
    acknowledged_at: str | None = None
    processed_at: str | None = None
    resolved_at: str | None = None
    closed_at: str | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """The work on one fault."""

    case_id: str
    revision: int
    change: str
    kind: Literal["fault", "request", "update", "commissioning"] = "fault"
    state: CaseState
    grade: Grade
    grade_worst: Grade
    severity: Literal["major", "general"] | None = None
    site_id: str
    customer_id: str | None = None
    desk: str = "default"
    time_zone: str = "UTC"
    policy: str = "default"
    assignee: str | None = None
    incident_id: str | None = None
    plan_id: str | None = None
    merged_into: str | None = None
    fault_ids: tuple[str, ...] = ()
    fault_count: int = 0
    milestones: Milestones = Milestones()
    clocks: dict[str, Clock] = {}
    breached: tuple[str, ...] = ()
    """Clocks whose promise was broken, in the order in which that was noted."""
    step: int = 0
    """Number of the newest step of escalation; 0: nobody was paged."""
    level: int = 0
    """Level of the roster that the newest step reached."""


encode_case = msgspec.json.Encoder().encode
decode_case = msgspec.json.Decoder(Case).decode

"""What the timer answers over HTTP about its clocks; both sides build and read it by these."""

from typing import Literal

import msgspec

from shared.documents.fault import Grade

Event = Literal["warning", "breach", "due"]
Doing = Literal["serving", "rebuilding", "catching_up", "not_taken_over"]


class ComingMoment(msgspec.Struct, frozen=True, kw_only=True):
    """A moment that has not fired. The fields mean what they mean in a Deadline."""

    case_id: str
    shard: int
    clock: str
    share: str
    event: Event
    due_at: str
    version: int
    grade: Grade
    site_id: str
    desk: str


class ComingList(msgspec.Struct, frozen=True, kw_only=True):
    """GET /v1/clocks/coming: what fires next, in order."""

    moments: list[ComingMoment]
    not_served: list[int]
    """Shards whose clocks do not fire just now; those of shards that are being built anew may be missing."""
    at: str
    """The time of Redis, by which clocks fire."""


class StandingClock(msgspec.Struct, frozen=True, kw_only=True):
    """A clock that runs, and the moment of it that fires next."""

    case_id: str
    shard: int
    clock: str
    event: Event
    """Of its own end."""
    due_at: str
    version: int
    next_share: str
    next_at: str
    grade: Grade
    site_id: str
    desk: str


class ClockList(msgspec.Struct, frozen=True, kw_only=True):
    """GET /v1/clocks: some of the clocks that stand, in no order."""

    clocks: list[StandingClock]
    looked_at: int
    """Cases that were looked at."""
    next: str | None
    """`after` of the next part; None: that was all."""
    not_served: list[int]
    at: str


class MomentState(msgspec.Struct, frozen=True, kw_only=True):
    """One moment of a case."""

    clock: str
    share: str
    event: Event
    due_at: str | None
    """None: it has fired, for a due time that the clock no longer has."""
    version: int
    fired: bool


class CaseClocks(msgspec.Struct, frozen=True, kw_only=True):
    """GET /v1/cases/{case_id}/clocks: a case as the wheel has it."""

    case_id: str
    shard: int
    revision: int
    """Of the document that the wheel has applied last."""
    written_at: str
    """Kafka's time of that document."""
    grade: Grade
    site_id: str
    desk: str
    moments: list[MomentState]
    """By time."""
    topic: str
    next_offset: int | None
    """Of that topic's partition, as far as the wheel has applied it; None: it is being built anew."""
    doing: Doing
    at: str


class ShardState(msgspec.Struct, frozen=True, kw_only=True):
    """How a shard stands."""

    shard: int
    epoch: int
    """Of its owner; grows with each take-over."""
    doing: Doing
    reading: Literal["cases", "deadlines"] | None
    """What its owner reads before it serves."""
    read_to: int | None
    """So far, as an offset."""
    until: int | None
    standing: int
    """Clocks."""
    written_at: str | None


class ShardList(msgspec.Struct, frozen=True, kw_only=True):
    """GET /v1/shards"""

    shards: list[ShardState]


class RebuildBegun(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/shards/{shard}/rebuild: its owner will notice."""

    shard: int
    epoch: int
    """Of the owner that has served it; a greater one builds it anew."""

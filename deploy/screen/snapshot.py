"""What one look at everything that runs here has seen. Plain data: `look.py` takes it."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from deploy.local.messages import Event

ServerState = Literal["runs", "restarts", "stopped", "yours"]


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Kafka, Redis or PostgreSQL; `yours` is one that the caller has named."""

    name: str
    where: str
    pid: int | None
    state: ServerState


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One process that answers over HTTP: of a service, or the receiver."""

    name: str
    """Its own, as in its log's name: ingest, classifier-2."""
    service: str
    url: str
    pid: int | None
    """None while it waits to be started again, or has been stopped."""
    missing: tuple[str, ...] | None
    """What /readyz said: nothing is missing, or this; None: it has not answered."""
    metrics: str = ""

    @property
    def ready(self) -> bool:
        return self.missing == ()


class NextClock(msgspec.Struct, frozen=True, kw_only=True):
    """What fires next, in the timer's words (services/timer/README.md)."""

    case_id: str
    clock: str
    share: str
    event: str
    due_at: str
    grade: str
    site_id: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page that the receiver has taken; what a page doesn't say is empty."""

    received_at: str
    count: int = 1
    title: str = ""
    grade: str = ""
    reason: str = ""
    person: str = ""
    case_id: str = ""
    site_id: str = ""
    emu_id: str = ""


class CaseNow(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of a case."""

    state: str
    assignee: str | None = None
    title: str = ""
    """Of its first fault."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    at_ms: int
    seen_s: float
    """The same moment by a clock that is never set; rates are counted by this one."""
    running: bool
    stopping: bool = False
    started_ms: int | None = None
    servers: tuple[Server, ...] = ()
    services: tuple[Instance, ...] = ()
    receiver: Instance | None = None
    """None where pages go to a webhook of the caller's own."""
    pages: tuple[Page, ...] = ()
    """The newest first."""
    next_clock: NextClock | None = None
    cases: Mapping[str, CaseNow] = {}
    """Of the newest pages and of the next clock, as far as dispatch has answered."""
    events: tuple[Event, ...] = ()
    """The oldest first."""

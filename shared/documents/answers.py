"""What dispatch answers over HTTP; both sides build and read it by these.

The documents in an answer are whole, as they are stored. Dispatch hands them on as the bytes that they are
(`msgspec.Raw`), a reader decodes them: `CaseFile[Case, Fault]`.
"""

from typing import Any, Generic, TypeVar

import msgspec

CaseT = TypeVar("CaseT")
FaultT = TypeVar("FaultT")
EmuT = TypeVar("EmuT")


class LogEntry(msgspec.Struct, frozen=True):
    """What happened to a case; `who` None: the system."""

    at: str
    what: str
    who: str | None
    detail: str | None


class SentPage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of escalation, and how its delivery went; `sent_at` None: not yet."""

    message_id: str
    step: int
    level: int
    person: str
    reason: str
    created_at: str
    sent_at: str | None
    attempts: int
    last_error: str | None


class CaseFile(msgspec.Struct, Generic[CaseT, FaultT], frozen=True, kw_only=True):
    """GET /v1/cases/{case_id}: all that is known about one case."""

    case: CaseT
    faults: list[FaultT]
    log: list[LogEntry]
    pages: list[SentPage]


class CaseList(msgspec.Struct, Generic[CaseT, FaultT], frozen=True, kw_only=True):
    """GET /v1/cases: some cases, newest first."""

    cases: list[CaseT]
    faults: list[FaultT]
    """The fault that each of the cases was opened for."""
    next: str | None
    """`after` of the next page; None: this is the last one."""


class FaultFile(msgspec.Struct, Generic[FaultT], frozen=True, kw_only=True):
    """GET /v1/faults/{fault_id}"""

    fault: FaultT
    case_id: str | None
    """The case that it is in; None: in none."""


class FaultList(msgspec.Struct, Generic[FaultT], frozen=True, kw_only=True):
    """GET /v1/faults"""

    faults: list[FaultT]


class Refusal(msgspec.Struct, frozen=True):
    """Any answer but 2xx: a word for programs, a sentence for people."""

    error: str
    detail: str


class LineProblem(msgspec.Struct, frozen=True):
    """What is wrong with a line of a file; line 0 is the file as a whole."""

    line: int
    detail: str


class FileRefusal(Refusal, frozen=True):
    """A file of which nothing was taken: the first of what is wrong, and how much more there is."""

    problems: list[LineProblem] = []
    more: int = 0


class EmuChange(msgspec.Struct, frozen=True, kw_only=True):
    """A new revision of an EMU: each field that differs, before and after; revision 1: the EMU is new."""

    emu_id: str
    revision: int
    fields: dict[str, tuple[Any, Any]]


class FleetChange(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/fleet: what the file has changed, or would change (`dry_run`)."""

    dry_run: bool
    lines: int
    added: int
    """EMUs that were not known."""
    changed: int
    """EMUs with a new revision; those that only their site has changed included."""
    unchanged: int
    sites: int
    """Sites that are new or changed."""
    customers: int
    changes: list[EmuChange]
    """The first of them."""


class EmuFile(msgspec.Struct, Generic[EmuT], frozen=True, kw_only=True):
    """GET /v1/emus/{emu_id}: the EMU's record, the names of where it stands, and whether all know of it."""

    emu: EmuT
    site_name: str | None
    customer_name: str | None
    told: bool
    """False: its newest revision is still on its way to the other services."""


class EmuList(msgspec.Struct, Generic[EmuT], frozen=True, kw_only=True):
    """GET /v1/emus: some EMUs, by site."""

    emus: list[EmuFile[EmuT]]
    next: str | None
    """`after` of the next page; None: this is the last one."""

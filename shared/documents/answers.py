"""What dispatch answers over HTTP; both sides build and read it by these.

The documents in an answer are whole, as they are stored. Dispatch hands them on as the bytes that they are
(`msgspec.Raw`), a reader decodes them: `CaseFile[Case, Fault]`.
"""

from typing import Generic, TypeVar

import msgspec

CaseT = TypeVar("CaseT")
FaultT = TypeVar("FaultT")


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

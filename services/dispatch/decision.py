"""What decisions are made by, and what they are: plain values, carried out elsewhere."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from services.dispatch.roster import Roster
from shared.documents.case import Case
from shared.documents.fault import Grade
from shared.policy import GradeTerms, Policy

PageReason = Literal["opened", "escalated", "regraded", "reopened"]
Outcome = Literal["acted", "noted", "parked", "stale", "stopped", "repeated"]


@dataclass(frozen=True)
class Rules:
    """By what cases are judged."""

    policy: Policy
    roster: Roster

    def terms(self, grade: Grade) -> GradeTerms:
        return self.policy.grades[grade]


class Page(NamedTuple):
    """One step of escalation: whom to page, and why."""

    step: int
    level: int
    person: str
    reason: PageReason


class Note(NamedTuple):
    """One line of a case's log: what happened, who did it (None: the system), in what words."""

    what: str
    who: str | None = None
    detail: str | None = None


@dataclass(frozen=True)
class Decision:
    """What an event causes. `case` None: it stays as it is."""

    case: Case | None = None
    page: Page | None = None
    notes: tuple[Note, ...] = ()
    outcome: Outcome = "acted"


UNCHANGED = Decision()

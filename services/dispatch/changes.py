"""What is to be written in one transaction: rows as the tables have them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from services.dispatch.decision import Decision, Page
from services.dispatch.pages import message_id_of, render_page
from shared.documents.case import Case, encode_case
from shared.documents.dead_letter import DeadLetter
from shared.documents.deadline import Deadline
from shared.documents.fault import Fault, encode_fault
from shared.kafka.partition import partition_of
from shared.kafka.reader import Record
from shared.kafka.topics import Topics
from shared.times import from_rfc3339


class StoredFault(NamedTuple):
    """A fault's newest revision, and the case that it is in."""

    fault: Fault
    case_id: str | None


class CaseRow(NamedTuple):
    case_id: str
    partition: int
    revision: int
    state: str
    grade: str
    opened_ms: int
    doc: bytes


class FaultRow(NamedTuple):
    fault_id: str
    partition: int
    case_id: str | None
    revision: int
    state: str
    moved_from: str | None
    doc: bytes


class PageRow(NamedTuple):
    message_id: str
    case_id: str
    partition: int
    grade: str
    step: int
    level: int
    person: str
    reason: str
    body: bytes
    caused_ms: int
    created_ms: int
    attempts: int
    next_try_ms: int


class LogRow(NamedTuple):
    case_id: str
    at_ms: int
    what: str
    who: str | None
    detail: str | None


class SeenRow(NamedTuple):
    deadline_id: str
    version: int


class ParkedRow(NamedTuple):
    deadline_id: str
    version: int
    case_id: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    published_ms: int
    parked_ms: int


class OutboxRow(NamedTuple):
    partition: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: bytes
    created_ms: int
    emu_id: str | None = None
    """Of a fact, and of an EMU record."""


@dataclass
class Changes:
    """Collects what decisions cause in one partition, in the order in which they were made.

    A case of another partition, which has moved to ours, goes out there.
    """

    topics: Topics
    partition: int
    partitions: int
    url: str
    """Where people reach dispatch, for the links in pages."""
    cases: dict[str, CaseRow] = field(default_factory=dict[str, CaseRow])
    faults: dict[str, FaultRow] = field(default_factory=dict[str, FaultRow])
    pages: list[PageRow] = field(default_factory=list[PageRow])
    log: list[LogRow] = field(default_factory=list[LogRow])
    seen: list[SeenRow] = field(default_factory=list[SeenRow])
    parked: list[ParkedRow] = field(default_factory=list[ParkedRow])
    outbox: list[OutboxRow] = field(default_factory=list[OutboxRow])

    def decide(
        self, case_id: str, decision: Decision, fault: Fault | None, *, caused_ms: int, now_ms: int
    ) -> None:
        """`fault` is the case's own, `caused_ms` when what caused this came to Kafka.

        Raises ValueError for a page about a case without a fault.
        """
        log = [LogRow(case_id, now_ms, *note) for note in decision.notes]
        if decision.case is not None and decision.page is not None:
            if fault is None:
                raise ValueError(f"a page about case {case_id}, which has no fault")
            # First, for it is where an error is likeliest: nothing is half decided then.
            body = render_page(decision.case, fault, decision.page, self.url)
            self.pages.append(self._page_row(decision.case, decision.page, body, caused_ms, now_ms))
        if decision.case is not None:
            self._add_case(decision.case, now_ms)
        self.log += log

    def follow(self, fault: Fault, case_id: str | None) -> None:
        """Remember the newest revision of a fault, and the case that it is in."""
        self.faults[fault.fault_id] = FaultRow(
            fault_id=fault.fault_id,
            partition=self.partition,
            case_id=case_id,
            revision=fault.revision,
            state=fault.state,
            moved_from=fault.moved_from,
            doc=encode_fault(fault),
        )

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        *,
        now_ms: int,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> None:
        """A record for `partition` of `topic`, by default ours, once this is committed."""
        texts = [(name, text.decode("utf-8", "replace")) for name, text in headers]
        headers_doc = msgspec.json.encode(texts)
        place = self.partition if partition is None else partition
        self.outbox.append(OutboxRow(place, topic, key, value, headers_doc, now_ms))

    def park(self, deadline: Deadline, record: Record, parked_ms: int) -> None:
        """The deadline in `record` waits, since `parked_ms`, until its case is written."""
        self.parked.append(
            ParkedRow(
                deadline_id=deadline.deadline_id,
                version=deadline.version,
                case_id=deadline.case_id,
                partition=record.partition,
                offset=record.offset,
                key=record.key,
                value=record.value or b"",
                published_ms=record.timestamp,
                parked_ms=parked_ms,
            )
        )

    def give_up(self, letter: DeadLetter, now_ms: int) -> None:
        """The record cannot be used: it goes to the dead letters as it came."""
        self.send(
            self.topics.dead_letters,
            letter.key,
            letter.value,
            now_ms=now_ms,
            headers=letter.headers,
        )

    def _page_row(
        self, case: Case, page: Page, body: bytes, caused_ms: int, now_ms: int
    ) -> PageRow:
        return PageRow(
            message_id=message_id_of(case.case_id, page.step),
            case_id=case.case_id,
            partition=self.partition,
            grade=case.grade,
            step=page.step,
            level=page.level,
            person=page.person,
            reason=page.reason,
            body=body,
            caused_ms=caused_ms,
            created_ms=now_ms,
            attempts=0,
            next_try_ms=now_ms,
        )

    def _add_case(self, case: Case, now_ms: int) -> None:
        doc = encode_case(case)
        assert case.milestones.opened_at is not None  # noqa: S101 - set with the first revision
        partition = partition_of(case.site_id, self.partitions)
        self.cases[case.case_id] = CaseRow(
            case_id=case.case_id,
            partition=partition,
            revision=case.revision,
            state=case.state,
            grade=case.grade,
            opened_ms=from_rfc3339(case.milestones.opened_at),
            doc=doc,
        )
        key = case.case_id.encode()
        self.send(self.topics.cases, key, doc, now_ms=now_ms, partition=partition)

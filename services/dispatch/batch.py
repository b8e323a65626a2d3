"""A batch of inputs, judged one after another in memory; what it causes is written at once. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from services.dispatch.cases import MOVED, case_id_of, judge_fault
from services.dispatch.changes import Changes, SeenRow, StoredFault
from services.dispatch.deadlines import judge_deadline, moments_of
from services.dispatch.decision import Decision, Rules
from services.dispatch.moves import Stood, move
from shared.documents.case import Case
from shared.documents.dead_letter import DeadLetter, make_dead_letter
from shared.documents.deadline import Deadline
from shared.documents.fault import Fault
from shared.errors import RecordError
from shared.failures import RULE_FAILED
from shared.kafka.reader import Record


class Event(NamedTuple):
    """An input record, and what it says; an error where that cannot be used."""

    record: Record
    content: Fault | Deadline | RecordError
    parked_ms: int | None = None
    """Since when the deadline has waited for its case; None: it has not."""


@dataclass
class Batch:
    """Holds the records that the events speak of, as they become event by event."""

    rules: Rules
    changes: Changes
    cases: dict[str, Case]
    faults: dict[str, StoredFault]
    seen: set[tuple[str, int]]
    outcomes: Counter[str] = field(default_factory=Counter[str])
    """How many deadlines had which outcome."""

    refused: list[tuple[DeadLetter, RecordError]] = field(
        default_factory=list[tuple[DeadLetter, RecordError]]
    )
    """The dead letters, each with its error."""

    _moved_on: set[str] = field(default_factory=set[str], init=False)
    """Faults that are known to have become others, at another site."""

    def __post_init__(self) -> None:
        for stored in list(self.faults.values()):
            self._note(stored)

    def judge(self, events: Iterable[Event], now_ms: int) -> None:
        """Judge all `events`: the faults in their order, then the deadlines in theirs.

        A clear that waits beside the deadline that it makes moot goes first, however Kafka mixed them. A
        deadline whose case is not there then is parked.

        One on which a rule of ours fails goes to the dead letters; the partition does not stop for it.
        """
        for event in sorted(events, key=lambda event: isinstance(event.content, Deadline)):
            if (error := self._apply(event, now_ms)) is not None:
                self._refuse(event.record, error, now_ms)

    def _apply(self, event: Event, now_ms: int) -> RecordError | None:
        record, content, parked_ms = event
        try:
            if isinstance(content, RecordError):
                return content
            if isinstance(content, Fault):
                self._judge_fault(content, record.timestamp, now_ms)
            else:
                self._judge_deadline(content, record, parked_ms, now_ms)
        except Exception as cause:  # noqa: BLE001 - told by the caller, with its traceback
            error = RecordError(RULE_FAILED, f"a rule failed on it: {cause!r}")
            error.__cause__ = cause
            return error
        return None

    def _refuse(self, record: Record, error: RecordError, now_ms: int) -> None:
        letter = make_dead_letter(error, record)
        self.refused.append((letter, error))
        self.changes.give_up(letter, now_ms)

    def _judge_fault(self, fault: Fault, published_ms: int, now_ms: int) -> None:
        stored = self.faults.get(fault.fault_id)
        known = stored.fault if stored else None
        if known is not None and fault.revision <= known.revision:
            return
        case_id = case_id_of(fault.fault_id)
        case = self.cases.get(case_id)
        former = self._former(case, fault)
        if former is not None:
            self._move(former, case, fault, published_ms, now_ms)
        elif case is None and fault.fault_id in self._moved_on:
            pass  # the fault that it has become was here first, and has its case or needs none
        else:
            decision = judge_fault(
                case, known, fault, self.rules, published_ms=published_ms, now_ms=now_ms
            )
            self._carry_out(case_id, decision, fault, published_ms, now_ms)
        in_case = case_id if case_id in self.cases else None
        self._note(StoredFault(fault, in_case))
        self.changes.follow(fault, in_case)

    def _note(self, stored: StoredFault) -> None:
        self.faults[stored.fault.fault_id] = stored
        if stored.fault.moved_from is not None:
            self._moved_on.add(stored.fault.moved_from)

    def _former(self, case: Case | None, fault: Fault) -> Case | None:
        """The case that the fault takes over; None: there is none, or it has."""
        if fault.moved_from in (None, fault.fault_id) or (case and case.change == MOVED):
            return None
        former = self.cases.get(case_id_of(fault.moved_from or ""))
        return None if former is None or former.merged_into is not None else former

    def _move(
        self, former: Case, case: Case | None, fault: Fault, published_ms: int, now_ms: int
    ) -> None:
        """What had fired of the former case's clocks has fired for those that go on."""
        there, here = self.faults.get(fault.moved_from or ""), self.faults.get(fault.fault_id)
        moved = move(
            former,
            case,
            Stood(there.fault if there else None, here.fault if here else None),
            fault,
            self.rules,
            published_ms=published_ms,
            now_ms=now_ms,
        )
        case_id = case_id_of(fault.fault_id)
        # First, for it may have a page, and that is where an error is likeliest: nothing is half moved then.
        self._carry_out(case_id, moved.case, fault, published_ms, now_ms)
        self._carry_out(former.case_id, moved.former, fault, published_ms, now_ms)
        for deadline_id, version in moments_of(former):
            if (deadline_id, version) in self.seen:
                share = deadline_id.removeprefix(former.case_id)
                self._remember(case_id + share, version)

    def _remember(self, deadline_id: str, version: int) -> None:
        """This deadline has been acted on."""
        self.seen.add((deadline_id, version))
        self.changes.seen.append(SeenRow(deadline_id, version))

    def _judge_deadline(
        self, deadline: Deadline, record: Record, parked_ms: int | None, now_ms: int
    ) -> None:
        key = (deadline.deadline_id, deadline.version)
        if key in self.seen:
            self.outcomes["repeated"] += 1
            return
        case = self.cases.get(deadline.case_id)
        decision = judge_deadline(case, deadline, self.rules, now_ms)
        if case is None:
            self.changes.park(deadline, record, now_ms if parked_ms is None else parked_ms)
        else:
            fault = self.faults[case.fault_ids[0]].fault
            self._carry_out(case.case_id, decision, fault, record.timestamp, now_ms)
            if decision.outcome in {"acted", "noted"}:
                self._remember(*key)
        self.outcomes[decision.outcome] += 1

    def _carry_out(
        self, case_id: str, decision: Decision, fault: Fault, published_ms: int, now_ms: int
    ) -> None:
        self.changes.decide(case_id, decision, fault, caused_ms=published_ms, now_ms=now_ms)
        if decision.case is not None:
            self.cases[case_id] = decision.case

"""Records, conditions and a partition for tests: what a test doesn't say has a plain default."""

from collections.abc import Iterable, Mapping
from typing import Any

from services.classifier.batch import Batch
from services.classifier.judge import judge_edge
from services.classifier.partition import Partition
from services.classifier.rules import Rules
from services.classifier.state import Condition, Emu
from shared.catalogue import Catalogue, Row, load_catalogue
from shared.documents.emu import EmuRecord
from shared.documents.fault import Fault, Grade
from shared.documents.internal import (
    Active,
    Edge,
    Fact,
    InternalRecord,
    Part,
    Presence,
    Ruling,
    Snapshot,
    Source,
    Tick,
)
from shared.policy import load_policy
from shared.times import from_rfc3339

NOON_MS = from_rfc3339("2026-11-22T12:00:00Z")
CATALOGUE = load_catalogue()
HOLDS_MS: Mapping[Grade, int] = {"A": 0, "B": 3_000, "C": 10_000, "D": 30_000}
# Three heartbeats, 30 s at least.
HEARTBEAT = load_policy(None).heartbeat
CODE_A = "sunspec:802.Evt1.1"


class AtOnce(Rules):
    """Nothing waits, whatever the catalogue says."""

    def hold(self, row: Row, grade: Grade) -> int:
        return 0

    def on_delay(self, row: Row) -> int:
        return 0

    def off_delay(self, row: Row, changes: tuple[int, ...]) -> int:
        return 0


def row(code: str, grade: Any, **fields: Any) -> Row:
    """A row of kind `test`, of level `fault`."""
    known: dict[str, Any] = {
        "kind": "test",
        "level": "fault",
        "component": "emu",
        "title": code,
        "meaning": "",
        "reason": f"{code} is {grade}",
        "clears_by": "auto",
        "source": "test",
    }
    return Row(code=code, grade=grade, **(known | fields))


def edge(offset: int = 0, *, receipt_ms: int = NOON_MS, **fields: Any) -> Edge:
    """A raise of `unknown.code` by EMU `e1` of site `s1`."""
    known: dict[str, Any] = {
        "source": Source(1, "emu.alarms", 0, offset, 0),
        "emu_id": "e1",
        "site_id": "s1",
        "component": "bms/rack-1",
        "code": "unknown.code",
        "raised": True,
        "at_ms": receipt_ms,
        "receipt_ms": receipt_ms,
    }
    return Edge(**(known | fields))


def ruling(*, receipt_ms: int = NOON_MS, **fields: Any) -> Ruling:
    """Ada's clear of what `edge` raises."""
    known: dict[str, Any] = {
        "source": Source(0, "dispatch", 0, 1, 0),
        "emu_id": "e1",
        "site_id": "s1",
        "component": "bms/rack-1",
        "code": "unknown.code",
        "action": "clear",
        "by": "Ada",
        "reason": "sensor exchanged",
        "receipt_ms": receipt_ms,
    }
    return Ruling(**(known | fields))


def fact(revision: int = 1, *, receipt_ms: int = NOON_MS, **fields: Any) -> Fact:
    """EMU `e1` of site `s1` as dispatch has it, in service at desk `north`; `fields` are the record's."""
    known: dict[str, Any] = {
        "emu_id": "e1",
        "revision": revision,
        "site_id": "s1",
        "customer_id": "acme",
        "desk": "north",
        "policy": "gold",
        "model": "mark-2",
        "firmware": "7",
    }
    record = EmuRecord(**(known | fields))
    return Fact(Source(0, "dispatch", 0, revision, 0), record.site_id, receipt_ms, record)


def snapshot(offset: int, *parts: Part, receipt_ms: int = NOON_MS, **fields: Any) -> Snapshot:
    """A snapshot of EMU `e1` of site `s1`."""
    known: dict[str, Any] = {
        "source": Source(1, "emu.alarms", 0, offset, 0),
        "emu_id": "e1",
        "site_id": "s1",
        "at_ms": receipt_ms,
        "receipt_ms": receipt_ms,
        "trusted": True,
        "parts": parts,
    }
    return Snapshot(**(known | fields))


def part(
    scope: tuple[str, ...] | str | None, *active: str | Active, component: str = "bms/rack-1"
) -> Part:
    """What a snapshot says of `scope`: these codes stand, and nothing else."""
    return Part(
        component,
        (scope,) if isinstance(scope, str) else scope,
        tuple(Active(code) if isinstance(code, str) else code for code in active),
    )


def condition_of(first: Edge) -> Condition:
    """The condition that `first` opens."""
    outcome = judge_edge(Emu(), None, first, first.receipt_ms, AtOnce(CATALOGUE, {}, HEARTBEAT))
    (condition,) = outcome.conditions
    return condition


def presence(
    offset: int, state: Any = "heartbeat", *, receipt_ms: int = NOON_MS, **fields: Any
) -> Presence:
    """EMU `e1` of site `s1` is there, and says so every 30 s; or it is `offline`, or `online`."""
    known: dict[str, Any] = {
        "source": Source(1, "emu.alarms", 0, offset, 0),
        "emu_id": "e1",
        "site_id": "s1",
        "state": state,
        "at_ms": receipt_ms,
        "receipt_ms": receipt_ms,
        "trusted": True,
        "interval_s": 30.0 if state == "heartbeat" else None,
    }
    return Presence(**(known | fields))


def tick(read_to_ms: int, partition: int = 0, **fields: Any) -> Tick:
    """All of the partition up to there is read; the input has one partition."""
    known: dict[str, Any] = {
        "generation": 1,
        "topic": "emu.alarms",
        "partition": partition,
        "inputs": (("emu.alarms", 1),),
        "read_to_ms": read_to_ms,
        "receipt_ms": read_to_ms,
    }
    return Tick(**(known | fields))


class Desk:
    """A partition, everything that it has published, and its changelog, as Kafka would keep them."""

    def __init__(
        self, catalogue: Catalogue = CATALOGUE, *, hold_ms: Mapping[Grade, int] | None = None
    ) -> None:
        """Without `hold_ms` nothing waits, no delay and no chatter either."""
        self._rules = (
            AtOnce(catalogue, {}, HEARTBEAT)
            if hold_ms is None
            else Rules(catalogue, hold_ms, HEARTBEAT)
        )
        self.partition = Partition(self._rules)
        self.published: list[Fault] = []
        self.buried: list[str] = []
        """Ids of faults whose documents were taken away."""
        self.changelog: dict[bytes, bytes | None] = {}

    def hear(self, *records: InternalRecord | Tick, until_ms: int | None = None) -> list[Fault]:
        """One batch, committed, or as many as it takes; returns what was published."""
        before = len(self.published)
        batch = self.partition.stage()
        for record in records:
            if isinstance(record, Tick):
                batch = self._follow_clock(batch, 0)
                batch.listen(record)
                batch = self._follow_clock(batch, 0)
                continue
            batch = self._follow_clock(batch, record.receipt_ms)
            batch.judge(record)
        if until_ms is not None:
            batch = self._follow_clock(batch, until_ms)
        self.commit(batch)
        return self.published[before:]

    def lose_input(self) -> list[Fault]:
        """Records are gone that were not read; in as many batches as it takes."""
        before = len(self.published)
        batch = self.partition.stage()
        batch.lose_input()
        self.commit(self._follow_clock(batch, 0))
        return self.published[before:]

    def hear_in_vain(self, *records: InternalRecord | Tick) -> None:
        """One batch whose transaction is aborted."""
        batch = self.partition.stage()
        for record in records:
            if isinstance(record, Tick):
                batch.listen(record)
                continue
            batch.follow_clock(record.receipt_ms)
            batch.judge(record)

    def restart(self, catalogue: Catalogue | None = None) -> None:
        """A new owner with nothing but the changelog, and perhaps another catalogue."""
        self._rules = self._rules._replace(catalogue=catalogue or self._rules.catalogue)
        self.partition = Partition(self._rules)
        for key, value in self.changelog.items():
            self.partition.restore(key, value)
        self.partition.restored()

    def begin(self, *records: EmuRecord) -> None:
        """A first owner, with no changelog: these are in the fleet."""
        for record in records:
            self.partition.seed(record.emu_id, record)
        self.partition.restored()

    def standing(self) -> set[tuple[str, str]]:
        """(component, code) of all that stands by the newest word, told or not, whatever its EMU."""
        return {condition.name for condition in self.partition.conditions if condition.is_raised}

    def _follow_clock(self, batch: Batch, now_ms: int) -> Batch:
        while not batch.follow_clock(now_ms):
            self.commit(batch)
            batch = self.partition.stage()
        return batch

    def commit(self, batch: Batch) -> None:
        """As Kafka's yes would."""
        batch.end(batch.meta.offset)
        self.changelog.update(batch.changelog())
        self.partition.apply(batch)
        self.published += batch.faults
        self.buried += batch.buried


def changes(faults: Iterable[Fault]) -> list[str]:
    """What each revision tells."""
    return [fault.change for fault in faults]

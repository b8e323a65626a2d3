"""Several partitions with their logs, between which EMUs move: what one writes to another's is read there."""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from services.classifier.batch import Batch
from services.classifier.partition import Partition
from services.classifier.rules import Rules
from services.classifier.whereabouts import Here
from shared.documents.fault import Fault
from shared.documents.internal import (
    Fact,
    InternalRecord,
    Tick,
    decode_internal,
    encode_internal,
)
from shared.kafka.partition import partition_of
from tests.unit.alarms import CATALOGUE, HEARTBEAT, NOON_MS, AtOnce, fact

PARTITIONS = 3


def _site_of(partition: int) -> str:
    return next(
        site for n in range(100) if partition_of(site := f"site-{n}", PARTITIONS) == partition
    )


X, Y, Z = (_site_of(number) for number in range(PARTITIONS))


def _partition_of(site_id: str) -> int:
    return partition_of(site_id, PARTITIONS)


def moved(
    revision: int, to: str, *came_from: str, receipt_ms: int = NOON_MS, **fields: Any
) -> list[Fact]:
    """The copies of the fact by which `e1` comes to `to`: the new side's, then those of the old ones."""
    own = fact(revision, site_id=to, receipt_ms=receipt_ms, **fields)
    own = replace(own, from_sites=came_from)
    return [own, *(replace(own, site_id=site) for site in came_from)]


class Partitions:
    """Their logs, states and changelogs, and what they have published."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules or AtOnce(CATALOGUE, {}, HEARTBEAT)
        self.logs: list[list[bytes]] = [[] for _ in range(PARTITIONS)]
        self._changelogs: list[dict[bytes, bytes | None]] = [{} for _ in range(PARTITIONS)]
        self.offsets = [0] * PARTITIONS
        self.states = [self._new(number) for number in range(PARTITIONS)]
        self.published: list[Fault] = []
        self.verdicts: list[str] = []

    def write(self, *records: InternalRecord) -> None:
        """To the partition of the site that each names."""
        for record in records:
            self.logs[partition_of(record.site_id, PARTITIONS)].append(encode_internal(record))

    def step(self, number: int, most: int = 1_000, *, aborted: bool = False) -> bool:
        """One batch of so many records; False: there was none."""
        records = self.logs[number][self.offsets[number] :][:most]
        batch = self.states[number].stage()
        for raw in records:
            record = decode_internal(raw)
            if isinstance(record, Tick):
                assert batch.follow_clock(0)
                batch.listen(record)
                assert batch.follow_clock(0)
                continue
            assert partition_of(record.site_id, PARTITIONS) == number
            assert batch.follow_clock(record.receipt_ms)
            batch.judge(record)
            judge_released(batch)
        if aborted:
            self.restart(number)
        elif records:
            self._commit(number, batch, len(records))
        return bool(records)

    def tick(self, number: int, tick: Tick) -> None:
        """Ingest's word to one partition, which has read all before it."""
        batch = self.states[number].stage()
        assert batch.follow_clock(0)
        batch.listen(tick)
        assert batch.follow_clock(0)
        self._commit(number, batch, 0)

    def wait(self, number: int, until_ms: int) -> None:
        """All is read, and the host's clock says this."""
        batch = self.states[number].stage()
        assert batch.follow_clock(until_ms)
        batch.stop_waiting(until_ms)
        judge_released(batch)
        self._commit(number, batch, 0)

    def lose_input(self, number: int) -> None:
        """Records of that partition are gone that were not read."""
        batch = self.states[number].stage()
        batch.lose_input()
        assert batch.follow_clock(0)
        self._commit(number, batch, 0)

    def settle(self) -> None:
        """Until nothing is left to read."""
        while any([self.step(number) for number in range(PARTITIONS)]):
            pass

    def hear(self, *records: InternalRecord) -> list[Fault]:
        """Written and read; returns what was published."""
        before = len(self.published)
        self.write(*records)
        self.settle()
        return self.published[before:]

    def restart(self, number: int) -> None:
        """A new owner with nothing but the changelog."""
        state = self.states[number] = self._new(number)
        for key, value in self._changelogs[number].items():
            state.restore(key, value)
        state.restored()

    def last(self) -> dict[str, Fault]:
        """The newest revision of each fault; fails where one is missing, or there twice."""
        last: dict[str, Fault] = {}
        for fault in self.published:
            before = last.get(fault.fault_id)
            assert fault.revision == (before.revision if before else 0) + 1
            assert before is None or before.state != "closed"
            last[fault.fault_id] = fault
        return last

    def counts(self) -> dict[str, int]:
        """Of each code that is remembered anywhere, as each is at one place only."""
        return {one.code: one.count for state in self.states for one in state.conditions}

    def _new(self, number: int) -> Partition:
        return Partition(self._rules, Here(number, _partition_of))

    def _commit(self, number: int, batch: Batch, records: int) -> None:
        self.offsets[number] += records
        batch.end(self.offsets[number])
        self._changelogs[number].update(batch.changelog())
        self.write(*batch.sent)
        self.states[number].apply(batch)
        self.published += batch.faults
        self.verdicts += batch.verdicts


def judge_released(batch: Batch) -> None:
    """As the task does."""
    for word in batch.take_released():
        batch.judge(word)


def standing(faults: Iterable[Fault]) -> set[tuple[str, str]]:
    """(site, code) of those that are open."""
    return {(fault.site_id, fault.code) for fault in faults if fault.state == "open"}

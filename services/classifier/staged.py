"""What some records change of a partition, as it stands beside its state until it is committed. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from services.classifier.fault import make_fault
from services.classifier.judge import Outcome
from services.classifier.known import Known, Touched, touch
from services.classifier.lifetime import MAX_FORGOTTEN, forget_at_hour, silent_emus
from services.classifier.listening import Listening
from services.classifier.moves import settle
from services.classifier.presence import silent_at_ms
from services.classifier.raises import ChangedRaises
from services.classifier.state import (
    META_KEY,
    Condition,
    ConditionName,
    Emu,
    Facts,
    Meta,
    closed_key,
    condition_key,
    emu_key,
    encode,
    facts_key,
)
from services.classifier.whereabouts import move_key
from shared.documents.fault import Fault, FaultChange
from shared.documents.internal import Forward, Transfer, Word

if TYPE_CHECKING:
    from services.classifier.partition import Partition

URGENT_GRADES = ("A", "B")
# These are told late on purpose: nobody waits for them.
UNHURRIED = ("repeated", "stale", "closed")
# These tell a grade that nobody knew.
GRADED = ("opened", "reopened", "regraded")

ChangelogEntry = tuple[bytes, bytes | None]
"""Key and value of one record of the changelog; value None: a tombstone."""


class WakeFailure(NamedTuple):
    """A wake-up, of a condition or of an EMU, at which a rule failed."""

    key: bytes
    value: bytes
    """What the changelog has of it."""
    error: Exception
    became: str
    """What has become of it, in words."""


class Staged:
    """What a batch touches is taken from the state below, and changed here.

    Wake-ups that a batch sets are kept in the partition's heap at once: if the batch is dropped they are
    passed over, since no condition says the same.
    """

    def __init__(self, partition: "Partition", seeds: Mapping[str, Facts]) -> None:
        self._partition = partition
        self._rules = partition.rules
        self.meta: Meta = partition.meta
        self.touched: dict[str, Touched] = {}
        """EMUs by their id."""
        self.raises = ChangedRaises(partition.raises)
        self.listening: Listening = partition.listening
        self.listened = 0
        self.offline = 0
        """How many EMUs more tell of their presence, and how many more have gone."""
        self.faults: list[Fault] = []
        self.verdicts = defaultdict[str, int](int)
        self.failures: list[WakeFailure] = []
        """Wake-ups on which a rule failed."""
        self.urgent = False
        """Whether somebody may be paged for one of the faults, or need not be paged any more."""
        self.too_short = 0
        self.regraded = Counter[str]()
        """Revisions whose grade is not the catalogue's, by what gave it."""
        self.closed: list[tuple[str, int]] = []
        """Faults that are closed, and the hour in which each has had its time."""
        self.buried: Sequence[str] = ()
        """Closed faults that have had it: their documents go."""
        self.silent: Sequence[str] = ()
        """EMUs that are forgotten."""
        self.settled = 0
        """EMUs of whose moves nothing is expected any more."""
        self.sent: list[Transfer | Forward] = []
        """Records for other partitions of the input."""
        self.released: list[Word | Forward] = []
        """What was held for a transfer that has come by now."""
        self.retired: int = 0
        """Records of EMUs that are retired."""
        self._is_changed = False
        self._is_clear = False
        """Whether no input was lost, and nobody is silent, by what was heard so far."""
        for emu_id, facts in seeds.items():
            self._learn(self._touch(emu_id), facts)

    @property
    def changes_state(self) -> bool:
        """Whether anything but the offset and the time has changed that is to be written."""
        return self._is_changed or self.meta.marking != self._partition.meta.marking

    def take_released(self) -> list[Word | Forward]:
        """`released`, to be judged next, in this order."""
        released, self.released = self.released, []
        return released

    def end(self, offset: int) -> None:
        """All input before `offset` is judged, and nothing comes any more: forget what has had its time."""
        self.meta = replace(self.meta, offset=offset)
        self.buried = self._partition.closed.due(self.meta.now_ms)
        if self._partition.sweep_at_ms <= self.meta.now_ms:
            silent = silent_emus(self._partition.known.by_id, self.meta.now_ms)
            self.silent = tuple(
                islice((one for one in silent if one not in self.touched), MAX_FORGOTTEN)
            )
            over = self._partition.moves.over(self.meta.now_ms)
            for emu_id in islice((one for one in over if one not in self.touched), MAX_FORGOTTEN):
                self._settle(self._touch(emu_id))
                self.settled += 1

    def changelog(self) -> Iterator[ChangelogEntry]:
        """What has to be written for this batch to be remembered."""
        self.raises.forget(self.meta.now_ms, self._rules)
        for emu_id, known in self.touched.items():
            for name, condition in known.changed.items():
                yield condition_key((emu_id, *name)), condition and encode(condition)
            if known.is_heard:
                yield emu_key(emu_id), encode(known.emu)
            if known.is_learned:
                yield facts_key(emu_id), encode(known.facts) if known.facts.revision else None
            if known.is_moved:
                yield move_key(emu_id), known.move and encode(known.move)
        for name, raises in self.raises.changes.items():
            yield name, None if raises is None else encode(raises)
        for fault_id, hour in self.closed:
            yield closed_key(fault_id), encode(hour)
        for fault_id in self.buried:
            yield closed_key(fault_id), None
        for emu_id in self.silent:
            yield emu_key(emu_id), None
        yield META_KEY, encode(self.meta)

    def _look(self, emu_id: str) -> Known | Touched:
        """What is known of it by now, not to be changed."""
        return self.touched.get(emu_id) or self._partition.known.of(emu_id)

    def _touch(self, emu_id: str) -> Touched:
        known = self.touched.get(emu_id)
        if known is None:
            known = self.touched[emu_id] = touch(self._partition.known.of(emu_id))
        return known

    def _take(self, emu_id: str, known: Touched, outcome: Outcome) -> None:
        """What came of a record of the EMU, or of a wake-up."""
        if outcome.told or outcome.left:  # first: where this raises, nothing is staged
            self._tell(known.facts, outcome)
        if outcome.move is not None:
            self._take_move(emu_id, known, outcome)
        if outcome.facts is not None:
            self._learn(known, outcome.facts)
        if outcome.emu is not None:
            self._keep(emu_id, known, outcome.emu, quiet=outcome.quiet)
        self.verdicts[outcome.verdict] += 1
        self.too_short += outcome.too_short
        for condition in outcome.conditions:
            self._is_changed = True
            before, at_ms = known.put(condition), condition.wake_at_ms
            if at_ms is not None and (before is None or before.wake_at_ms != at_ms):
                self._partition.wake_at(at_ms, condition)

    def _remove(self, known: Touched, name: ConditionName) -> None:
        self._is_changed = True
        known.remove(name)

    def _learn(self, known: Touched, facts: Facts) -> None:
        known.facts = facts
        known.is_learned = self._is_changed = True

    def _keep(self, emu_id: str, known: Touched, emu: Emu, *, quiet: bool) -> None:
        """What is known of the EMU now, and when it is to be looked at if it says no more."""
        link, known.emu = known.emu.link, emu
        if emu.link is not link:
            was_gone, is_gone = (one is not None and one.gone for one in (link, emu.link))
            self.listened += (emu.link is not None) - (link is not None)
            self.offline += is_gone - was_gone
            self._expect_silence(emu_id, emu)
        if emu.backlog is not None:
            self._partition.wake_emu_at(emu_id, emu.backlog.ends_at_ms)
        if not quiet:
            known.is_heard = self._is_changed = True

    def _expect_silence(self, emu_id: str, emu: Emu) -> None:
        if (at_ms := silent_at_ms(emu, 0, self._rules)) is not None:
            self._partition.silences.put(emu_id, at_ms)
            self._is_clear = False

    def _take_move(self, emu_id: str, known: Touched, outcome: Outcome) -> None:
        was_held = known.move is not None and known.move.holds
        known.move = outcome.move
        if was_held and known.move is not None and not known.move.holds:
            self._expect_silence(emu_id, known.emu)  # which was not judged while its words waited
        known.is_moved = self._is_changed = True
        for name in outcome.gone:
            known.remove(name)
        self.sent += outcome.sent
        self.released += outcome.released
        self.urgent = self.urgent or bool(outcome.sent)

    def _tell(self, before: Facts, outcome: Outcome) -> None:
        catalogue = self._rules.catalogue
        facts = outcome.facts or before
        faults = [make_fault(*told, facts, catalogue) for told in outcome.told]
        if outcome.left:
            faults = [make_fault(*left, before, catalogue) for left in outcome.left] + faults
        self.faults += faults
        for fault in faults:
            if fault.grade in URGENT_GRADES and fault.change not in UNHURRIED:
                self.urgent = True
            if fault.state == "closed":
                self.closed.append((fault.fault_id, forget_at_hour(self.meta.now_ms)))
        for change, condition in (*outcome.left, *outcome.told):
            if change == "closed" or condition.marks is not None:
                self._note(change, condition)

    def _note(self, change: FaultChange, condition: Condition) -> None:
        """What is remembered, and counted, of a revision beside its condition."""
        if change == "closed":
            self.raises.keep(condition, self.meta.now_ms, self._rules)
        elif change in GRADED and condition.marks is not None and condition.marks.regrade:
            self.regraded[condition.marks.regrade.by] += 1

    def _move_time(self, now_ms: int) -> None:
        if now_ms > self.meta.now_ms:
            self.meta = replace(self.meta, now_ms=now_ms)

    def _settle(self, known: Touched) -> None:
        """It is remembered as one that has never moved."""
        emu = settle(known.known)
        known.is_heard, known.is_moved = emu is not known.emu, True
        known.emu, known.move = emu, None

"""What some records change of a partition: staged beside its state. No I/O."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from services.classifier.facts import judge_fact
from services.classifier.fault import make_fault
from services.classifier.judge import (
    Outcome,
    end_of_backlog,
    ends_backlog,
    judge_edge,
    judge_ruling,
    judge_snapshot,
    wake,
)
from services.classifier.known import Known, Touched, touch
from services.classifier.lifetime import MAX_FORGOTTEN, forget_at_hour, silent_emus
from services.classifier.listening import Listening, listen
from services.classifier.moves import At, judge_moving, settle, stop_waiting
from services.classifier.plain import judge_plainly, wake_plainly
from services.classifier.presence import (
    OFFLINE,
    judge_presence,
    judge_silence,
    mark_stale,
    note_life,
    silent_at_ms,
)
from services.classifier.raises import ChangedRaises
from services.classifier.repeats import judge_repeat
from services.classifier.state import (
    META_KEY,
    Condition,
    ConditionKey,
    ConditionName,
    Emu,
    Facts,
    closed_key,
    condition_key,
    emu_key,
    encode,
    facts_key,
)
from services.classifier.whereabouts import move_key
from shared.documents.fault import Fault, FaultChange
from shared.documents.internal import (
    Edge,
    Fact,
    Forward,
    InternalRecord,
    Presence,
    Ruling,
    Snapshot,
    Tick,
    Transfer,
    Word,
)

if TYPE_CHECKING:
    from services.classifier.partition import Partition

# Many reopen windows may end together, such as those of a site that came back, and a snapshot may open many
# faults: 5,000 of them are some 0.1 s of the event loop and a transaction of ordinary size.
MAX_FAULTS = 5_000
URGENT_GRADES = ("A", "B")
# These are told late on purpose: nobody waits for them.
UNHURRIED = ("repeated", "stale", "closed")
# In place of a condition's name: a wake-up of its EMU. No identifier is empty.
EMU_WAKE_UP: ConditionName = ("", "")
# These tell a grade that nobody knew.
GRADED = ("opened", "reopened", "regraded")
# Some 20 ms: others of the event loop have their turn.
MAX_LOOKS = 5_000


WakeUp = tuple[int, str, str, str]
"""When, and the key of whom: flat, as there may be one for each condition."""
ChangelogEntry = tuple[bytes, bytes | None]
"""Key and value of one record of the changelog; value None: a tombstone."""


class WakeFailure(NamedTuple):
    """A condition on whose wake-up a rule failed."""

    condition: Condition
    error: Exception
    became: str
    """What has become of it, in words."""


class Batch:
    """What some records change: what it touches is taken from the state below, and changed here.

    Wake-ups that a batch sets are kept in the partition's heap at once: if the batch is dropped they are
    passed over, since no condition says the same.
    """

    def __init__(self, partition: "Partition", seeds: Mapping[str, Facts]) -> None:
        self._partition = partition
        self._rules = partition.rules
        self.meta = partition.meta
        self.touched: dict[str, Touched] = {}
        """EMUs by their id."""
        self.raises = ChangedRaises(partition.raises)
        self.listening = partition.listening
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
        self.retired = 0
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

    def judge(self, record: InternalRecord) -> None:
        """One record; `follow_clock` to its receipt must have gone before.

        All or nothing: where a rule raises, no part of the record's outcome is staged.
        """
        known = self.touched.get(record.emu_id) or self._touch(record.emu_id)
        if known.facts.state == "retired" and type(record) is not Fact:
            self.retired += 1
        if type(record) is not Edge or known.move is not None or known.emu.backlog is not None:
            outcome = judge_moving(record, known, self._at, self._judge)
        elif self._is_repeat(known, record):
            return  # nearly all
        else:
            outcome = self._judge_edge(known.emu, known, record)
        self._take(record.emu_id, known, outcome)

    def listen(self, tick: Tick) -> None:
        """Ingest's word on one of its inputs; what is silent by it is judged when the clock is followed."""
        self.listening = listen(self.listening, tick, self.meta.now_ms)
        self._is_clear = False

    def lose_input(self) -> None:
        """Records are gone that were not read: nobody knows what of all that stood still does.

        What EMUs said in them of their presence is unknown as well. The marks are made when the clock is
        followed, batch by batch.
        """
        self.listening = Listening()
        self.meta = replace(self.meta, marking=True)
        self._is_clear = False
        self._partition.list_to_mark()

    def judge_plainly(self, record: InternalRecord) -> None:
        """As `judge`, where a rule of it raises: by the catalogue's grade, without rules."""
        known = self._touch(record.emu_id)
        self._take(record.emu_id, known, judge_moving(record, known, self._at, self._judge_plainly))

    def take_released(self) -> list[Word | Forward]:
        """`released`, to be judged next, in this order."""
        released, self.released = self.released, []
        return released

    def stop_waiting(self, at_ms: int) -> None:
        """All input up to this moment is taken: who has waited too long for a transfer waits no longer."""
        for emu_id in self._partition.moves.waiting_too_long(at_ms):
            known = self._touch(emu_id)
            if known.move is not None and known.move.holds:
                self._take(emu_id, known, stop_waiting(known, self._at))

    def follow_clock(self, now_ms: int) -> bool:
        """Move the task's time to `now_ms`, never back, and wake what is due on the way, in order.

        False: the batch is full, and time may stand at a wake-up. Nothing may be judged then before a new
        batch has followed the clock to its end. What was lost and what is silent come first.
        """
        if not self._is_clear:
            if (self.meta.marking and not self._mark()) or not self._judge_silences():
                return False
            self._is_clear = True
        return self._wake_until(now_ms)

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
            for name in known.changed:
                condition = known.conditions.get(name)
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

    def _settle(self, known: Touched) -> None:
        """It is remembered as one that has never moved."""
        emu = settle(known)
        known.is_heard, known.is_moved = emu is not known.emu, True
        known.emu, known.move = emu, None

    def _is_repeat(self, known: Touched, edge: Edge) -> bool:
        """Whether it was one, and the short way did for it."""
        name = (edge.component, edge.code)
        condition = known.conditions.get(name)
        if condition is None or not edge.raised:
            return False
        judged = judge_repeat(known.emu, condition, edge, self._rules.catalogue)
        if judged is None:
            return False
        known.emu, again = judged
        known.is_heard = self._is_changed = True
        known.count(name, condition, again)
        if condition.publish_at_ms is None and (at_ms := again.wake_at_ms) is not None:
            self._partition.wake_at(at_ms, again)
        self.verdicts["repeat"] += 1
        return True

    def _wake_until(self, now_ms: int) -> bool:
        """What is due by then, in order; False: the batch is full."""
        # A record from an input that lags behind comes after all that is due by now.
        now_ms = max(now_ms, self.meta.now_ms)
        while len(self.faults) < MAX_FAULTS:
            if not self._partition.is_wake_up_due(now_ms):
                if now_ms != self.meta.now_ms:
                    self._move_time(now_ms)
                return True
            self._wake(*self._partition.next_wake_up())
        return False

    def _wake(self, due_ms: int, *key: *ConditionKey) -> None:
        if key[1:] == EMU_WAKE_UP:
            self._wake_emu(due_ms, key[0])
            return
        condition = self._look(key[0]).conditions.get(key[1:])
        if condition is None or condition.wake_at_ms != due_ms:
            return  # it was cleared, woken or told meanwhile; its new wake-up is listed itself
        self._move_time(due_ms)
        try:
            self._take_awake(condition, wake(condition, self.meta.now_ms, self._rules))
        except Exception as error:  # noqa: BLE001 - told by the task, as those of records are
            self.failures.append(WakeFailure(condition, error, self._wake_plainly(condition)))

    def _wake_plainly(self, condition: Condition) -> str:
        """What has become of it, in words. What cannot be woken so waits for its next word."""
        try:
            catalogue = self._rules.catalogue
            self._take_awake(condition, wake_plainly(condition, self.meta.now_ms, catalogue))
        except Exception as error:  # noqa: BLE001 - told beside the first one
            return f"it could not be judged by the catalogue alone either: {error!r}"
        return "it was judged by the catalogue alone"

    def _take_awake(self, condition: Condition, outcome: Outcome) -> None:
        known = self._touch(condition.emu_id)
        self._take(condition.emu_id, known, outcome)
        if outcome.forget:
            self._remove(known, condition.name)

    def _wake_emu(self, due_ms: int, emu_id: str) -> None:
        backlog = self._look(emu_id).emu.backlog
        if backlog is None:
            return
        if backlog.ends_at_ms > due_ms:
            self._partition.wake_emu_at(emu_id, backlog.ends_at_ms)
            return
        self._move_time(due_ms)
        self._end_backlog(emu_id, self._touch(emu_id))

    def _end_backlog(self, emu_id: str, known: Touched) -> None:
        outcome = end_of_backlog(known.emu, known.conditions, self.meta.now_ms, self._rules)
        self._take(emu_id, known, outcome)

    def _judge(self, emu: Emu, record: Word | Fact) -> Outcome:
        """A record that is to be judged here and now. If it ends a backlog, that is staged before it."""
        now_ms, rules = self.meta.now_ms, self._rules
        known = self._look(record.emu_id)
        if emu.backlog is not None and ends_backlog(emu, record):
            self._end_backlog(record.emu_id, self._touch(record.emu_id))
            emu = replace(emu, backlog=None)
        conditions, earlier = known.conditions, self.raises.of
        match record:
            case Edge():
                return self._judge_edge(emu, known, record)
            case Snapshot():
                outcome = judge_snapshot(emu, conditions, record, now_ms, rules, earlier=earlier)
                return self._note_life(emu, known, record, outcome)
            case Presence():
                return judge_presence(emu, conditions, record, now_ms, rules, earlier=earlier)
            case Ruling():
                condition = conditions.get((record.component, record.code))
                return judge_ruling(emu, condition, record, now_ms, rules)
            case Fact():
                return judge_fact(known.facts, conditions.values(), record, now_ms, rules)

    def _judge_edge(self, emu: Emu, known: Known, edge: Edge) -> Outcome:
        condition = known.conditions.get((edge.component, edge.code))
        outcome = judge_edge(
            emu, condition, edge, self.meta.now_ms, self._rules, earlier=self.raises.of
        )
        return outcome if emu.link is None else self._note_life(emu, known, edge, outcome)

    def _note_life(
        self, emu: Emu, known: Known, record: Edge | Snapshot, outcome: Outcome
    ) -> Outcome:
        if emu.link is None:
            return outcome
        offline = known.conditions.get(OFFLINE) if emu.link.gone else None
        return note_life(emu, offline, record, outcome, now_ms=self.meta.now_ms, rules=self._rules)

    def _judge_plainly(self, emu: Emu, record: Word | Fact) -> Outcome:
        conditions = self._look(record.emu_id).conditions
        return judge_plainly(emu, conditions, record, self.meta.now_ms, self._rules.catalogue)

    def _mark(self) -> bool:
        """What stood when input was lost is stale. False: the batch is full."""
        to_mark, looks = self._partition.to_mark, 0
        while to_mark:
            if len(self.faults) >= MAX_FAULTS or looks >= MAX_LOOKS:
                return False
            looks += 1
            emu_id, *name = to_mark.pop()
            condition = self._look(emu_id).conditions.get((name[0], name[1]))
            if condition is not None and condition.name != OFFLINE:
                turn = mark_stale(condition, self.meta.now_ms, self._rules)
                conditions = () if turn.condition is None else (turn.condition,)
                outcome = Outcome("input_lost", conditions=conditions, told=turn.told)
                self._take(emu_id, self._touch(emu_id), outcome)
        self.meta = replace(self.meta, marking=False)
        return True

    def _judge_silences(self) -> bool:
        """EMUs that were silent for too long by what is heard, in order. False: the batch is full."""
        heard_to_ms, since_ms = self.listening.heard_to_ms, self.listening.since_ms
        silences, looks = self._partition.silences, 0
        while len(self.faults) < MAX_FAULTS and looks < MAX_LOOKS:
            listed = silences.take(heard_to_ms)
            if listed is None:
                return True
            looks += 1
            listed_ms, emu_id = listed
            known = self._look(emu_id)
            if known.move is not None and known.move.holds:  # what it has said since waits as well
                at_ms = silent_at_ms(known.emu, heard_to_ms, self._rules)
            else:
                at_ms = silent_at_ms(known.emu, since_ms, self._rules)
            if at_ms is None:
                continue
            if at_ms > listed_ms or not self._wake_until(at_ms):
                silences.put(emu_id, at_ms)
                continue
            known = self._touch(emu_id)
            outcome = judge_silence(
                emu_id,
                known.emu,
                known.conditions,
                at_ms,
                now_ms=self.meta.now_ms,
                rules=self._rules,
                earlier=self.raises.of,
            )
            self._take(emu_id, known, outcome)
        return False

    @property
    def _at(self) -> At:
        return At(self._partition.here, self.meta.now_ms, self._rules)

    def _look(self, emu_id: str) -> Known:
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
            self._take_move(known, outcome)
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
            if (at_ms := silent_at_ms(emu, 0, self._rules)) is not None:
                self._partition.silences.put(emu_id, at_ms)
                self._is_clear = False
        if emu.backlog is not None:
            self._partition.wake_emu_at(emu_id, emu.backlog.ends_at_ms)
        if not quiet:
            known.is_heard = self._is_changed = True

    def _take_move(self, known: Touched, outcome: Outcome) -> None:
        known.move = outcome.move
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

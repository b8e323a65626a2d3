"""The state of one partition, and what a batch of records does to it. No I/O.

A batch is staged beside the state and becomes part of it only after its transaction is committed: an
aborted batch leaves nothing behind.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from services.classifier.conditions import ChangedConditions, Conditions
from services.classifier.facts import judge_fact
from services.classifier.fault import make_fault
from services.classifier.grading import ages_at
from services.classifier.journeys import ChangedMoves, Moves
from services.classifier.judge import (
    Outcome,
    end_of_backlog,
    ends_backlog,
    judge_edge,
    judge_ruling,
    judge_snapshot,
    wake,
)
from services.classifier.lifetime import (
    MAX_FORGOTTEN,
    SWEEP_MS,
    ClosedFaults,
    forget_at_hour,
    silent_emus,
)
from services.classifier.listening import Listening, listen
from services.classifier.moves import At, Known, judge_moving, stop_waiting
from services.classifier.plain import judge_plainly, wake_plainly
from services.classifier.presence import (
    OFFLINE,
    judge_presence,
    judge_silence,
    mark_stale,
    note_life,
    silent_at_ms,
)
from services.classifier.raises import ChangedRaises, Raises
from services.classifier.rules import Rules
from services.classifier.silence import SilenceList
from services.classifier.state import (
    META_KEY,
    NO_FACTS,
    Condition,
    ConditionKey,
    ConditionName,
    Emu,
    Facts,
    Meta,
    closed_key,
    condition_key,
    decode_condition,
    decode_emu,
    decode_facts,
    decode_hour,
    decode_meta,
    decode_raises,
    emu_key,
    encode,
    facts_key,
    facts_of,
    parse_condition_key,
    parse_emu_key,
    share,
)
from services.classifier.whereabouts import ALONE, Here, Move, decode_move, move_key
from shared.documents.emu import EMU_STATES, EmuRecord
from shared.documents.fault import GRADES, Fault, FaultChange
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

_NEW_EMU = Emu()
# Many reopen windows may end together, such as those of a site that came back, and a snapshot may open many
# faults: 5,000 of them are some 0.1 s of the event loop and a transaction of ordinary size.
MAX_FAULTS = 5_000
URGENT_GRADES = ("A", "B")
# Wake-ups that hold no longer are thrown out where they are more than those that hold, and than this.
MAX_STALE_WAKE_UPS = 10_000
# These are told late on purpose: nobody waits for them.
UNHURRIED = ("repeated", "stale", "closed")
# In place of a condition's name: a wake-up of its EMU. No identifier is empty.
_EMU: ConditionName = ("", "")
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


class Partition:
    """Conditions and EMUs of one partition, and the input offset that they are valid for."""

    def __init__(self, rules: Rules, here: Here = ALONE) -> None:
        self.rules = rules
        self.here = here
        self.moves = Moves()
        self.meta = Meta(offset=0, now_ms=0)
        self.conditions = Conditions()
        self.raises = Raises()
        self.emus: dict[str, Emu] = {}
        self.facts: dict[str, Facts] = {}
        self._seeds: dict[str, Facts] = {}
        self.emus_by_state = Counter[str]({state: 0 for state in EMU_STATES})
        self.open_by_grade: dict[str, int] = dict.fromkeys(GRADES, 0)
        self.closed = ClosedFaults()
        self._restored_closed: dict[str, int] = {}
        self._flapping: dict[ConditionKey, int] = {}
        """When those that chatter have changed last."""
        self.sweep_at_ms = 0
        """When EMUs that say nothing more are looked for."""
        self.stale = 0
        """Faults that stand, and nobody knows whether they still do."""
        self.listened = 0
        """EMUs that tell of their presence."""
        self.offline = 0
        """Those of them that have gone."""
        self.listening = Listening()
        self.silences = SilenceList()
        self.to_mark: list[ConditionKey] = []
        """What may have to be marked as stale, since input was lost."""
        self._wake_ups: list[WakeUp] = []
        self._backlogs: set[str] = set()
        """EMUs that are among the wake-ups."""

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record in; call `restored` after the last."""
        if key == META_KEY:
            if value is not None:
                self.meta = decode_meta(value)
        elif key.startswith(b"e"):
            self._restore_emu(parse_emu_key(key), value)
        elif key.startswith(b"f"):
            self._restore_facts(parse_emu_key(key), value)
        elif key.startswith(b"m"):
            if value is not None:
                self.moves.put(parse_emu_key(key), decode_move(value))
        elif key.startswith(b"r"):
            self._restore_raises(key, value)
        elif key.startswith(b"x"):
            self._restore_closed(parse_emu_key(key), value)
        elif value is None:
            self.conditions.remove(parse_condition_key(key))
        else:
            self.conditions.put(share(decode_condition(value)))

    def seed(self, emu_id: str, record: EmuRecord | None) -> None:
        """Take in what is known of an EMU where nothing was restored; None: it is not here any more."""
        if record is None:
            self._seeds.pop(emu_id, None)
        elif record.revision > self._seeds.get(emu_id, NO_FACTS).revision:
            self._seeds[emu_id] = facts_of(record)

    def restored(self) -> None:
        """Rebuild what is derived."""
        self.emus_by_state.update(facts.state for facts in self.facts.values())
        for condition in self.conditions:
            self.open_by_grade[condition.grade] += condition.is_open
            self.stale += condition.is_open and condition.is_stale
            if condition.grade == "D" and condition.ages_at_ms is None:
                # It may be remembered from before this was kept.
                self.conditions.put(replace(condition, ages_at_ms=ages_at(condition, self.rules)))
        self._list_wake_ups()
        self.closed, self._restored_closed = ClosedFaults(self._restored_closed), {}
        for emu_id, emu in self.emus.items():
            if not emu.heard_ms:
                self.emus[emu_id] = replace(emu, heard_ms=self.meta.now_ms)
        self._list_silences()
        if self.meta.marking:
            self.list_to_mark()

    def _restore_emu(self, emu_id: str, value: bytes | None) -> None:
        if value is None:
            self.emus.pop(emu_id, None)
        else:
            self.emus[emu_id] = decode_emu(value)

    def _restore_facts(self, emu_id: str, value: bytes | None) -> None:
        if value is None:
            self.facts.pop(emu_id, None)
        else:
            self.facts[emu_id] = decode_facts(value)

    def _restore_raises(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.raises.remove(key)
        else:
            self.raises.put(key, decode_raises(value))

    def _restore_closed(self, fault_id: str, value: bytes | None) -> None:
        if value is None:
            self._restored_closed.pop(fault_id, None)
        else:
            self._restored_closed[fault_id] = decode_hour(value)

    def stage(self) -> "Batch":
        """A new batch on top of this state; drop it or `apply` it. The first one has the seeds."""
        return Batch(self, self._seeds)

    def apply(self, batch: "Batch") -> None:
        """The batch's transaction is committed: make it part of the state."""
        for emu_id, changed in batch.conditions.changes.items():
            known = self.conditions.of(emu_id)
            for name, condition in changed.items():
                before = known.get(name)
                if before is not None and before.is_open:
                    self.open_by_grade[before.grade] -= 1
                    self.stale -= before.is_stale
                if condition is not None and condition.is_open:
                    self.open_by_grade[condition.grade] += 1
                    self.stale += condition.is_stale
                if condition is not None and self.rules.chatters(condition.changes):
                    self._flapping[condition.key] = condition.changes[-1]
        batch.conditions.apply()
        batch.raises.apply()
        self.emus.update(batch.unwritten)
        self.emus.update(batch.emus)
        for emu_id, facts in batch.facts.items():
            before = self.facts.get(emu_id, NO_FACTS)
            self.emus_by_state[before.state] -= 1
            self.emus_by_state[facts.state] += 1
            self.facts[emu_id] = facts
            if not facts.revision:
                del self.facts[emu_id]
        batch.moves.apply()
        self._seeds = {}
        self.listened += batch.listened
        self.offline += batch.offline
        self.listening = batch.listening
        self.meta = batch.meta
        self._forget(batch)
        if len(self._wake_ups) > 2 * len(self.conditions) + MAX_STALE_WAKE_UPS:
            self._list_wake_ups()

    def _forget(self, batch: "Batch") -> None:
        self.closed.forget(batch.buried)
        for fault_id, hour in batch.closed:
            self.closed.add(fault_id, hour)
        for emu_id in batch.silent:
            del self.emus[emu_id]
        if self.sweep_at_ms <= self.meta.now_ms and len(batch.silent) < MAX_FORGOTTEN:
            self.sweep_at_ms = self.meta.now_ms + SWEEP_MS

    def count_flapping(self) -> int:
        """How many conditions chatter, and have not been quiet since for as long as chatter lasts."""
        quiet_ms = self.meta.now_ms - self.rules.chatter_ms
        for key in [key for key, at_ms in self._flapping.items() if at_ms <= quiet_ms]:
            del self._flapping[key]
        return len(self._flapping)

    @property
    def wake_ups(self) -> int:
        """How many are listed, those that no longer hold included."""
        return len(self._wake_ups)

    def wake_emu_at(self, emu_id: str, at_ms: int) -> None:
        """Look at its backlog then; it is listed once, and again when it is looked at too early."""
        if emu_id not in self._backlogs:
            self._backlogs.add(emu_id)
            heapq.heappush(self._wake_ups, (at_ms, emu_id, *_EMU))

    def wake_at(self, condition: Condition) -> None:
        """Remember when the condition is to be woken; an entry that no longer holds is passed over."""
        if condition.wake_at_ms is not None:
            heapq.heappush(self._wake_ups, (condition.wake_at_ms, *condition.key))

    def list_to_mark(self) -> None:
        """All that is remembered."""
        self.to_mark = [condition.key for condition in self.conditions]

    def _list_silences(self) -> None:
        """To be looked at when it is known from when on silence counts: what was heard before may be lost."""
        entries: list[tuple[int, str]] = []
        for emu_id, emu in self.emus.items():
            if emu.link is None:
                continue
            self.listened += 1
            self.offline += emu.link.gone
            if (at_ms := silent_at_ms(emu, 0, self.rules)) is not None:
                entries.append((at_ms, emu_id))
        self.silences = SilenceList(entries)

    def _list_wake_ups(self) -> None:
        """Those of all conditions, and no others."""
        self._wake_ups = [
            (condition.wake_at_ms, *condition.key)
            for condition in self.conditions
            if condition.wake_at_ms is not None
        ]
        heapq.heapify(self._wake_ups)
        self._backlogs.clear()
        for emu_id, emu in self.emus.items():
            if emu.backlog is not None:
                self.wake_emu_at(emu_id, emu.backlog.ends_at_ms)

    def is_wake_up_due(self, now_ms: int) -> bool:
        """Whether there is one by then."""
        return bool(self._wake_ups) and self._wake_ups[0][0] <= now_ms

    def next_wake_up(self) -> WakeUp:
        """The first wake-up, its time and whose; taken off the list."""
        wake_up = heapq.heappop(self._wake_ups)
        if wake_up[2:] == _EMU:
            self._backlogs.discard(wake_up[1])
        return wake_up


class Batch:
    """What some records change: read through to the state below, write here.

    Wake-ups that a batch sets are kept in the partition's heap at once: if the batch is dropped they are
    passed over, since no condition says the same.
    """

    def __init__(self, partition: Partition, facts: Mapping[str, Facts]) -> None:
        self._partition = partition
        self._rules = partition.rules
        self.meta = partition.meta
        self.conditions = ChangedConditions(partition.conditions)
        self.raises = ChangedRaises(partition.raises)
        self.emus: dict[str, Emu] = {}
        self.facts = dict(facts)
        self.unwritten: dict[str, Emu] = {}
        """What is heard and kept in memory only."""
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
        self.moves = ChangedMoves(partition.moves)
        self.sent: list[Transfer | Forward] = []
        """Records for other partitions of the input."""
        self._released: list[Word | Forward] = []
        self.retired = 0
        """Records of EMUs that are retired."""

    @property
    def changes_state(self) -> bool:
        """Whether anything but the offset and the time has changed that is to be written."""
        marking = self.meta.marking != self._partition.meta.marking
        changes = self.conditions.changes or self.emus or self.facts or self.moves.changes
        return bool(changes) or marking

    def judge(self, record: InternalRecord) -> None:
        """One record; `follow_clock` to its receipt must have gone before.

        All or nothing: where a rule raises, no part of the record's outcome is staged.
        """
        emu = self._emu(record.emu_id)
        if emu.backlog is not None and ends_backlog(emu, record):
            self._end_backlog(record.emu_id)
            emu = self._emu(record.emu_id)
        if type(record) is Edge and not self.moves:  # nearly all
            outcome = self._judge(emu, record)
        else:
            outcome = judge_moving(record, self._known(record.emu_id), self._at, self._judge)
        self._take(record.emu_id, outcome)
        if self.facts or self._partition.emus_by_state["retired"]:
            self._count_retired(record)

    def listen(self, tick: Tick) -> None:
        """Ingest's word on one of its inputs; what is silent by it is judged when the clock is followed."""
        self.listening = listen(self.listening, tick, self.meta.now_ms)

    def lose_input(self) -> None:
        """Records are gone that were not read: nobody knows what of all that stood still does.

        What EMUs said in them of their presence is unknown as well. The marks are made when the clock is
        followed, batch by batch.
        """
        self.listening = Listening()
        self.meta = replace(self.meta, marking=True)
        self._partition.list_to_mark()

    def judge_plainly(self, record: InternalRecord) -> None:
        """As `judge`, where a rule of it raises: by the catalogue's grade, without rules."""
        known = self._known(record.emu_id)
        self._take(record.emu_id, judge_moving(record, known, self._at, self._judge_plainly))

    def take_released(self) -> list[Word | Forward]:
        """What was held for a transfer that has come by now: to be judged next, in this order."""
        released, self._released = self._released, []
        return released

    def stop_waiting(self, at_ms: int) -> None:
        """All input up to this moment is taken: who has waited too long for a transfer waits no longer."""
        for emu_id in self.moves.waiting_too_long(at_ms):
            self._take(emu_id, stop_waiting(self._known(emu_id), self._at))

    def follow_clock(self, now_ms: int) -> bool:
        """Move the task's time to `now_ms`, never back, and wake what is due on the way, in order.

        False: the batch is full, and time may stand at a wake-up. Nothing may be judged then before a new
        batch has followed the clock to its end. What was lost and what is silent come first.
        """
        if self.meta.marking and not self._mark():
            return False
        return self._judge_silences() and self._wake_until(now_ms)

    def _wake_until(self, now_ms: int) -> bool:
        """What is due by then, in order; False: the batch is full."""
        # A record from an input that lags behind comes after all that is due by now.
        now_ms = max(now_ms, self.meta.now_ms)
        while len(self.faults) < MAX_FAULTS:
            if not self._partition.is_wake_up_due(now_ms):
                self._move_time(now_ms)
                return True
            self._wake(*self._partition.next_wake_up())
        return False

    def end(self, offset: int) -> None:
        """All input before `offset` is judged, and nothing comes any more: forget what has had its time."""
        self.meta = replace(self.meta, offset=offset)
        self.buried = self._partition.closed.due(self.meta.now_ms)
        if self._partition.sweep_at_ms <= self.meta.now_ms:
            silent = silent_emus(self._partition.emus, self.meta.now_ms)
            self.silent = tuple(islice(filter(self._is_over, silent), MAX_FORGOTTEN))

    def changelog(self) -> Iterator[ChangelogEntry]:
        """What has to be written for this batch to be remembered."""
        self.raises.forget(self.meta.now_ms, self._rules)
        for emu_id, changed in self.conditions.changes.items():
            for (component, code), condition in changed.items():
                value = None if condition is None else encode(condition)
                yield condition_key((emu_id, component, code)), value
        for name, raises in self.raises.changes.items():
            yield name, None if raises is None else encode(raises)
        for emu_id, emu in self.emus.items():
            yield emu_key(emu_id), encode(emu)
        for emu_id, facts in self.facts.items():
            yield facts_key(emu_id), encode(facts) if facts.revision else None
        for emu_id, move in self.moves.changes.items():
            yield move_key(emu_id), encode(move)
        for fault_id, hour in self.closed:
            yield closed_key(fault_id), encode(hour)
        for fault_id in self.buried:
            yield closed_key(fault_id), None
        for emu_id in self.silent:
            yield emu_key(emu_id), None
        yield META_KEY, encode(self.meta)

    def _wake(self, due_ms: int, *key: *ConditionKey) -> None:
        if key[1:] == _EMU:
            self._wake_emu(due_ms, key[0])
            return
        condition = self.conditions.get(key)
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
        self._take(condition.emu_id, outcome)
        if outcome.forget:
            self.conditions.remove(condition.key)

    def _is_over(self, emu_id: str) -> bool:
        """Whether nothing of it stands, and it has not spoken just now."""
        return emu_id not in self.emus and not self.conditions.of(emu_id)

    def _wake_emu(self, due_ms: int, emu_id: str) -> None:
        backlog = self._emu(emu_id).backlog
        if backlog is None:
            return
        if backlog.ends_at_ms > due_ms:
            self._partition.wake_emu_at(emu_id, backlog.ends_at_ms)
            return
        self._move_time(due_ms)
        self._end_backlog(emu_id)

    def _end_backlog(self, emu_id: str) -> None:
        emu, conditions = self._emu(emu_id), self.conditions.of(emu_id)
        self._take(emu_id, end_of_backlog(emu, conditions, self.meta.now_ms, self._rules))

    def _judge(self, emu: Emu, record: Word | Fact) -> Outcome:
        now_ms, rules = self.meta.now_ms, self._rules
        match record:
            case Edge():
                condition = self.conditions.get((record.emu_id, record.component, record.code))
                outcome = judge_edge(emu, condition, record, now_ms, rules, earlier=self.raises.of)
            case Snapshot():
                conditions = self.conditions.of(record.emu_id)
                outcome = judge_snapshot(
                    emu, conditions, record, now_ms, rules, earlier=self.raises.of
                )
            case Presence():
                conditions = self.conditions.of(record.emu_id)
                return judge_presence(
                    emu, conditions, record, now_ms, rules, earlier=self.raises.of
                )
            case Ruling():
                condition = self.conditions.get((record.emu_id, record.component, record.code))
                return judge_ruling(emu, condition, record, now_ms, rules)
            case Fact():
                facts = self._facts(record.emu_id)
                conditions = self.conditions.of(record.emu_id)
                return judge_fact(facts, conditions.values(), record, now_ms, rules)
        if emu.link is None:
            return outcome
        offline = self.conditions.get((record.emu_id, *OFFLINE)) if emu.link.gone else None
        return note_life(emu, offline, record, outcome, now_ms=now_ms, rules=rules)

    def _mark(self) -> bool:
        """What stood when input was lost is stale. False: the batch is full."""
        to_mark, looks = self._partition.to_mark, 0
        while to_mark:
            if len(self.faults) >= MAX_FAULTS or looks >= MAX_LOOKS:
                return False
            looks += 1
            key = to_mark.pop()
            condition = self.conditions.get(key)
            if condition is not None and condition.name != OFFLINE:
                turn = mark_stale(condition, self.meta.now_ms, self._rules)
                conditions = () if turn.condition is None else (turn.condition,)
                self._take(key[0], Outcome("input_lost", conditions=conditions, told=turn.told))
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
            emu = self._emu(emu_id)
            at_ms = silent_at_ms(emu, since_ms, self._rules)
            if at_ms is None:
                continue
            if at_ms > listed_ms or not self._wake_until(at_ms):
                silences.put(emu_id, at_ms)
                continue
            outcome = judge_silence(
                emu_id,
                emu,
                self.conditions.of(emu_id),
                at_ms,
                now_ms=self.meta.now_ms,
                rules=self._rules,
                earlier=self.raises.of,
            )
            self._take(emu_id, outcome)
        return False

    def _judge_plainly(self, emu: Emu, record: Word | Fact) -> Outcome:
        conditions = self.conditions.of(record.emu_id)
        return judge_plainly(emu, conditions, record, self.meta.now_ms, self._rules.catalogue)

    @property
    def _at(self) -> At:
        return At(self._partition.here, self.meta.now_ms, self._rules)

    def _known(self, emu_id: str) -> Known:
        conditions = self.conditions.of(emu_id)
        return Known(self._emu(emu_id), self._facts(emu_id), conditions, self.moves.get(emu_id))

    def _count_retired(self, record: InternalRecord) -> None:
        if self._facts(record.emu_id).state == "retired" and not isinstance(record, Fact):
            self.retired += 1

    def _emu(self, emu_id: str) -> Emu:
        return (
            self.emus.get(emu_id)
            or self.unwritten.get(emu_id)
            or self._partition.emus.get(emu_id, _NEW_EMU)
        )

    def _keep(self, emu_id: str, emu: Emu, *, quiet: bool) -> None:
        """What is known of the EMU now, and when it is to be looked at if it says no more."""
        link = self._emu(emu_id).link
        if emu.link is not link:
            was_gone, is_gone = (one is not None and one.gone for one in (link, emu.link))
            self.listened += (emu.link is not None) - (link is not None)
            self.offline += is_gone - was_gone
            if (at_ms := silent_at_ms(emu, 0, self._rules)) is not None:
                self._partition.silences.put(emu_id, at_ms)
        if quiet and emu_id not in self.emus:
            self.unwritten[emu_id] = emu
        else:
            self.emus[emu_id] = emu

    def _facts(self, emu_id: str) -> Facts:
        return self.facts.get(emu_id) or self._partition.facts.get(emu_id, NO_FACTS)

    def _take(self, emu_id: str, outcome: Outcome) -> None:
        """What came of a record of the EMU, or of a wake-up."""
        if outcome.told or outcome.left:  # first: where this raises, nothing is staged
            self._tell(emu_id, outcome)
        if outcome.move is not None:
            self._take_move(emu_id, outcome, outcome.move)
        if outcome.facts is not None:
            self.facts[emu_id] = outcome.facts
        if outcome.emu is not None:
            self._keep(emu_id, outcome.emu, quiet=outcome.quiet)
            if outcome.emu.backlog is not None:
                self._partition.wake_emu_at(emu_id, outcome.emu.backlog.ends_at_ms)
        self.verdicts[outcome.verdict] += 1
        self.too_short += outcome.too_short
        for condition in outcome.conditions:
            before = self.conditions.put(condition)
            if before is None or before.wake_at_ms != condition.wake_at_ms:
                self._partition.wake_at(condition)

    def _take_move(self, emu_id: str, outcome: Outcome, move: Move) -> None:
        self.moves.put(emu_id, move)
        for name in outcome.gone:
            self.conditions.remove((emu_id, *name))
        self.sent += outcome.sent
        self._released += outcome.released
        self.urgent = self.urgent or bool(outcome.sent)

    def _tell(self, emu_id: str, outcome: Outcome) -> None:
        before, catalogue = self._facts(emu_id), self._rules.catalogue
        facts = outcome.facts or before
        faults = [make_fault(*left, before, catalogue) for left in outcome.left]
        faults += [make_fault(*told, facts, catalogue) for told in outcome.told]
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

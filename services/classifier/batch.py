"""Records judged, and what is due on the way, in the order of the task's time. No I/O."""

from collections.abc import Callable
from functools import partial

from msgspec.structs import replace

from services.classifier.facts import judge_fact
from services.classifier.judge import (
    Outcome,
    end_of_backlog,
    ends_backlog,
    judge_edge,
    judge_ruling,
    judge_snapshot,
    wake,
)
from services.classifier.known import Known, Touched
from services.classifier.listening import Listening, listen
from services.classifier.moves import At, judge_moving, stop_waiting
from services.classifier.plain import judge_plainly, judge_silence_plainly, wake_plainly
from services.classifier.presence import (
    OFFLINE,
    judge_presence,
    judge_silence,
    mark_stale,
    note_life,
    silent_at_ms,
)
from services.classifier.repeats import judge_repeat
from services.classifier.staged import Staged, WakeFailure
from services.classifier.state import (
    Condition,
    ConditionKey,
    ConditionName,
    Emu,
    condition_key,
    emu_key,
    encode,
)
from shared.documents.internal import (
    Edge,
    Fact,
    InternalRecord,
    Presence,
    Ruling,
    Snapshot,
    Tick,
    Word,
)

# Many reopen windows may end together, such as those of a site that came back, and a snapshot may open many
# faults: 5,000 of them are some 0.1 s of the event loop and a transaction of ordinary size.
MAX_FAULTS = 5_000
# In place of a condition's name: a wake-up of its EMU. No identifier is empty.
EMU_WAKE_UP: ConditionName = ("", "")
# Some 20 ms: others of the event loop have their turn.
MAX_LOOKS = 5_000


WakeUp = tuple[int, str, str, str]
"""When, and the key of whom: flat, as there may be one for each condition."""


class Batch(Staged):
    """Judges records and wakes what is due on the way; what comes of it is staged."""

    def judge(self, record: InternalRecord) -> None:
        """One record; `follow_clock` to its receipt must have gone before.

        All or nothing: where a rule raises, no part of the record's outcome is staged.
        """
        known = self.touched.get(record.emu_id) or self._touch(record.emu_id)
        if known.facts.state == "retired" and type(record) is not Fact:
            self.retired += 1
        if type(record) is not Edge or known.move is not None or known.emu.backlog is not None:
            outcome = judge_moving(record, known.known, self._at, self._judge)
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
        outcome = judge_moving(record, known.known, self._plain_at, self._judge_plainly)
        self._take(record.emu_id, known, outcome)

    def stop_waiting(self, at_ms: int) -> None:
        """All input up to this moment is taken: who has waited too long for a transfer waits no longer."""
        for emu_id in self._partition.moves.waiting_too_long(at_ms):
            known = self._touch(emu_id)
            if known.move is not None and known.move.holds:
                stop, stop_plainly = (
                    partial(stop_waiting, known.known, at) for at in (self._at, self._plain_at)
                )
                self._take_or_plainly(emu_id, stop, stop_plainly)

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

    def _is_repeat(self, known: Touched, edge: Edge) -> bool:
        """Whether it was one, and the short way did for it."""
        name = (edge.component, edge.code)
        condition = known.get(name)
        if condition is None or not edge.raised:
            return False
        judged = judge_repeat(known.emu, condition, edge, self._rules.catalogue)
        if judged is None:
            return False
        known.emu, again = judged
        known.is_heard = self._is_changed = True
        known.changed[name] = again
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
        condition = self._look(key[0]).get((key[1], key[2]))
        if condition is None or condition.wake_at_ms != due_ms:
            return  # it was cleared, woken or told meanwhile; its new wake-up is listed itself
        self._move_time(due_ms)
        try:
            self._take_awake(condition, wake(condition, self.meta.now_ms, self._rules))
        except Exception as error:  # noqa: BLE001 - told by the task, as those of records are
            was, became = encode(condition), self._wake_plainly(condition)
            self.failures.append(WakeFailure(condition_key(condition.key), was, error, became))

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
            return
        at_ms = known.conditions[condition.name].wake_at_ms
        if at_ms is not None and at_ms == condition.wake_at_ms:
            # Two things are due at the same moment, and the entry that was taken was of both.
            self._partition.wake_at(at_ms, condition)

    def _wake_emu(self, due_ms: int, emu_id: str) -> None:
        backlog = self._look(emu_id).emu.backlog
        if backlog is None:
            return
        if backlog.ends_at_ms > due_ms:
            self._partition.wake_emu_at(emu_id, backlog.ends_at_ms)
            return
        self._move_time(due_ms)
        end = partial(self._end_of_backlog, self._touch(emu_id))
        self._take_or_plainly(emu_id, end, partial(end, plainly=True))

    def _end_of_backlog(self, known: Touched, *, plainly: bool = False) -> Outcome:
        now_ms, rules = self.meta.now_ms, self._rules
        return end_of_backlog(known.emu, known.conditions, now_ms, rules, plainly=plainly)

    def _take_or_plainly(
        self, emu_id: str, judge: Callable[[], Outcome], judge_plainly: Callable[[], Outcome]
    ) -> None:
        """What comes of a wake-up of the EMU; where a rule fails there, of the catalogue alone."""
        known = self._touch(emu_id)
        try:
            self._take(emu_id, known, judge())
        except Exception as error:  # noqa: BLE001 - told by the task, as those of records are
            key, value = emu_key(emu_id), encode(known.emu)
            self._take(emu_id, known, judge_plainly())
            became = "it was judged by the catalogue alone"
            self.failures.append(WakeFailure(key, value, error, became))

    def _judge(self, emu: Emu, record: Word | Fact) -> Outcome:
        """A record that is to be judged here and now. If it ends a backlog, that is staged before it."""
        now_ms, rules = self.meta.now_ms, self._rules
        known = self._look(record.emu_id)
        if emu.backlog is not None and ends_backlog(emu, record):
            touched = self._touch(record.emu_id)
            self._take(record.emu_id, touched, self._end_of_backlog(touched))
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

    def _judge_edge(self, emu: Emu, known: Known | Touched, edge: Edge) -> Outcome:
        condition = known.get((edge.component, edge.code))
        outcome = judge_edge(
            emu, condition, edge, self.meta.now_ms, self._rules, earlier=self.raises.of
        )
        return outcome if emu.link is None else self._note_life(emu, known, edge, outcome)

    def _note_life(
        self, emu: Emu, known: Known | Touched, record: Edge | Snapshot, outcome: Outcome
    ) -> Outcome:
        if emu.link is None:
            return outcome
        offline = known.get(OFFLINE) if emu.link.gone else None
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
            condition = self._look(emu_id).get((name[0], name[1]))
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
            self._judge_silence(emu_id, at_ms)
        return False

    def _judge_silence(self, emu_id: str, at_ms: int) -> None:
        known, now_ms, rules = self._touch(emu_id), self.meta.now_ms, self._rules
        silent = emu_id, known.emu, known.conditions, at_ms
        self._take_or_plainly(
            emu_id,
            lambda: judge_silence(*silent, now_ms=now_ms, rules=rules, earlier=self.raises.of),
            lambda: judge_silence_plainly(*silent, now_ms=now_ms, catalogue=rules.catalogue),
        )

    @property
    def _at(self) -> At:
        return At(self._partition.here, self.meta.now_ms, self._rules)

    @property
    def _plain_at(self) -> At:
        return self._at._replace(plainly=True)

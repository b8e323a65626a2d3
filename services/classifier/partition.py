"""The state of one partition: what is remembered, read from the changelog, and what follows from it. No I/O.

A batch is staged beside the state and becomes part of it only after its transaction is committed: an
aborted batch leaves nothing behind.
"""

import heapq
from collections import Counter

from msgspec.structs import replace

from services.classifier.batch import EMU_WAKE_UP, Batch, WakeUp
from services.classifier.grading import ages_at
from services.classifier.journeys import Moves
from services.classifier.known import KnownEmus, Touched
from services.classifier.lifetime import MAX_FORGOTTEN, SWEEP_MS, ClosedFaults
from services.classifier.listening import Listening
from services.classifier.presence import silent_at_ms
from services.classifier.raises import Raises
from services.classifier.rules import Rules
from services.classifier.silence import SilenceList
from services.classifier.state import (
    META_KEY,
    NEW_EMU,
    NO_FACTS,
    Condition,
    ConditionKey,
    Facts,
    Meta,
    decode_condition,
    decode_emu,
    decode_facts,
    decode_hour,
    decode_meta,
    decode_raises,
    facts_of,
    parse_condition_key,
    parse_emu_key,
    share,
)
from services.classifier.whereabouts import ALONE, Here, decode_move
from shared.documents.emu import EMU_STATES, EmuRecord
from shared.documents.fault import GRADES

# Wake-ups that hold no longer are thrown out where they are more than those that hold, and than this.
MAX_STALE_WAKE_UPS = 10_000


class Partition:
    """Conditions and EMUs of one partition, and the input offset that they are valid for."""

    def __init__(self, rules: Rules, here: Here = ALONE) -> None:
        self.rules = rules
        self.here = here
        self.meta = Meta(offset=0, now_ms=0)
        self.known = KnownEmus()
        self.moves = Moves()
        self.raises = Raises()
        self._seeds: dict[str, Facts] = {}
        self.emus_by_state = Counter[str]({state: 0 for state in EMU_STATES})
        self.open_by_grade: dict[str, int] = dict.fromkeys(GRADES, 0)
        self.closed = ClosedFaults()
        self._restored_closed: dict[str, int] = {}
        self._flapping: dict[ConditionKey, int] = {}
        """When those that chatter have changed last."""
        self.sweep_at_ms = 0
        """When EMUs that say nothing more are looked for, and moves of which nothing more is expected."""
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

    @property
    def conditions(self) -> list[Condition]:
        """All of all EMUs."""
        return [one for known in self.known.by_id.values() for one in known.conditions.values()]

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Take one changelog record in; call `restored` after the last."""
        if key == META_KEY:
            if value is not None:
                self.meta = decode_meta(value)
        elif key.startswith(b"r"):
            self._restore_raises(key, value)
        elif key.startswith(b"x"):
            self._restore_closed(parse_emu_key(key), value)
        elif key.startswith(b"c"):
            self._restore_condition(key, value)
        else:
            self._restore_emu(key, value)

    def seed(self, emu_id: str, record: EmuRecord | None) -> None:
        """Take in what is known of an EMU where nothing was restored; None: it is not here any more."""
        if record is None:
            self._seeds.pop(emu_id, None)
        elif record.revision > self._seeds.get(emu_id, NO_FACTS).revision:
            self._seeds[emu_id] = facts_of(record)

    def restored(self) -> None:
        """Rebuild what is derived."""
        self.known.tidy()
        for emu_id, known in self.known.by_id.items():
            if known.facts.revision:
                self.emus_by_state[known.facts.state] += 1
            if known.emu is not NEW_EMU and not known.emu.heard_ms:
                known.emu = replace(known.emu, heard_ms=self.meta.now_ms)
            if known.move is not None:
                self.moves.put(emu_id, known.move)
            for name, condition in known.conditions.items():
                self.open_by_grade[condition.grade] += condition.is_open
                self.stale += condition.is_open and condition.is_stale
                if condition.grade == "D" and condition.ages_at_ms is None:
                    # It may be remembered from before this was kept.
                    known.conditions[name] = replace(
                        condition, ages_at_ms=ages_at(condition, self.rules)
                    )
        self._list_wake_ups()
        self.closed, self._restored_closed = ClosedFaults(self._restored_closed), {}
        self._list_silences()
        if self.meta.marking:
            self.list_to_mark()

    def _restore_condition(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            emu_id, component, code = parse_condition_key(key)
            self.known.of(emu_id).conditions.pop((component, code), None)
        else:
            condition = share(decode_condition(value))
            self.known.add(condition.emu_id).conditions[condition.name] = condition

    def _restore_emu(self, key: bytes, value: bytes | None) -> None:
        known = self.known.add(parse_emu_key(key))
        match key[:1]:
            case b"e":
                known.emu = NEW_EMU if value is None else decode_emu(value)
            case b"f":
                known.facts = NO_FACTS if value is None else decode_facts(value)
            case _:
                known.move = None if value is None else decode_move(value)

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

    def stage(self) -> Batch:
        """A new batch on top of this state; drop it or `apply` it. The first one has the seeds."""
        return Batch(self, self._seeds)

    def apply(self, batch: Batch) -> None:
        """The batch's transaction is committed: make it part of the state."""
        for emu_id, touched in batch.touched.items():
            if touched.is_learned:
                self._count_emu(self.known.of(emu_id).facts, touched.facts)
            if touched.is_moved:
                self.moves.put(emu_id, touched.move)
            if touched.is_judged:
                self._count(touched)
            self.known.put(emu_id, touched)
        batch.raises.apply()
        self._seeds = {}
        self.listened += batch.listened
        self.offline += batch.offline
        self.listening = batch.listening
        self.meta = batch.meta
        self._forget(batch)
        if len(self._wake_ups) > 2 * self.known.conditions + MAX_STALE_WAKE_UPS:
            self._list_wake_ups()

    def _count_emu(self, before: Facts, after: Facts) -> None:
        self.emus_by_state[before.state] -= 1
        self.emus_by_state[after.state] += 1

    def _count(self, touched: Touched) -> None:
        for name, after in touched.changed.items():
            before = touched.stood.get(name)
            if before is not None and before.is_open:
                self.open_by_grade[before.grade] -= 1
                self.stale -= before.is_stale
            if after is not None:
                if after.is_open:
                    self.open_by_grade[after.grade] += 1
                    self.stale += after.is_stale
                if self.rules.chatters(after.changes):
                    self._flapping[after.key] = after.changes[-1]

    def _forget(self, batch: Batch) -> None:
        self.closed.forget(batch.buried)
        for fault_id, hour in batch.closed:
            self.closed.add(fault_id, hour)
        self.known.forget(batch.silent)
        most = max(len(batch.silent), batch.settled)
        if self.sweep_at_ms <= self.meta.now_ms and most < MAX_FORGOTTEN:
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
            heapq.heappush(self._wake_ups, (at_ms, emu_id, *EMU_WAKE_UP))

    def wake_at(self, at_ms: int, condition: Condition) -> None:
        """Remember when the condition is to be woken; an entry that no longer holds is passed over."""
        heapq.heappush(self._wake_ups, (at_ms, *condition.key))

    def list_to_mark(self) -> None:
        """All that is remembered."""
        self.to_mark = [condition.key for condition in self.conditions]

    def _list_silences(self) -> None:
        """To be looked at when it is known from when on silence counts: what was heard before may be lost."""
        entries: list[tuple[int, str]] = []
        for emu_id, known in self.known.by_id.items():
            if known.emu.link is None:
                continue
            self.listened += 1
            self.offline += known.emu.link.gone
            if (at_ms := silent_at_ms(known.emu, 0, self.rules)) is not None:
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
        for emu_id, known in self.known.by_id.items():
            if known.emu.backlog is not None:
                self.wake_emu_at(emu_id, known.emu.backlog.ends_at_ms)

    def is_wake_up_due(self, now_ms: int) -> bool:
        """Whether there is one by then."""
        return bool(self._wake_ups) and self._wake_ups[0][0] <= now_ms

    def next_wake_up(self) -> WakeUp:
        """The first wake-up, its time and whose; taken off the list."""
        wake_up = heapq.heappop(self._wake_ups)
        if wake_up[2:] == EMU_WAKE_UP:
            self._backlogs.discard(wake_up[1])
        return wake_up

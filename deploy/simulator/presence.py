"""Whether simulated EMUs are there: heartbeats, connections that break, lists of all that stands.

What an EMU would have said while it was away is kept, and sent when it is back: a backlog, as devices with a
buffer have it. Made of the stream's place alone, as the stream is.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from deploy.simulator.draw import Draw
from deploy.simulator.emus import Record, SimulatedEmu
from deploy.simulator.stream import Stream
from shared.documents.emu import EmuRecord
from shared.times import to_rfc3339

INTERVAL_S = 30
# Every so often an EMU tells of all that stands, whatever has changed.
LIST_EVERY_S = 300
# On average, somewhere in the fleet, a connection breaks; for less than three heartbeats, or for so long
# that it is a fault, or that what comes afterwards is of the past.
BREAK_EVERY_S = 120
BREAKS_S = (20, 60, 200, 500, 900)
# The oldest are lost of what an EMU has kept.
MOST_KEPT = 500


class _Due(NamedTuple):
    """Ordered by time, then as planned."""

    due_ms: int
    number: int
    what: str
    emu: SimulatedEmu | None


class PresentFleet(Stream):
    """A stream with what its EMUs say of themselves between their alarms; that counts as no alarm."""

    def __init__(
        self, fleet: Sequence[EmuRecord], *, seed: int, rate: float, start_ms: int
    ) -> None:
        super().__init__(fleet, seed=seed, rate=rate, start_ms=start_ms)
        self._chance = Draw(seed, "presence")
        self._plan: list[_Due] = []
        self._planned = 0
        self._kept: dict[str, list[Record]] = {}
        """Of each EMU that is away."""
        self._ready: list[Record] = []
        """What is to be sent next, last first."""
        for emu in self.emus:
            self._put(self._chance.below(INTERVAL_S * 1000), "beat", emu)
            self._put(self._chance.below(LIST_EVERY_S * 1000), "list", emu)
        self._plan_break(0)

    def next(self) -> Record:
        """What is sent next, at the time that its place in the stream gives it."""
        while not self._ready:
            offset_ms = self.offset_ms
            if self._plan[0].due_ms <= offset_ms:
                self._do(heapq.heappop(self._plan), offset_ms)
                continue
            record = super().next()
            kept = self._kept.get(record.key)
            if kept is None:
                return record
            kept.append(Record(record.key, record.value, 0))
            del kept[:-MOST_KEPT]
        return self._ready.pop()

    def _do(self, due: _Due, offset_ms: int) -> None:
        at = to_rfc3339(self.start_ms + offset_ms).encode()
        if due.emu is None:
            self._break(self._chance.one_of(self.emus), at, offset_ms)
            self._plan_break(offset_ms)
        elif due.what == "back":
            emu = due.emu
            kept = self._kept.pop(emu.key)
            self._ready = [emu.list_all(at), *reversed(kept), emu.tell("online", at)]
        elif due.what == "beat":
            self._put(due.due_ms + INTERVAL_S * 1000, "beat", due.emu)
            if due.emu.key not in self._kept:
                self._ready = [due.emu.tell("heartbeat", at, interval_s=INTERVAL_S)]
        else:
            self._put(due.due_ms + LIST_EVERY_S * 1000, "list", due.emu)
            if due.emu.key not in self._kept:
                self._ready = [due.emu.list_all(at)]

    def _break(self, emu: SimulatedEmu, at: bytes, offset_ms: int) -> None:
        """Its broker tells of it, or nobody does."""
        told = self._chance.below(2)
        back_ms = offset_ms + self._chance.one_of(BREAKS_S) * 1000
        if emu.key in self._kept:
            return
        self._kept[emu.key] = []
        self._put(back_ms, "back", emu)
        if told:
            self._ready = [emu.tell("offline", at)]

    def _plan_break(self, offset_ms: int) -> None:
        self._put(
            offset_ms + int(BREAK_EVERY_S * 1000 * self._chance.between(0.5, 1.5)), "break", None
        )

    def _put(self, due_ms: int, what: str, emu: SimulatedEmu | None) -> None:
        self._planned += 1
        heapq.heappush(self._plan, _Due(due_ms, self._planned, what, emu))

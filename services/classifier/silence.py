"""Which EMUs may have fallen silent by when: looked at only when that time has come. No I/O."""

import heapq
from collections.abc import Iterable


class SilenceList:
    """One moment for each EMU that is listened to, at or before the one at which it is silent for too long.

    What an EMU says changes nothing here: when its moment has come it is looked at, and listed again. So a
    heartbeat costs nothing, and a fleet one look at each EMU in three of its heartbeats.
    """

    def __init__(self, entries: Iterable[tuple[int, str]] = ()) -> None:
        self._at_ms = {emu_id: at_ms for at_ms, emu_id in entries}
        self._heap = [(at_ms, emu_id) for emu_id, at_ms in self._at_ms.items()]
        heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._at_ms)

    def put(self, emu_id: str, at_ms: int) -> None:
        """Look at it at that moment, or earlier where it is listed so."""
        known_ms = self._at_ms.get(emu_id)
        if known_ms is None or at_ms < known_ms:
            self._at_ms[emu_id] = at_ms
            heapq.heappush(self._heap, (at_ms, emu_id))

    def take(self, until_ms: int) -> tuple[int, str] | None:
        """The first moment, and whose it is, taken off the list; None: none has come."""
        while self._heap and self._heap[0][0] <= until_ms:
            at_ms, emu_id = heapq.heappop(self._heap)
            if self._at_ms.get(emu_id) == at_ms:  # else it was listed for an earlier one since
                del self._at_ms[emu_id]
                return at_ms, emu_id
        return None

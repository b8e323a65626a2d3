"""How long what is over is remembered: closed faults, and EMUs that say nothing more. Pure."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from msgspec.structs import replace

from services.classifier.known import Known
from services.classifier.state import NEW_EMU, Emu
from shared.times import DAY_MS, HOUR_MS

# A fault's document goes from the compacted topic so long after it was closed.
CLOSED_KEPT_MS = 30 * DAY_MS
# Ingest writes a record again within its input's retention, and what it wrote is gone after 7 days.
SILENT_KEPT_MS = 30 * DAY_MS
# So many a batch: some 10 ms of the event loop. At one batch a second they are 3.6 million an hour.
MAX_FORGOTTEN = 1_000
# Looking through 100,000 EMUs takes some 20 ms.
SWEEP_MS = DAY_MS


def forget_at_hour(closed_ms: int) -> int:
    """The hour since 1970 in which a fault closed then has had its time."""
    return (closed_ms + CLOSED_KEPT_MS) // HOUR_MS + 1


class ClosedFaults:
    """The closed faults whose documents are still in the topic, by the hour in which that ends.

    Hours and not moments, so that one takes 75 bytes.
    """

    def __init__(self, hours: Mapping[str, int] | None = None) -> None:
        """`hours` has the hour of each fault."""
        self._hours: deque[tuple[int, list[str]]] = deque()
        for fault_id, hour in sorted((hours or {}).items(), key=lambda item: item[1]):
            self.add(fault_id, hour)

    def add(self, fault_id: str, hour: int) -> None:
        """Hours only grow."""
        if not self._hours or self._hours[-1][0] != hour:
            self._hours.append((hour, []))
        self._hours[-1][1].append(fault_id)

    def due(self, now_ms: int) -> Sequence[str]:
        """Some of those that have had their time, the oldest first."""
        if not self._hours or self._hours[0][0] > now_ms // HOUR_MS:
            return ()
        return self._hours[0][1][:MAX_FORGOTTEN]

    def forget(self, fault_ids: Sequence[str]) -> None:
        """Those that `due` gave last."""
        if not fault_ids:
            return
        first = self._hours[0][1]
        del first[: len(fault_ids)]
        if not first:
            self._hours.popleft()


def silent_emus(emus: Mapping[str, Known], now_ms: int) -> Iterator[str]:
    """EMUs that have said nothing for so long that nothing old of them can come again, and nothing stands.

    One whose presence is watched is none of them, however long it has been silent.
    """
    for emu_id, known in emus.items():
        emu = known.emu
        if emu is NEW_EMU or known.conditions or emu.heard_ms + SILENT_KEPT_MS > now_ms:
            continue
        if not _is_watched(emu):
            yield emu_id


def _is_watched(emu: Emu) -> bool:
    """Whether more is known of it than what was heard."""
    return replace(emu, sources=(), boots=(), spoken=(), heard_ms=0, snapshot_ms=0) != NEW_EMU

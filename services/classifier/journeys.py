"""The EMUs of one partition that have changed their site, and what a batch makes of them. No I/O."""

from collections.abc import Iterator

from services.classifier.whereabouts import WAIT_MS, Move


class Moves:
    """By EMU; those that wait for a transfer are found without a look at the others."""

    def __init__(self) -> None:
        self._moves: dict[str, Move] = {}
        self._waiting_since_ms: dict[str, int | None] = {}
        """None: since a moment that is not known yet."""
        self._awaiting: set[str] = set()

    def __len__(self) -> int:
        return len(self._moves)

    def put(self, emu_id: str, move: Move | None) -> None:
        """Add it, or replace it; None: forget it."""
        if move is None:
            move = Move()
            self._moves.pop(emu_id, None)
        else:
            self._moves[emu_id] = move
        (self._awaiting.add if move.awaits else self._awaiting.discard)(emu_id)
        if move.holds:
            self._waiting_since_ms.setdefault(emu_id, None)
        else:
            self._waiting_since_ms.pop(emu_id, None)

    def missing(self, now_ms: int) -> int:
        """Of how many EMUs a transfer has not come yet."""
        return sum(now_ms < self._moves[emu_id].until_ms for emu_id in self._awaiting)

    def over(self, now_ms: int) -> Iterator[str]:
        """Those of which nothing more is expected."""
        for emu_id, move in self._moves.items():
            if move.until_ms <= now_ms and not move.holds:
                yield emu_id

    def waiting_too_long(self, at_ms: int) -> Iterator[str]:
        """Those that wait since `WAIT_MS` before, counted from the first time that this was asked."""
        for emu_id, since_ms in list(self._waiting_since_ms.items()):
            if since_ms is None:
                self._waiting_since_ms[emu_id] = at_ms
            elif at_ms - since_ms >= WAIT_MS:
                yield emu_id

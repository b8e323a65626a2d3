"""Where an EMU is that has changed its site: what each partition that it came through remembers. Pure."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from services.classifier.arrivals import Arrivals
from services.classifier.unwaited import Gone

# A transfer comes within the session of the old owner and 3 s, or something is amiss: alarms wait no longer.
WAIT_MS = 10_000

Key = tuple[int, int]
"""Of a transfer: the partition that it comes from, and the revision by which the EMU left there."""


class Move(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is remembered of an EMU that has changed its site, at each partition that it came through."""

    revision: int = 0
    """Of the newest record that said where it is."""
    until_ms: int = 0
    """Nothing of the move is expected any more after that."""
    to_site: str | None = None
    """Where it went; None: it is here."""
    epoch: int = 0
    """The revision by which it is here; 1: it always was, 0: by no record of it."""
    awaits: tuple[Key, ...] = ()
    """Transfers that have not come yet."""
    taken: tuple[Key, ...] = ()
    """Transfers that have come."""
    holds: bool = False
    """Whether words wait for a transfer."""
    held: tuple[bytes, ...] = ()
    """Internal records, as they came."""
    leaves_by: bytes = b""
    """The fact by which it goes on, once the transfers have come that are on their way here."""
    arrivals: Arrivals = ()
    """In place of the sources of Emu."""
    passed: tuple[Key, ...] = ()
    """Transfers that were passed on before it could leave: whoever has the EMU then has to wait for them."""
    gone: tuple[Gone, ...] = ()
    """What was said to have gone while a transfer was missing that is waited for no longer."""


decode_move = msgspec.msgpack.Decoder(Move).decode


def move_key(emu_id: str) -> bytes:
    """The changelog's key."""
    return f"m\x1f{emu_id}".encode()


class Here(NamedTuple):
    """A partition among others."""

    number: int
    home: Callable[[str], int]
    """The partition of a site."""


def _the_only_one(_: str) -> int:
    return 0


ALONE = Here(0, _the_only_one)


def has_left(move: Move, now_ms: int) -> bool:
    """Whether words are to be forwarded."""
    return move.to_site is not None and now_ms < move.until_ms

"""Pure: how a shard stands, as its owner tells whoever looks."""

from typing import Literal, NamedTuple


class Doing(NamedTuple):
    """What the owner of a shard does."""

    word: Literal["serving", "rebuilding", "catching_up"]
    reading: Literal["cases", "deadlines", ""] = ""
    """What it reads before it serves."""
    until: int = 0
    """At least up to this offset."""


SERVING = Doing("serving")


class Stand(NamedTuple):
    """How a shard stands."""

    epoch: int
    next_case: int | None
    """None: nothing of it is in Redis yet."""
    next_deadline: int | None
    standing: int
    written_ms: int | None
    doing: Doing | None
    """None: its owner has not said: it takes the shard over, or there is none."""
    now_ms: int
    """Redis' time."""

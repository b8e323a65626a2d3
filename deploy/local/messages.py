"""What `up` says to people: lines on standard output, and the last events for the screen."""

import errno
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from shared.times import now_ms

KEPT_EVENTS = 20
KEPT_LINES = 200


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a child of a supervisor."""

    at_ms: int
    text: str


def say(text: str) -> None:
    """One line, at once; nothing where the terminal is gone, and with it whoever read it."""
    try:
        print(text, flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise


class Messages:
    """What a supervisor says of its children while it runs."""

    def __init__(self) -> None:
        self._events = deque[Event](maxlen=KEPT_EVENTS)
        self._held_back: deque[str] | None = None

    @property
    def events(self) -> tuple[Event, ...]:
        """The last ones, the oldest first."""
        return tuple(self._events)

    def tell(self, text: str, log: Path) -> None:
        """Something happened to the child whose log this is."""
        self._events.append(Event(at_ms=now_ms(), text=text))
        line = f"{text}. Its log: {log}"
        if self._held_back is None:
            say(line)
        else:
            self._held_back.append(line)

    @contextmanager
    def hold_back(self) -> Generator[None]:
        """For as long as the terminal is drawn on: what is told meanwhile is said afterwards."""
        self._held_back = held_back = deque[str](maxlen=KEPT_LINES)
        try:
            yield
        finally:
            self._held_back = None
            for line in held_back:
                say(line)

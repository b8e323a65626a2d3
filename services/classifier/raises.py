"""When conditions rose whose faults are closed, so that the next fault of the same one is counted with them.

Only that is kept, and only for as long as the rule on repeats looks back. No I/O.
"""

from itertools import islice

from services.classifier.grading import raises_of
from services.classifier.rules import Rules
from services.classifier.state import Condition, ConditionKey, raises_key
from shared.times import HOUR_MS, MINUTE_MS

# Some 300 bytes each. Past them the oldest are forgotten: a condition that rises again then counts anew.
MAX_KEPT = 50_000
# Of one batch, so that none is long; the others go with the next.
MAX_FORGOTTEN = 5_000
# An input may lag, and a backlog tell of hours ago: so late, it is still counted with raises of that time.
MAX_LAG_MS = 10 * HOUR_MS

Times = tuple[int, ...]
"""Ascending in the order of their telling, never empty where they are kept."""


class Raises:
    """Those of one partition, by their key of the changelog; what was put in last is last."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, Times] = {}
        self.forgotten_ms = 0
        """The task's time when old ones were last thrown out."""

    def put(self, key: bytes, times: Times) -> None:
        """Add them, or replace those of the key."""
        self.by_key.pop(key, None)
        self.by_key[key] = times

    def remove(self, key: bytes) -> None:
        """Forget them, if they are there."""
        self.by_key.pop(key, None)


class ChangedRaises:
    """Raises with changes that are not yet true."""

    def __init__(self, base: Raises) -> None:
        self._base = base
        self._forgotten_ms = base.forgotten_ms
        self.changes: dict[bytes, Times | None] = {}
        """None: forgotten."""

    def of(self, key: ConditionKey) -> Times:
        """Empty: it has not risen lately, or its fault is not closed yet."""
        name = raises_key(key)
        if name in self.changes:
            return self.changes[name] or ()
        return self._base.by_key.get(name, ())

    def keep(self, closed: Condition, now_ms: int, rules: Rules) -> None:
        """When the condition rose whose fault is closed."""
        since_ms = now_ms - rules.repeats_ms - MAX_LAG_MS
        times = tuple(at_ms for at_ms in raises_of(closed) if at_ms >= since_ms)
        if times:
            self.changes[raises_key(closed.key)] = times

    def forget(self, now_ms: int, rules: Rules) -> None:
        """Once a minute: what is too old to count, and what is too much.

        It is kept for up to twice as long where others that were put in before it are younger.
        """
        if now_ms - self._forgotten_ms < MINUTE_MS:
            return
        kept, since_ms = self._base.by_key, now_ms - rules.repeats_ms - MAX_LAG_MS
        excess = len(kept) - MAX_KEPT
        for number, (key, times) in enumerate(islice(kept.items(), MAX_FORGOTTEN)):
            if number >= excess and max(times) >= since_ms:
                break
            self.changes.setdefault(key, None)
        else:
            if len(kept) > MAX_FORGOTTEN:
                return  # there may be more
        self._forgotten_ms = now_ms

    def apply(self) -> None:
        """The changes are true now."""
        for key, times in self.changes.items():
            if times is None:
                self._base.remove(key)
            else:
                self._base.put(key, times)
        self._base.forgotten_ms = self._forgotten_ms

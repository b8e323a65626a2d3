"""Wakes those who serve a partition as soon as there is work for them in this process."""

import asyncio
from collections import defaultdict

from shared.waiting import is_set_within

# What other instances leave for a partition of ours rings no bell here; it is looked for this often.
POLL_INTERVAL_S = 1.0


class Bell:
    """Rung when there may be work; heard once for any number of rings."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, timeout_s: float = POLL_INTERVAL_S) -> None:
        """Return when rung since the last time, or after `timeout_s`."""
        if await is_set_within(self._rung, timeout_s):
            self._rung.clear()


class Bells:
    """The bells of one partition."""

    def __init__(self) -> None:
        self.relay = Bell()
        self.pager = Bell()
        self.teller = Bell()
        """Rung by changes of the fleet only."""

    def ring(self) -> None:
        self.relay.ring()
        self.pager.ring()


class Belfry(defaultdict[int, Bells]):
    """The bells of each partition."""

    def __init__(self) -> None:
        super().__init__(Bells)

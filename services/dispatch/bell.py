"""Wakes the relay and the pager of a partition as soon as there is work for them in this process."""

import asyncio
from collections import defaultdict

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
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()


class Bells:
    """The two bells of one partition."""

    def __init__(self) -> None:
        self.relay = Bell()
        self.pager = Bell()

    def ring(self) -> None:
        self.relay.ring()
        self.pager.ring()


class Belfry(defaultdict[int, Bells]):
    """The bells of each partition."""

    def __init__(self) -> None:
        super().__init__(Bells)

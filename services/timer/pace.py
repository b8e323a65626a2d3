"""Pure: when a shard is looked at next, how fast it catches up, and whether its clock is to be trusted.

`_ms` are times by Redis' clock unless said otherwise, `_s` seconds of the host's monotonic one.
"""

MOST_SKEW_MS = 5_000
"""Where the clocks of Redis and of the host are farther apart, nobody knows which is right: nothing fires."""


def skew_ms(asked_ms: int, answered_ms: int, redis_ms: int) -> int:
    """By how much at least Redis' clock is ahead of the host's; negative: behind it.

    Redis read its clock between the host's `asked_ms` and `answered_ms`: a time between them tells nothing,
    so an answer that takes long is no skew.
    """
    if redis_ms > answered_ms:
        return redis_ms - answered_ms
    return min(0, redis_ms - asked_ms)


def is_trusted(skew: int) -> bool:
    """Whether a moment may fire by a clock that is so far off."""
    return abs(skew) <= MOST_SKEW_MS


class Watch:
    """When the owner of a shard looks at it again: at the next due time that it knows.

    It looks once in `tick_ms` in any case: so it notices a Redis that lost something, or whose clock has
    jumped ahead. A clock that goes back makes it look in vain.
    """

    def __init__(self, tick_ms: int) -> None:
        self._tick_s = tick_ms / 1000
        self._look_at_s = 0.0
        self._ahead_s = 0.0
        """By how much Redis' clock is ahead of the monotonic one."""

    def looked(self, now_ms: int, next_ms: int | None, at_s: float) -> None:
        """What Redis said: its time, and when something comes next; its answer came at `at_s`."""
        self._ahead_s = now_ms / 1000 - at_s
        self._look_at_s = at_s + self._tick_s
        if next_ms is not None:
            self.expect(next_ms)

    def expect(self, at_ms: int) -> None:
        """Something may come then."""
        self._look_at_s = min(self._look_at_s, at_ms / 1000 - self._ahead_s)

    def look_in(self, seconds: float, at_s: float) -> None:
        """There is something to look for then."""
        self._look_at_s = min(self._look_at_s, at_s + seconds)

    def rest(self, seconds: float, at_s: float) -> None:
        """Nothing is to be looked for meanwhile."""
        self._look_at_s = at_s + seconds

    def pause_s(self, at_s: float) -> float:
        """For how long there is nothing to look for; 0: look now."""
        return max(0.0, self._look_at_s - at_s)


class CatchUp:
    """Bounds how fast the shards of an instance publish what came due while they had no owner.

    What comes due under an owner is not counted. Shards take turns: who has had one asks again later.
    """

    def __init__(self, per_s: int) -> None:
        self._per_s = per_s
        self._free_at_s = 0.0

    def wait_s(self, at_s: float) -> float:
        """For how long nothing more may be published; 0: a batch may."""
        return max(0.0, self._free_at_s - at_s)

    def spend(self, count: int, at_s: float) -> None:
        """A batch of so many is on its way; a negative count takes back what was too much."""
        self._free_at_s = max(self._free_at_s, at_s) + count / self._per_s

"""A shard for whoever looks: owns nothing, changes nothing, and keeps Redis for a millisecond at most."""

from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import Any, NamedTuple, cast

from services.timer.entry import Names, unpack
from services.timer.plan import Plan
from services.timer.redis_client import Client
from services.timer.redis_server import Script
from services.timer.stand import Doing, Stand

# So many entries one script gives: some 0.3 ms of Redis, and 2 ms of ours.
PAGE_CASES = 200

_SHARD, _GIVE_UP, _FIRST, _WINDOW, _ENTRIES, _PAGE = (
    Script(name) for name in ("shard", "give_up", "first", "window", "entries", "page")
)


class Coming(NamedTuple):
    """A case, and when its first moment comes that has not fired."""

    at_ms: int
    partition: int
    case_id: str


class ShardView:
    """One shard. Each method raises StoreError when Redis does not answer."""

    def __init__(self, redis: Client, prefix: str, partition: int) -> None:
        self._redis = redis
        self._keys = (f"{{{prefix}:t{partition}}}:meta",)
        self.partition = partition

    async def stand(self) -> Stand:
        found = await _SHARD.run(self._redis, self._keys)
        epoch, next_case, next_deadline, standing, written_ms, told, now_ms = found
        doing = _read_doing(cast("bytes | None", told), epoch)
        return Stand(epoch, next_case, next_deadline, standing, written_ms, doing, now_ms)

    async def give_up(self) -> int | None:
        """Forget the shard: its owner builds it anew. Gives that owner's epoch; None: nobody serves it now,
        and nothing is forgotten."""
        found = await _GIVE_UP.run(self._redis, self._keys)
        return found[0] if found else None

    async def first(self, limit: int) -> tuple[list[Coming], list[int]]:
        """At most `limit` cases of the windows that are open, the first ones, and starts of windows in ms."""
        cases, starts = await _FIRST.run(self._redis, self._keys, limit)
        return self._coming(cases), [int(start) for start in starts]

    async def window(
        self, start_ms: int, cursor: int = 0, *, last_ms: int | None = None
    ) -> tuple[list[Coming], int]:
        """Some cases of a window, from `cursor` on (0: from the beginning), but none that comes later than
        `last_ms`; and where the next ones begin (0: there are none). A case may be given twice."""
        until = "" if last_ms is None else last_ms
        after, cases = await _WINDOW.run(
            self._redis, self._keys, start_ms, cursor, PAGE_CASES, until
        )
        return self._coming(cases), int(after)

    async def plans(self, case_ids: Sequence[str]) -> dict[str, Plan]:
        """Those of them that the shard has."""
        plans: dict[str, Plan] = {}
        for start in range(0, len(case_ids), PAGE_CASES):
            some = case_ids[start : start + PAGE_CASES]
            places, names, *entries = await _ENTRIES.run(self._redis, self._keys, *some)
            pairs = zip(some, cast("list[bytes | None]", entries), strict=True)
            plans.update(_read_entries(pairs, places, names))
        return plans

    async def page(self, start: int) -> tuple[Mapping[str, Plan], int | None]:
        """Some of all cases, from `start` on (0: from the beginning), and where the next ones begin."""
        after, places, names, found = await _PAGE.run(self._redis, self._keys, start, PAGE_CASES)
        case_ids = (case_id.decode() for case_id in found[0::2])
        return _read_entries(zip(case_ids, found[1::2], strict=True), places, names), after

    def _coming(self, found: Sequence[bytes]) -> list[Coming]:
        return [
            Coming(int(at_ms), self.partition, case_id.decode())
            for case_id, at_ms in zip(found[0::2], found[1::2], strict=True)
        ]


async def first_cases(shards: Sequence[ShardView], limit: int) -> list[Coming]:
    """The cases, of all these shards, whose moments come first, in order.

    A window is looked into only where its cases may be among them. A case that is just being moved from its
    window may be missed.
    """
    best: list[Coming] = []
    windows: list[tuple[int, ShardView]] = []
    # One after the other: those who look take no connection from those who fire.
    for shard in shards:
        near, starts = await shard.first(limit)
        best = nsmallest(limit, set(best) | set(near))
        windows += [(start_ms, shard) for start_ms in starts]
    for start_ms, shard in sorted(windows, key=lambda window: window[0]):
        if len(best) >= limit and start_ms > best[-1].at_ms:
            break
        cursor = -1
        while cursor != 0:
            last_ms = best[-1].at_ms if len(best) >= limit else None
            cases, cursor = await shard.window(start_ms, max(0, cursor), last_ms=last_ms)
            if cases:
                best = nsmallest(limit, set(best) | set(cases))
    return best


def _read_doing(told: bytes | None, epoch: int) -> Doing | None:
    of_epoch, *words = (told or b"").decode().split(" ")
    if of_epoch != str(epoch):
        return None
    word, reading, until = words if len(words) > 1 else (words[0], "", "0")
    return Doing(cast(Any, word), cast(Any, reading), int(until))


def _read_entries(
    entries: Iterable[tuple[str, bytes | None]], places: Iterable[bytes], names: Iterable[bytes]
) -> dict[str, Plan]:
    place_texts, name_texts = Names(places), Names(names)
    return {
        case_id: unpack(entry, place_texts, name_texts)
        for case_id, entry in entries
        if entry is not None
    }

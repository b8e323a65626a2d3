"""The shards' store: a wheel of windows in Redis, behind the scripts of lua/. Nothing else speaks to Redis.

What becomes of a case is decided here, by the pure functions of plan.py; the scripts only find entries, and
move and replace them under the owner's fence.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import nan
from struct import Struct
from typing import NamedTuple

from services.timer.entry import Names, Packed, pack, pack_draft, unpack
from services.timer.plan import Draft, Plan, follow, mark
from services.timer.records import Change, Stated
from services.timer.redis_client import Client
from services.timer.redis_server import Script
from services.timer.stand import Doing
from services.timer.store import Applied, Claimed, Fired, TakenOver
from services.timer.view import ShardView, first_cases

# These bound how long one script keeps Redis from the other shards: 1 to 9 ms.
READ_LIMIT = WRITE_LIMIT = 500
CLAIM_LIMIT = 256

_TAKE_OVER, _START_OVER, _READ, _WRITE, _CLAIM, _TELL = (
    Script(name) for name in ("take_over", "start_over", "read", "write", "claim", "tell")
)


class _Stored(NamedTuple):
    """A case as it is in Redis; one that is not there has no plan and an entry of no bytes."""

    plan: Plan | None
    entry_bytes: int


class _Written(NamedTuple):
    """What became of cases that were written."""

    standing: int
    first_ms: int | None
    """As `Applied` has it."""
    there: Collection[str]
    """Those that were thought absent and are there: nothing was written of them, nor the offsets."""


_ABSENT, _THOUGHT_ABSENT = _Stored(None, 0), _Stored(None, -1)
_Changed = tuple[str, Stated | None, _Stored]
_pack_head = Struct(">HIddih").pack


class WheelStore:
    """A Store in Redis; its keys are in lua/common.lua."""

    def __init__(self, redis: Client, prefix: str, partition: int) -> None:
        self._redis = redis
        self._view = ShardView(redis, prefix, partition)
        self._keys = (f"{{{prefix}:t{partition}}}:meta",)
        self._epoch = 0
        self._writes = 0
        self._next_case: int | None = None
        self._next_deadline: int | None = None
        self._places = Names()
        self._names = Names()
        self._claimed: dict[str, _Stored] = {}
        self._building = False

    async def take_over(self) -> TakenOver:
        found = await _TAKE_OVER.run(self._redis, self._keys)
        self._epoch, next_case, next_deadline, standing, now_ms, written_ms, *found = found
        self._writes, places, names = found
        self._next_case, self._next_deadline = next_case, next_deadline
        self._building = next_case is None
        self._places, self._names = Names(places), Names(names)
        self._claimed.clear()
        return TakenOver(next_case, next_deadline, standing, now_ms, written_ms)

    async def start_over(self) -> None:
        await _START_OVER.run(self._redis, self._keys, *self._hold())
        self._next_case = self._next_deadline = None
        self._writes = self._epoch
        self._building = True
        self._places, self._names = Names(), Names()
        self._claimed.clear()

    def prepare(self, change: Change) -> Change:
        case_id, revision, stated = change
        if isinstance(stated, Draft) and (revision == 1 or self._building):
            return Change(case_id, revision, pack_draft(stated, self._places, self._names))
        return change

    async def apply(self, changes: Sequence[Change], next_case: int) -> Applied:
        """A case that is new by its revision, or comes while the shard is built anew, is not looked for:
        the script tells where it is there all the same."""
        fresh, others = set[str](), set[str]()
        for case_id, revision, stated in changes:
            if stated and (revision == 1 or self._building or case_id in fresh):
                fresh.add(case_id)
            else:
                others.add(case_id)
        found = await self._read(others)
        standing, first_ms, there = await self._apply(changes, found, next_case)
        if there:
            found = await self._read(there)
            changes = [change for change in changes if change.case_id in found]
            standing, then_ms, _ = await self._apply(changes, found, next_case)
            first_ms = _earlier(first_ms, then_ms)
        return Applied(standing, first_ms)

    async def _apply(
        self, changes: Sequence[Change], found: Mapping[str, _Stored], next_case: int
    ) -> _Written:
        stored: dict[str, _Stored] = {}
        plans: dict[str, Stated | None] = {}
        for change in changes:
            case_id = change.case_id
            if case_id not in plans:
                stored[case_id] = before = found.get(case_id, _THOUGHT_ABSENT)
                plans[case_id] = before.plan
            plans[case_id] = _follow(plans[case_id], change)
        return await self._write(stored, plans, next_case=next_case)

    async def claim(
        self,
        limit: int,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        now_ms: int | None = None,
    ) -> Claimed:
        self._building = False
        cases: dict[str, Plan] = {}
        while True:
            page = min(limit - len(cases), CLAIM_LIMIT)
            now, first_ms, next_ms, *found = await _CLAIM.run(
                self._redis,
                self._keys,
                *self._hold(),
                len(cases),
                page,
                CLAIM_LIMIT,
                _or_none(from_ms),
                _or_none(to_ms),
                _or_none(now_ms),
            )
            before = len(cases)
            for case_id, entry in _pairs(found):
                plan = unpack(entry, self._places, self._names)
                cases[case_id] = plan
                self._claimed[case_id] = _Stored(plan, len(entry))
            if len(cases) - before < page or len(cases) == limit:
                return Claimed(now, first_ms, next_ms, list(cases.items()))

    async def acknowledge(self, fired: Sequence[Fired], next_deadline: int | None = None) -> int:
        stored = await self._read({case_id for case_id, _ in fired})
        plans = {case_id: case.plan for case_id, case in stored.items()}
        for case_id, identities in fired:
            plan = plans[case_id]
            plans[case_id] = plan and mark(plan, identities)
        return (await self._write(stored, plans, next_deadline=next_deadline)).standing

    async def tell(self, doing: Doing) -> None:
        words = [doing.word, doing.reading, str(doing.until)] if doing.reading else [doing.word]
        await _TELL.run(self._redis, self._keys, *self._hold(), " ".join(words))

    async def peek(self) -> tuple[str, Plan] | None:
        """The case whose moment comes first, come or not; None: there is none.

        Needs no hold and gives none: for whoever looks. Raises StoreError when Redis does not answer.
        """
        for coming in await first_cases([self._view], 1):
            plans = await self._view.plans([coming.case_id])
            return coming.case_id, plans[coming.case_id]
        return None

    def _hold(self) -> tuple[str, int | str, int | str]:
        """What shows a script that the caller owns the shard and knows its state."""
        return (
            f"{self._epoch}.{self._writes}",
            _or_none(self._next_case),
            _or_none(self._next_deadline),
        )

    async def _read(self, case_ids: Iterable[str]) -> dict[str, _Stored]:
        """These cases as they are stored; those that were claimed just now are known."""
        found: dict[str, _Stored] = {}
        unknown: list[str] = []
        for case_id in case_ids:
            stored = self._claimed.get(case_id)
            if stored is None:
                unknown.append(case_id)
            else:
                found[case_id] = stored
        for start in range(0, len(unknown), READ_LIMIT):
            some = unknown[start : start + READ_LIMIT]
            packed = b"".join(_with_length(case_id) for case_id in some)
            entries = await _READ.run(self._redis, self._keys, *self._hold(), packed)
            for case_id, entry in zip(some, entries, strict=True):
                found[case_id] = _ABSENT if entry is None else self._stored(entry)
        return found

    def _stored(self, entry: bytes) -> _Stored:
        return _Stored(unpack(entry, self._places, self._names), len(entry))

    async def _write(
        self,
        stored: Mapping[str, _Stored],
        plans: Mapping[str, Stated | None],
        *,
        next_case: int | None = None,
        next_deadline: int | None = None,
    ) -> _Written:
        """Replace what has changed; with the last of it the offsets, without which it is all done again."""
        changed = [
            (case_id, plan, stored[case_id])
            for case_id, plan in plans.items()
            if plan is not stored[case_id].plan
        ]
        self._claimed.clear()
        before = (self._next_case, self._next_deadline)
        first_ms: int | None = None
        there: list[str] = []
        while len(changed) > WRITE_LIMIT:
            some = await self._write_some(changed[:WRITE_LIMIT], *before)
            first_ms = _earlier(first_ms, some.first_ms)
            there += some.there
            changed = changed[WRITE_LIMIT:]
        if there:
            last = await self._write_some(changed, *before)
        else:
            last = await self._write_some(
                changed,
                self._next_case if next_case is None else next_case,
                self._next_deadline if next_deadline is None else next_deadline,
            )
        first_ms = _earlier(first_ms, last.first_ms)
        return _Written(last.standing, first_ms, {*there, *last.there})

    async def _write_some(
        self, changed: Sequence[_Changed], next_case: int | None, next_deadline: int | None
    ) -> _Written:
        cases: list[bytes] = []
        first_ms: int | None = None
        for case_id, stated, (before, bytes_before) in changed:
            came_ms, stood = before.outlook() if before else (None, 0)
            entry, comes_ms, stands = self._pack(stated)
            first_ms = _earlier(first_ms, comes_ms)
            key = case_id.encode()
            head = _pack_head(
                len(key),
                len(entry),
                nan if came_ms is None else came_ms,
                nan if comes_ms is None else comes_ms,
                bytes_before,
                stands - stood,
            )
            cases += (head, key, entry)
        places, names = self._places.fresh(), self._names.fresh()
        standing, *there = await _WRITE.run(
            self._redis,
            self._keys,
            *self._hold(),
            _or_none(next_case),
            _or_none(next_deadline),
            b"".join(cases),
            len(places),
            *places,
            *names,
        )
        self._writes += 1
        self._places.written()
        self._names.written()
        if not there:
            self._next_case, self._next_deadline = next_case, next_deadline
        return _Written(standing, first_ms, [case_id.decode() for case_id in there])

    def _pack(self, stated: Stated | None) -> tuple[bytes, int | None, int]:
        """The entry, and the plan's outlook."""
        if isinstance(stated, Packed):
            return stated[:3]
        if stated is None:
            return b"", None, 0
        plan = stated.plan
        return pack(plan, self._places, self._names), *plan.outlook()


def _follow(stored: Stated | None, change: Change) -> Stated | None:
    """As `follow`; a plan is worked out only where there is another to compare it with."""
    if stored is None:
        return change.stated
    return follow(stored.plan, change.revision, change.plan)


def _earlier(one_ms: int | None, other_ms: int | None) -> int | None:
    if one_ms is None or other_ms is None:
        return other_ms if one_ms is None else one_ms
    return min(one_ms, other_ms)


def _pairs(found: Sequence[bytes]) -> Iterable[tuple[str, bytes]]:
    return zip((case_id.decode() for case_id in found[0::2]), found[1::2], strict=True)


def _with_length(case_id: str) -> bytes:
    key = case_id.encode()
    return len(key).to_bytes(2, "big") + key


def _or_none(number: int | None) -> int | str:
    return "" if number is None else number

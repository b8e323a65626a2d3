"""The timer's first store, a sorted set and a hash: the plainest one, to hold the wheel against."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec

from services.timer.plan import Event, Identity, Moment, Plan
from services.timer.records import Change
from services.timer.redis_client import Client
from services.timer.redis_server import Script
from services.timer.stand import Doing
from services.timer.store import Applied, Claimed, Fired, TakenOver
from shared.documents.fault import Grade

_TAKE_OVER, _START_OVER, _APPLY, _CLAIM, _ACKNOWLEDGE, _PEEK = (
    Script(name, Path(__file__).parent / "lua")
    for name in ("take_over", "start_over", "apply", "claim", "acknowledge", "peek")
)


class _Plan(msgspec.Struct, array_like=True):
    """A Plan by the places that lua/common.lua knows; there a moment is an array too."""

    revision: int
    written_ms: int
    grade: Grade
    site_id: str
    desk: str
    moments: Sequence[tuple[int, str, str, Event, int]]
    fired: list[str]


_pack = msgspec.msgpack.Encoder().encode
_unpack_plan = msgspec.msgpack.Decoder(_Plan).decode


def _pack_plan(plan: Plan) -> bytes:
    moments: list[tuple[int, str, str, Event, int]] = [
        (moment.at_ms, moment.clock, moment.share, moment.event, moment.version)
        for moment in plan.moments
    ]
    fired = [_text(identity) for identity in plan.fired]
    return _pack(
        _Plan(plan.revision, plan.written_ms, plan.grade, plan.site_id, plan.desk, moments, fired)
    )


def _unpack(packed: bytes) -> Plan:
    plan = _unpack_plan(packed)
    moments = tuple(Moment(*moment) for moment in plan.moments)
    fired = tuple(_identity(text) for text in plan.fired)
    return Plan(plan.revision, plan.written_ms, plan.grade, plan.site_id, plan.desk, moments, fired)


def _text(identity: Identity) -> str:
    return ":".join(str(part) for part in identity)


def _identity(text: str) -> Identity:
    clock, share, version = text.rsplit(":", 2)
    return clock, share, int(version)


class SortedSetStore:
    """A Store in Redis: three keys under the shard's hash tag."""

    def __init__(self, redis: Client, prefix: str, partition: int) -> None:
        tag = f"{{{prefix}:t{partition}}}"
        self._redis = redis
        self._keys = tuple(f"{tag}:{part}" for part in ("meta", "due", "plan"))
        self._epoch = 0
        self._next_case: int | None = None
        self._next_deadline: int | None = None

    async def take_over(self) -> TakenOver:
        found = await _TAKE_OVER.run(self._redis, self._keys)
        self._epoch, self._next_case, self._next_deadline, standing, now_ms = found
        return TakenOver(self._next_case, self._next_deadline, standing, now_ms)

    async def start_over(self) -> None:
        await _START_OVER.run(self._redis, self._keys, *self._hold())
        self._next_case = self._next_deadline = None

    def prepare(self, change: Change) -> Change:
        return change

    async def apply(self, changes: Sequence[Change], next_case: int) -> Applied:
        plans = [(change.case_id, change.revision, change.plan) for change in changes]
        args: list[bytes | str | int] = [*self._hold(), next_case]
        for case_id, revision, plan in plans:
            args += (case_id, "" if revision is None else revision)
            args.append("" if plan is None else _pack_plan(plan))
        (standing,) = await _APPLY.run(self._redis, self._keys, *args)
        self._next_case = next_case
        firsts = [plan.moments[0].at_ms for _, _, plan in plans if plan and plan.moments]
        return Applied(standing, min(firsts, default=None))

    async def claim(
        self,
        limit: int,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        now_ms: int | None = None,
    ) -> Claimed:
        bounds = (_or_none(bound) for bound in (from_ms, to_ms, now_ms))
        now, first_ms, next_ms, *found = await _CLAIM.run(
            self._redis, self._keys, *self._hold(), limit, *bounds
        )
        case_ids = (cast(bytes, case_id).decode() for case_id in found[0::2])
        plans = (_unpack(plan) for plan in found[1::2])
        return Claimed(now, first_ms, next_ms, list(zip(case_ids, plans, strict=True)))

    async def acknowledge(self, fired: Sequence[Fired], next_deadline: int | None = None) -> int:
        args: list[bytes | str | int] = [*self._hold(), _or_none(next_deadline)]
        for case_id, identities in fired:
            args += (case_id, _pack([_text(identity) for identity in identities]))
        (standing,) = await _ACKNOWLEDGE.run(self._redis, self._keys, *args)
        self._next_deadline = self._next_deadline if next_deadline is None else next_deadline
        return standing

    async def tell(self, doing: Doing) -> None:
        """Nobody looks."""

    async def peek(self) -> tuple[str, Plan] | None:
        found = await _PEEK.run(self._redis, self._keys)
        if not found:
            return None
        case_id, plan = found
        return cast(bytes, case_id).decode(), _unpack(plan)

    def _hold(self) -> tuple[int, str]:
        return self._epoch, f"{_or_none(self._next_case)} {_or_none(self._next_deadline)}"


def _or_none(number: int | None) -> int | str:
    return "" if number is None else number

"""What people see of the clocks, over HTTP."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

import msgspec
from aiohttp import web

from services.timer.firing import next_moment
from services.timer.plan import Event, Moment, Plan
from services.timer.store import StoreError
from shared.documents.fault import Grade
from shared.times import to_rfc3339


class NextClock(msgspec.Struct, frozen=True, kw_only=True):
    """What fires next. The fields mean what they mean in a Deadline."""

    case_id: str
    clock: str
    share: str
    event: Event
    due_at: str
    grade: Grade
    site_id: str


class Peeked(Protocol):
    """A shard that may be looked at without owning it."""

    async def peek(self) -> tuple[str, Plan] | None:
        """The case whose moment comes first; None: there is none."""
        ...


class ClockApi:
    """GET /v1/clocks/next: `{"next": ...}`, null where no clock of this instance's shards runs.

    503 while Redis does not answer.
    """

    def __init__(
        self, partitions: Callable[[], Collection[int]], shard: Callable[[int], Peeked]
    ) -> None:
        self._partitions = partitions
        self._shard = shard

    def routes(self) -> Iterable[web.RouteDef]:
        return [web.get("/v1/clocks/next", self._next)]

    async def _next(self, _: web.Request) -> web.Response:
        try:
            # One after the other: those who look take no connection from those who fire.
            found = [await self._shard(partition).peek() for partition in self._partitions()]
        except StoreError as error:
            body = msgspec.json.encode({"error": "redis", "detail": str(error)})
            return web.Response(status=503, body=body, content_type="application/json")
        body = msgspec.json.encode({"next": earliest(found)})
        return web.Response(body=body, content_type="application/json")


class _Coming(NamedTuple):
    case_id: str
    plan: Plan
    moment: Moment


def earliest(cases: Iterable[tuple[str, Plan] | None]) -> NextClock | None:
    """What fires first, given the first case of each shard; None: nothing does."""
    coming = [
        _Coming(case_id, plan, moment)
        for case_id, plan in filter(None, cases)
        if (moment := next_moment(plan)) is not None
    ]
    if not coming:
        return None
    case_id, plan, moment = min(coming, key=lambda found: found.moment.at_ms)
    return NextClock(
        case_id=case_id,
        clock=moment.clock,
        share=moment.share,
        event=moment.event,
        due_at=to_rfc3339(moment.at_ms),
        grade=plan.grade,
        site_id=plan.site_id,
    )

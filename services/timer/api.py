"""What people see of the clocks, over HTTP."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple, TypeVar

import msgspec
import structlog
from aiohttp import web

from services.timer.answers import (
    case_clocks,
    coming_moments,
    not_served,
    shard_state,
    standing_clocks,
)
from services.timer.firing import next_moment
from services.timer.plan import Event, Moment, Plan
from services.timer.stand import Stand
from services.timer.store import StoreError
from services.timer.view import ShardView, first_cases
from shared.documents.answers import Refusal
from shared.documents.clock_answers import (
    ClockList,
    ComingList,
    RebuildBegun,
    ShardList,
    StandingClock,
)
from shared.documents.fault import Grade
from shared.kafka.partition import partition_of
from shared.times import to_rfc3339

log = structlog.get_logger()

# One answer looks at about so many cases, 30 ms of this process in pieces of 3, and tells where to go on.
LOOKED_AT = 2_000

Answer = msgspec.Struct | dict[str, object]
Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]
QueryT = TypeVar("QueryT", bound=msgspec.Struct)


class NextClock(msgspec.Struct, frozen=True, kw_only=True):
    """What fires next. The fields mean what they mean in a Deadline."""

    case_id: str
    clock: str
    share: str
    event: Event
    due_at: str
    grade: Grade
    site_id: str


class ClockApi:
    """What of the clocks is told to whoever looks, and a shard built anew where somebody asks for it.

    GET /v1/clocks/next: `{"next": ...}` of this instance's shards, null where no clock of them runs. All
    else is of all shards, whoever owns them: GET /v1/clocks, /v1/clocks/coming, /v1/cases/{case_id}/clocks,
    /v1/shards, POST /v1/shards/{shard}/rebuild (docs/services/timer.md). 503 while Redis does not answer.
    """

    def __init__(
        self,
        partitions: Callable[[], Collection[int]],
        shards: Sequence[ShardView],
        topic: str,
    ) -> None:
        self._partitions = partitions
        self._shards = shards
        self._topic = topic

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/v1/clocks/next", _answering(self._next)),
            web.get("/v1/clocks/coming", _answering(self._coming)),
            web.get("/v1/clocks", _answering(self._list)),
            web.get("/v1/cases/{case_id}/clocks", _answering(self._case)),
            web.get("/v1/shards", _answering(self._stands)),
            web.post("/v1/shards/{shard}/rebuild", _answering(self._rebuild)),
        ]

    async def _next(self, _: web.Request) -> Answer:
        plans = await self._first([self._shards[number] for number in self._partitions()], 1)
        return {"next": earliest((case_id, plan) for case_id, _, plan in plans)}

    async def _coming(self, request: web.Request) -> Answer:
        query = _read(request, _ComingQuery)
        shards = self._wanted(query.shard)
        stands = await _stands(shards)
        plans = await self._first(shards, query.limit)
        return ComingList(
            moments=coming_moments(plans, query.limit),
            not_served=not_served(stands),
            at=_redis_time(stands),
        )

    async def _first(self, shards: Sequence[ShardView], limit: int) -> list[tuple[str, int, Plan]]:
        """The cases of these shards whose moments come first: id, shard, plan."""
        coming = await first_cases(shards, limit)
        plans: list[tuple[str, int, Plan]] = []
        for shard in shards:
            mine = [case.case_id for case in coming if case.partition == shard.partition]
            found = await shard.plans(mine) if mine else {}
            plans += [(case_id, shard.partition, plan) for case_id, plan in found.items()]
        return plans

    async def _list(self, request: web.Request) -> Answer:
        query = _read(request, _ListQuery)
        number = query.shard
        if query.site_id is not None:
            number = partition_of(query.site_id, len(self._shards))
        shards = self._wanted(number)
        stands = await _stands(shards)
        at_shard, at = _read_cursor(query.after, shards)
        clocks: list[StandingClock] = []
        looked_at = 0
        while at_shard < len(shards) and looked_at < LOOKED_AT and len(clocks) < query.limit:
            plans, after = await shards[at_shard].page(at)
            looked_at += len(plans)
            for case_id, plan in plans.items():
                if query.wants(plan):
                    found = standing_clocks(case_id, shards[at_shard].partition, plan)
                    clocks += [clock for clock in found if query.clock in (None, clock.clock)]
            at_shard, at = (at_shard + 1, 0) if after is None else (at_shard, after)
        more = f"{shards[at_shard].partition}.{at}" if at_shard < len(shards) else None
        return ClockList(
            clocks=clocks,
            looked_at=looked_at,
            next=more,
            not_served=not_served(stands),
            at=_redis_time(stands),
        )

    async def _case(self, request: web.Request) -> Answer:
        case_id = request.match_info["case_id"]
        for shard in self._shards:
            plan = (await shard.plans([case_id])).get(case_id)
            if plan is not None:
                stand = await shard.stand()
                return case_clocks(case_id, shard.partition, plan, stand, self._topic)
        stands = await _stands(self._shards)
        unsure = [number for number, stand in stands.items() if stand.next_case is None]
        detail = (
            f"no shard has clocks of the case {case_id}: it is closed, or there is none of that id"
        )
        if unsure:
            detail += f"; shards that are empty or being built anew: {', '.join(map(str, unsure))}"
        raise _Refused(404, "unknown_case", detail)

    async def _stands(self, request: web.Request) -> Answer:
        stands = await _stands(self._wanted(_read(request, _ShardQuery).shard))
        return ShardList(shards=[shard_state(number, stand) for number, stand in stands.items()])

    async def _rebuild(self, request: web.Request) -> Answer:
        text = request.match_info["shard"]
        (shard,) = self._wanted(int(text) if text.isascii() and text.isdigit() else -1)
        epoch = await shard.give_up()
        if epoch is None:
            raise _Refused(
                409,
                "not_served",
                f"shard {shard.partition} is not served just now: it is being taken over or built anew, "
                "or no timer owns it",
            )
        log.warning("shard is to be built anew, as asked", partition=shard.partition)
        return RebuildBegun(shard=shard.partition, epoch=epoch)

    def _wanted(self, number: int | None) -> Sequence[ShardView]:
        if number is None:
            return self._shards
        if not 0 <= number < len(self._shards):
            last = len(self._shards) - 1
            raise _Refused(404, "unknown_shard", f"there is no such shard: they are 0 to {last}")
        return [self._shards[number]]


class _Refused(Exception):
    """Status, word and sentence of an answer that is none."""

    def __init__(self, status: int, word: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.refusal = Refusal(word, detail)


class _ShardQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    shard: int | None = None


class _ComingQuery(_ShardQuery, frozen=True, forbid_unknown_fields=True):
    limit: Limit = 20


class _ListQuery(_ComingQuery, frozen=True, forbid_unknown_fields=True):
    site_id: str | None = None
    desk: str | None = None
    grade: Grade | None = None
    clock: str | None = None
    after: str | None = None

    def wants(self, plan: Plan) -> bool:
        return (
            self.site_id in (None, plan.site_id)
            and self.desk in (None, plan.desk)
            and self.grade in (None, plan.grade)
        )


def _read(request: web.Request, kind: type[QueryT]) -> QueryT:
    try:
        return msgspec.convert(dict(request.query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _Refused(400, "invalid_query", str(error)) from error


def _read_cursor(text: str | None, shards: Sequence[ShardView]) -> tuple[int, int]:
    """Which of the shards, and where in it."""
    if text is None:
        return 0, 0
    try:
        number, at = (int(part) for part in text.split("."))
        return [shard.partition for shard in shards].index(number), at
    except ValueError:
        raise _Refused(400, "invalid_query", f"after={text!r} is no `next` of an answer") from None


async def _stands(shards: Sequence[ShardView]) -> dict[int, Stand]:
    return {shard.partition: await shard.stand() for shard in shards}


def _redis_time(stands: Mapping[int, Stand]) -> str:
    return to_rfc3339(max(stand.now_ms for stand in stands.values()))


def _answering(
    answer: Callable[[web.Request], Awaitable[Answer]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def respond(request: web.Request) -> web.Response:
        status = 200
        try:
            body: object = await answer(request)
        except _Refused as refused:
            status, body = refused.status, refused.refusal
        except StoreError as error:
            status, body = 503, Refusal("redis", str(error))
        return web.Response(
            status=status, body=msgspec.json.encode(body), content_type="application/json"
        )

    return respond


class _Coming(NamedTuple):
    case_id: str
    plan: Plan
    moment: Moment


def earliest(cases: Iterable[tuple[str, Plan]]) -> NextClock | None:
    """What fires first of these cases; None: nothing does."""
    coming = [
        _Coming(case_id, plan, moment)
        for case_id, plan in cases
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

"""The timer's HTTP API for commands: where one is, what it answers, its refusals in one sentence."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
import typer

from deploy.cli.dispatch_api import ApiError, local_url, why
from deploy.cli.terminal import failure
from deploy.cli.wording import plain
from deploy.typed import typed
from shared.documents.answers import Refusal
from shared.documents.clock_answers import (
    CaseClocks,
    ClockList,
    ComingList,
    RebuildBegun,
    ShardList,
    ShardState,
    StandingClock,
)

DEFAULT_URL = "http://127.0.0.1:8083"
URL_VARIABLE = "BAKVAKT_TIMER_URL"
TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
# The longest list that a timer gives at once.
LONGEST_LIST = 500

AnswerT = TypeVar("AnswerT")
ResultT = TypeVar("ResultT")

TimerUrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Where a timer answers, any one of them. Else BAKVAKT_TIMER_URL, else the `up` that runs "
        f"here, else {DEFAULT_URL}.",
    ),
]


def timer_url(option: str | None, environ: Mapping[str, str]) -> str:
    """Where a timer is. Raises ApiError for what is no URL."""
    named = option or environ.get(URL_VARIABLE)
    if not named:
        return local_url(environ, "timer", DEFAULT_URL)
    if not named.startswith(("http://", "https://")):
        raise ApiError(f"{named!r} is no URL of a timer; write one such as {DEFAULT_URL}")
    return named.rstrip("/")


def ask_timer(url_option: str | None, work: "Callable[[TimerApi], Awaitable[ResultT]]") -> ResultT:
    """What `work` gives; where no timer answers or it refuses, that is told and the command ends."""

    async def ask() -> ResultT:
        url = timer_url(url_option, os.environ)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
            return await work(TimerApi(url, session))

    try:
        return asyncio.run(ask())
    except ApiError as error:
        raise failure(str(error)) from None


class ClocksFound(msgspec.Struct, frozen=True, kw_only=True):
    """What `clocks list --json` prints."""

    clocks: list[StandingClock]
    """Those that end first of what was looked at, in order."""
    looked_at: int
    """Cases that were looked at."""
    more: bool
    """Whether there may be more: not all were looked at, or not all are given."""
    not_served: list[int]
    at: str


class TimerApi:
    """Each method raises ApiError: no answer, no such thing, or not now."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def list_clocks(self, wanted: Mapping[str, str], limit: int) -> ClocksFound:
        """At most `limit` standing clocks, looked for part by part; `wanted` is as in the query."""
        clocks: list[StandingClock] = []
        looked_at = 0
        query = {**wanted, "limit": str(min(limit, LONGEST_LIST))}
        while True:
            found = await self._ask("GET", "/v1/clocks", ClockList, query)
            clocks += found.clocks
            looked_at += found.looked_at
            if found.next is None or len(clocks) >= limit:
                break
            query["after"] = found.next
        clocks.sort(key=lambda clock: (clock.due_at, clock.case_id))
        return ClocksFound(
            clocks=clocks[:limit],
            looked_at=looked_at,
            more=found.next is not None or len(clocks) > limit,
            not_served=found.not_served,
            at=found.at,
        )

    async def coming(self, wanted: Mapping[str, str]) -> ComingList:
        return await self._ask("GET", "/v1/clocks/coming", ComingList, wanted)

    async def case_clocks(self, case_id: str) -> CaseClocks:
        return await self._ask("GET", f"/v1/cases/{quote(case_id, safe='')}/clocks", CaseClocks)

    async def shards(self) -> list[ShardState]:
        return (await self._ask("GET", "/v1/shards", ShardList)).shards

    async def shard(self, number: int) -> ShardState:
        return (await self._ask("GET", "/v1/shards", ShardList, {"shard": str(number)})).shards[0]

    async def rebuild(self, shard: int) -> RebuildBegun:
        return await self._ask("POST", f"/v1/shards/{shard}/rebuild", RebuildBegun)

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[AnswerT],
        query: Mapping[str, str] | None = None,
    ) -> AnswerT:
        try:
            async with self._session.request(method, self._url + path, params=query) as response:
                body = await response.read()
        except aiohttp.InvalidURL:
            raise ApiError(f"{self._url} is no URL; write one such as {DEFAULT_URL}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(
                f"No timer answers at {self._url} ({why(error)}). Start one with: {typed('up --detach')}; "
                f"or say where it is: --url, {URL_VARIABLE}"
            ) from None
        try:
            if response.ok:
                return msgspec.json.decode(body, type=kind)
            refusal = msgspec.json.decode(body, type=Refusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ApiError(
                f"{self._url} answers, but not as this version's timer does "
                f"({response.status}, {response.content_type})",
                response.status,
            ) from None
        raise ApiError(_sentence(refusal), response.status)


def _sentence(refusal: Refusal) -> str:
    if refusal.error == "redis":
        return f"The timer's Redis does not answer: {plain(refusal.detail)}"
    return plain(refusal.detail[:1].upper() + refusal.detail[1:])

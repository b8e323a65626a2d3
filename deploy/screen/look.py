"""Takes the snapshots: asks every process that `up` has started, all at once."""

import asyncio
import time
from collections.abc import Iterable
from typing import TypeVar, cast

import aiohttp
import msgspec

from deploy.local.endpoints import TIMEOUT, metrics_text, missing
from deploy.local.state import ChildRecord, State, StateDirectory
from deploy.screen.snapshot import (
    CaseNow,
    Instance,
    NextClock,
    Page,
    Server,
    ServerState,
    Snapshot,
)
from shared.times import now_ms

SERVERS = ("kafka", "redis", "postgres")
PAGES = 20
# Each case costs dispatch some 5 ms, so it is not asked each time: of 20 open ones this is 4 % of a core.
# What somebody has taken hardly changes; what is open may be taken any moment.
OPEN_KEPT_S = 3.0
TAKEN_KEPT_S = 10.0

ReplyT = TypeVar("ReplyT")


class _ShownPage(msgspec.Struct):
    """Of the receiver's GET /pages."""

    received_at: str
    count: int
    page: object


class _Next(msgspec.Struct):
    """Of the timer's GET /v1/clocks/next."""

    next: NextClock | None


class _Titled(msgspec.Struct):
    title: str = ""


class _CaseFile(msgspec.Struct):
    """Of dispatch's GET /v1/cases/{case_id}."""

    case: CaseNow
    faults: list[_Titled]


class Looker:
    """Looks at what `up` runs, from outside. What doesn't answer is told as such; nothing is raised."""

    def __init__(self, directory: StateDirectory, session: aiohttp.ClientSession) -> None:
        self._directory = directory
        self._session = session
        self._cases: dict[str, tuple[CaseNow, float]] = {}
        """With the time at which dispatch said so."""

    async def look(self) -> Snapshot:
        """Everything as it is now."""
        state = self._directory.read()
        if state is None or not state.is_running():
            return Snapshot(at_ms=now_ms(), seen_s=time.monotonic(), running=False)
        receivers, services = _of_kind(state, "receiver"), _of_kind(state, "service")
        instances, answering, pages, next_clock = await asyncio.gather(
            asyncio.gather(*(self._instance(child) for child in services)),
            asyncio.gather(*(self._receiver(child) for child in receivers)),
            self._pages(receivers),
            self._next_clock(services),
        )
        seen_s = time.monotonic()
        wanted = [page.case_id for page in pages]
        if next_clock is not None:
            wanted.append(next_clock.case_id)
        return Snapshot(
            at_ms=now_ms(),
            seen_s=seen_s,
            running=True,
            stopping=state.stopping,
            started_ms=state.started_ms,
            servers=tuple(_server(state, name) for name in SERVERS),
            services=tuple(instances),
            receiver=answering[0] if answering else None,
            pages=pages,
            next_clock=next_clock,
            cases=await self._ask_cases(services, wanted, seen_s),
            events=state.events,
        )

    async def _instance(self, child: ChildRecord) -> Instance:
        url = child.url or ""
        lacking, metrics = await asyncio.gather(
            missing(self._session, url), metrics_text(self._session, url)
        )
        return _instance(child, lacking, metrics)

    async def _receiver(self, child: ChildRecord) -> Instance:
        return _instance(child, await missing(self._session, child.url or ""))

    async def _pages(self, receivers: list[ChildRecord]) -> tuple[Page, ...]:
        pages: list[_ShownPage] = []
        for child in receivers:
            pages += await self._ask(f"{child.url}/pages", list[_ShownPage]) or []
        return tuple(_page(page) for page in pages[:PAGES])

    async def _next_clock(self, services: list[ChildRecord]) -> NextClock | None:
        """The earliest of all timers; each knows its own shards."""
        timers = [child for child in services if child.service == "timer"]
        replies = await asyncio.gather(
            *(self._ask(f"{child.url}/v1/clocks/next", _Next) for child in timers)
        )
        coming = [reply.next for reply in replies if reply is not None and reply.next is not None]
        return min(coming, key=lambda clock: clock.due_at, default=None)

    async def _ask_cases(
        self, services: list[ChildRecord], case_ids: Iterable[str], now_s: float
    ) -> dict[str, CaseNow]:
        """As dispatch knows them, whichever instance: they share one database."""
        wanted = {case_id for case_id in case_ids if case_id}
        dispatch = next((child for child in services if child.service == "dispatch"), None)
        asked = [case_id for case_id in wanted if not self._is_fresh(case_id, now_s)]
        if dispatch is not None:
            url = f"{dispatch.url}/v1/cases"
            files = await asyncio.gather(
                *(self._ask(f"{url}/{case_id}", _CaseFile) for case_id in asked)
            )
            for case_id, file in zip(asked, files, strict=True):
                if file is not None:
                    title = file.faults[0].title if file.faults else ""
                    case = msgspec.structs.replace(file.case, title=title)
                    self._cases[case_id] = case, now_s
        self._cases = {key: kept for key, kept in self._cases.items() if key in wanted}
        return {case_id: case for case_id, (case, _) in self._cases.items()}

    def _is_fresh(self, case_id: str, now_s: float) -> bool:
        if case_id not in self._cases:
            return False
        case, asked_s = self._cases[case_id]
        return now_s - asked_s < (OPEN_KEPT_S if case.state == "open" else TAKEN_KEPT_S)

    async def _ask(self, url: str, reply: type[ReplyT]) -> ReplyT | None:
        """None where there is no answer, or none of this form."""
        try:
            async with self._session.get(url, timeout=TIMEOUT) as response:
                if response.status != 200:
                    return None
                return msgspec.json.decode(await response.read(), type=reply)
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError):
            return None


def _of_kind(state: State, kind: str) -> list[ChildRecord]:
    return [child for child in state.children if child.kind == kind]


def _instance(child: ChildRecord, lacking: tuple[str, ...] | None, metrics: str = "") -> Instance:
    return Instance(
        name=child.name,
        service=child.service,
        url=child.url or "",
        pid=child.process.pid if child.process else None,
        missing=lacking,
        metrics=metrics,
    )


def _server(state: State, name: str) -> Server:
    child = next((child for child in state.children if child.name == name), None)
    where: str = getattr(state, name)
    if child is None:
        return Server(name=name, where=where, pid=None, state="yours")
    pid = child.process.pid if child.process else None
    gone: ServerState = "stopped" if state.stopping else "restarts"
    return Server(name=name, where=where, pid=pid, state="runs" if pid else gone)


def _page(shown: _ShownPage) -> Page:
    """Its fields as far as they are what a page of ours has."""
    fields = cast("dict[str, object]", shown.page) if isinstance(shown.page, dict) else {}
    own: dict[str, object] = {"received_at": shown.received_at, "count": shown.count}
    try:
        return msgspec.convert(fields | own, Page)
    except msgspec.ValidationError:
        return msgspec.convert(own, Page)

"""What people see of cases and do with them, over HTTP. Only for this host until there is log-in."""

from collections.abc import Iterable

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.answering import NotThere, answering, json_answer
from services.dispatch.database import transaction
from services.dispatch.orders import NoSuchCase, NoSuchFault, Orders
from services.dispatch.queries import (
    find_place,
    list_cases,
    list_faults,
    read_case_file,
    read_fault,
)
from services.dispatch.requests import (
    Acknowledge,
    BadRequest,
    Close,
    Detach,
    Regrade,
    Resolve,
    may_be_id,
    read_body,
    read_cases_wanted,
    read_faults_wanted,
)


class CaseApi:
    """The routes under /v1/cases and /v1/faults. Each answers 2xx only once what was asked is committed."""

    def __init__(self, engine: AsyncEngine, orders: Orders) -> None:
        self._engine = engine
        self._orders = orders

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/v1/cases", answering(self._list)),
            web.get("/v1/cases/{case_id}", answering(self._show)),
            web.post("/v1/cases/{case_id}/acknowledge", answering(self._acknowledge)),
            web.post("/v1/cases/{case_id}/resolve", answering(self._resolve)),
            web.post("/v1/cases/{case_id}/close", answering(self._close)),
            web.post("/v1/cases/{case_id}/regrade", answering(self._regrade)),
            web.post("/v1/cases/{case_id}/detach", answering(self._detach)),
            web.get("/v1/faults", answering(self._list_faults)),
            web.get("/v1/faults/{fault_id}", answering(self._show_fault)),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        """GET /v1/cases?state=&grade=&site_id=&id=&limit=&after=: newest first.

        `state` and `grade`: one or several, with commas; `id`: how a case's id begins; `after`: the `next`
        of the page before.
        """
        wanted, limit, after = read_cases_wanted(request.query)
        async with transaction(self._engine) as connection:
            place = None if after is None else await find_place(connection, after)
            if after is not None and place is None:
                raise BadRequest([f"after: there is no case {after}"])
            found = await list_cases(connection, wanted, limit=limit, after=place)
        return json_answer(found)

    async def _show(self, request: web.Request) -> web.Response:
        case_id = _case_id(request)
        async with transaction(self._engine) as connection:
            case_file = await read_case_file(connection, case_id)
        if case_file is None:
            raise NoSuchCase(case_id)
        return json_answer(case_file)

    async def _acknowledge(self, request: web.Request) -> web.Response:
        body = await read_body(request, Acknowledge)
        return json_answer(await self._orders.acknowledge(_case_id(request), body.by, body.note))

    async def _resolve(self, request: web.Request) -> web.Response:
        body = await read_body(request, Resolve)
        return json_answer(
            await self._orders.resolve(
                _case_id(request),
                body.by,
                body.reason,
                clear=body.ruling == "clear",
            )
        )

    async def _close(self, request: web.Request) -> web.Response:
        body = await read_body(request, Close)
        return json_answer(await self._orders.close(_case_id(request), body.by, body.reason))

    async def _regrade(self, request: web.Request) -> web.Response:
        body = await read_body(request, Regrade)
        return json_answer(
            await self._orders.regrade(_case_id(request), body.grade, body.by, body.reason)
        )

    async def _detach(self, request: web.Request) -> web.Response:
        body = await read_body(request, Detach)
        case_id = _case_id(request)
        try:
            case = await self._orders.detach(case_id, body.fault_id, body.by, body.reason)
        except NoSuchFault as error:
            raise NotThere(f"there is no fault {error}") from error
        return json_answer(case)

    async def _list_faults(self, request: web.Request) -> web.Response:
        """GET /v1/faults?id=&limit=: those whose ids begin so."""
        wanted = read_faults_wanted(request.query)
        async with transaction(self._engine) as connection:
            found = await list_faults(connection, id_begins=wanted.id_begins, limit=wanted.limit)
        return json_answer(found)

    async def _show_fault(self, request: web.Request) -> web.Response:
        fault_id = request.match_info["fault_id"]
        if not may_be_id(fault_id):
            raise NotThere("there is no fault of an id like this")
        async with transaction(self._engine) as connection:
            found = await read_fault(connection, fault_id)
        if found is None:
            raise NotThere(f"there is no fault {fault_id}")
        return json_answer(found)


def _case_id(request: web.Request) -> str:
    """The one in the path; raises NoSuchCase for what cannot be one."""
    case_id = request.match_info["case_id"]
    if not may_be_id(case_id):
        raise NoSuchCase("of an id like this")
    return case_id

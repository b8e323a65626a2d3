"""What people see of cases and do with them, over HTTP. Only for this host until there is log-in."""

import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Literal, TypeVar, get_args, get_type_hints

import msgspec
from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.actions import NotAllowed
from services.dispatch.database import DatabaseError, transaction
from services.dispatch.inbox import LONGEST_ID
from services.dispatch.orders import NoSuchCase, Orders
from services.dispatch.queries import find_place, list_cases, read_case_file
from shared.documents.case import Case, CaseState
from shared.documents.fault import GRADES

# The control characters that people's words may hold.
LINE_ENDS = "\n\r\t"
STATES: tuple[str, ...] = get_args(CaseState)
DEFAULT_LIMIT = 50
LONGEST_LIST = 500

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Words = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class Acknowledge(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /v1/cases/{case_id}/acknowledge."""

    by: Name
    note: Words | None = None


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /v1/cases/{case_id}/resolve."""

    by: Name
    reason: Words
    ruling: Literal["clear"] | None = None


class Close(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /v1/cases/{case_id}/close."""

    by: Name
    reason: Words | None = None


Body = TypeVar("Body", Acknowledge, Resolve, Close)
Handler = Callable[[web.Request], Awaitable[web.Response]]


class BadRequest(Exception):
    """The request is wrong in each of these ways."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))


class CaseApi:
    """The routes under /v1/cases. Each answers 2xx only once what was asked is committed."""

    def __init__(self, engine: AsyncEngine, orders: Orders) -> None:
        self._engine = engine
        self._orders = orders

    def routes(self) -> Iterable[web.RouteDef]:
        return [
            web.get("/v1/cases", _answering(self._list)),
            web.get("/v1/cases/{case_id}", _answering(self._show)),
            web.post("/v1/cases/{case_id}/acknowledge", _answering(self._acknowledge)),
            web.post("/v1/cases/{case_id}/resolve", _answering(self._resolve)),
            web.post("/v1/cases/{case_id}/close", _answering(self._close)),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        """GET /v1/cases?state=&grade=&limit=&after=: newest first; `next` is the next page's `after`."""
        query = request.query
        problems = [
            f"{name}: {query[name]!r} is none of {', '.join(known)}"
            for name, known in (("state", STATES), ("grade", GRADES))
            if name in query and query[name] not in known
        ]
        problems += [
            f"{name}: unknown; there are state, grade, limit, after"
            for name in query
            if name not in {"state", "grade", "limit", "after"}
        ]
        limit_text = query.get("limit", str(DEFAULT_LIMIT))
        # Short enough to be a number of that size: Python refuses to read thousands of digits.
        short = len(limit_text) <= len(str(LONGEST_LIST))
        limit = int(limit_text) if short and limit_text.isascii() and limit_text.isdigit() else 0
        if not 1 <= limit <= LONGEST_LIST:
            problems.append(f"limit: {limit_text[:20]!r} is no number from 1 to {LONGEST_LIST}")
        after = query.get("after")
        if after is not None and not _may_be_id(after):
            problems.append("after: is no case's id")
        if problems:
            raise BadRequest(problems)
        async with transaction(self._engine) as connection:
            place = None if after is None else await find_place(connection, after)
            if after is not None and place is None:
                raise BadRequest([f"after: there is no case {after}"])
            docs = await list_cases(
                connection,
                state=query.get("state"),
                grade=query.get("grade"),
                limit=limit,
                after=place,
            )
        last = msgspec.json.decode(docs[-1], type=Case).case_id if len(docs) == limit else None
        return _json({"cases": docs, "next": last})

    async def _show(self, request: web.Request) -> web.Response:
        case_id = _case_id(request)
        async with transaction(self._engine) as connection:
            case_file = await read_case_file(connection, case_id)
        if case_file is None:
            raise NoSuchCase(case_id)
        return _json(case_file)

    async def _acknowledge(self, request: web.Request) -> web.Response:
        body = await _read_body(request, Acknowledge)
        return _json(await self._orders.acknowledge(_case_id(request), body.by, body.note))

    async def _resolve(self, request: web.Request) -> web.Response:
        body = await _read_body(request, Resolve)
        return _json(
            await self._orders.resolve(
                _case_id(request),
                body.by,
                body.reason,
                clear=body.ruling == "clear",
            )
        )

    async def _close(self, request: web.Request) -> web.Response:
        body = await _read_body(request, Close)
        return _json(await self._orders.close(_case_id(request), body.by, body.reason))


def _case_id(request: web.Request) -> str:
    """The one in the path; raises NoSuchCase for what cannot be one."""
    case_id = request.match_info["case_id"]
    if not _may_be_id(case_id):
        raise NoSuchCase("of an id like this")
    return case_id


def _may_be_id(text: str) -> bool:
    return 1 <= len(text) <= LONGEST_ID and text.isprintable()


def _answering(handler: Handler) -> Handler:
    """The errors of a handler as answers in JSON: what is wrong, and what to do."""

    async def answer(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except BadRequest as error:
            return _error(400, "bad_request", str(error))
        except NoSuchCase as error:
            return _error(404, "not_found", f"there is no case {error}; see GET /v1/cases")
        except NotAllowed as error:
            return _error(409, error.reason, str(error))
        except DatabaseError as error:
            return _error(
                503,
                "unavailable",
                f"the database does not answer, nothing was changed; try again ({error})",
            )

    return answer


async def _read_body(request: web.Request, kind: type[Body]) -> Body:
    """The body, checked field by field; raises BadRequest with every problem.

    A browser sends `application/json` to another origin only after asking, and is never allowed to; so no
    web page can act in the name of somebody who has it open.
    """
    if request.content_type != "application/json":
        raise BadRequest([f"content-type is {request.content_type}, it must be application/json"])
    try:
        fields = msgspec.json.decode(await request.read(), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest([f"the body is no JSON object: {error}"]) from error
    hints = get_type_hints(kind, include_extras=True)
    problems = [
        f"{name}: unknown; there are {', '.join(hints)}" for name in fields if name not in hints
    ]
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.name not in fields:
            if field.required:
                problems.append(f"{field.name}: is missing")
            continue
        try:
            value = msgspec.json.decode(fields[field.name], type=hints[field.name])
            values[field.name] = _checked_text(value)
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"{field.name}: {error}")
    if problems:
        raise BadRequest(problems)
    return msgspec.convert(values, kind)


def _checked_text(value: object) -> object:
    """What cannot be kept is refused, and what would drive a terminal; all languages are welcome."""
    if isinstance(value, str):
        if not value.strip():
            raise ValueError("is empty")
        # Cc: control characters, Cs: halves of characters.
        if any(unicodedata.category(c) in {"Cc", "Cs"} and c not in LINE_ENDS for c in value):
            raise ValueError("holds control characters")
    return value


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(content), status=status, content_type="application/json"
    )


def _error(status: int, word: str, detail: str) -> web.Response:
    return _json({"error": word, "detail": detail}, status)

"""Dispatch's HTTP API for commands: where it is, what it answers, its refusals in one sentence."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
import typer

from deploy.cli.terminal import failure
from deploy.cli.wording import plain
from deploy.local.state import StateDirectory
from deploy.typed import typed
from shared.documents.answers import (
    CaseFile,
    CaseList,
    EmuFile,
    EmuList,
    FaultFile,
    FaultList,
    FileRefusal,
    FleetChange,
)
from shared.documents.case import Case
from shared.documents.emu import EmuRecord
from shared.documents.fault import Fault
from shared.errors import BakvaktError

DEFAULT_URL = "http://127.0.0.1:8080"
URL_VARIABLE = "BAKVAKT_URL"
TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=5)
# A whole fleet takes its time on both sides.
FILE_TIMEOUT = aiohttp.ClientTimeout(total=600, sock_connect=5)
FileFormat = Literal["jsonl", "csv"]
CONTENT_TYPES: dict[FileFormat, str] = {"jsonl": "application/x-ndjson", "csv": "text/csv"}
# Before there is a connection, nothing has been asked.
NOT_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
# The longest list that dispatch gives at once.
LONGEST_LIST = 500

ID_LENGTH = 16
# What is shorter is more often a slip than an id.
SHORTEST_ID = 4
CANDIDATES_SHOWN = 10

AnswerT = TypeVar("AnswerT")
ResultT = TypeVar("ResultT")

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="Where dispatch answers. Else BAKVAKT_URL, else the `up` that runs here, "
        f"else {DEFAULT_URL}.",
    ),
]


class ApiError(BakvaktError):
    """Dispatch does not answer, or refuses; the text is what people read. `status` None: no answer."""

    reason = "api"

    def __init__(
        self, message: str, status: int | None = None, refused: FileRefusal | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.refused = refused
        """What is wrong with a file, line by line."""


def named_url(option: str | None, environ: Mapping[str, str]) -> str | None:
    """Where somebody says that dispatch is; None: nobody does. Raises ApiError for what is no URL."""
    named = option or environ.get(URL_VARIABLE)
    if named and not named.startswith(("http://", "https://")):
        raise ApiError(f"{named!r} is no URL of dispatch; write one such as {DEFAULT_URL}")
    return named.rstrip("/") if named else None


def local_url(
    environ: Mapping[str, str], service: str = "dispatch", default: str = DEFAULT_URL
) -> str:
    """Where that service of the `up` that runs here is; else its usual port."""
    state = StateDirectory.from_environment(environ).read()
    if state is not None and state.is_running():
        running = [child for child in state.children if child.service == service]
        # One that lives before one that waits to be started again.
        for child in sorted(running, key=lambda child: child.process is None):
            return child.url or default
    return default


def ask_dispatch(
    url_option: str | None, work: "Callable[[DispatchApi], Awaitable[ResultT]]"
) -> ResultT:
    """What `work` gives; where dispatch does not answer or refuses, that is told and the command ends."""

    async def ask() -> ResultT:
        url = named_url(url_option, os.environ) or local_url(os.environ)
        async with aiohttp.ClientSession() as session:
            return await work(DispatchApi(url, session))

    try:
        return asyncio.run(ask())
    except ApiError as error:
        raise failure(str(error)) from None


class DispatchApi:
    """Each method raises ApiError: no answer, no such thing, or not allowed."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def list_cases(self, wanted: Mapping[str, str], limit: int) -> CaseList[Case, Fault]:
        """At most `limit` cases, newest first, page by page; `wanted` is as in the query."""
        cases: list[Case] = []
        faults: list[Fault] = []
        query = dict(wanted)
        while True:
            query["limit"] = str(min(limit - len(cases), LONGEST_LIST))
            found = await self._get("/v1/cases", CaseList[Case, Fault], query)
            cases += found.cases
            faults += found.faults
            if found.next is None or len(cases) >= limit:
                return CaseList(cases=cases, faults=faults, next=found.next)
            query["after"] = found.next

    async def case_file(self, case_id: str) -> CaseFile[Case, Fault]:
        return await self._get(f"/v1/cases/{case_id}", CaseFile[Case, Fault])

    async def fault_file(self, fault_id: str) -> FaultFile[Fault]:
        return await self._get(f"/v1/faults/{fault_id}", FaultFile[Fault])

    async def order(self, case_id: str, action: str, body: Mapping[str, str | None]) -> Case:
        """Acknowledge, regrade, detach, resolve or close; the case as it is afterwards."""
        said = {name: words for name, words in body.items() if words is not None}
        return await self._ask("POST", f"/v1/cases/{case_id}/{action}", Case, json=said)

    async def find_case(self, text: str) -> str:
        """The id of the only case whose id is, or begins with, `text`."""
        if not _is_shortened(text, "case"):
            return text
        found = await self._get(
            "/v1/cases", CaseList[Case, Fault], {"id": text, "limit": str(CANDIDATES_SHOWN + 1)}
        )
        titles = {fault.fault_id: fault.title for fault in found.faults}
        return _only(
            text,
            "case",
            {
                case.case_id: f"{case.grade}  {case.state}  {titles.get(next(iter(case.fault_ids), ''), '')}"
                for case in found.cases
            },
        )

    async def find_fault(self, text: str) -> str:
        """The id of the only fault whose id is, or begins with, `text`."""
        if not _is_shortened(text, "fault"):
            return text
        found = await self._get(
            "/v1/faults", FaultList[Fault], {"id": text, "limit": str(CANDIDATES_SHOWN + 1)}
        )
        return _only(
            text,
            "fault",
            {
                fault.fault_id: f"{fault.grade}  {fault.state}  {fault.title} ({fault.emu_id})"
                for fault in found.faults
            },
        )

    async def import_fleet(
        self, file: bytes, file_format: FileFormat, by: str, *, dry_run: bool
    ) -> FleetChange:
        query = {"by": by, "dry_run": str(dry_run).lower()}
        return await self._ask(
            "POST", "/v1/fleet", FleetChange, query=query, file=(file, file_format)
        )

    async def export_fleet(self, file_format: FileFormat) -> AsyncIterator[bytes]:
        """The file, piece by piece."""
        url = f"{self._url}/v1/fleet"
        try:
            async with self._session.get(
                url, params={"format": file_format}, timeout=FILE_TIMEOUT
            ) as response:
                response.raise_for_status()
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ApiError(_no_answer(self._url, error)) from None

    async def list_emus(self, wanted: Mapping[str, str], limit: int) -> EmuList[EmuRecord]:
        """At most `limit` EMUs by site, page by page; `wanted` is as in the query."""
        emus: list[EmuFile[EmuRecord]] = []
        query = dict(wanted)
        while True:
            query["limit"] = str(min(limit - len(emus), LONGEST_LIST))
            found = await self._get("/v1/emus", EmuList[EmuRecord], query)
            emus += found.emus
            if found.next is None or len(emus) >= limit:
                return EmuList(emus=emus, next=found.next)
            query["after"] = found.next

    async def emu_file(self, emu_id: str) -> EmuFile[EmuRecord]:
        return await self._get(f"/v1/emus/{quote(emu_id, safe='')}", EmuFile[EmuRecord])

    async def _get(
        self, path: str, kind: type[AnswerT], query: Mapping[str, str] | None = None
    ) -> AnswerT:
        return await self._ask("GET", path, kind, query=query)

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[AnswerT],
        *,
        query: Mapping[str, str] | None = None,
        json: Mapping[str, str] | None = None,
        file: tuple[bytes, FileFormat] | None = None,
    ) -> AnswerT:
        timeout, headers, data = TIMEOUT, None, None
        if file is not None:
            data, file_format = file
            timeout, headers = FILE_TIMEOUT, {"content-type": CONTENT_TYPES[file_format]}
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=query,
                json=json,
                data=data,
                headers=headers,
                timeout=timeout,
            ) as response:
                body = await response.read()
        except aiohttp.InvalidURL:
            raise ApiError(f"{self._url} is no URL; write one such as {DEFAULT_URL}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            if method == "POST" and not isinstance(error, NOT_SENT):
                raise ApiError(_not_known(self._url, path, error)) from None
            raise ApiError(_no_answer(self._url, error)) from None
        try:
            if response.ok:
                return msgspec.json.decode(body, type=kind)
            refusal = msgspec.json.decode(body, type=FileRefusal)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ApiError(
                f"{self._url} answers, but not as this version's dispatch does "
                f"({response.status}, {response.content_type})",
                response.status,
            ) from None
        refused = refusal if refusal.problems else None
        raise ApiError(_sentence(refusal.detail), response.status, refused)


def _is_shortened(text: str, what: str) -> bool:
    """Whether `text` may be the beginning of an id. Raises ApiError where it cannot be even that."""
    if not (text.isascii() and text.isalnum()):
        raise ApiError(f"{plain(text)!r} is no {what}'s id: letters and digits only")
    if len(text) < SHORTEST_ID:
        raise ApiError(
            f"{text!r} is too short; give at least {SHORTEST_ID} letters of the {what}'s id"
        )
    return len(text) < ID_LENGTH


def _only(text: str, what: str, found: Mapping[str, str]) -> str:
    """The only id that was found; `found` has a line about each."""
    if len(found) == 1:
        return next(iter(found))
    if not found:
        hint = f"; see: {typed('cases --state all')}" if what == "case" else ""
        raise ApiError(f"No {what}'s id begins with {text}{hint}")
    lines = [f"  {id_}  {plain(about)}" for id_, about in list(found.items())[:CANDIDATES_SHOWN]]
    if len(found) > CANDIDATES_SHOWN:
        lines.append("  and more")
    raise ApiError("\n".join([f"More than one {what}'s id begins with {text}:", *lines]))


def _not_known(url: str, path: str, error: Exception) -> str:
    """An order was sent, and no answer came."""
    if path == "/v1/fleet":
        return (
            f"{url} has not answered ({why(error)}): it is not known whether the fleet was changed. "
            "The same file may be imported again, it changes nothing twice"
        )
    case_id = path.split("/")[-2]
    return (
        f"{url} has not answered ({why(error)}): it is not known whether it was done. "
        f"Look: {typed(f'cases show {case_id}')}; doing it again is safe"
    )


def why(error: Exception) -> str:
    """Why nobody has answered, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno:
        return os.strerror(error.os_error.errno).lower()
    return str(error) or repr(error)


def _no_answer(url: str, error: Exception) -> str:
    return (
        f"No dispatch answers at {url} ({why(error)}). Start one with: {typed('up --detach')}; "
        f"or say where it is: --url, {URL_VARIABLE}"
    )


def _sentence(detail: str) -> str:
    """Dispatch's words, in those of the command line."""
    detail = detail.replace("see GET /v1/cases", f"see: {typed('cases --state all')}")
    detail = detail.replace("see GET /v1/emus", f"see: {typed('fleet show')}")
    return plain(detail[:1].upper() + detail[1:])

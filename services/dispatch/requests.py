"""What a request says, checked as a whole: each problem is told, not just the first."""

import unicodedata
from collections.abc import Collection, Mapping
from typing import Annotated, Literal, NamedTuple, TypeVar, get_args, get_type_hints

import msgspec
from aiohttp import web

from services.dispatch.fleet_file import FileFormat
from services.dispatch.inbox import LONGEST_ID
from services.dispatch.queries import CaseFilter
from shared.documents.case import CaseState
from shared.documents.emu import EmuState
from shared.documents.fault import GRADES, Grade

# The control characters that people's words may hold.
LINE_ENDS = "\n\r\t"
STATES: tuple[str, ...] = get_args(CaseState)
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
EMU_STATES: tuple[str, ...] = get_args(EmuState)
DEFAULT_LIMIT = 50
LONGEST_LIST = 500

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_ID)]
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


class Regrade(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /v1/cases/{case_id}/regrade."""

    by: Name
    grade: Grade
    reason: Words


class Detach(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /v1/cases/{case_id}/detach."""

    by: Name
    fault_id: Id
    reason: Words


Body = TypeVar("Body", Acknowledge, Resolve, Close, Regrade, Detach)


class BadRequest(Exception):
    """The request is wrong in each of these ways."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))


class CasesWanted(NamedTuple):
    """The query of GET /v1/cases; `after` is the case whose followers are asked for."""

    filter: CaseFilter
    limit: int
    after: str | None


class FaultsWanted(NamedTuple):
    """The query of GET /v1/faults."""

    id_begins: str
    limit: int


class EmusWanted(NamedTuple):
    """The query of GET /v1/emus; `after` is the EMU whose followers are asked for."""

    site_id: str | None
    states: tuple[str, ...] | None
    limit: int
    after: str | None


class ImportWanted(NamedTuple):
    """The query of POST /v1/fleet."""

    by: str
    dry_run: bool


def read_cases_wanted(query: Mapping[str, str]) -> CasesWanted:
    """Raises BadRequest."""
    problems = _unknown(query, ("state", "grade", "site_id", "id", "limit", "after"))
    wanted = CasesWanted(
        CaseFilter(
            states=_read_words(query, "state", STATES, problems),
            grades=_read_words(query, "grade", GRADES, problems),
            site_id=query.get("site_id"),
            id_begins=query.get("id"),
        ),
        _read_limit(query, problems),
        query.get("after"),
    )
    if wanted.after is not None and not may_be_id(wanted.after):
        problems.append("after: is no case's id")
    if wanted.filter.site_id is not None and not wanted.filter.site_id.isprintable():
        problems.append("site_id: is no site's id")
    if wanted.filter.id_begins is not None and not may_be_id(wanted.filter.id_begins):
        problems.append("id: no id begins so")
    if problems:
        raise BadRequest(problems)
    return wanted


def read_faults_wanted(query: Mapping[str, str]) -> FaultsWanted:
    """Raises BadRequest."""
    problems = _unknown(query, ("id", "limit"))
    limit = _read_limit(query, problems)
    id_begins = query.get("id", "")
    if not may_be_id(id_begins):
        problems.append("id: is missing, or no id begins so")
    if problems:
        raise BadRequest(problems)
    return FaultsWanted(id_begins, limit)


def read_emus_wanted(query: Mapping[str, str]) -> EmusWanted:
    """Raises BadRequest."""
    problems = _unknown(query, ("site_id", "state", "limit", "after"))
    wanted = EmusWanted(
        query.get("site_id"),
        _read_words(query, "state", EMU_STATES, problems),
        _read_limit(query, problems),
        query.get("after"),
    )
    if wanted.site_id is not None and not wanted.site_id.isprintable():
        problems.append("site_id: is no site's id")
    if wanted.after is not None and not may_be_id(wanted.after):
        problems.append("after: is no EMU's id")
    if problems:
        raise BadRequest(problems)
    return wanted


def read_import_wanted(query: Mapping[str, str]) -> ImportWanted:
    """Raises BadRequest."""
    problems = _unknown(query, ("by", "dry_run"))
    by, dry_run = query.get("by", ""), query.get("dry_run", "false")
    if not may_be_id(by) or not by.strip():
        problems.append(f"by: is missing or no name: 1 to {LONGEST_ID} printable characters")
    if dry_run not in {"true", "false"}:
        problems.append(f"dry_run: {dry_run[:20]!r} is neither true nor false")
    if problems:
        raise BadRequest(problems)
    return ImportWanted(by, dry_run == "true")


def read_format_wanted(query: Mapping[str, str]) -> FileFormat:
    """The query of GET /v1/fleet; raises BadRequest."""
    problems = _unknown(query, ("format",))
    wanted = query.get("format", FILE_FORMATS[0])
    for known in FILE_FORMATS:
        if wanted == known and not problems:
            return known
    if wanted not in FILE_FORMATS:
        problems.append(f"format: {wanted[:20]!r} is none of {', '.join(FILE_FORMATS)}")
    raise BadRequest(problems)


def may_be_id(text: str) -> bool:
    return 1 <= len(text) <= LONGEST_ID and text.isprintable()


def _unknown(query: Mapping[str, str], known: Collection[str]) -> list[str]:
    there_are = ", ".join(known)
    return [f"{name}: unknown; there are {there_are}" for name in query if name not in known]


def _read_words(
    query: Mapping[str, str], name: str, known: Collection[str], problems: list[str]
) -> tuple[str, ...] | None:
    """One of `known`, or several with commas between."""
    if name not in query:
        return None
    words = tuple(query[name].split(","))
    problems += [
        f"{name}: {word!r} is none of {', '.join(known)}" for word in words if word not in known
    ]
    return words


def _read_limit(query: Mapping[str, str], problems: list[str]) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    # Short enough to be a number of that size: Python refuses to read thousands of digits.
    short = len(text) <= len(str(LONGEST_LIST))
    limit = int(text) if short and text.isascii() and text.isdigit() else 0
    if not 1 <= limit <= LONGEST_LIST:
        problems.append(f"limit: {text[:20]!r} is no number from 1 to {LONGEST_LIST}")
    return limit


async def read_body(request: web.Request, kind: type[Body]) -> Body:
    """The body, checked field by field; raises BadRequest.

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

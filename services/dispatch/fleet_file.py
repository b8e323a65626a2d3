"""A file of EMUs, as CSV or JSON lines: what each line says, and all that is wrong with it. Pure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import available_timezones

import msgspec

from services.dispatch.fleet_rows import NOT_JSON, split_csv, split_json
from shared.documents.answers import LineProblem
from shared.documents.emu import EmuState, Unit
from shared.documents.report import Identifier

FileFormat = Literal["jsonl", "csv"]

# More than anybody mends by hand before trying again.
MAX_PROBLEMS = 1_000
# A site of this name is where an EMU stands that has no record.
UNKNOWN_SITE = "unknown:"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

_IDENTIFIER = "1 to 128 printable characters"
_NAME = "1 to 200 printable characters"

# Each field of a line, in the order of the columns that are exported: its type, and what it must be.
# All but the first two may be null as well.
_FIELDS: dict[str, tuple[Any, str]] = {
    "emu_id": (Identifier, _IDENTIFIER),
    "site_id": (Identifier, f"{_IDENTIFIER}, and not begin with {UNKNOWN_SITE}"),
    "site_name": (Name, _NAME),
    "customer_id": (Identifier, _IDENTIFIER),
    "customer_name": (Name, _NAME),
    "desk": (Identifier, _IDENTIFIER),
    "policy": (Identifier, _IDENTIFIER),
    "time_zone": (Identifier, "a name such as Europe/Berlin or UTC"),
    "area": (Identifier, _IDENTIFIER),
    "state": (EmuState, "commissioning, in_service or retired"),
    "model": (Identifier, _IDENTIFIER),
    "firmware": (Identifier, _IDENTIFIER),
    "serial": (Identifier, _IDENTIFIER),
    "units": (
        Annotated[tuple[Unit, ...], msgspec.Meta(max_length=200)],
        'a list of at most 200, such as [{"component": "bms/rack-1", "type": "rack", "rated_kwh": 107}]',
    ),
    "revision": (int, "a number (it is not read: dispatch counts)"),
}
COLUMNS = tuple(_FIELDS)
REQUIRED = ("emu_id", "site_id")
SITE_FIELDS = ("site_name", "customer_id", "desk", "policy", "time_zone", "area")
# Each EMU has its own: remembering them saves nothing.
_UNREPEATED = ("emu_id", "serial")

_decoders = {name: msgspec.json.Decoder(kind) for name, (kind, _) in _FIELDS.items()}


class EmuLine(NamedTuple):
    """What one line says. A field that it does not have stays as it is; None is the field's default."""

    number: int
    says: Mapping[str, Any]

    @property
    def emu_id(self) -> str:
        return self.says["emu_id"]

    @property
    def site_id(self) -> str:
        return self.says["site_id"]


@dataclass
class FleetFile:
    """What a file says of EMUs, their sites and customers; of use only where nothing is wrong."""

    lines: dict[str, EmuLine] = field(default_factory=dict[str, EmuLine])
    sites: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    customers: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    problems: list[LineProblem] = field(default_factory=list[LineProblem])
    """The first of them."""
    more: int = 0
    """How many more there are."""
    _said_in: dict[tuple[str, str, str], int] = field(
        default_factory=dict[tuple[str, str, str], int]
    )
    """The line that first said it: of what, its id, which field."""

    def add(self, row: EmuLine | LineProblem) -> None:
        """Take in what `read_rows` gives, one after another."""
        if isinstance(row, LineProblem):
            self._refuse(row.line, row.detail)
            return
        if (first := self.lines.get(row.emu_id)) is not None:
            self._refuse(
                row.number,
                f"EMU {row.emu_id!r} is in line {first.number} already; keep one of the two",
            )
            return
        self.lines[row.emu_id] = row
        self._add_site(row)
        self._add_customer(row)

    def ended(self) -> None:
        """To be called after the last row."""
        if not self.lines and not self.problems:
            self._refuse(0, "the file holds no EMU; each line is one, see docs/fleet.md")

    def _add_site(self, row: EmuLine) -> None:
        site = self.sites.setdefault(row.site_id, {})
        for name in SITE_FIELDS:
            if name in row.says:
                self._agree("site", row.site_id, site, name, row)

    def _add_customer(self, row: EmuLine) -> None:
        customer_id = row.says.get("customer_id")
        if customer_id is not None:
            customer = self.customers.setdefault(customer_id, {})
            if "customer_name" in row.says:
                self._agree("customer", customer_id, customer, "customer_name", row)
        elif row.says.get("customer_name") is not None:
            self._refuse(row.number, "customer_name: whose? Write the customer_id too")

    def _agree(self, what: str, id_: str, known: dict[str, Any], name: str, row: EmuLine) -> None:
        """A site, or a customer, is the same in all lines."""
        value = row.says[name]
        line = self._said_in.setdefault((what, id_, name), row.number)
        if known.setdefault(name, value) != value:
            self._refuse(
                row.number,
                f"{name}: {_shown(value)} here, {_shown(known[name])} in line {line}; "
                f"{what} {id_!r} has one, write the same in all its lines",
            )

    def _refuse(self, line: int, detail: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(LineProblem(line, detail))
        else:
            self.more += 1


def read_rows(body: bytes, file_format: FileFormat) -> Iterator[EmuLine | LineProblem]:
    """Each line's EMU, or each thing that is wrong with the line; made as they are asked for."""
    known: dict[tuple[str, bytes], Any] = {}
    for row in split_csv(body, COLUMNS, REQUIRED) if file_format == "csv" else split_json(body):
        if row.problem is not None:
            yield LineProblem(row.number, row.problem)
            continue
        says, problems = _read_fields(row.fields, known)
        if problems:
            yield from (LineProblem(row.number, problem) for problem in problems)
        else:
            yield EmuLine(row.number, says)


def _read_fields(
    fields: Mapping[str, bytes], known: dict[tuple[str, bytes], Any]
) -> tuple[dict[str, Any], list[str]]:
    """What is said, and what is wrong. `known`: what was read before, so that it is there once."""
    says: dict[str, Any] = {}
    problems = [
        f"{name}: is missing; it must be {_FIELDS[name][1]}"
        for name in REQUIRED
        if name not in fields
    ]
    for name, raw in fields.items():
        if (name, raw) in known:
            says[name] = known[name, raw]
            continue
        if name not in _FIELDS:
            problems.append(f"{name!r}: there is no such field; there are {', '.join(COLUMNS)}")
            continue
        try:
            says[name] = value = _read_field(name, raw)
        except ValueError as error:
            problems.append(str(error))
        else:
            if name not in _UNREPEATED:
                known[name, raw] = value
    return says, problems


def _read_field(name: str, raw: bytes) -> Any:
    """Raises ValueError."""
    if raw == b"null" and name not in REQUIRED:
        return None
    must_be = f"it must be {_FIELDS[name][1]}"
    try:
        value: Any = _decoders[name].decode(raw)
    except NOT_JSON as error:
        if name == "units":
            raise ValueError(f"units: {error}; {must_be}") from error
        raise ValueError(f"{name}: is {_shown_raw(raw)}; {must_be}") from error
    if isinstance(value, str):
        if not value.isprintable() or (name == "site_id" and value.startswith(UNKNOWN_SITE)):
            raise ValueError(f"{name}: is {_shown_raw(raw)}; {must_be}")
        if name == "time_zone" and not _is_time_zone(value):
            raise ValueError(f"time_zone: {value!r} is not known; {must_be}")
    elif name == "units":
        for unit in value:
            _check_unit(unit, must_be)
    return value


def _check_unit(unit: Unit, must_be: str) -> None:
    for name in ("component", "type"):
        if not getattr(unit, name).isprintable():
            raise ValueError(f"units: a {name} holds characters that do not print; {must_be}")
    for name in ("rated_kw", "rated_kwh"):
        if not math.isfinite(getattr(unit, name) or 0.0):
            raise ValueError(f"units: a {name} is no finite number; {must_be}")


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _is_time_zone(name: str) -> bool:
    """Where the machine has no time zone database, any name is taken."""
    return name == "UTC" or name in _zones() or not _zones()


def _shown(value: object) -> str:
    return "nothing" if value is None else repr(value)


def _shown_raw(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace")
    return "nothing" if text in {'""', "null"} else text if len(text) <= 60 else text[:60] + "..."

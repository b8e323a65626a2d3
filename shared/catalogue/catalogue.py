"""Looking codes up in the catalogue."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import msgspec
from msgspec.structs import replace

from shared.catalogue.kinds import Kind
from shared.catalogue.patterns import Outline, Pattern, as_meant, fill, split_code
from shared.catalogue.registers import Register, Registers, Reserved
from shared.catalogue.words import Remedy, Skill
from shared.documents.fault import Grade
from shared.toml import Place

UNKNOWN_KIND = "other_alarm"
# An instance of a pattern, or a code that is unknown, costs 10 us to make; a fleet uses few codes.
CODES_REMEMBERED = 8_192


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One code, or a pattern of codes, with all that its kind says of it."""

    code: str
    kind: str
    level: str
    component: str
    title: str
    meaning: str
    grade: Grade
    reason: str
    clears_by: str
    source: str
    hazard: bool = False
    """Whether it endangers people or the plant: never hidden, never lowered."""
    remedy: Remedy = "operate"
    """The first guess of what cures it."""
    skill: Skill = "controls"
    """What the person must be able to do who is sent."""
    parts: tuple[str, ...] = ()
    """What is likely to be exchanged."""
    on_delay_s: int = 0
    """How long it must stand before it is a fault."""
    off_delay_s: int = 0
    """How long it must be gone before it is cleared."""


class Origin(NamedTuple):
    """Where a row was written, and which bit or value of which register it is."""

    place: Place
    register: str | None = None
    number: int | None = None


class RegisterEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A register with what only people want to know of it."""

    register: Register
    names: tuple[tuple[str, str], ...]
    """The (model, point) by which reports call it."""
    word_bits: int
    reserved: Reserved
    place: Place


class Replaced(NamedTuple):
    """Something of ours that an operator's folder says anew."""

    what: Literal["kind", "register", "code"]
    name: str
    ours: Place
    theirs: Place


UNKNOWN = Row(
    code="",
    kind=UNKNOWN_KIND,
    level="unknown",
    component="unknown",
    title="",
    meaning="This code is not in the catalogue.",
    grade="B",
    reason="Unknown code: B until it is catalogued.",
    clears_by="auto",
    source="none",
)


class Catalogue:
    """All rows and registers, and their version, carried by every fault.

    The version is a hash of the content of all files, so equal files have equal versions wherever they lie.
    """

    def __init__(
        self,
        rows: Iterable[Row],
        version: str,
        registers: Mapping[tuple[str, str], Register] = {},
        *,
        patterns: Iterable[tuple[Pattern, Row]] = (),
        by_level: Mapping[tuple[str, str], Row] = {},
        unknown: Row = UNKNOWN,
        kinds: Mapping[str, Kind] = {},
        origins: Mapping[str, Origin] = {},
        entries: Mapping[str, RegisterEntry] = {},
        replaced: Iterable[Replaced] = (),
    ) -> None:
        self._rows = {row.code: row for row in rows}
        self._by_level = by_level
        self._unknown = unknown
        self._origins = origins
        self._by_outline: dict[Outline, list[tuple[Pattern, Row]]] = defaultdict(list)
        self._patterns: dict[str, Row] = {}
        for pattern, row in patterns:
            self._by_outline[pattern.outline].append((pattern, row))
            self._patterns[pattern.text] = row
        self._look_up = lru_cache(maxsize=CODES_REMEMBERED)(self._search)
        self.version = version
        self.registers = Registers(registers)
        self.kinds = kinds
        self.entries = entries
        """Registers by their codes."""
        self.replaced = tuple(replaced)
        """What an operator's folder says instead of the shipped files."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> list[Row]:
        """All of single codes, in the order of the files."""
        return list(self._rows.values())

    @property
    def patterns(self) -> list[Row]:
        """All of patterns, likewise."""
        return list(self._patterns.values())

    def __contains__(self, code: str) -> bool:
        return self.find(code) is not None

    def find(self, code: str) -> Row | None:
        """The code's own row, else that of the pattern that it is an instance of."""
        row = self._rows.get(code)
        return row if row is not None else self._find_instance(code)

    def look_up(self, code: str, level: str | None) -> Row:
        """The code's row; for a code that is not in the catalogue: `other_alarm`, B (level `info`: D).

        `level` counts only where the code's register tells it: then the row is of that level, by its kind.
        A level that the kind has no grade for leaves the row as it is.
        """
        return self._look_up(code, level)

    def _search(self, code: str, level: str | None) -> Row:
        if level is not None:
            row = self._by_level.get((code, level))
            if row is not None:
                return row
        row = self.find(code)
        return row if row is not None else self._make_unknown(code, level)

    def find_written(self, code: str) -> Row | None:
        """As `find`; for a pattern, as it is written, its own row."""
        return self._patterns.get(code) or self.find(code)

    def pattern_of(self, code: str) -> str | None:
        """The pattern that the code is an instance of; None: it is none, or has a row of its own."""
        found = None if code in self._rows else self._match(code)
        return None if found is None else found[0].code

    def origin(self, code: str) -> Origin | None:
        """Where the row of a code was written; None: not in a file."""
        return self._origins.get(self.pattern_of(code) or code)

    def _find_instance(self, code: str) -> Row | None:
        found = self._match(code)
        if found is None:
            return None
        row, numbers = found
        title, meaning = (as_meant(fill(text, numbers)) for text in (row.title, row.meaning))
        return replace(row, code=code, title=title, meaning=meaning)

    def _match(self, code: str) -> tuple[Row, dict[str, str]] | None:
        """The pattern's row that the code is an instance of, and the number for each of its names."""
        outline, numbers = split_code(code)
        for pattern, row in self._by_outline.get(outline, ()):
            values = pattern.match(numbers)
            if values is not None:
                return row, values
        return None

    def _make_unknown(self, code: str, level: str | None) -> Row:
        unknown = replace(self._unknown, code=code, title=code, level=level or self._unknown.level)
        if level != "info":
            return unknown
        reason = "Unknown code of level info: D until it is catalogued."
        return replace(unknown, grade="D", reason=reason)

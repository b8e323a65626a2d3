"""Loading the catalogue, and looking codes up in it.

`alarms.json` holds 434 codes of permissively licensed sources, each with its source named; the grades in it
are our proposal by the definitions of the service agreement (S3).
"""

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import msgspec

from shared.catalogue.registers import Register, Registers
from shared.documents.fault import Grade
from shared.errors import ConfigError

DEFAULT_PATH = Path(__file__).parent / "alarms.json"

# Kinds that endanger people or the plant: never hidden, never lowered.
HAZARDS = frozenset(
    {"fire", "fire_prewarn", "thermal_runaway", "water", "arc", "short", "estop", "insulation", "interlock"}
)  # fmt: skip
UNKNOWN_KIND = "other_alarm"

Remedy = Literal["operate", "software", "hardware"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One code."""

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

    @property
    def hazard(self) -> bool:
        """Whether it endangers people or the plant; overheating only at the level of a fault."""
        return self.kind in HAZARDS or (self.kind == "overtemp" and self.level == "fault/alarm")

    @property
    def remedy(self) -> Remedy:
        """The first guess of what cures it, from how it clears."""
        if self.clears_by.startswith(("repair", "exchange")):
            return "hardware"
        if self.clears_by.startswith("update"):
            return "software"
        return "operate"


class Catalogue:
    """All rows and registers, and their version: a hash of the file, carried by every fault."""

    def __init__(
        self, rows: list[Row], version: str, registers: Mapping[tuple[str, str], Register] = {}
    ) -> None:
        self._rows = {row.code: row for row in rows}
        self.version = version
        self.registers = Registers(registers)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> list[Row]:
        """All of them, in the file's order."""
        return list(self._rows.values())

    def __contains__(self, code: str) -> bool:
        return code in self._rows

    def look_up(self, code: str, level: str | None) -> Row:
        """The code's row; for a code that is not in the catalogue: `other_alarm`, B (level `info`: D)."""
        row = self._rows.get(code)
        return row if row is not None else _unknown(code, level)


def _unknown(code: str, level: str | None) -> Row:
    grade: Grade = "D" if level == "info" else "B"
    return Row(
        code=code,
        kind=UNKNOWN_KIND,
        level=level or "unknown",
        component="unknown",
        title=code,
        meaning="This code is not in the catalogue.",
        grade=grade,
        reason=f"Unknown code{' of level info' if grade == 'D' else ''}: {grade} until it is catalogued.",
        clears_by="auto",
        source="none",
    )


def load_catalogue(path: Path = DEFAULT_PATH) -> Catalogue:
    """Raises ConfigError naming every row that is wrong."""
    try:
        content = path.read_bytes()
        raw = msgspec.json.decode(content, type=list[msgspec.Raw])
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError([f"catalogue {path}: cannot be read: {error}"]) from error
    rows: list[Row] = []
    problems: list[str] = []
    for number, item in enumerate(raw, start=1):
        try:
            rows.append(msgspec.json.decode(item, type=Row))
        except msgspec.DecodeError as error:
            problems.append(f"catalogue {path}: row {number}: {error}")
    seen: set[str] = set()
    for row in rows:
        if row.code in seen:
            problems.append(f"catalogue {path}: code {row.code} is there twice")
        seen.add(row.code)
    if problems:
        raise ConfigError(problems)
    return Catalogue(rows, blake2b(content, digest_size=6).hexdigest())

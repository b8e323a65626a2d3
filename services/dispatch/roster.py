"""Who is on call: a fixed roster of desks, their levels, and the person of each level.

Level 1 is the engineer on call; what nobody acknowledges goes one level up.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, cast

import msgspec

from shared.errors import ConfigError

DEMONSTRATION_FILE = Path(__file__).with_name("demonstration_roster.toml")
DEFAULT_DESK = "default"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who can be paged."""

    name: Name


class Roster(msgspec.Struct, frozen=True):
    """The persons of each desk, level 1 first."""

    desks: dict[str, tuple[Person, ...]]

    def levels(self, desk: str) -> tuple[Person, ...]:
        """The persons of a desk; a desk that the roster does not name is served by the default one."""
        return self.desks.get(desk) or self.desks[DEFAULT_DESK]


def load_roster(path: Path | None) -> Roster:
    """The roster in the file at `path`, by default the demonstration's.

    Raises ConfigError naming everything that is wrong in it.
    """
    path = path or DEMONSTRATION_FILE
    try:
        content: dict[str, object] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError([f"roster {path} cannot be read: {error}"]) from error
    problems = [f"{key}: unknown; there is only desk" for key in content if key != "desk"]
    desks = _read_desks(content.get("desk"), problems)
    if problems:
        raise ConfigError([f"roster {path}: {problem}" for problem in problems])
    return Roster(desks)


def _read_desks(table: object, problems: list[str]) -> dict[str, tuple[Person, ...]]:
    if not isinstance(table, dict):
        problems.append("desk: Expected tables such as [[desk.default.level]]")
        return {}
    desks: dict[str, tuple[Person, ...]] = {}
    for name, desk in cast(Mapping[str, object], table).items():
        try:
            levels = msgspec.convert(desk, _Desk).level
        except msgspec.ValidationError as error:
            problems.append(f"desk.{name}: {error}")
        else:
            desks[name] = levels
    if DEFAULT_DESK not in table:
        problems.append(f"desk.{DEFAULT_DESK}: is missing; it serves every desk not named here")
    return desks


class _Desk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    level: Annotated[tuple[Person, ...], msgspec.Meta(min_length=1, max_length=10)]

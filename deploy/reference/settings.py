"""The page of all settings."""

import re
from collections.abc import Iterator
from typing import Any, cast, get_args, get_type_hints

import msgspec

from deploy.local.state import DEFAULTS_OF_UP
from deploy.local.supervisor import SERVICES
from deploy.reference.services import settings_of
from deploy.reference.table import code, table
from deploy.settings import CommandSettings
from shared.config import PREFIX, FileSettings, Secret, Settings

HEAD = ("variable", "in the file", "default", "unit", "allowed", "meaning")
UNITS = {"ms": "ms", "s": "s", "bytes": "bytes"}

INTRODUCTION = """\
# Settings

*Made from the code by `.venv/bin/python -m deploy.reference`; do not edit.*

A setting is read from its variable in the environment; else from the TOML file that `BAKVAKT_CONFIG` names,
where it stands under the key "in the file"; else the default holds. In the file, a key at the top is for
all services, and a key in a table with a service's name (`[timer]`) is for that service and goes before it.
In the environment a list is written with commas. A service that is told something wrong says all that is
wrong, and ends with status 2. Secrets, their defaults too, are shown neither here nor in a log or an error.

## All services

`topics` reads these and ingest's.

"""

COMMAND_LINE = """
## The command line

"""

UP = """
`up` hands what is set on to the services, and chooses the `BAKVAKT_PORT` of each. Where the environment has
no `BAKVAKT_KAFKA`, `BAKVAKT_REDIS` or `BAKVAKT_POSTGRES` it starts a server of its own; where it has no
`BAKVAKT_WEBHOOK_URL`, a receiver of pages. With a Kafka of its own, and where nothing else is said, it takes
{defaults}.
"""

Rows = list[tuple[str, ...]]


def settings_page() -> str:
    """All settings: of all services, of each one, of the command line."""
    parts = [
        INTRODUCTION,
        table(HEAD, setting_rows(FileSettings, where=None) + setting_rows(Settings)),
    ]
    for service in SERVICES:
        own = setting_rows(settings_of(service), where=f"[{service}] ", but=Settings)
        parts.append(f"\n## {service.capitalize()}\n\n{table(HEAD, own)}")
    defaults = " and ".join(f"`{name}={value}`" for name, value in DEFAULTS_OF_UP.items())
    parts += [COMMAND_LINE, table(HEAD, setting_rows(CommandSettings, where=None))]
    return "".join([*parts, UP.format(defaults=defaults)])


def setting_rows(
    kind: type[msgspec.Struct], *, where: str | None = "", but: type[msgspec.Struct] | None = None
) -> Rows:
    """A row for each field of `kind` that `but` does not have.

    `where` goes before the key in the file; None: the environment alone is read.
    """
    known = {field.name for field in msgspec.structs.fields(but)} if but else set[str]()
    hints = get_type_hints(kind, include_extras=True)
    return [
        (
            code(PREFIX + field.name.upper()),
            "" if where is None else code(where + field.name),
            _default(field, hints[field.name]),
            UNITS.get(field.name.rpartition("_")[2], ""),
            _allowed(hints[field.name]),
            _meaning(hints[field.name]),
        )
        for field in msgspec.structs.fields(kind)
        if field.name not in known
    ]


def _default(field: msgspec.structs.FieldInfo, hint: Any) -> str:
    if field.required:
        return "**required**"
    default: object = field.default
    if default is None:
        return "unset"
    if is_secret(hint):
        return "not shown"
    if isinstance(default, tuple):
        return code(",".join(cast("tuple[str, ...]", default)))
    return code(str(default))


def _allowed(hint: Any) -> str:
    limits = {
        name: getattr(meta, name)
        for meta in _metas(hint)
        for name in ("ge", "gt", "le", "pattern")
        if getattr(meta, name) is not None
    }
    if words := re.fullmatch(r"\^\(([a-z|]+)\)\$", str(limits.get("pattern", ""))):
        return ", ".join(code(word) for word in words[1].split("|"))
    least = (
        f"{limits['ge']}" if "ge" in limits else f"above {limits['gt']}" if "gt" in limits else ""
    )
    if "le" in limits:
        return f"{least} to {limits['le']}".strip()
    return f"{least} or more" if least else ""


def _meaning(hint: Any) -> str:
    meaning = next((meta.description for meta in _metas(hint) if meta.description), "")
    return f"{meaning}; secret" if is_secret(hint) else meaning


def is_secret(hint: Any) -> bool:
    """Whether a field of this type holds what must not be shown."""
    return any(isinstance(part, type) and issubclass(part, Secret) for part in _parts(hint))


def _metas(hint: Any) -> list[msgspec.Meta]:
    return [part for part in _parts(hint) if isinstance(part, msgspec.Meta)]


def _parts(hint: Any) -> Iterator[object]:
    """The type with all that it is made of: unions and Annotated taken apart."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)

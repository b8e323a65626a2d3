"""Settings from the environment (`BAKVAKT_*`) and a TOML file, all errors told at once.

A service declares its settings as a frozen `msgspec.Struct`; each field is
`Annotated[type, msgspec.Meta(description=..., constraints)]`. The field `kafka` is read from `BAKVAKT_KAFKA`,
else from the file that `BAKVAKT_CONFIG` names, else the default holds. In the file, keys at the top are for
all services, and a table with a service's name (`[ingest]`) is for that one and goes before them.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, get_type_hints

import msgspec

from shared.errors import ConfigError

PREFIX = "BAKVAKT_"


class Secret(str):
    """Text that must not reach a log: its repr hides it.

    A subclass may check the text in `__new__`; what it raises (ValueError) must not repeat it.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(***)"


class FileSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the file is; read from the environment alone."""

    config: Annotated[
        str | None, msgspec.Meta(description="TOML file with settings of one service or of all")
    ] = None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What every service needs to know."""

    kafka: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$",
            description="Kafka's bootstrap servers, host:port with commas between",
        ),
    ] = "127.0.0.1:9092"
    prefix: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$",
            description="first part of the names of topics, groups, transactional ids, Redis keys",
        ),
    ] = "bakvakt"
    partitions: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=4096, description="partitions of each topic of ours; fixed once made"
        ),
    ] = 24
    replication: Annotated[
        int,
        msgspec.Meta(
            ge=1, le=9, description="replicas of each partition; below 3 is for trying out"
        ),
    ] = 3
    host: Annotated[
        str,
        msgspec.Meta(
            description="address on which /livez, /readyz and /metrics answer;"
            " dispatch answers on 127.0.0.1 whatever is set"
        ),
    ] = "127.0.0.1"
    log: Annotated[
        str,
        msgspec.Meta(
            pattern="^(auto|json|text)$",
            description="form of the log: json, text, or auto (text on a terminal)",
        ),
    ] = "auto"
    session_timeout_ms: Annotated[
        int,
        msgspec.Meta(
            ge=6_000,
            le=10_000,
            description="Kafka gives a silent instance's partitions away after this many ms",
        ),
    ] = 10_000


SettingsT = TypeVar("SettingsT", bound=Settings)


def load(
    kind: type[SettingsT], environ: Mapping[str, str], service: str | None = None
) -> SettingsT:
    """Settings of `kind`; raises ConfigError naming every setting that is wrong, and how."""
    problems: list[str] = []
    hints = get_type_hints(kind, include_extras=True)
    from_file = _read_file(environ, service, set(hints), problems)
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        variable = PREFIX + field.name.upper()
        if variable in environ:
            origin, raw = variable, cast(object, environ[variable])
        elif field.name in from_file:
            origin, raw = f"{environ[PREFIX + 'CONFIG']}: {field.name}", from_file[field.name]
        elif field.required:
            problems.append(f"{variable} is not set: {_meaning(hints[field.name])}")
            continue
        else:
            continue
        try:
            values[field.name] = _convert(raw, hints[field.name])
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"{origin}: {error} (it is: {_meaning(hints[field.name])})")
    if problems:
        raise ConfigError(problems)
    return kind(**cast("dict[str, Any]", values))


def _convert(raw: object, hint: Any) -> object:
    if isinstance(raw, str) and _bare(hint) == tuple[str, ...]:
        raw = [part.strip() for part in raw.split(",") if part.strip()]
    return msgspec.convert(raw, hint, strict=False, dec_hook=_decode_custom)


def _decode_custom(kind: type, raw: object) -> object:
    if issubclass(kind, Secret) and isinstance(raw, str):
        return kind(raw)
    raise ValueError(f"{raw!r} is not a {kind.__name__}")


def _bare(hint: Any) -> object:
    return hint.__origin__ if hasattr(hint, "__metadata__") else hint


def _meaning(hint: Any) -> str:
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.description:
            return meta.description
    return "a setting"


def _read_file(
    environ: Mapping[str, str], service: str | None, known: set[str], problems: list[str]
) -> dict[str, object]:
    name = environ.get(PREFIX + "CONFIG")
    if not name:
        return {}
    try:
        content: dict[str, object] = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"{PREFIX}CONFIG: {name} cannot be read: {error}")
        return {}
    own = content.get(service or "", {})
    if not isinstance(own, dict):
        problems.append(f"{name}: {service} is not a table; write [{service}]")
        return content
    table = cast("dict[str, object]", own)
    problems += [
        f"{name}: [{service}] has no setting {key}" for key in table if key not in known
    ]  # a key at the top may be another service's
    return content | table

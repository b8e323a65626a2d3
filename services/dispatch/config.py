"""Dispatch's settings, the policy and the roster, all their errors told at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from sqlalchemy.engine import URL

from services.dispatch.database import parse_url
from services.dispatch.decision import Rules
from services.dispatch.roster import load_roster
from services.dispatch.webhook import signing_key
from shared.config import PREFIX, Secret, Settings, load
from shared.errors import ConfigError
from shared.policy import load_policy

SHORTEST_KEY_BYTES = 16

Loaded = TypeVar("Loaded")
HttpUrl = Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s]*[^/\s]/?$")]


class PostgresUrl(Secret):
    """postgresql://user:password@host:5432/database; hidden, for it may hold a password."""

    __slots__ = ()

    def __new__(cls, text: str) -> "PostgresUrl":
        parse_url(text)  # raises ValueError, without repeating a password
        return super().__new__(cls, text)


class DispatchSettings(Settings, frozen=True, kw_only=True):
    """Settings of dispatch."""

    postgres: Annotated[
        PostgresUrl,
        msgspec.Meta(
            description="PostgreSQL, such as postgresql://user:password@host:5432/bakvakt"
        ),
    ]
    port: Annotated[
        int, msgspec.Meta(ge=0, le=65_535, description="HTTP port on 127.0.0.1; 0 takes a free one")
    ] = 8080
    webhook_url: Annotated[
        HttpUrl | None,
        msgspec.Meta(description="where pages are POSTed; unset: they are only logged"),
    ] = None
    webhook_secret: Annotated[
        Secret | None,
        msgspec.Meta(description="signs the pages; as it is, or whsec_ and base64"),
    ] = None
    policy: Annotated[
        str | None, msgspec.Meta(description="TOML file that changes the SLA policy")
    ] = None
    roster: Annotated[
        str | None,
        msgspec.Meta(description="TOML file of the roster, instead of the demonstration's"),
    ] = None
    public_url: Annotated[
        HttpUrl | None,
        msgspec.Meta(
            description="where people reach dispatch, for links; unset: http://127.0.0.1:<port>"
        ),
    ] = None


@dataclass(frozen=True)
class Configuration:
    """All that dispatch is told at its start."""

    settings: DispatchSettings
    postgres: URL
    webhook_key: bytes
    rules: Rules


def load_configuration(environ: Mapping[str, str]) -> Configuration:
    """Settings, policy and roster; raises ConfigError with the problems of all three."""
    problems: list[str] = []

    def collect(load_part: Callable[[], Loaded]) -> Loaded | None:
        try:
            return load_part()
        except ConfigError as error:
            problems.extend(error.problems)
            return None

    settings = collect(lambda: load(DispatchSettings, environ, "dispatch"))
    # The rest is checked even where a setting is wrong, so that one start tells everything.
    policy_name = settings.policy if settings else environ.get(f"{PREFIX}POLICY")
    roster_name = settings.roster if settings else environ.get(f"{PREFIX}ROSTER")
    policy = collect(lambda: load_policy(Path(policy_name) if policy_name else None))
    roster = collect(lambda: load_roster(Path(roster_name) if roster_name else None))
    webhook_url = settings.webhook_url if settings else environ.get(f"{PREFIX}WEBHOOK_URL")
    secret = settings.webhook_secret if settings else environ.get(f"{PREFIX}WEBHOOK_SECRET")
    key = collect(lambda: _read_key(webhook_url, secret))
    if settings is None or policy is None or roster is None or key is None:
        raise ConfigError(problems)
    return Configuration(settings, parse_url(settings.postgres), key, Rules(policy, roster))


def _read_key(webhook_url: str | None, secret: str | None) -> bytes:
    if webhook_url is not None and not secret:
        raise ConfigError(
            [f"{PREFIX}WEBHOOK_SECRET is not set: without it nobody can tell that a page is ours"]
        )
    try:
        key = signing_key(secret or "")
    except ValueError as error:
        raise ConfigError([f"{PREFIX}WEBHOOK_SECRET: {error}"]) from error
    if secret and len(key) < SHORTEST_KEY_BYTES:
        raise ConfigError(
            [
                f"{PREFIX}WEBHOOK_SECRET: is a key of {len(key)} bytes, it needs at least"
                f" {SHORTEST_KEY_BYTES}: whoever guesses it can send pages in our name"
            ]
        )
    return key

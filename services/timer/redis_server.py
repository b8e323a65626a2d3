"""The Redis that the shards are in: its connections, its settings, the scripts of lua/."""

from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from services.timer.metrics import SCRIPT_SECONDS
from services.timer.store import StoreError
from shared.errors import BakvaktError, ConfigError, FencedError, OwnershipError

log = structlog.get_logger()

LUA = Path(__file__).parent / "lua"
_SPARE_CONNECTIONS = 8


class Script:
    """One command of a folder, with the common part before it."""

    def __init__(self, name: str, folder: Path = LUA) -> None:
        self._name = name
        self._text = "".join(
            (folder / f"{part}.lua").read_text("utf-8") for part in ("common", name)
        )
        self._sha = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, redis: Redis, keys: tuple[str, ...], *args: bytes | str | int) -> Any:
        """Its result. Raises FencedError or OwnershipError where it refuses, StoreError where it fails."""
        try:
            with SCRIPT_SECONDS.labels(self._name).time():
                try:
                    return await redis.evalsha(self._sha, len(keys), *keys, *args)
                except NoScriptError:  # a new or restarted Redis; EVAL makes it known as well
                    return await redis.eval(self._text, len(keys), *keys, *args)
        except ResponseError as error:
            raise self._ours(error) from error
        except RedisError as error:
            raise StoreError(f"{self._name}: {_tell(error)}") from error

    def _ours(self, error: ResponseError) -> BakvaktError:
        """The scripts' own errors begin with a word of ours."""
        word, _, detail = str(error).partition(" ")
        if word == "FENCED":
            return FencedError(detail)
        if word == "ELSEWHERE":
            return OwnershipError(detail)
        return StoreError(f"{self._name}: {_tell(error)}")


def _tell(error: RedisError) -> str:
    """redis-py's own repr leaves out what happened."""
    return f"{type(error).__name__}: {error}"


class RedisServer:
    """Its connections, shared by all shards."""

    def __init__(self, url: str, *, timeout_s: float, shards: int) -> None:
        """Connects at first use."""
        # No retries: a script whose answer was lost may have run. The shard is taken over anew instead.
        self.redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped keywords
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            max_connections=shards + _SPARE_CONNECTIONS,
            retry=Retry(NoBackoff(), 0),
        )

    @property
    def address(self) -> str:
        """Where it is, without user and password."""
        where = self.redis.connection_pool.connection_kwargs
        return (
            cast(str, where.get("path"))
            or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"
        )

    async def check(self) -> None:
        """Raise StoreError while Redis does not answer, ConfigError if it may drop clocks by itself."""
        try:
            found = await self._config()
        except RedisError as error:
            raise StoreError(_tell(error)) from error
        if found is None:
            log.warning(
                "Redis does not say whether it keeps what it is given", address=self.address
            )
            return
        policy = found["maxmemory-policy"]
        if policy != "noeviction":
            problem = (
                f"Redis {self.address}: maxmemory-policy {policy} drops clocks, needs noeviction"
            )
            raise ConfigError([problem])
        if found["appendonly"] != "yes":
            log.warning(
                "Redis keeps no append-only file: after a crash every shard is built anew from Kafka",
                address=self.address,
            )

    async def _config(self) -> Mapping[str, str] | None:
        """Redis' own settings; None where we may not ask."""
        try:
            return await self.redis.execute_command(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - redis-py leaves its keywords untyped
                "CONFIG GET", "maxmemory-policy", "appendonly"
            )
        except ResponseError:
            return None

    async def close(self) -> None:
        await self.redis.aclose()

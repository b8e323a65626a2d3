"""The Redis that the shards are in: its connections, its settings, the scripts of lua/."""

from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from services.timer.metrics import FENCED, SCRIPT_SECONDS
from services.timer.redis_client import NO_FILES, Client, TlsFiles, connect, read_url, refusal
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

    async def run(self, redis: Client, keys: tuple[str, ...], *args: bytes | str | int) -> Any:
        """Its result. Raises FencedError or OwnershipError where it refuses, StoreError where it fails."""
        try:
            with SCRIPT_SECONDS.labels(self._name).time():
                try:
                    return await redis.evalsha(self._sha, len(keys), *keys, *args)
                except NoScriptError:  # a new or restarted Redis; EVAL makes it known as well
                    return await redis.eval(self._text, len(keys), *keys, *args)
        except ResponseError as error:
            raise self._ours(error) from error
        except (RedisError, RedisClusterException) as error:
            raise StoreError(f"{self._name}: {_tell(error)}") from error

    def _ours(self, error: ResponseError) -> BakvaktError:
        """The scripts' own errors begin with a word of ours."""
        word, _, detail = str(error).partition(" ")
        if word == "FENCED":
            FENCED.labels("epoch").inc()
            return FencedError(detail)
        if word == "ELSEWHERE":
            FENCED.labels("offsets").inc()
            return OwnershipError(detail)
        return StoreError(f"{self._name}: {_tell(error)}")


def _tell(error: RedisError | RedisClusterException) -> str:
    """redis-py's own repr leaves out what happened."""
    return f"{type(error).__name__}: {error}"


class RedisServer:
    """Its connections, shared by all shards; where it is a cluster, those to each of its servers."""

    def __init__(
        self, url: str, *, timeout_s: float, shards: int, files: TlsFiles = NO_FILES
    ) -> None:
        """Connects at first use."""
        where = read_url(url)
        self.address = where.address
        """Without user and password."""
        self.redis = connect(
            where, files, timeout_s=timeout_s, connections=shards + _SPARE_CONNECTIONS
        )

    async def check(self) -> None:
        """Raise StoreError while Redis does not answer, ConfigError if it may drop clocks by itself,
        or will not have us."""
        try:
            for address, found in await self._settings():
                self._check(address, found)
        except (RedisError, RedisClusterException) as error:
            reason = refusal(error)
            if reason is not None:
                raise ConfigError([f"Redis {self.address}: {reason}"]) from error
            raise StoreError(_tell(error)) from error

    def _check(self, address: str, found: Mapping[str, str] | None) -> None:
        if found is None:
            log.warning("Redis does not say whether it keeps what it is given", address=address)
            return
        if found.get("cluster-enabled") == "yes" and not isinstance(self.redis, RedisCluster):
            problem = (
                f"Redis {address} is one of a cluster: write redis+cluster:// in BAKVAKT_REDIS"
            )
            raise ConfigError([problem])
        policy = found["maxmemory-policy"]
        if policy != "noeviction":
            problem = f"Redis {address}: maxmemory-policy {policy} drops clocks, needs noeviction"
            raise ConfigError([problem])
        if found["appendonly"] != "yes":
            log.warning(
                "Redis keeps no append-only file: after a crash every shard is built anew from Kafka",
                address=address,
            )

    async def _settings(self) -> list[tuple[str, Mapping[str, str] | None]]:
        """The address of each server, and its own settings; None where we may not ask.

        Of a cluster the replicas as well: each may be a primary tomorrow. One that is down is passed over.
        """
        if not isinstance(self.redis, RedisCluster):
            return [(self.address, await self._ask())]
        await self.redis.initialize()
        return [(node.name, await self._ask(node)) for node in self.redis.get_nodes()]

    async def _ask(self, node: ClusterNode | None = None) -> Mapping[str, str] | None:
        target: dict[str, Any] = {} if node is None else {"target_nodes": node}
        try:
            return await self.redis.execute_command(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - redis-py leaves its keywords untyped
                "CONFIG GET", "maxmemory-policy", "appendonly", "cluster-enabled", **target
            )
        except ResponseError:
            return None
        except RedisError as error:
            if node is None or refusal(error):
                raise
            return None

    async def close(self) -> None:
        await self.redis.aclose()

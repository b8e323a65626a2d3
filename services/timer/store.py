"""Where the shards keep their plans: in Redis, behind the scripts of lua/. Nothing else speaks to Redis."""

from collections.abc import Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import msgspec
import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from services.timer.metrics import SCRIPT_SECONDS
from services.timer.plan import Plan
from services.timer.records import Change
from shared.errors import BakvaktError, ConfigError, FencedError, OwnershipError

log = structlog.get_logger()

_LUA = Path(__file__).parent / "lua"
_SPARE_CONNECTIONS = 8

_pack = msgspec.msgpack.Encoder().encode
_unpack_plan = msgspec.msgpack.Decoder(Plan).decode


class StoreError(BakvaktError):
    """Redis did not do what it was asked, or nobody knows whether it did."""

    reason = "redis"


class TakenOver(NamedTuple):
    """A shard as its new owner finds it."""

    next_offset: int | None
    """Offset of the first case record that is not applied yet; None: nothing is stored."""
    standing: int
    now_ms: int


class Claimed(NamedTuple):
    """What is due in a shard."""

    now_ms: int
    first_due_ms: int | None
    """The shard's earliest moment, come or not; None: there is none."""
    cases: list[tuple[str, Plan]]


class Store(Protocol):
    """One owner's hold on one shard; `take_over` comes first. Times are the store's, not the host's.

    Raises FencedError once a newer owner has taken over, OwnershipError when the shard is not what this
    owner left, StoreError when the store did not answer. After any error the hold is of no further use.
    """

    async def take_over(self) -> TakenOver:
        """Fence every earlier owner."""
        ...

    async def start_over(self) -> None:
        """Forget all but the fence: the log that the shard was made from is no more."""
        ...

    async def apply(self, changes: Sequence[Change], next_offset: int) -> int:
        """Make the changes and remember the offset behind them, both or neither; clocks standing then.

        A revision that is not above the stored one changes nothing; what has fired stays fired.
        """
        ...

    async def claim(self, limit: int, *, now_ms: int | None = None) -> Claimed:
        """At most `limit` cases of which a moment has come; never one that has not.

        They are due until acknowledged, so a claim may be repeated. `now_ms` is for tests.
        """
        ...

    async def acknowledge(self, fired: Sequence[tuple[str, Sequence[str]]]) -> int:
        """Mark moments (case and their identities) as fired, for good; clocks standing then."""
        ...


class _Script:
    """One command of lua/, with the common part before it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = "".join((_LUA / f"{part}.lua").read_text("utf-8") for part in ("common", name))
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_TAKE_OVER, _START_OVER, _APPLY, _CLAIM, _ACKNOWLEDGE, _PEEK = (
    _Script(name) for name in ("take_over", "start_over", "apply", "claim", "acknowledge", "peek")
)


class RedisStore:
    """A Store in Redis: three keys under the shard's hash tag."""

    def __init__(self, redis: Redis, prefix: str, partition: int) -> None:
        tag = f"{{{prefix}:t{partition}}}"
        self._redis = redis
        self._keys = tuple(f"{tag}:{part}" for part in ("meta", "due", "plan"))
        self._epoch = 0
        self._next_offset: int | None = None

    async def take_over(self) -> TakenOver:
        epoch, next_offset, standing, now_ms = await self._run(_TAKE_OVER)
        self._epoch, self._next_offset = epoch, next_offset
        return TakenOver(next_offset, standing, now_ms)

    async def start_over(self) -> None:
        await self._run(_START_OVER, *self._hold())
        self._next_offset = None

    async def apply(self, changes: Sequence[Change], next_offset: int) -> int:
        args: list[bytes | str | int] = [*self._hold(), next_offset]
        for case_id, revision, plan in changes:
            args.append(case_id)
            args.append("" if revision is None else revision)
            args.append("" if plan is None else _pack(plan))
        (standing,) = await self._run(_APPLY, *args)
        self._next_offset = next_offset
        return standing

    async def claim(self, limit: int, *, now_ms: int | None = None) -> Claimed:
        now, first_due_ms, *found = await self._run(
            _CLAIM, *self._hold(), limit, "" if now_ms is None else now_ms
        )
        case_ids = (cast(bytes, case_id).decode() for case_id in found[0::2])
        plans = (_unpack_plan(plan) for plan in found[1::2])
        return Claimed(now, first_due_ms, list(zip(case_ids, plans, strict=True)))

    async def acknowledge(self, fired: Sequence[tuple[str, Sequence[str]]]) -> int:
        args: list[bytes | str | int] = self._hold()
        for case_id, identities in fired:
            args += (case_id, _pack(identities))
        (standing,) = await self._run(_ACKNOWLEDGE, *args)
        return standing

    async def peek(self) -> tuple[str, Plan] | None:
        """The case whose moment comes first, come or not; None: there is none.

        Needs no hold and gives none: for whoever looks. Raises StoreError when Redis does not answer.
        """
        found = await self._run(_PEEK)
        if not found:
            return None
        case_id, plan = found
        return cast(bytes, case_id).decode(), _unpack_plan(plan)

    def _hold(self) -> list[bytes | str | int]:
        """What shows a script that the caller owns the shard and knows its state."""
        return [self._epoch, "" if self._next_offset is None else self._next_offset]

    async def _run(self, script: _Script, *args: bytes | str | int) -> Any:
        try:
            with SCRIPT_SECONDS.labels(script.name).time():
                try:
                    return await self._redis.evalsha(script.sha, 3, *self._keys, *args)
                except NoScriptError:  # a new or restarted Redis; EVAL makes it known as well
                    return await self._redis.eval(script.text, 3, *self._keys, *args)
        except ResponseError as error:
            raise _ours(script, error) from error
        except RedisError as error:
            raise StoreError(f"{script.name}: {_tell(error)}") from error


def _ours(script: _Script, error: ResponseError) -> BakvaktError:
    """The scripts' own errors begin with a word of ours."""
    word, _, detail = str(error).partition(" ")
    if word == "FENCED":
        return FencedError(detail)
    if word == "ELSEWHERE":
        return OwnershipError(detail)
    return StoreError(f"{script.name}: {_tell(error)}")


def _tell(error: RedisError) -> str:
    """redis-py's own repr leaves out what happened."""
    return f"{type(error).__name__}: {error}"


class RedisServer:
    """The connections to Redis, shared by the stores of all shards."""

    def __init__(self, url: str, prefix: str, *, timeout_s: float, shards: int) -> None:
        """Connects at first use."""
        # No retries: a script whose answer was lost may have run. The shard is taken over anew instead.
        self._redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - untyped keywords
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            max_connections=shards + _SPARE_CONNECTIONS,
            retry=Retry(NoBackoff(), 0),
        )
        self._prefix = prefix

    @property
    def address(self) -> str:
        """Where it is, without user and password."""
        where = self._redis.connection_pool.connection_kwargs
        return (
            cast(str, where.get("path"))
            or f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"
        )

    def store(self, partition: int) -> RedisStore:
        """The shard's store, not taken over yet."""
        return RedisStore(self._redis, self._prefix, partition)

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
            return await self._redis.execute_command(  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - redis-py leaves its keywords untyped
                "CONFIG GET", "maxmemory-policy", "appendonly"
            )
        except ResponseError:
            return None

    async def close(self) -> None:
        await self._redis.aclose()

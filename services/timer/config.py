"""Settings of the timer."""

from typing import Annotated

import msgspec
from redis.asyncio.connection import parse_url

from shared.config import Secret, Settings


class RedisUrl(Secret):
    """redis://[user:password@]host:port/database; hidden, for it may hold a password."""

    __slots__ = ()

    def __new__(cls, text: str) -> "RedisUrl":
        try:
            parse_url(text)
        except ValueError:
            raise ValueError("it is no redis://[user:password@]host:port/database") from None
        return super().__new__(cls, text)


class TimerSettings(Settings, frozen=True, kw_only=True):
    """What the timer needs to know beyond what every service does."""

    redis: Annotated[
        RedisUrl,
        msgspec.Meta(
            description="Redis' address: redis://[user:password@]host:port/database;"
            " unset: the one at 127.0.0.1:6379"
        ),
    ] = RedisUrl("redis://127.0.0.1:6379/0")
    redis_timeout_s: Annotated[
        float,
        msgspec.Meta(gt=0, le=60, description="a Redis that doesn't answer for so long is gone"),
    ] = 5.0
    port: Annotated[
        int,
        msgspec.Meta(ge=0, le=65_535, description="port of the HTTP side; 0 picks a free one"),
    ] = 8083
    timer_tick_ms: Annotated[
        int,
        msgspec.Meta(
            ge=10, le=500, description="longest time between two looks at a shard's due clocks"
        ),
    ] = 500

"""Settings of the timer."""

from typing import Annotated

import msgspec

from services.timer.redis_client import TlsFiles, check_files, read_url
from shared.config import Secret, Settings
from shared.errors import ConfigError


class RedisUrl(Secret):
    """redis://[user:password@]host:port/database, of a cluster redis+cluster://...host:port,host:port.

    With rediss it speaks TLS. Hidden, for it may hold a password.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> "RedisUrl":
        read_url(text)
        return super().__new__(cls, text)


class TimerSettings(Settings, frozen=True, kw_only=True):
    """What the timer needs to know beyond what every service does."""

    redis: Annotated[
        RedisUrl,
        msgspec.Meta(
            description="Redis' address: redis://[user:password@]host:port/database, with TLS rediss://,"
            " of a cluster redis+cluster:// or rediss+cluster:// with host:port,host:port,...;"
            " unset: the one at 127.0.0.1:6379"
        ),
    ] = RedisUrl("redis://127.0.0.1:6379/0")
    redis_ca: Annotated[
        str | None,
        msgspec.Meta(
            description="for rediss: file (PEM) of the authority that signed Redis' certificate;"
            " unset: those that the operating system trusts"
        ),
    ] = None
    redis_cert: Annotated[
        str | None,
        msgspec.Meta(
            description="for rediss: file (PEM) of our own certificate, where Redis asks for one"
        ),
    ] = None
    redis_key: Annotated[
        str | None, msgspec.Meta(description="for rediss: file (PEM) of its private key")
    ] = None
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
            ge=10,
            le=10_000,
            description="longest time between two looks at a shard of which nothing comes due: so soon"
            " is it noticed that Redis has lost something",
        ),
    ] = 2_000
    timer_catch_up_rate: Annotated[
        int,
        msgspec.Meta(
            ge=1,
            description="so many deadlines that came due without an owner are published in a second by"
            " one instance, the oldest first",
        ),
    ] = 10_000


def files_of(settings: TimerSettings) -> TlsFiles:
    """The files for TLS; raises ConfigError naming all that is wrong with them."""
    files = TlsFiles(settings.redis_ca, settings.redis_cert, settings.redis_key)
    problems = check_files(read_url(settings.redis), files)
    if problems:
        raise ConfigError(problems)
    return files

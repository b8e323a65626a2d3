"""Instants: epoch milliseconds (int) inside, RFC 3339 in UTC with milliseconds on the wire."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def now_ms() -> int:
    """The host's clock. For the outermost layer only: decisions take time as an argument."""
    return time.time_ns() // 1_000_000


@lru_cache(maxsize=4096)
def _to_second(epoch_s: int) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@lru_cache(maxsize=4096)  # of one document's times most are equal
def to_rfc3339(epoch_ms: int) -> str:
    """1763805600123 -> "2025-11-22T10:00:00.123Z"."""
    seconds, ms = divmod(epoch_ms, 1000)
    return f"{_to_second(seconds)}.{ms:03d}Z"


def from_rfc3339(text: str) -> int:
    """The instant in epoch ms, parts of a millisecond cut off.

    Raises ValueError for what is not RFC 3339 or has no offset from UTC.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"no offset from UTC in {text!r}; write 2026-11-22T10:00:00.000Z")
    return datetime_to_ms(instant)


def datetime_to_ms(instant: datetime) -> int:
    """Exact: no float between (a float of today's microseconds rounds)."""
    return (instant - _EPOCH) // _MS

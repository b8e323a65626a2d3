"""Dead letters: the bytes as they came, and headers that say where from and what is wrong with them."""

from typing import NamedTuple

from shared.errors import RecordError

VERSION = "1"
MAX_VALUE_BYTES = 8 * 1024 * 1024

Headers = list[tuple[str, bytes]]


class DeadLetter(NamedTuple):
    """One record for `bakvakt.dead-letters`, and why it is one."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    detail: str


def make_dead_letter(
    error: RecordError,
    *,
    topic: str,
    partition: int,
    offset: int,
    index: int,
    key: bytes | None,
    value: bytes | None,
) -> DeadLetter:
    """`index` is the place in a list of reports; values over 8 MiB are cut and say so (`truncated`)."""
    headers: Headers = [
        ("topic", topic.encode()),
        ("partition", b"%d" % partition),
        ("offset", b"%d" % offset),
        ("index", b"%d" % index),
        ("reason", error.reason.encode()),
        ("detail", error.detail[:1000].encode("utf-8", "replace")),
        ("version", VERSION.encode()),
    ]
    if value is not None and len(value) > MAX_VALUE_BYTES:
        headers.append(("truncated", b"%d" % len(value)))
        value = value[:MAX_VALUE_BYTES]
    return DeadLetter(key, value, headers, error.reason, error.detail)

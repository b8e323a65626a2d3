"""Dead letters: the bytes as they came, and headers that say where from and what is wrong with them."""

from typing import NamedTuple, Protocol

from shared.errors import RecordError

VERSION = "1"
MAX_VALUE_BYTES = 8 * 1024 * 1024
# The topic takes 9 MiB a record; keys are ids, and an id of ours has 128 characters.
MAX_KEY_BYTES = 64 * 1024

Headers = list[tuple[str, bytes]]


class Origin(Protocol):
    """The Kafka record that a dead letter comes from."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class DeadLetter(NamedTuple):
    """One record for `bakvakt.dead-letters`, why it is one, and what it comes from."""

    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    detail: str
    origin: Origin


def make_dead_letter(error: RecordError, origin: Origin) -> DeadLetter:
    """The whole record is of no use. Values over 8 MiB are cut and say so (`truncated`)."""
    return make_part_letter(error, origin, 0, origin.value)


def make_part_letter(
    error: RecordError, origin: Origin, index: int, value: bytes | None
) -> DeadLetter:
    """One report of the record's list is of no use: `value`, at the place `index`."""
    headers: Headers = [
        ("topic", origin.topic.encode()),
        ("partition", b"%d" % origin.partition),
        ("offset", b"%d" % origin.offset),
        ("index", b"%d" % index),
        ("reason", error.reason.encode()),
        ("detail", error.detail[:1000].encode("utf-8", "replace")),
        ("version", VERSION.encode()),
    ]
    if value is not None and len(value) > MAX_VALUE_BYTES:
        headers.append(("truncated", b"%d" % len(value)))
        value = value[:MAX_VALUE_BYTES]
    key = origin.key
    if key is not None and len(key) > MAX_KEY_BYTES:
        headers.append(("key_truncated", b"%d" % len(key)))
        key = key[:MAX_KEY_BYTES]
    return DeadLetter(key, value, headers, error.reason, error.detail, origin)

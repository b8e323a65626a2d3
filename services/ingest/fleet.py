"""Where each EMU stands: what the records of `<prefix>.fleet` say. Pure."""

from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from shared.documents.internal import Edge, Presence, Snapshot
from shared.documents.report import Identifier
from shared.errors import RecordError

Spoken = TypeVar("Spoken", bound=Edge | Snapshot | Presence)
Placed = Literal["agreed", "found", "contradicted", "unknown"]
"""The report names the site of its EMU's record, none, another one; or the EMU has no record."""

# The site of an EMU that has no record and names none itself.
UNKNOWN_SITE = "unknown:"


class _Stands(msgspec.Struct, frozen=True):
    """What is read of an EMU record."""

    emu_id: Identifier
    revision: Annotated[int, msgspec.Meta(ge=1)]
    site_id: Identifier


class _Entry(NamedTuple):
    site_id: str
    revision: int
    partition: int
    """Where the record is."""


_decode = msgspec.json.Decoder(_Stands).decode


class Fleet:
    """The newest record of each EMU that has one, by whichever partition it came.

    An EMU that moves has a record in its old partition for a while, in no order with the new one: the higher
    revision holds, and a tombstone takes back only what came by its own partition.
    """

    def __init__(self, partition_of: Callable[[str], int]) -> None:
        """`partition_of` gives the partition of a site."""
        self._partition_of = partition_of
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, partition: int, key: bytes | None, value: bytes | None) -> None:
        """Take a record of that partition in; raises RecordError for what is none."""
        if value is None:
            self._remove(partition, (key or b"").decode("utf-8", "replace"))
            return
        try:
            stands = _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError("invalid", f"no EMU record: {error}") from error
        right = self._partition_of(stands.site_id)
        if right != partition:
            raise RecordError(
                "wrong_partition",
                f"site {stands.site_id} belongs to partition {right}, not to {partition}",
            )
        known = self._entries.get(stands.emu_id)
        if known is None or stands.revision >= known.revision:
            self._entries[stands.emu_id] = _Entry(stands.site_id, stands.revision, partition)

    def _remove(self, partition: int, emu_id: str) -> None:
        known = self._entries.get(emu_id)
        if known is not None and known.partition == partition:
            del self._entries[emu_id]

    def place(self, record: Spoken) -> tuple[Spoken, Placed]:
        """The record at the site where its EMU stands, and how that is known."""
        entry = self._entries.get(record.emu_id)
        if entry is None:
            return record, "unknown"
        if entry.site_id == record.site_id:
            return record, "agreed"
        named_one = not record.site_id.startswith(UNKNOWN_SITE)
        return replace(record, site_id=entry.site_id), "contradicted" if named_one else "found"

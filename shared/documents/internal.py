"""Internal records of `bakvakt.alarms`: MessagePack arrays with a tag, extended only at the end."""

from typing import Literal

import msgspec

from shared.documents.emu import EmuRecord
from shared.documents.fault import Grade


class Source(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a record came from: enough to tell a redelivery from something new.

    `generation` is raised when an input topic is made anew. Dispatch's own records have topic
    "dispatch", partition p and a counter of p as the offset.
    """

    generation: int
    topic: str
    partition: int
    offset: int
    index: int

    @property
    def stream(self) -> tuple[int, str, int]:
        """The input that this record belongs to."""
        return (self.generation, self.topic, self.partition)

    @property
    def place(self) -> tuple[int, int]:
        """The place in that input; grows from record to record."""
        return (self.offset, self.index)


class Edge(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="edge"):
    """One condition was said to have risen (`raised`) or gone."""

    source: Source
    emu_id: str
    site_id: str
    component: str
    code: str
    raised: bool
    at_ms: int
    """Device's time; the time of receipt where the device's clock cannot be trusted."""
    receipt_ms: int
    trusted: bool = True
    level: str | None = None
    value: float | bool | str | None = None
    unit: str | None = None
    text: str | None = None
    boot: str | None = None
    seq: int | None = None
    model: str | None = None
    firmware: str | None = None
    historical: bool = False


class Active(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A code that a snapshot names as standing."""

    code: str
    level: str | None = None
    value: float | bool | str | None = None


class Part(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a snapshot says of one component, and how far its silence goes."""

    component: str
    scope: tuple[str, ...] | None
    """Names of which the part says all: codes that are one of them, or begin with one and a full stop, stand
    only where a part names them. None: all codes of the component; empty: what is not named is not spoken of.
    """
    active: tuple[Active, ...]


class Snapshot(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="snapshot"):
    """One report's word on what stands, in parts. All parts hold at once: what one names stands."""

    source: Source
    emu_id: str
    site_id: str
    at_ms: int
    """As an edge's."""
    receipt_ms: int
    trusted: bool
    parts: tuple[Part, ...]
    boot: str | None = None
    seq: int | None = None
    model: str | None = None
    firmware: str | None = None
    historical: bool = False


class Presence(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="presence"):
    """Whether the EMU is there: by its own word, or by that of the broker that it was connected to."""

    source: Source
    emu_id: str
    site_id: str
    state: Literal["offline", "online", "heartbeat"]
    at_ms: int
    """As an edge's."""
    receipt_ms: int
    trusted: bool
    interval_s: float | None = None
    """When the next heartbeat is to be expected; of a heartbeat."""
    boot: str | None = None
    seq: int | None = None
    """Told, and not judged: heartbeats may have a counter of their own, which begins anew as it likes."""
    historical: bool = False


class Tick(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="tick"):
    """Ingest's word on one input partition: all of it up to `read_to_ms` is written to this partition.

    It has no source: of several the newest of each figure holds, however often they come.
    """

    generation: int
    topic: str
    partition: int
    inputs: tuple[tuple[str, int], ...]
    """Each input topic, by ingest's configuration, and how many partitions it has: who else has to speak."""
    read_to_ms: int
    """A time of receipt; 0: nothing is known yet."""
    receipt_ms: int
    """When it was written, by the clock of ingest's host."""


class Ruling(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="ruling"):
    """A person's word on a condition, sent by dispatch."""

    source: Source
    emu_id: str
    site_id: str
    component: str
    code: str
    action: Literal["clear", "regrade", "detach"]
    """It has gone; it is of `grade`; it is no symptom."""
    by: str
    reason: str
    receipt_ms: int
    grade: Grade | None = None
    """Of `regrade`, and of it only."""


class Fact(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="fact"):
    """A revision of an EMU's record, sent by dispatch: a copy to the partition of its site, and one to that
    of each site where it stood before.
    """

    source: Source
    site_id: str
    """Whose partition this copy goes to: the record's own site's (the new side), or one of `from_sites`."""
    receipt_ms: int
    record: EmuRecord
    from_sites: tuple[str, ...] = ()
    """Where it stood before, if it moves with this revision; `unknown:<emu_id>` where nothing was known."""

    @property
    def emu_id(self) -> str:
        """As every other record has it."""
        return self.record.emu_id


class Transfer(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="transfer"):
    """What was known of an EMU at the partition that it has left, for the one that it moves to."""

    emu_id: str
    site_id: str
    """Where it goes now: the record's own site, or the one of a later move."""
    from_site: str
    receipt_ms: int
    """Of the fact by which it left."""
    record: EmuRecord
    """Of that fact; it may come after the transfer."""
    from_sites: tuple[str, ...]
    stood: bytes
    """The classifier's own: what stood, and what had been heard."""
    rest: int = 0
    """How many more parts of it follow."""


Word = Edge | Snapshot | Presence | Ruling
"""What is said of one EMU, and judged."""


class Forward(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="forward"):
    """A word that came to a partition which its EMU has left."""

    emu_id: str
    site_id: str
    """Where the EMU went."""
    receipt_ms: int
    record: Word
    """As it came."""
    origin: tuple[int, int]
    """The partition that it first came to, and the revision by which the EMU had come there."""


InternalRecord = Word | Fact | Transfer | Forward

encode_internal = msgspec.msgpack.Encoder().encode
decode_internal = msgspec.msgpack.Decoder(InternalRecord | Tick).decode

"""The Fault document of `bakvakt.faults` (key `fault_id`, whole at each revision)."""

from typing import Literal

import msgspec

Grade = Literal["A", "B", "C", "D"]
GRADES: tuple[Grade, ...] = ("A", "B", "C", "D")

FaultState = Literal["open", "cleared", "closed"]
FaultChange = Literal[
    "opened", "repeated", "regraded", "attached", "detached", "suppressed", "released", "stale",
    "cleared", "reopened", "moved", "closed",
]  # fmt: skip


def worse(one: Grade, other: Grade) -> Grade:
    """The graver of two grades; A is the gravest."""
    return min(one, other)


class FaultSource(msgspec.Struct, frozen=True, gc=False):
    """The report that opened the fault."""

    topic: str
    partition: int
    offset: int


class Fault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A condition that stands (or stood), graded A to D."""

    fault_id: str
    revision: int
    change: FaultChange
    state: FaultState
    stale: bool = False
    grade: Grade
    grade_reason: str
    hazard: bool
    kind: str
    code: str
    title: str
    remedy: Literal["operate", "software", "hardware"]
    emu_id: str
    component: str
    site_id: str
    customer_id: str | None = None
    desk: str = "default"
    policy: str = "default"
    model: str | None = None
    firmware: str | None = None
    emu_state: Literal["unknown", "commissioning", "in_service", "retired"] = "unknown"
    raised_at: str
    """Device's time."""
    opened_at: str
    """Receipt."""
    clocks_from: str
    last_at: str
    """Receipt of the newest report that counted."""
    cleared_at: str | None = None
    count: int
    flaps: int
    cause_id: str | None = None
    rule: str | None = None
    suppressed_by: str | None = None
    moved_from: str | None = None
    catalogue: str
    source: FaultSource


encode_fault = msgspec.json.Encoder().encode
decode_fault = msgspec.json.Decoder(Fault).decode

"""The EMU record of `bakvakt.fleet` (key `emu_id`, whole at each revision)."""

from typing import Annotated, Literal

import msgspec

from shared.documents.report import Identifier

EmuState = Literal["commissioning", "in_service", "retired"]
EMU_STATES: tuple[EmuState, ...] = ("commissioning", "in_service", "retired")


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an EMU's plant; what it is rated for where that is known."""

    component: Identifier
    """As its reports call it: `bms/rack-3`."""
    type: Identifier
    rated_kw: Annotated[float, msgspec.Meta(ge=0)] | None = None
    rated_kwh: Annotated[float, msgspec.Meta(ge=0)] | None = None


class EmuRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One EMU: where it stands, whose it is, and what is connected to it."""

    emu_id: Identifier
    revision: Annotated[int, msgspec.Meta(ge=1)] = 1
    site_id: Identifier
    customer_id: Identifier | None = None
    desk: Identifier = "default"
    policy: Identifier = "default"
    time_zone: Identifier = "UTC"
    area: Identifier | None = None
    """What may lose its grid together."""
    model: Identifier | None = None
    firmware: Identifier | None = None
    serial: Identifier | None = None
    state: EmuState = "in_service"
    units: tuple[Unit, ...] = ()


encode_emu_record = msgspec.json.Encoder().encode
decode_emu_record = msgspec.json.Decoder(EmuRecord).decode

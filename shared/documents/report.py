"""Reports: what an EMU or its gateway sends to the input topic, and the checks on them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from shared.errors import RecordError

MAX_VALUE_BYTES = 1024 * 1024
MAX_REPORTS = 10_000
MAX_TEXT_BYTES = 4096
MAX_REGISTERS = 1_000
WORD_BITS = 64
MAX_IDENTIFIER = 128
# A register that the catalogue does not have gives codes such as `model.point.63`, which are identifiers too.
MAX_REGISTER_NAME = MAX_IDENTIFIER - len("..63")

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_IDENTIFIER)]


class Report(msgspec.Struct, tag_field="type", kw_only=True, frozen=True, gc=False):
    """What every report says of its EMU and of itself."""

    emu_id: Identifier
    at: datetime
    """Without an offset from UTC it is no moment: the receipt stands in."""
    site_id: Identifier | None = None
    boot: Identifier | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    model: Identifier | None = None
    firmware: Identifier | None = None
    historical: bool = False


class AlarmReport(Report, tag="alarm", kw_only=True, frozen=True, gc=False):
    """A condition has risen or gone, in the EMU's own words. A report without `type` is one of these."""

    code: Identifier
    state: Literal["raised", "cleared"]
    component: Identifier = "emu"
    level: Identifier | None = None
    value: float | bool | Identifier | None = None
    unit: Identifier | None = None
    text: str | None = None


class RegisterWord(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """The word that one register of a device holds: its bits, or the value of an enum."""

    model: Identifier | Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    """Of the device's registers, as `701` of SunSpec; not the EMU's."""
    point: Identifier
    bits: Annotated[int, msgspec.Meta(ge=0)]
    component: Identifier = "emu"


class RegistersReport(Report, tag="registers", kw_only=True, frozen=True, gc=False):
    """Words of registers; each is a complete snapshot of its register, and of no other.

    A register that could not be read is left out: nothing is said of it.
    """

    registers: Annotated[tuple[RegisterWord, ...], msgspec.Meta(max_length=MAX_REGISTERS)]


class ActiveCode(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """A code that stands, by a snapshot."""

    code: Identifier
    component: Identifier | None = None
    """None: that of the snapshot."""
    level: Identifier | None = None
    value: float | bool | Identifier | None = None


class SnapshotReport(Report, tag="snapshot", kw_only=True, frozen=True, gc=False):
    """What stands at a component. Complete: what it does not name has gone there, and nowhere else.

    Both are to be said: a list that is missing is not an empty one, and an incomplete one clears nothing.
    """

    complete: bool
    active: tuple[ActiveCode, ...]
    component: Identifier = "emu"


class HeartbeatReport(Report, tag="heartbeat", kw_only=True, frozen=True, gc=False):
    """The EMU is there, and will say so again after `interval_s`."""

    interval_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)]


class OfflineReport(Report, tag="offline", kw_only=True, frozen=True, gc=False):
    """The EMU has gone: the last will that it left with its broker. `boot` is that of its connection."""


class OnlineReport(Report, tag="online", kw_only=True, frozen=True, gc=False):
    """The EMU is back. What stands at it is still to be said."""


class _Shape(msgspec.Struct, frozen=True, gc=False):
    """What is read of a report first."""

    type: str = "alarm"


PresenceReport = HeartbeatReport | OfflineReport | OnlineReport
AnyReport = AlarmReport | SnapshotReport | RegistersReport | PresenceReport

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_shape = msgspec.json.Decoder(_Shape).decode
_decode_as: dict[str, Callable[[bytes], AnyReport]] = {
    "alarm": msgspec.json.Decoder(AlarmReport).decode,
    "snapshot": msgspec.json.Decoder(SnapshotReport).decode,
    "registers": msgspec.json.Decoder(RegistersReport).decode,
    "heartbeat": msgspec.json.Decoder(HeartbeatReport).decode,
    "offline": msgspec.json.Decoder(OfflineReport).decode,
    "online": msgspec.json.Decoder(OnlineReport).decode,
}


def split_value(value: bytes | None) -> list[bytes]:
    """The reports in one Kafka value, each as the bytes it came in; one report, or a JSON list of them.

    Raises RecordError (`empty`, `too_large`, `not_json`, `too_many`) where the value as a whole is wrong.
    """
    if not value:
        raise RecordError("empty", "the record has no value; a report is a JSON object")
    if len(value) > MAX_VALUE_BYTES:
        raise RecordError(
            "too_large", f"the value has {len(value)} bytes; at most {MAX_VALUE_BYTES} are taken"
        )
    if value.lstrip()[:1] != b"[":
        return [value]
    try:
        reports = _decode_list(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("not_json", f"the value is not JSON: {error}") from error
    if len(reports) > MAX_REPORTS:
        raise RecordError(
            "too_many", f"the list has {len(reports)} reports; at most {MAX_REPORTS} are taken"
        )
    return [bytes(report) for report in reports]


def decode_report(report: bytes) -> AnyReport:
    """One report, checked. Raises RecordError: `not_json`, `unknown_type`, `invalid` (type, field, limit)."""
    try:
        shape = _decode_shape(report).type
        if shape not in _decode_as:
            known = ", ".join(_decode_as)
            raise RecordError("unknown_type", f"Expected {known}, got {shape!r} - at `$.type`")
        decoded = _decode_as[shape](report)
    except msgspec.ValidationError as error:
        reason = "unknown_type" if str(error).endswith("`$.type`") else "invalid"
        raise RecordError(reason, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("not_json", f"the report is not JSON: {error}") from error
    _check_printable("$", decoded, ("emu_id", "site_id", "boot", "model", "firmware"))
    match decoded:
        case AlarmReport():
            _check_alarm(decoded)
        case SnapshotReport():
            _check_snapshot(decoded)
        case RegistersReport():
            _check_registers(decoded)
        case _:  # presence has no fields of its own to check
            pass
    return decoded


def _check_alarm(alarm: AlarmReport) -> None:
    _check_printable("$", alarm, ("code", "component", "level", "unit"))
    if alarm.text is not None and len(alarm.text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise RecordError("invalid", f"Text longer than {MAX_TEXT_BYTES} bytes - at `$.text`")


def _check_snapshot(report: SnapshotReport) -> None:
    _check_printable("$", report, ("component",))
    for number, active in enumerate(report.active):
        _check_printable(f"$.active[{number}]", active, ("code", "component", "level"))


def _check_registers(report: RegistersReport) -> None:
    for number, register in enumerate(report.registers):
        where = f"$.registers[{number}]"
        _check_printable(where, register, ("model", "point", "component"))
        if register.bits >> WORD_BITS:
            raise RecordError("invalid", f"Expected `int` < 2**{WORD_BITS} - at `{where}.bits`")
        length = len(str(register.model)) + len(register.point)
        if length > MAX_REGISTER_NAME:
            raise RecordError(
                "invalid",
                f"Expected model and point of at most {MAX_REGISTER_NAME} characters together, "
                f"got {length} - at `{where}`",
            )


def _check_printable(where: str, checked: object, names: tuple[str, ...]) -> None:
    for name in names:
        text: object = getattr(checked, name)
        if isinstance(text, str) and not text.isprintable():
            raise RecordError(
                "invalid", f"Expected printable characters only, got {text!r} - at `{where}.{name}`"
            )

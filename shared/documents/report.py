"""Reports: what an EMU or its gateway sends to the input topic, and the checks on them."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from shared.errors import RecordError

MAX_VALUE_BYTES = 1024 * 1024
MAX_REPORTS = 10_000
MAX_TEXT_BYTES = 4096

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class AlarmReport(msgspec.Struct, tag="alarm", tag_field="type", frozen=True, gc=False):
    """A condition has risen or gone, in the EMU's own words. A report without `type` is one of these."""

    emu_id: Identifier
    code: Identifier
    state: Literal["raised", "cleared"]
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    site_id: Identifier | None = None
    component: Identifier = "emu"
    level: Identifier | None = None
    value: float | bool | Identifier | None = None
    unit: Identifier | None = None
    text: str | None = None
    boot: Identifier | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**53)] | None = None
    model: Identifier | None = None
    firmware: Identifier | None = None
    historical: bool = False


_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_alarm = msgspec.json.Decoder(AlarmReport).decode


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


def decode_report(report: bytes) -> AlarmReport:
    """One report, checked. Raises RecordError: `not_json`, `unknown_type`, `invalid` (type, field, limit)."""
    try:
        alarm = _decode_alarm(report)
    except msgspec.ValidationError as error:
        reason = "unknown_type" if str(error).endswith("`$.type`") else "invalid"
        raise RecordError(reason, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("not_json", f"the report is not JSON: {error}") from error
    _check_printable(alarm)
    if alarm.text is not None and len(alarm.text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise RecordError("invalid", f"Text longer than {MAX_TEXT_BYTES} bytes - at `$.text`")
    return alarm


def _check_printable(alarm: AlarmReport) -> None:
    for name in (
        "emu_id",
        "code",
        "site_id",
        "component",
        "level",
        "unit",
        "boot",
        "model",
        "firmware",
    ):
        text: object = getattr(alarm, name)
        if isinstance(text, str) and not text.isprintable():
            raise RecordError(
                "invalid", f"Expected printable characters only, got {text!r} - at `$.{name}`"
            )

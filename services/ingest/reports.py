"""From a Kafka record of the input topic to internal records and dead letters. Pure: no I/O, no clock."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.ingest.parts import MAX_STANDING_OF_VALUE, read_active, read_words
from shared.catalogue import Catalogue
from shared.documents.dead_letter import DeadLetter, make_dead_letter, make_part_letter
from shared.documents.internal import Edge, Part, Presence, Snapshot, Source, encode_internal
from shared.documents.report import (
    AlarmReport,
    HeartbeatReport,
    OfflineReport,
    OnlineReport,
    PresenceReport,
    RegistersReport,
    Report,
    SnapshotReport,
    decode_report,
    split_value,
)
from shared.errors import RecordError
from shared.times import MINUTE_MS, datetime_to_ms, from_rfc3339

# A device's clock is not trusted further than this ahead of the receipt, nor before there were such
# devices: clocks start at 1970 or 2012 until NTP answers.
MAX_AHEAD_MS = 5 * MINUTE_MS
EARLIEST_MS = from_rfc3339("2020-01-01T00:00:00Z")
# 2,000 codes of some 128 bytes.
MAX_SNAPSHOT_BYTES = 256 * 1024

Made = Edge | Snapshot | Presence
"""What comes of a report that is taken."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One Kafka record of an input topic, with its time of receipt."""

    generation: int
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    receipt_ms: int


def clamp_receipt(timestamp_ms: int, *, read_to_ms: int, now_ms: int) -> int:
    """The receipt of a record: its Kafka timestamp, within what can be true.

    It came after `read_to_ms`, when its partition had been read to the end, and not after now. A producer
    may write any timestamp where the topic does not have `message.timestamp.type=LogAppendTime`.
    """
    if timestamp_ms < 0:  # none
        return now_ms
    return min(max(timestamp_ms, read_to_ms), now_ms)


def read_arrival(arrival: Arrival, catalogue: Catalogue) -> Iterator[Made | DeadLetter]:
    """Each report of the record as one internal record, or as a dead letter that says what is wrong.

    Each is made when it is asked for, in some 20 ms at most.
    """
    try:
        reports = split_value(arrival.value)
    except RecordError as error:
        yield make_dead_letter(error, arrival)
        return
    room = MAX_STANDING_OF_VALUE
    for index, report in enumerate(reports):
        try:
            result = _make_record(report, arrival, index, catalogue, room)
        except RecordError as error:
            result = make_part_letter(error, arrival, index, report)
        if isinstance(result, Snapshot):
            room -= sum(len(part.active) for part in result.parts)
        yield result


def count_unknown_codes(record: Made, catalogue: Catalogue) -> int:
    """How many of the codes that the record names are not in the catalogue."""
    if isinstance(record, Edge):
        return record.code not in catalogue
    if isinstance(record, Presence):
        return 0
    return sum(active.code not in catalogue for part in record.parts for active in part.active)


def count_unknown_registers(record: Made, catalogue: Catalogue) -> int:
    """How many of the registers that the record reads are not in the catalogue."""
    if not isinstance(record, Snapshot):
        return 0
    return sum(
        not catalogue.registers.has_code(part.scope[0]) for part in record.parts if part.scope
    )


def _make_record(raw: bytes, arrival: Arrival, index: int, catalogue: Catalogue, room: int) -> Made:
    """`room`: so many codes more may stand by the value's reports. Raises RecordError."""
    report = decode_report(raw)
    source = Source(arrival.generation, arrival.topic, arrival.partition, arrival.offset, index)
    match report:
        case AlarmReport():
            return _make_edge(report, source, arrival.receipt_ms)
        case SnapshotReport():
            parts = read_active(report, catalogue, room)
            return _make_snapshot(report, parts, source, arrival.receipt_ms, "$.active")
        case RegistersReport():
            parts = tuple(read_words(report.registers, catalogue.registers, room))
            return _make_snapshot(report, parts, source, arrival.receipt_ms, "$.registers")
        case HeartbeatReport() | OfflineReport() | OnlineReport():
            return _make_presence(report, source, arrival.receipt_ms)


def _make_edge(alarm: AlarmReport, source: Source, receipt_ms: int) -> Edge:
    at_ms, trusted = _judge_clock(alarm, receipt_ms)
    return Edge(
        source=source,
        emu_id=alarm.emu_id,
        site_id=_site_of(alarm),
        component=alarm.component,
        code=alarm.code,
        raised=alarm.state == "raised",
        at_ms=at_ms,
        receipt_ms=receipt_ms,
        trusted=trusted,
        level=alarm.level,
        value=alarm.value,
        unit=alarm.unit,
        text=alarm.text,
        boot=_boot_of(alarm),
        seq=alarm.seq,
        model=alarm.model,
        firmware=alarm.firmware,
        historical=alarm.historical,
    )


def _make_snapshot(
    report: Report, parts: tuple[Part, ...], source: Source, receipt_ms: int, where: str
) -> Snapshot:
    """`where` in the report the parts come from."""
    at_ms, trusted = _judge_clock(report, receipt_ms)
    snapshot = Snapshot(
        source=source,
        emu_id=report.emu_id,
        site_id=_site_of(report),
        at_ms=at_ms,
        receipt_ms=receipt_ms,
        trusted=trusted,
        parts=parts,
        boot=_boot_of(report),
        seq=report.seq,
        model=report.model,
        firmware=report.firmware,
        historical=report.historical,
    )
    size_bytes = len(encode_internal(snapshot))
    if size_bytes > MAX_SNAPSHOT_BYTES:
        raise RecordError(
            "too_large",
            f"what stands by this report takes {size_bytes} bytes; "
            f"at most {MAX_SNAPSHOT_BYTES} are taken - at `{where}`",
        )
    return snapshot


def _make_presence(report: PresenceReport, source: Source, receipt_ms: int) -> Presence:
    at_ms, trusted = _judge_clock(report, receipt_ms)
    state, interval_s = "online", None
    if isinstance(report, HeartbeatReport):
        state, interval_s = "heartbeat", report.interval_s
    elif isinstance(report, OfflineReport):
        state = "offline"
    return Presence(
        source=source,
        emu_id=report.emu_id,
        site_id=_site_of(report),
        state=state,
        at_ms=at_ms,
        receipt_ms=receipt_ms,
        trusted=trusted,
        interval_s=interval_s,
        boot=_boot_of(report),
        seq=report.seq,
        historical=report.historical,
    )


def _judge_clock(report: Report, receipt_ms: int) -> tuple[int, bool]:
    """When it happened, and whether the device's clock is trusted; the receipt stands in where it is not."""
    if report.at.utcoffset() is None:  # the time of some zone, and nobody knows of which
        return receipt_ms, False
    at_ms = datetime_to_ms(report.at)
    trusted = EARLIEST_MS <= at_ms <= receipt_ms + MAX_AHEAD_MS
    return (at_ms if trusted else receipt_ms), trusted


def _site_of(report: Report) -> str:
    return report.site_id or f"unknown:{report.emu_id}"


def _boot_of(report: Report) -> str | None:
    return None if report.boot is None else str(report.boot)

"""From a Kafka record of the input topic to internal records and dead letters. Pure: no I/O, no clock."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.catalogue import Catalogue, Registers
from shared.documents.dead_letter import DeadLetter, make_dead_letter, make_part_letter
from shared.documents.internal import Active, Edge, Part, Snapshot, Source, encode_internal
from shared.documents.report import (
    AlarmReport,
    RegistersReport,
    RegisterWord,
    Report,
    decode_report,
    split_value,
)
from shared.errors import RecordError
from shared.times import MINUTE_MS, datetime_to_ms, from_rfc3339

# A device's clock is not trusted further than this ahead of the receipt, nor before there were such
# devices: clocks start at 1970 or 2012 until NTP answers.
MAX_AHEAD_MS = 5 * MINUTE_MS
EARLIEST_MS = from_rfc3339("2020-01-01T00:00:00Z")
# Two bits of each of a report's 1,000 registers: more stands in no device that works, and the classifier
# judges so many in a third of the time for which its event loop may stand still.
MAX_STANDING = 2_000
# Ten such reports. A value of 1 MiB has room for a million set bits.
MAX_STANDING_OF_VALUE = 20_000
# 2,000 codes of some 128 bytes.
MAX_SNAPSHOT_BYTES = 256 * 1024


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


def read_arrival(arrival: Arrival, catalogue: Catalogue) -> Iterator[Edge | Snapshot | DeadLetter]:
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


def count_unknown_codes(record: Edge | Snapshot, catalogue: Catalogue) -> int:
    """How many of the codes that the record names are not in the catalogue."""
    if isinstance(record, Edge):
        return record.code not in catalogue
    return sum(active.code not in catalogue for part in record.parts for active in part.active)


def count_unknown_registers(record: Edge | Snapshot, catalogue: Catalogue) -> int:
    """How many of the registers that the record reads are not in the catalogue."""
    if isinstance(record, Edge):
        return 0
    return sum(
        not catalogue.registers.has_code(part.scope[0]) for part in record.parts if part.scope
    )


def _make_record(
    raw: bytes, arrival: Arrival, index: int, catalogue: Catalogue, room: int
) -> Edge | Snapshot:
    """`room`: so many codes more may stand by the value's reports. Raises RecordError."""
    report = decode_report(raw)
    source = Source(arrival.generation, arrival.topic, arrival.partition, arrival.offset, index)
    if isinstance(report, AlarmReport):
        return _make_edge(report, source, arrival.receipt_ms)
    parts = tuple(_read_words(report.registers, catalogue.registers, room))
    return _make_snapshot(report, parts, source, arrival.receipt_ms)


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
    report: RegistersReport, parts: tuple[Part, ...], source: Source, receipt_ms: int
) -> Snapshot:
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
            f"what stands by these registers takes {size_bytes} bytes; "
            f"at most {MAX_SNAPSHOT_BYTES} are taken - at `$.registers`",
        )
    return snapshot


def _read_words(words: Iterable[RegisterWord], registers: Registers, room: int) -> Iterator[Part]:
    """Ends with a RecordError at the first word that is too much, whatever comes behind it."""
    standing = 0
    for word in words:
        part = _read_word(word, registers)
        if part is None:
            continue
        standing += len(part.active)
        if standing > MAX_STANDING:
            raise RecordError(
                "too_many",
                f"more than {MAX_STANDING} codes stand by these registers; "
                f"at most {MAX_STANDING} are taken of one report - at `$.registers`",
            )
        if standing > room:
            raise RecordError(
                "too_many",
                f"with this report more than {MAX_STANDING_OF_VALUE} codes stand by the reports of one "
                "Kafka value; send them in several - at `$.registers`",
            )
        yield part


def _read_word(word: RegisterWord, registers: Registers) -> Part | None:
    """None: the word says nothing.

    The scope holds the register's raw name as well: what stood under it before the catalogue had the
    register is no longer named, and so ends with this part.
    """
    model = str(word.model)
    register = registers.find(model, word.point)
    standing = register.read(word.bits)
    if standing is None:
        return None
    raw_name = f"{model}.{word.point}"
    scope = (register.code,) if register.code == raw_name else (register.code, raw_name)
    return Part(word.component, scope, tuple(Active(code, level) for code, level in standing))


def _judge_clock(report: Report, receipt_ms: int) -> tuple[int, bool]:
    """When it happened, and whether the device's clock is trusted; the receipt stands in where it is not."""
    at_ms = datetime_to_ms(report.at)
    trusted = EARLIEST_MS <= at_ms <= receipt_ms + MAX_AHEAD_MS
    return (at_ms if trusted else receipt_ms), trusted


def _site_of(report: Report) -> str:
    return report.site_id or f"unknown:{report.emu_id}"


def _boot_of(report: Report) -> str | None:
    return None if report.boot is None else str(report.boot)

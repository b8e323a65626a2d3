"""From a Kafka record of the input topic to internal records and dead letters. Pure: no I/O, no clock."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.documents.dead_letter import DeadLetter, make_dead_letter, make_part_letter
from shared.documents.internal import Edge, Source
from shared.documents.report import AlarmReport, decode_report, split_value
from shared.errors import RecordError
from shared.times import MINUTE_MS, datetime_to_ms, from_rfc3339

# A device's clock is not trusted further than this ahead of the receipt, nor before there were such
# devices: clocks start at 1970 or 2012 until NTP answers.
MAX_AHEAD_MS = 5 * MINUTE_MS
EARLIEST_MS = from_rfc3339("2020-01-01T00:00:00Z")


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


def read_arrival(arrival: Arrival) -> Iterator[Edge | DeadLetter]:
    """Each report of the record as an edge, or as a dead letter that says what is wrong with it."""
    try:
        reports = split_value(arrival.value)
    except RecordError as error:
        yield make_dead_letter(error, arrival)
        return
    for index, report in enumerate(reports):
        try:
            alarm = decode_report(report)
        except RecordError as error:
            yield make_part_letter(error, arrival, index, report)
        else:
            yield _make_edge(alarm, arrival, index)


def _make_edge(alarm: AlarmReport, arrival: Arrival, index: int) -> Edge:
    at_ms = datetime_to_ms(alarm.at)
    trusted = EARLIEST_MS <= at_ms <= arrival.receipt_ms + MAX_AHEAD_MS
    return Edge(
        source=Source(arrival.generation, arrival.topic, arrival.partition, arrival.offset, index),
        emu_id=alarm.emu_id,
        site_id=alarm.site_id or f"unknown:{alarm.emu_id}",
        component=alarm.component,
        code=alarm.code,
        raised=alarm.state == "raised",
        at_ms=at_ms if trusted else arrival.receipt_ms,
        receipt_ms=arrival.receipt_ms,
        trusted=trusted,
        level=alarm.level,
        value=alarm.value,
        unit=alarm.unit,
        text=alarm.text,
        boot=None if alarm.boot is None else str(alarm.boot),
        seq=alarm.seq,
        model=alarm.model,
        firmware=alarm.firmware,
        historical=alarm.historical,
    )

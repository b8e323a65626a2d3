"""Files of JSON lines: what is wrong with them, and the reports in them as a stream.

A line is a Kafka value: one report, or a list of them. What a report says is for ingest to judge, so that
wrong ones can be tried too; here it must only be one.
"""

from collections.abc import Container, Iterable, Iterator
from typing import Annotated, NamedTuple, Protocol, cast

import msgspec

from deploy.simulator.emus import Record
from shared.documents.emu import EmuRecord, decode_emu_record
from shared.times import to_rfc3339

CLOCK_FIELD = "at"
# What decoding raises for bytes that are no JSON.
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadLine(ValueError):
    """A line holds no report; says what is wrong with it."""


class Line(NamedTuple):
    """One line of a file that is not empty."""

    number: int
    content: bytes
    whole: bool
    """Whether it ends as lines do; only the last one of a file may not."""


class _Report(msgspec.Struct):
    """As much of a report as has to be known to send it."""

    emu_id: Annotated[str, msgspec.Meta(min_length=1)]
    at: msgspec.Raw = msgspec.Raw()
    registers: list[msgspec.Raw] | None = None
    active: list[msgspec.Raw] | None = None

    @property
    def has_time(self) -> bool:
        """Null is none."""
        return bytes(self.at) not in (b"", b"null")

    @property
    def alarms(self) -> int:
        """How many it counts as: its registers, its active alarms, else one."""
        return max(1, len(self.registers or ()), len(self.active or ()))


_decode_report = msgspec.json.Decoder(_Report).decode
_decode_list = msgspec.json.Decoder(list[_Report]).decode


def split_lines(raw_lines: Iterable[bytes]) -> Iterator[Line]:
    """The lines of a file, numbered from 1; those without content are passed over."""
    for number, raw in enumerate(raw_lines, start=1):
        content = raw.strip()
        if content:
            yield Line(number, content, raw.endswith(b"\n"))


def check_reports(
    name: str, lines: Iterable[Line], known: Container[str] | None = None
) -> Iterator[str]:
    """What is wrong with the file of that name. `known`: the EMUs that reports may name; None: any."""
    is_empty = True
    for line in lines:
        is_empty = False
        try:
            reports = _read(line)
        except BadLine as error:
            yield f"{name}, line {line.number}: {error}"
            continue
        for emu_id in dict.fromkeys(report.emu_id for report in reports):
            if known is not None and emu_id not in known:
                yield f"{name}, line {line.number}: EMU {emu_id!r} is not in the fleet"
    if is_empty:
        yield f"{name} is empty: each line is a report or a list of reports, as JSON"


def read_fleet(name: str, lines: Iterable[Line]) -> tuple[list[EmuRecord], list[str]]:
    """The EMU records in the file of that name, one a line, and what is wrong with it."""
    fleet: dict[str, EmuRecord] = {}
    problems: list[str] = []
    for line in lines:
        try:
            record = decode_emu_record(line.content)
        except msgspec.ValidationError as error:
            problems.append(f"{name}, line {line.number}: no EMU record: {error}")
        except _NOT_JSON as error:
            problems.append(f"{name}, line {line.number}: {_not_json(line, error)}")
        else:
            if record.emu_id in fleet:
                problems.append(f"{name}, line {line.number}: EMU {record.emu_id!r} is there twice")
            fleet[record.emu_id] = record
    if not fleet and not problems:
        problems.append(f"{name} is empty: each line is an EMU record, as JSON")
    return list(fleet.values()), problems


class Source(Protocol):
    """Where records come from: a fleet's stream, or a file."""

    sent: int
    """Alarms so far."""
    start_ms: int
    """The time of the first; moving it moves the times of what is still to come."""

    def next(self) -> Record | None:
        """None: there is no more."""
        ...


class Replay:
    """The reports of a file in its order, sent at a rate, until the file ends.

    A report without `at`, or with null, gets the time that its place in the stream gives it; with
    `restamp` each does.
    """

    def __init__(
        self, lines: Iterable[Line], *, rate: float, start_ms: int, restamp: bool = False
    ) -> None:
        self.sent = 0
        """Alarms so far."""
        self.start_ms = start_ms
        self._lines = iter(lines)
        self._rate = rate
        self._restamp = restamp

    def next(self) -> Record | None:
        """None: the file has ended. Raises BadLine for what `check_reports` does not accept."""
        line = next(self._lines, None)
        if line is None:
            return None
        reports = _read(line)
        value = line.content
        if self._restamp or not all(report.has_time for report in reports):
            value = self._stamp(value)
        alarms = sum(report.alarms for report in reports)
        self.sent += alarms
        return Record(reports[0].emu_id, value, alarms)

    def _stamp(self, value: bytes) -> bytes:
        at = {CLOCK_FIELD: to_rfc3339(self.start_ms + int(self.sent * 1000 / self._rate))}
        decoded: object = msgspec.json.decode(value)
        if isinstance(decoded, list):
            stamped = [self._with(at, report) for report in cast(list[object], decoded)]
            return msgspec.json.encode(stamped)
        return msgspec.json.encode(self._with(at, decoded))

    def _with(self, at: dict[str, str], report: object) -> dict[str, object]:
        fields = cast(dict[str, object], report)
        if self._restamp:
            return {**fields, **at}
        stamped = {**at, **fields}
        return {**stamped, **at} if stamped[CLOCK_FIELD] is None else stamped


def _read(line: Line) -> list[_Report]:
    try:
        if line.content.startswith(b"["):
            reports = _decode_list(line.content)
        else:
            reports = [_decode_report(line.content)]
    except msgspec.ValidationError as error:
        raise BadLine(
            f"no report: {error}; a report is a JSON object with an `emu_id`, a text that is not empty"
        ) from error
    except _NOT_JSON as error:
        raise BadLine(_not_json(line, error)) from error
    if not reports:
        raise BadLine("the list holds no report")
    return reports


def _not_json(line: Line, error: Exception) -> str:
    if line.whole:
        return f"no JSON: {error}"
    return f"the file ends in the middle of this line: it seems cut off ({error})"

"""All that is stored about the path of an alarm, put together. Pure: what was read, compared and sorted out.

Every field is a stored fact, or says why it is missing.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import msgspec

from shared.catalogue import Catalogue, Row
from shared.catalogue.words import LEVELS
from shared.documents.answers import CaseFile
from shared.documents.case import Case
from shared.documents.fault import Fault, FaultChange, FaultState, Grade
from shared.documents.report import split_value
from shared.errors import RecordError
from shared.policy import GRADE_DEFINITIONS

DEFAULT_COMPONENT = "emu"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the input topic still has at the place that the fault names as its source."""

    topic: str
    partition: int
    offset: int
    kafka_at: str | None = None
    """Kafka's timestamp of the record."""
    reports: list[object] = []
    """Those in the record that speak of this condition; where none names its code, those of its EMU."""
    reports_in_record: int = 0
    problem: str | None = None
    """Why there is no report to show."""


class Difference(msgspec.Struct, frozen=True):
    """What the fault carries, and what the catalogue of this installation says now."""

    field: str
    of_fault: object
    of_catalogue: object


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """The fault's code in the catalogue of this installation."""

    known: bool
    """Whether the catalogue has the code; where not, the row is the one for unknown codes."""
    row: Mapping[str, object]
    fitted: bool = False
    """The level of the row is not stored: it is the one that fits what the fault carries."""
    fault_version: str
    version: str
    """Of this installation; the fault was judged by `fault_version`."""
    differences: list[Difference]


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of the fault that the topic of faults still has."""

    revision: int
    change: FaultChange
    published_at: str
    state: FaultState
    grade: Grade
    count: int
    flaps: int


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a fault's revisions. The topic is compacted: older ones go, the newest stays."""

    topic: str
    revisions: list[Revision] = []
    problem: str | None = None
    """Why none, or not all that are there, could be read."""


class FaultStory(msgspec.Struct, frozen=True, kw_only=True):
    """One fault, from its report to its newest revision."""

    fault: Fault
    report: Report
    catalogue: Lookup
    grade_definition: str
    history: History


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What `explain --json` prints: faults, and the case that they are in (null: in none)."""

    faults: list[FaultStory]
    case: CaseFile[Case, Fault] | None


def tell(fault: Fault, report: Report, history: History, catalogue: Catalogue) -> FaultStory:
    """What was read about one fault, with what the catalogue of this installation says about it."""
    return FaultStory(
        fault=fault,
        report=report,
        catalogue=look_up(fault, levels_of(report), catalogue),
        grade_definition=GRADE_DEFINITIONS[fault.grade],
        history=history,
    )


def look_up(fault: Fault, levels: Sequence[str | None], catalogue: Catalogue) -> Lookup:
    """The row at that one of `levels` at which it differs least from what the fault carries."""
    rows = {level: catalogue.look_up(fault.code, level) for level in levels}
    level = min(levels, key=lambda level: len(_differences(fault, rows[level])))
    return Lookup(
        known=fault.code in catalogue,
        row=msgspec.structs.asdict(rows[level]),
        fitted=level is not None and len(levels) > 1,
        fault_version=fault.catalogue,
        version=catalogue.version,
        differences=_differences(fault, rows[level]),
    )


def _differences(fault: Fault, row: Row) -> list[Difference]:
    pairs: dict[str, tuple[object, object]] = {
        "kind": (fault.kind, row.kind),
        "title": (fault.title, row.title),
        "grade": (fault.grade, row.grade),
        "hazard": (fault.hazard, row.hazard),
        "remedy": (fault.remedy, row.remedy),
    }
    return [
        Difference(name, carried, now) for name, (carried, now) in pairs.items() if carried != now
    ]


def levels_of(report: Report) -> tuple[str | None, ...]:
    """The report's; all that may be where the report is gone, or a register's, which names none."""
    for found in report.reports:
        fields = _as_object(found)
        if "code" in fields:
            level = fields.get("level")
            return (level if isinstance(level, str) else None,)
    return (None, *LEVELS)


def reports_about(fault: Fault, value: bytes | None) -> tuple[list[object], int]:
    """The reports of a Kafka value that speak of the fault's condition, and how many there are in all.

    A gateway may report in other words than codes (registers); then those of the EMU. Raises RecordError.
    """
    reports = [_decode(report) for report in split_value(value)]
    of_emu = [report for report in reports if _as_object(report).get("emu_id") == fault.emu_id]
    exact = [
        report
        for report in of_emu
        if _as_object(report).get("code") == fault.code
        and _as_object(report).get("component", DEFAULT_COMPONENT) == fault.component
    ]
    return exact or of_emu, len(reports)


def make_report(place: Report, fault: Fault, kafka_at: str, value: bytes | None) -> Report:
    """The report at `place`, as far as it is one that speaks of the fault's EMU."""
    try:
        reports, count = reports_about(fault, value)
    except RecordError as error:
        return msgspec.structs.replace(
            place, kafka_at=kafka_at, problem=f"what is there is no report: {error.detail}"
        )
    problem = None if reports else f"what is there does not speak of {fault.emu_id}"
    return msgspec.structs.replace(
        place, kafka_at=kafka_at, reports=reports, reports_in_record=count, problem=problem
    )


def report_place(fault: Fault) -> Report:
    """Where the fault says that its report is; nothing read yet."""
    source = fault.source
    return Report(topic=source.topic, partition=source.partition, offset=source.offset)


def make_revision(fault: Fault, published_at: str) -> Revision:
    return Revision(
        revision=fault.revision,
        change=fault.change,
        published_at=published_at,
        state=fault.state,
        grade=fault.grade,
        count=fault.count,
        flaps=fault.flaps,
    )


def _decode(report: bytes) -> object:
    try:
        return msgspec.json.decode(report)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return report.decode("utf-8", "replace")


def _as_object(report: object) -> Mapping[str, object]:
    return cast(Mapping[str, object], report) if isinstance(report, dict) else {}

"""An explanation as a story that is read from top to bottom. Pure: documents in, things to print out."""

import json
from collections.abc import Sequence
from typing import cast

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from deploy.cli.case_view import (
    GRADE_STYLES,
    MOVED,
    NOT_IN_SERVICE,
    STALE,
    STANDING_STYLES,
    Facts,
    case_facts,
    clock_end,
    clocks_by_end,
    facts_table,
    grade_text,
    log_lines,
    page_lines,
    times,
)
from deploy.cli.explanation import Explanation, FaultStory, History, Lookup, Report
from deploy.cli.wording import STEP, Reader, act, duration, moment, plain
from shared.documents.answers import CaseFile
from shared.documents.case import Case, Clock
from shared.documents.fault import Fault
from shared.times import from_rfc3339

# A snapshot or a list of registers may have many thousands; `--json` has them whole.
LONGEST_REPORT = 1_500
REPORTS_SHOWN = 3

# What of a catalogue's row is told, in this order, as far as the row has it.
ROW_FIELDS = {
    "code": "Code",
    "kind": "Kind",
    "level": "Level",
    "component": "Part",
    "title": "Title",
    "meaning": "Meaning",
    "clears_by": "Clears by",
    "remedy": "Remedy",
    "skill": "Skill",
    "parts": "Parts",
    "source": "Source",
}


def story(explanation: Explanation, reader: Reader) -> RenderableType:
    """Each fault from its report to its newest revision, then the case with all that was done."""
    blocks: list[RenderableType] = []
    for fault_story in explanation.faults:
        blocks += [_fault_tree(fault_story, reader), Text("")]
    if explanation.case is None:
        blocks += [Text(_why_no_case(told.fault)) for told in explanation.faults]
    else:
        blocks.append(_case_tree(explanation.case, reader))
    return Group(*blocks)


def _why_no_case(fault: Fault) -> str:
    """As far as the fault says it itself."""
    said = "Dispatch has it in no case"
    if fault.cause_id is not None:
        return f"{said}: it is a symptom of {fault.cause_id}."
    if fault.suppressed_by is not None:
        return f"{said}: it is suppressed by {fault.suppressed_by}."
    if fault.emu_state in NOT_IN_SERVICE:
        return (
            f"{said}: its EMU is {NOT_IN_SERVICE[fault.emu_state]}. It is recorded, and nobody is paged; "
            "if it still stands when the EMU is put into service, it gets one then."
        )
    if fault.change == MOVED:
        return f"{said}: its EMU went to another site before anybody was paged; it has one there."
    return f"{said}."


def _fault_tree(told: FaultStory, reader: Reader) -> Tree:
    fault = told.fault
    tree = _tree(
        Text.assemble(
            ("Fault ", "dim"),
            fault.fault_id,
            "  ",
            (fault.grade, GRADE_STYLES[fault.grade]),
            "  ",
            (plain(fault.title), "bold"),
        )
    )
    _add(tree, f"Reported by {fault.emu_id}", _reported(fault, told.report, reader))
    _add(tree, "Looked up in the catalogue", _looked_up(told.catalogue))
    _add(tree, f"Graded {fault.grade}", _graded(told))
    _add(tree, _stand(fault), _standing(fault, reader))
    _add(tree, "Published", _published(fault, told.history, reader), last=True)
    return tree


def _reported(fault: Fault, report: Report, reader: Reader) -> RenderableType:
    facts: Facts = [
        ("Component", f"{fault.component}, site {fault.site_id}"),
        ("EMU's clock", moment(fault.raised_at, reader, exact=True)),
        ("Receipt", _after(fault.opened_at, fault.raised_at, reader)),
    ]
    devices = [("Model", fault.model), ("Firmware", fault.firmware), ("EMU is", fault.emu_state)]
    facts += [(name, value) for name, value in devices if value is not None and value != "unknown"]
    facts.append(
        ("Kept in", f"{report.topic}, partition {report.partition}, offset {report.offset}")
    )
    if report.problem is not None:
        facts.append(("Report", Text(f"not there: {plain(report.problem)}", style="yellow")))
    elif report.reports_in_record > 1:
        about = len(report.reports)
        facts.append(("In it", f"{report.reports_in_record} reports, {about} about this"))
    facts += [("Report", _report_text(found)) for found in report.reports[:REPORTS_SHOWN]]
    left = len(report.reports) - REPORTS_SHOWN
    if left > 0:
        facts.append(("", f"and {left} more; --json has them"))
    return facts_table(facts)


def _report_text(report: object) -> str:
    text = report if isinstance(report, str) else json.dumps(report, ensure_ascii=False)
    if len(text) <= LONGEST_REPORT:
        return text
    return f"{text[:LONGEST_REPORT]} ... ({len(text) - LONGEST_REPORT} characters more; see --json)"


def _looked_up(lookup: Lookup) -> RenderableType:
    facts: Facts = [
        (label, _value(lookup.row[name]))
        for name, label in ROW_FIELDS.items()
        if lookup.row.get(name)
    ]
    if lookup.fitted:
        facts.append(("", "the level is not stored: the row fits what the fault carries"))
    if lookup.version == lookup.fault_version:
        facts.append(("Version", f"{lookup.version}, the one that the fault was judged by"))
    else:
        facts.append(
            (
                "Version",
                Text(
                    f"{lookup.version} in this installation; the fault was judged by "
                    f"{plain(lookup.fault_version)}",
                    style="yellow",
                ),
            )
        )
    facts += [
        (
            "Differs",
            Text(
                f"{found.field}: the fault has {plain(_value(found.of_fault))}, "
                f"the row above {plain(_value(found.of_catalogue))}",
                style="yellow",
            ),
        )
        for found in lookup.differences
    ]
    return facts_table(facts)


def _graded(told: FaultStory) -> RenderableType:
    fault = told.fault
    return facts_table(
        [
            ("Reason", fault.grade_reason),
            (f"{fault.grade} is mainly", f"{told.grade_definition} (service agreement, S3)"),
            ("Hazard", "yes: never hidden, never lowered" if fault.hazard else "no"),
        ]
    )


def _stand(fault: Fault) -> str:
    if fault.suppressed_by is not None:
        return f"Suppressed by {fault.suppressed_by}"
    if fault.cause_id is not None:
        return f"Attached to its cause {fault.cause_id}"
    return "Stands for itself"


def _standing(fault: Fault, reader: Reader) -> RenderableType:
    facts: Facts = [
        ("Rule", fault.rule or "none"),
        ("Clocks from", moment(fault.clocks_from, reader, exact=True)),
    ]
    if fault.moved_from is not None:
        facts.append(("Moved from", fault.moved_from))
    return facts_table(facts)


def _published(fault: Fault, history: History, reader: Reader) -> RenderableType:
    facts: Facts = [
        ("State", f"{fault.state}{', stale' if fault.stale else ''}"),
        ("Reported", f"{times(fault.count)}, last {moment(fault.last_at, reader, exact=True)}"),
        ("Came back", times(fault.flaps) if fault.flaps else "never"),
    ]
    if fault.stale and fault.state == "open":
        facts.append(("", Text(STALE, style="yellow")))
    if fault.cleared_at is not None:
        facts.append(("Cleared", moment(fault.cleared_at, reader, exact=True)))
    kept = f"{len(history.revisions)} of {fault.revision} still in {history.topic}"
    facts.append(("Revisions", kept if history.problem is None else _problem(history.problem)))
    table = Table.grid(padding=(0, 2, 0, 0))
    for found in history.revisions:
        table.add_row(
            Text(str(found.revision)),
            Text(moment(found.published_at, reader, exact=True)),
            Text(found.change),
            grade_text(found.grade),
            Text(f"reported {times(found.count)}"),
            Text(f"came back {times(found.flaps)}" if found.flaps else ""),
        )
    return Group(facts_table(facts), table) if history.revisions else facts_table(facts)


def _case_tree(file: CaseFile[Case, Fault], reader: Reader) -> Tree:
    case = file.case
    tree = _tree(Text.assemble(("Case ", "dim"), case.case_id, "  ", (case.state, "bold")))
    work = [*case_facts(case, None, reader), *_milestones(case, reader)]
    _add(tree, "Opened and worked on", facts_table(work))
    _add(tree, "Pages", page_lines(file.pages, reader) or Text("nobody was paged"))
    _add(tree, "Clocks", _clocks(case, reader))
    _add(tree, "Log", log_lines(file.log, reader) or Text("empty"), last=True)
    return tree


def _milestones(case: Case, reader: Reader) -> Facts:
    """When the case reached what, and how long after its beginning."""
    opened_at = case.milestones.opened_at
    return [
        (name.removesuffix("_at").capitalize(), _after(at, opened_at or at, reader))
        for name, at in msgspec.structs.asdict(case.milestones).items()
        if at is not None and name != "opened_at"
    ]


def _clocks(case: Case, reader: Reader) -> RenderableType:
    if not case.clocks:
        return Text("none")
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, clock in clocks_by_end(case):
        news = clock_end(name, clock, breached=name in case.breached, reader=reader)
        length_ms = from_rfc3339(clock.due) - from_rfc3339(clock.start)
        table.add_row(
            Text(name),
            Group(
                Text(
                    f"{act(name)} within {duration(length_ms)}: "
                    f"{moment(clock.start, reader)} to {moment(clock.due, reader)}"
                ),
                Text(f"{_warnings(clock, reader)}; its end {_end(name, clock)}", style="dim"),
                Text(news.text, style=STANDING_STYLES[news.standing]),
            ),
        )
    return table


def _warnings(clock: Clock, reader: Reader) -> str:
    moments = [
        f"{moment(warn.at, reader)} ({warn.share} of it)"
        for warn in clock.warn
        if warn.at != clock.due
    ]
    return f"warns {', '.join(moments)}" if moments else "no warning"


def _end(name: str, clock: Clock) -> str:
    if clock.event == "breach":
        return "is a breach"
    return "pages on" if name == STEP else "is a target"


def _after(at: str, before: str, reader: Reader) -> str:
    """A moment, and how long after another it was, if it was."""
    later_ms = from_rfc3339(at) - from_rfc3339(before)
    later = f", {duration(later_ms)} later" if later_ms > 0 else ""
    return f"{moment(at, reader, exact=True)}{later}"


def _problem(text: str) -> Text:
    return Text(plain(text), style="yellow")


def _value(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence):
        return ", ".join(map(str, cast(Sequence[object], value)))
    return str(value)


def _tree(heading: Text) -> Tree:
    return Tree(heading, guide_style="dim", highlight=False)


def _add(tree: Tree, heading: str, body: RenderableType, *, last: bool = False) -> None:
    """A branch of the story, with a line of air below it."""
    air = [] if last else [Text("")]
    tree.add(Group(Text(plain(heading), style="bold"), body, *air))

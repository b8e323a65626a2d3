"""An explanation tells what is stored, says what is missing, and guesses nothing."""

import json
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.cli.explanation import (
    Explanation,
    FaultStory,
    History,
    Report,
    look_up,
    make_report,
    make_revision,
    report_place,
    reports_about,
    tell,
)
from deploy.cli.story import LONGEST_REPORT, story
from shared.catalogue import load_catalogue
from shared.documents.case import Milestones
from shared.documents.fault import Fault, FaultSource
from shared.policy import GRADE_DEFINITIONS
from tests.unit.case_documents import at, make_case_file, make_clock, reader, rendered
from tests.unit.dispatch_documents import make_fault

CATALOGUE = load_catalogue()
CODE = "sunspec:701.Alrm.0"


def known_fault(**fields: Any) -> Fault:
    """A fault as the catalogue of this installation has it."""
    row = CATALOGUE.look_up(CODE, None)
    return make_fault(
        code=CODE,
        kind=row.kind,
        title=row.title,
        grade=row.grade,
        grade_reason=row.reason,
        hazard=row.hazard,
        remedy=row.remedy,
        catalogue=CATALOGUE.version,
        source=FaultSource("emu.alarms", 3, 812),
        **fields,
    )


def report_of(fault: Fault, **fields: object) -> dict[str, object]:
    return {
        "emu_id": fault.emu_id,
        "code": fault.code,
        "component": fault.component,
        "state": "raised",
        "at": fault.raised_at,
        **fields,
    }


def told(fault: Fault, value: object = None, **fields: Any) -> FaultStory:
    """The fault's story, its record in Kafka holding `value`."""
    encoded = json.dumps(report_of(fault) if value is None else value).encode()
    report = make_report(report_place(fault), fault, at(0), encoded)
    history = History(topic="bakvakt.faults", revisions=[make_revision(fault, at(0.001))])
    return replace(tell(fault, report, history, CATALOGUE), **fields)


def text_of(*stories: FaultStory, minutes: float = 4, **case: Any) -> str:
    file = make_case_file(stories[0].fault, **case)
    return rendered(story(Explanation(faults=list(stories), case=file), reader(minutes)))


def test_story_names_report_row_grade_revisions_case_page_and_clocks_in_this_order() -> None:
    fault = known_fault()
    text = text_of(told(fault), milestones=Milestones(opened_at=at(0), paged_at=at(0.001)))
    row = CATALOGUE.look_up(CODE, None)
    facts = [
        f"Fault {fault.fault_id}",
        f"Reported by {fault.emu_id}",
        "emu.alarms, partition 3, offset 812",
        f'"code": "{CODE}"',
        "Looked up in the catalogue",
        row.kind,
        row.meaning,
        row.source,
        f"{CATALOGUE.version}, the one that the fault was judged by",
        f"Graded {row.grade}",
        row.reason,
        GRADE_DEFINITIONS[row.grade],
        "Stands for itself",
        "1 of 1 still in bakvakt.faults",
        f"Case c{fault.fault_id[1:]}",
        "16:13:20.060 CEST, 60 ms later",
        "delivered 30 s later, 2 tries",
        "acknowledge within 5 min: 16:13:20 CEST to 16:18:20 CEST",
        "warns 16:15:50 CEST (0.5 of it); its end is a breach",
        "acknowledge in 1 min",
        "grade A: catalogue",
    ]
    places = [text.find(fact) for fact in facts]
    assert -1 not in places, facts[places.index(-1)]
    assert places == sorted(places)
    assert "Differs" not in text


def test_story_fits_a_terminal_of_80_columns() -> None:
    fault = known_fault()
    explanation = Explanation(faults=[told(fault)], case=make_case_file(fault))
    lines = rendered(story(explanation, reader(4)), 80).splitlines()
    assert all(len(line) <= 80 for line in lines)


def test_where_the_catalogue_has_changed_since_is_said_field_by_field() -> None:
    fault = replace(known_fault(), grade="B", title="Earth leak", catalogue="0ld")
    lookup = look_up(fault, (None,), CATALOGUE)
    assert {found.field for found in lookup.differences} == {"grade", "title"}
    text = text_of(told(fault))
    assert f"{CATALOGUE.version} in this installation; the fault was judged by 0ld" in text
    assert "grade: the fault has B, the row above A" in text
    assert "title: the fault has Earth leak, the row above " in text


def test_row_is_the_one_of_the_level_that_the_report_gives() -> None:
    fault = make_fault(
        code="acme:1", kind="other_alarm", title="acme:1", grade="D", catalogue=CATALOGUE.version
    )
    found = told(fault, report_of(fault, level="info")).catalogue
    assert (found.known, found.row["grade"], found.differences) == (False, "D", [])
    found = told(fault).catalogue
    assert [difference.field for difference in found.differences] == ["grade"]


def test_row_of_a_report_that_gives_no_level_is_the_one_that_fits_and_that_is_said() -> None:
    fault = make_fault(
        code="acme:1", kind="other_alarm", title="acme:1", grade="D", catalogue=CATALOGUE.version
    )
    story_of_registers = told(fault, {"type": "registers", "emu_id": fault.emu_id})
    found = story_of_registers.catalogue
    assert (found.fitted, found.row["level"], found.differences) == (True, "info", [])
    assert "the level is not stored" in text_of(story_of_registers)
    assert "the level is not stored" not in text_of(told(known_fault()))


@pytest.mark.parametrize(
    ("fields", "heading", "fact"),
    [
        ({"cause_id": "fcause", "rule": "same rack"}, "Attached to its cause fcause", "same rack"),
        ({"suppressed_by": "window 7"}, "Suppressed by window 7", "none"),
        ({"moved_from": "fbefore"}, "Stands for itself", "fbefore"),
        ({"stale": True}, "Stands for itself", "open, stale"),
        ({"stale": True}, "Stands for itself", "it is not known whether this still stands"),
    ],
)
def test_what_a_fault_is_attached_to_or_suppressed_by_is_told(
    fields: dict[str, Any], heading: str, fact: str
) -> None:
    fault = known_fault(**fields)
    text = rendered(story(Explanation(faults=[told(fault)], case=None), reader(1)))
    assert heading in text
    assert fact in text
    assert "Dispatch has it in no case" in text


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cause_id": "fcause"}, "it is a symptom of fcause."),
        ({"suppressed_by": "window 7"}, "it is suppressed by window 7."),
        ({"emu_state": "commissioning"}, "its EMU is in commissioning. It is recorded"),
        ({"emu_state": "retired"}, "its EMU is retired. It is recorded"),
        ({"change": "moved", "state": "closed"}, "its EMU went to another site before"),
    ],
)
def test_fault_that_is_in_no_case_is_told_with_the_reason(fields: dict[str, Any], why: str) -> None:
    alone = Explanation(faults=[told(known_fault(**fields))], case=None)
    assert f"Dispatch has it in no case: {why}" in rendered(story(alone, reader(1)))


def test_reports_of_the_condition_are_picked_from_a_list() -> None:
    fault = known_fault()
    other_code = report_of(fault, code="sunspec:701.Alrm.1")
    elsewhere = report_of(fault, emu_id="emu-9")
    mine = report_of(fault)
    value = json.dumps([other_code, elsewhere, mine]).encode()
    assert reports_about(fault, value) == ([mine], 3)
    assert "3 reports, 1 about this" in text_of(told(fault, [other_code, elsewhere, mine]))
    # A gateway's own words, in which the code does not stand: what it said of this EMU.
    registers: dict[str, object] = {"type": "registers", "emu_id": fault.emu_id, "registers": []}
    assert reports_about(fault, json.dumps([elsewhere, registers]).encode()) == ([registers], 2)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b'{"emu_id": "emu-9"}', "does not speak of emu-1"),
        (b"", "what is there is no report"),
        (b"[1, ", "what is there is no report"),
        (b"\xff", "does not speak of emu-1"),
    ],
)
def test_record_that_is_not_the_report_is_not_told_as_it(value: bytes, said: str) -> None:
    fault = known_fault()
    report = make_report(report_place(fault), fault, at(0), value)
    assert report.reports == []
    assert said in (report.problem or "")
    assert said in text_of(told(fault, report=report))


def test_what_cannot_be_read_is_said_in_its_place() -> None:
    fault = known_fault()
    gone = replace(report_place(fault), problem="retention has taken it")
    absent = History(topic="bakvakt.faults", problem="Kafka was not read")
    text = text_of(told(fault, report=gone, history=absent))
    assert "offset 812" in text
    assert "not there: retention has taken it" in text
    assert "Kafka was not read" in text


def test_report_too_long_to_read_is_cut_and_says_so() -> None:
    fault = known_fault()
    text = text_of(told(fault, report_of(fault, text="x" * 2 * LONGEST_REPORT)))
    assert text.count("x") < LONGEST_REPORT
    assert "characters more; see --json" in text


def test_clock_that_was_stopped_late_is_a_breach_only_where_that_is_stored() -> None:
    fault = known_fault()
    clocks = {"response": make_clock(5, stopped=7)}
    assert "breached by 2 min" in text_of(told(fault), clocks=clocks, breached=("response",))
    assert "breached" not in text_of(told(fault), clocks=clocks)


def test_case_with_several_faults_is_told_fault_by_fault() -> None:
    cause = known_fault()
    symptom = make_fault(2, cause_id=cause.fault_id, rule="same rack")
    text = text_of(told(cause), told(symptom))
    assert text.index(f"Fault {cause.fault_id}") < text.index(f"Fault {symptom.fault_id}")
    assert text.count("Case c") == 1


def test_place_without_a_record_read_has_no_report() -> None:
    assert report_place(known_fault()) == Report(topic="emu.alarms", partition=3, offset=812)

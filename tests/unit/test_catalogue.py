"""The catalogue that is shipped: the 434 codes that were imported, and what becomes of all others."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalogue import Row, load_catalogue
from shared.documents.fault import GRADES
from tests.unit.alarms import CATALOGUE

IMPORTED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "alarms.json").read_text(encoding="utf-8")
)
LEVELS = {"fault/alarm": "fault", "warning": "warning", "info/pre-alarm": "info"}


def as_imported(row: Row, imported: dict[str, Any]) -> dict[str, Any]:
    """What our row says of what the import says, in its words."""
    levels = {ours: theirs for theirs, ours in LEVELS.items()}
    return {
        "code": row.code,
        "kind": row.kind,
        "level": levels[row.level],
        "component": row.component,
        "title": row.title[: len(imported["title"])],  # the import cut them
        "meaning": row.meaning,
        "grade": row.grade,
        "reason": row.reason,
        "clears_by": row.clears_by,
        "source": imported["source"],  # ours names each source once for all its codes
    }


def test_all_imported_codes_come_out_as_they_were_imported() -> None:
    differences: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for imported in IMPORTED:
        # A stray asterisk of a comment of C is not kept.
        expected = imported | {"meaning": imported["meaning"].replace("expected * ", "expected ")}
        ours = as_imported(CATALOGUE.look_up(imported["code"], None), imported)
        if ours != expected:
            differences.append((ours, expected))
    assert differences == []


def test_all_imported_codes_are_there() -> None:
    assert len(IMPORTED) == 434
    assert {row["code"] for row in IMPORTED} <= {row.code for row in CATALOGUE.rows}


def test_kinds_of_two_grades_are_told_apart_by_who_reports_them() -> None:
    """Ten kinds have two grades at one level: one rack's is graver or milder than the whole battery's."""
    grades: dict[tuple[str, str], set[str]] = {}
    for imported in IMPORTED:
        grades.setdefault((imported["kind"], imported["level"]), set()).add(imported["grade"])
    assert len(grades) == 83
    assert sum(len(found) > 1 for found in grades.values()) == 10
    assert CATALOGUE.look_up("sunspec:802.Evt1.9", None).grade == "A"
    assert CATALOGUE.look_up("sunspec:804.Evt1.9", None).grade == "B"
    assert CATALOGUE.look_up("foxbms2:DIAG_ID_CURRENT_ON_OPEN_STRING", None).grade == "A"


@pytest.mark.parametrize(("level", "grade"), [(None, "B"), ("fault", "B"), ("info", "D")])
def test_an_unknown_code_is_never_lost(level: str | None, grade: str) -> None:
    row = CATALOGUE.look_up("acme:42", level)
    assert (row.kind, row.grade, row.title) == ("other_alarm", grade, "acme:42")
    assert (row.on_delay_s, row.hazard) == (0, False)
    assert "acme:42" not in CATALOGUE


def test_level_counts_only_where_the_register_tells_it() -> None:
    told = "victron:vebus/Alarms/HighTemperature"
    assert [CATALOGUE.look_up(told, level).grade for level in (None, "warning", "fault")] == [
        "A", "B", "A",
    ]  # fmt: skip
    assert CATALOGUE.look_up(told, "warning").level == "warning"
    # The severity of others is not trusted: some vendors call everything a warning.
    assert CATALOGUE.look_up("sunspec:701.Alrm.7", "warning").grade == "A"


@pytest.mark.parametrize(
    ("code", "level", "grade"),
    [
        ("victron:multi/Alarms/ShortCircuit", "warning", "A"),  # a short has no milder level
        ("victron:battery/Alarms/BmsCable", "nonsense", "A"),
        ("victron:battery/Alarms/BmsCable", "info", "A"),  # nothing that its register tells
    ],
)
def test_level_without_a_grade_leaves_the_row_as_it_is(code: str, level: str, grade: str) -> None:
    assert CATALOGUE.look_up(code, level) == CATALOGUE.look_up(code, None)
    assert CATALOGUE.look_up(code, level).grade == grade


def test_hazards_are_told() -> None:
    kinds = {kind.name for kind in CATALOGUE.kinds.values() if kind.hazard_levels}
    assert kinds == {
        "fire", "fire_prewarn", "thermal_runaway", "water", "arc", "short", "estop", "insulation",
        "interlock", "overtemp",
    }  # fmt: skip
    hot = {row.level: row.hazard for row in CATALOGUE.rows if row.kind == "overtemp"}
    assert hot == {"fault": True, "warning": False, "info": False}


def test_each_kind_has_what_service_needs_and_says_why() -> None:
    for kind in CATALOGUE.kinds.values():
        assert kind.why
        worst = min(terms.grade for terms in kind.terms.values())
        if kind.hazard_levels:
            assert kind.on_delay_s == 0
        elif worst == "A":  # short enough to be no part of its 15 minutes
            assert kind.on_delay_s <= 10
        if worst in "AB" and not kind.parts:
            assert len(kind.why) > 30, kind.name


def test_emu_offline_is_b_after_five_minutes() -> None:
    kind = CATALOGUE.kinds["emu_offline"]
    assert [terms.grade for terms in kind.terms.values()] == ["B"]
    assert kind.on_delay_s == 300


def test_each_row_names_its_source_with_its_licence() -> None:
    licences = {row.source.rsplit("(", 1)[1].rstrip(")") for row in CATALOGUE.rows}
    assert licences == {"Apache-2.0", "BSD-3-Clause", "MIT"}


@pytest.mark.parametrize(
    ("model", "point", "word", "codes"),
    [
        ("701", "Alrm", 0b100001, ["sunspec:701.Alrm.0", "sunspec:701.Alrm.5"]),
        ("sunspec:701", "Alrm", 1, ["sunspec:701.Alrm.0"]),
        ("714", "Prt.DCAlrm", 1 << 15, ["sunspec:714.Prt.DCAlrm.15"]),
        ("714", "DCAlrm", 1 << 19, []),  # reserved
        ("714", "PrtAlrms", 0b11, []),  # says only where to look
        ("802", "Evt1", 1 << 27 | 1, ["sunspec:802.Evt1.0"]),
        ("802", "EvtVnd1", 0b100, ["sunspec:802.EvtVnd1.2"]),  # the vendor's own: unknown
        ("804", "Evt1", 1 << 24 | 1 << 27, []),
        ("804", "ConFail", 5, ["sunspec:804.ConFail.5"]),
        ("804", "ConFail", 0, []),
        ("807", "Evt1", 1 << 27, ["sunspec:807.Evt1.27"]),
        ("807", "Evt2", 1, ["sunspec:807.Evt2.0"]),
        ("203", "Evt", 1 << 8 | 1 << 7, ["sunspec:203.Evt.7"]),
        ("2", "Evt", 1 << 15 | 1 << 2, ["sunspec:2.Evt.15"]),
        ("foxess", "fault1", 1, ["foxess:fault1.0"]),
        ("goodwe", "battery_error", 1 << 12, ["goodwe:BMS_ALARM_CODES.12"]),
        ("goodwe", "DIAG_STATUS_CODES", 0b10, []),  # a state
        ("sigenergy", "plant_general_alarm3", 1 << 6, ["sigenergy:ESS_ALARM_CODES.6"]),
        ("victron", "battery/ErrorCode", 11, ["victron:battery/ErrorCode.11"]),
        ("victron:vebus", "VebusError", 4, ["victron:vebus/VebusError.4"]),
        ("victron", "vebus/Alarms/Overload", 1, ["victron:vebus/Alarms/Overload"]),
        ("victron", "digitalinput/Type.7", 2, ["victron:digitalinput/Type.7"]),
    ],
)
def test_registers_of_real_devices_are_read(
    model: str, point: str, word: int, codes: list[str]
) -> None:
    active = CATALOGUE.registers.find(model, point).read(word)
    assert active is not None
    assert [found.code for found in active] == codes


@pytest.mark.parametrize(("model", "point", "word"), [
    ("701", "Alrm", 0xFFFFFFFF), ("804", "ConFail", 0xFFFF), ("2", "EvtVnd", 0xFFFFFFFF),
])  # fmt: skip
def test_word_that_means_not_implemented_says_nothing(model: str, point: str, word: int) -> None:
    assert CATALOGUE.registers.find(model, point).read(word) is None


def test_level_of_a_register_is_the_level_that_its_row_is_graded_by() -> None:
    overload = CATALOGUE.registers.find("victron", "vebus/Alarms/Overload")
    grades: list[str] = []
    for value in (1, 2, 7):
        for code, level in overload.read(value) or ():
            grades.append(CATALOGUE.look_up(code, level).grade)
    assert grades == ["C", "A", "A"]


@given(data=st.data())
def test_any_word_of_bits_gives_its_set_bits_but_the_reserved_ones(data: st.DataObject) -> None:
    entries = [e for e in CATALOGUE.entries.values() if e.register.form == "bits"]
    entry = data.draw(st.sampled_from(entries))
    word = data.draw(st.integers(0, 2**entry.word_bits - 1))
    active = entry.register.read(word)
    if active is None:
        assert word == entry.register.not_implemented
        return
    bits = {int(found.code.rsplit(".", 1)[1]) for found in active}
    reserved = sum(1 << bit for bit in range(entry.word_bits) if bit in entry.reserved)
    assert sum(1 << bit for bit in bits) == word & ~reserved
    assert all(found.code.startswith(f"{entry.register.code}.") for found in active)


def test_each_row_is_whole() -> None:
    def is_whole(row: Row) -> bool:
        texts = (row.title, row.meaning, row.reason, row.clears_by, row.source, row.skill)
        return all(texts) and row.grade in GRADES and "{" not in row.title + row.meaning

    assert [row.code for row in CATALOGUE.rows if not is_whole(row)] == []


def test_the_same_files_have_the_same_version() -> None:
    assert load_catalogue().version == CATALOGUE.version

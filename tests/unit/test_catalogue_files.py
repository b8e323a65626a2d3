"""Catalogue files: a new vendor, an operator's folder, and what is said of each thing that can be wrong."""

import re
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

import services.classifier.main as classifier
import services.ingest.main as ingest
from shared.catalogue import Catalogue, load_catalogue
from shared.catalogue.files import ROOT
from shared.catalogue.patterns import parse_pattern, split_code
from shared.catalogue.words import COMPONENTS, LEVELS, SKILLS
from shared.errors import ConfigError
from tests.unit.alarms import CATALOGUE, Desk, edge

HEAD = """\
vendor = "acme"
[sources.manual]
name = "Acme manual 3"
licence = "CC-BY-4.0"
"""
FIRST = HEAD.count("\n") + 1  # the line of what follows the head

KIND = """\
[leak]
title = "Leak"
remedy = "hardware"
skill = "refrigerant"
parts = ["hose"]
on_delay_s = 5
off_delay_s = 6
why = "Drops."
[leak.fault]
grade = "B"
reason = "Leak: cooling fails soon."
clears_by = "repaired_and_reset"
"""


def write(folder: Path, *, acme: str | None = None, kinds: str | None = None) -> Path:
    (folder / "vendors").mkdir(exist_ok=True)
    if acme is not None:
        (folder / "vendors" / "acme.toml").write_text(HEAD + dedent(acme))
    if kinds is not None:
        (folder / "kinds.toml").write_text(dedent(kinds))
    return folder


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_catalogue(folder)
    return [problem.replace(f"{folder}/", "") for problem in caught.value.problems]


def active(catalogue: Catalogue, point: str, word: int) -> list[tuple[str, str | None]]:
    read = catalogue.registers.find("acme", point).read(word) or ()
    return [(code, level) for code, level in read]


def test_a_new_vendor_is_a_file_and_no_code(tmp_path: Path) -> None:
    write(
        tmp_path,
        acme="""
        [[bits]]
        register = "status"
        names = [["acme-9000", "1207"]]
        word_bits = 16
        not_implemented = 0xFFFF
        component = "BMS.rack"
        meaning = "Bit {bit} of the status: {title}."
        [bits.rows]
        0 = { kind = "overvolt", title = "Voltage high" }
        3 = { kind = "fan", component = "HVAC", title = "Fan" }
        [bits.reserved]
        "1-2" = "states: charging, discharging"

        [[enum]]
        register = "error"
        word_bits = 16
        component = "PCS"
        meaning = "Error {value}."
        [enum.rows]
        41 = { kind = "hw_fault", title = "Driver" }

        [[levels]]
        word_bits = 8
        values = { 1 = "warning", 2 = "fault" }
        component = "BMS.system"
        meaning = "Address {address}."
        [levels.rows]
        heat = { kind = "overtemp", title = "Heat", address = 12 }

        [[codes]]
        component = "BMS.cell"
        [codes.rows]
        "RACK_1_CELL_1_HOT" = { kind = "sensor", title = "Known bad", meaning = "A bad batch." }
        [codes.rows."RACK_{rack}_CELL_{cell}_HOT"]
        kind = "overtemp"
        level = "warning"
        title = "Rack {rack}, cell {cell}: hot"
        meaning = "Over 50 degrees in rack {rack}."
        """,
    )
    catalogue = load_catalogue(tmp_path)

    assert active(catalogue, "status", 0b11111) == [
        ("acme:status.0", None), ("acme:status.3", None), ("acme:status.4", None),
    ]  # fmt: skip
    assert catalogue.registers.find("acme-9000", "1207").code == "acme:status"
    assert catalogue.registers.find("acme", "status").read(0xFFFF) is None
    row = catalogue.look_up("acme:status.0", None)
    assert (row.kind, row.grade, row.meaning) == (
        "overvolt", "B", "Bit 0 of the status: Voltage high.",
    )  # fmt: skip  # B: one rack's
    assert row.source == "Acme manual 3 (CC-BY-4.0)"
    assert "acme:status.4" not in catalogue

    assert active(catalogue, "error", 41) == [("acme:error.41", None)]
    assert catalogue.look_up("acme:error.41", None).meaning == "Error 41."

    assert active(catalogue, "heat", 1) == [("acme:heat", "warning")]
    assert catalogue.look_up("acme:heat", "warning").grade == "B"
    assert catalogue.look_up("acme:heat", None).grade == "A"
    assert catalogue.look_up("acme:heat", None).meaning == "Address 12."

    row = catalogue.look_up("acme:RACK_3_CELL_17_HOT", None)
    assert (row.code, row.title) == ("acme:RACK_3_CELL_17_HOT", "Rack 3, cell 17: hot")
    assert (row.kind, row.grade, row.meaning) == ("overtemp", "B", "Over 50 degrees in rack 3.")
    assert catalogue.look_up("acme:RACK_1_CELL_1_HOT", None).kind == "sensor"
    assert "acme:RACK_x_CELL_1_HOT" not in catalogue
    assert "acme:RACK_3_CELL_17_HOT2" not in catalogue

    assert len(catalogue) == len(CATALOGUE) + 5
    assert catalogue.replaced == ()


def test_the_examples_of_the_page_are_right(tmp_path: Path) -> None:
    page = (ROOT / "docs/catalogue.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    *vendor, kinds = blocks
    (tmp_path / "vendors").mkdir()
    (tmp_path / "vendors" / "acme.toml").write_text("\n".join(vendor))
    (tmp_path / "kinds.toml").write_text(kinds)
    catalogue = load_catalogue(tmp_path)
    assert catalogue.look_up("acme:RACK_2_CELL_9_HOT", None).title == "Rack 2, cell 9: hot"
    assert catalogue.look_up("acme:alarms/heat", "warning").grade == "B"
    leak = catalogue.kinds["leak"]
    terms = [leak.terms_of("fault", component) for component in ("HVAC", "BMS.rack")]
    assert [found.grade for found in terms if found] == ["B", "C"]
    for word in (*SKILLS, *COMPONENTS, *LEVELS):
        assert f"`{word}`" in page
    assert all(meaning in page for meaning in SKILLS.values())


def test_a_pattern_that_is_learnt_between_a_raise_and_its_clear_loses_no_clear(
    tmp_path: Path,
) -> None:
    row = '"PUMP_{n}" = { kind = "hw_fault", title = "Pump {n}", meaning = "Stands still." }'
    write(tmp_path, acme=rows_of(row))
    desk = Desk(CATALOGUE)
    (opened,) = desk.hear(edge(1, code="acme:PUMP_3"))
    assert (opened.kind, opened.grade) == ("other_alarm", "B")
    desk.restart(load_catalogue(tmp_path))
    (cleared,) = desk.hear(edge(2, code="acme:PUMP_3", raised=False))
    assert (cleared.fault_id, cleared.change) == (opened.fault_id, "cleared")
    assert (cleared.kind, cleared.title) == ("hw_fault", "Pump 3")


def test_a_kind_of_an_operator_serves_codes_at_once(tmp_path: Path) -> None:
    row = """
    [[codes]]
    [codes.rows]
    DRIP = { kind = "leak", component = "HVAC", meaning = "Water on the floor." }
    """
    write(tmp_path, acme=row, kinds=KIND)
    found = load_catalogue(tmp_path).look_up("acme:DRIP", None)
    assert (found.grade, found.skill, found.parts) == ("B", "refrigerant", ("hose",))
    assert (found.on_delay_s, found.off_delay_s, found.remedy) == (5, 6, "hardware")
    assert found.clears_by.startswith("repair or exchange")  # the word, spelled out


def test_a_row_has_a_grade_of_its_own_where_it_says_why(tmp_path: Path) -> None:
    write(
        tmp_path,
        acme="""
        [[codes]]
        component = "PCS"
        [codes.rows]
        A = { kind = "fan", title = "Both fans", meaning = "m", grade = "B", effect = "the PCS stops soon." }
        B = { kind = "fan", meaning = "m", grade = "D", reason = "A spare one." }
        """,
    )
    catalogue = load_catalogue(tmp_path)
    both, spare = (catalogue.look_up(f"acme:{name}", None) for name in "AB")
    assert (both.grade, both.reason) == ("B", "Fan failed: the PCS stops soon.")
    assert (spare.grade, spare.reason, spare.title) == ("D", "A spare one.", "B")


def test_bits_of_a_register_may_have_their_rows_elsewhere(tmp_path: Path) -> None:
    write(
        tmp_path,
        acme=rows_of(form="bits", head=BITS)
        + rows_of(
            '"r.3" = { kind = "fan", meaning = "m" }',
            '"r.{bit}" = { kind = "fuse", title = "Fuse {bit}", meaning = "m" }',
        ),
    )
    catalogue = load_catalogue(tmp_path)
    codes = [code for code, _level in active(catalogue, "r", 0b11000)]
    assert [catalogue.look_up(code, None).title for code in codes] == ["r.3", "Fuse 4"]


def test_braces_of_a_code_are_written_twice(tmp_path: Path) -> None:
    """Also beside names, in titles and in meanings, of the row or of its group."""
    head = 'component = "PCS"\nmeaning = "{{set}} {title}."'
    write(
        tmp_path,
        acme=rows_of(
            '"E{{5}}" = { kind = "fan" }',
            '"F{{{n}}}" = { kind = "fan", title = "{{F}} {n}", meaning = "{{n}}" }',
            head=head,
        ),
    )
    catalogue = load_catalogue(tmp_path)
    one, two = (catalogue.look_up(f"acme:{code}", None) for code in ("E{5}", "F{7}"))
    assert (one.title, one.meaning) == ("E{5}", "{set} E{5}.")
    assert (two.title, two.meaning) == ("{F} 7", "{set} {F} 7. {n}")
    assert "acme:F7" not in catalogue
    assert catalogue.pattern_of("acme:F{7}") == "acme:F{{{n}}}"


def test_a_wide_range_of_values_is_reserved_at_no_cost(tmp_path: Path) -> None:
    head = BITS.replace("word_bits = 16", "word_bits = 64")
    acme = rows_of(form="enum", head=head) + f'[enum.reserved]\n"256-{2**64 - 1}" = "w"\n'
    catalogue = load_catalogue(write(tmp_path, acme=acme))
    assert active(catalogue, "r", 255) == [("acme:r.255", None)]
    assert active(catalogue, "r", 256) == active(catalogue, "r", 2**64 - 1) == []


def test_what_an_operator_says_replaces_ours_whole_and_is_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        acme="""
        [[bits]]
        prefix = "sunspec:"
        register = "802.Evt1"
        names = [["sunspec", "802.Evt1"], ["sunspec:802", "Evt1"], ["802", "Evt1"]]
        word_bits = 32
        not_implemented = 0xFFFFFFFF
        component = "BMS.system"
        meaning = "Ours."
        [bits.rows]
        21 = { kind = "fan", title = "Blower" }
        """,
        kinds="""
        [door]
        title = "Gate"
        remedy = "operate"
        skill = "security"
        parts = []
        on_delay_s = 60
        off_delay_s = 0
        why = "A gate."
        [door.fault]
        grade = "C"
        reason = "Gate open: anybody walks in."
        clears_by = "switched_back"
        """,
    )
    catalogue = load_catalogue(tmp_path)
    assert catalogue.look_up("sunspec:802.Evt1.21", None).title == "Blower"
    assert catalogue.look_up("sunspec:802.Evt1.20", None).title == "CONTACTOR_ERROR"
    assert catalogue.look_up("sunspec:701.Alrm.5", None).grade == "C"  # every code of the kind
    assert [(found.what, found.name) for found in catalogue.replaced] == [
        ("kind", "door"), ("register", "sunspec:802.Evt1"), ("code", "sunspec:802.Evt1.21"),
    ]  # fmt: skip


def rows_of(*rows: str, form: str = "codes", head: str = 'component = "PCS"') -> str:
    return "\n".join([f"[[{form}]]", head, f"[{form}.rows]", *rows, ""])


BITS = 'component = "PCS"\nregister = "r"\nword_bits = 16\nmeaning = "m"'
KIND_LINES = KIND.count("\n")

# What is wrong in a file (below its head), and what is said of it.
BROKEN: list[tuple[str, str, str]] = [
    # Codes
    (
        "duplicate",
        rows_of('A = { kind = "fan", meaning = "m" }') * 2,
        f"FILE, line {FIRST + 7}: acme:A: is in FILE, line {FIRST + 3}"
        " already; leave one of the two out",
    ),
    (
        "key twice",
        rows_of('A = { kind = "fan", meaning = "m" }', 'A = { kind = "fan", meaning = "n" }'),
        f"FILE, line {FIRST + 4}: codes.rows.A: is in line {FIRST + 3} already;"
        " leave one of the two out",
    ),
    (
        "unknown kind",
        rows_of('A = { kind = "overtmp", meaning = "m" }'),
        f'FILE, line {FIRST + 3}: codes.rows.A.kind: "overtmp" cannot be; write a kind'
        " of kinds.toml; did you mean overtemp",
    ),
    (
        "no grade at the level",
        rows_of('A = { kind = "fan", level = "info", meaning = "m" }'),
        f"FILE, line {FIRST + 3}: codes.rows.A: kind fan has no grade at level info;"
        " write [fan.info] in kinds.toml, or grade, reason and clears_by here",
    ),
    (
        "unknown key",
        rows_of('A = { kind = "fan", meaning = "m", tilte = "T" }'),
        f"FILE, line {FIRST + 3}: codes.rows.A.tilte: unknown key; did you mean title",
    ),
    (
        "wrong type",
        rows_of('A = { kind = "fan", meaning = 7 }'),
        f"FILE, line {FIRST + 3}: codes.rows.A.meaning: 7 cannot be; write a text",
    ),
    (
        "wrong word",
        rows_of('A = { kind = "fan", meaning = "m", grade = "E", reason = "r" }'),
        f'FILE, line {FIRST + 3}: codes.rows.A.grade: "E" cannot be; write one of A, B',
    ),
    (
        "no kind",
        rows_of('A = { meaning = "m" }'),
        f"FILE, line {FIRST + 3}: codes.rows.A: has no `kind`; write kind =",
    ),
    (
        "no component",
        rows_of('A = { kind = "fan", meaning = "m" }', head=""),
        f"FILE, line {FIRST + 3}: codes.rows.A: has no `component`; write it",
    ),
    (
        "no meaning",
        rows_of('A = { kind = "fan" }'),
        f"FILE, line {FIRST + 3}: codes.rows.A: has no `meaning`; write meaning =",
    ),
    (
        "no title",
        rows_of('1 = { kind = "fan" }', form="bits", head=BITS),
        f"FILE, line {FIRST + 6}: bits.rows.1: has no `title`; write title =",
    ),
    (
        "grade without a reason",
        rows_of('A = { kind = "fan", meaning = "m", grade = "B" }'),
        f"FILE, line {FIRST + 3}: codes.rows.A.grade: a grade of its own needs its"
        " reason; write reason =",
    ),
    (
        "effect without a colon to stand behind",
        rows_of('A = { kind = "undervolt_w", meaning = "m", effect = "stops." }'),
        f"FILE, line {FIRST + 3}: codes.rows.A: the effect stands behind the colon of"
        " the kind's reason, and that of undervolt_w has none; write reason =",
    ),
    (
        "reason and effect",
        rows_of('A = { kind = "fan", meaning = "m", effect = "e", reason = "r" }'),
        f"FILE, line {FIRST + 3}: codes.rows.A.effect: stands beside `reason`; leave",
    ),
    (
        "misspelled word of clears_by",
        rows_of('A = { kind = "fan", meaning = "m", clears_by = "rewird" }'),
        f'FILE, line {FIRST + 3}: codes.rows.A.clears_by: "rewird" cannot be; write a'
        " sentence, or a word of [clears_by] in kinds.toml: did you mean rewired",
    ),
    (
        "field that the meaning names",
        rows_of('A = { kind = "fan" }', head='component = "PCS"\nmeaning = "At {address}."'),
        f"FILE, line {FIRST + 4}: codes.rows.A: has no `address`, which the meaning",
    ),
    (
        "code that no report can have",
        rows_of(f'{"A" * 130} = {{ kind = "fan", meaning = "m" }}'),
        f"FILE, line {FIRST + 3}: codes.rows.{'A' * 130}: is not a code that reports",
    ),
    # Patterns
    (
        "bad name in a pattern",
        rows_of('"R{Rack}" = { kind = "fan", meaning = "m" }'),
        f"FILE, line {FIRST + 3}: codes.rows.R{{Rack}}: is no pattern: a name in braces"
        " is small letters, such as {rack}; write a brace of the code twice",
    ),
    (
        "numbers side by side",
        rows_of('"R{a}{b}" = { kind = "fan", meaning = "m" }'),
        f"FILE, line {FIRST + 3}: codes.rows.R{{a}}{{b}}: is no pattern: put something"
        " between a name in braces and the number beside it",
    ),
    (
        "one name for two numbers",
        rows_of('"R{a}C{a}" = { kind = "fan", meaning = "m" }'),
        f"FILE, line {FIRST + 3}: codes.rows.R{{a}}C{{a}}: is no pattern: give each"
        " number a name of its own",
    ),
    (
        "name that is not in the code",
        rows_of('"R{a}" = { kind = "fan", title = "{b}", meaning = "m" }'),
        f"FILE, line {FIRST + 3}: codes.rows.R{{a}}: {{b}} is not in the code; there is {{a}}",
    ),
    (
        "two patterns for one code",
        rows_of(
            '"R{a}_1" = { kind = "fan", meaning = "m" }',
            '"R2_{b}" = { kind = "fan", meaning = "m" }',
        ),
        f"FILE, line {FIRST + 4}: codes.rows.R2_{{b}}: some codes are also instances of"
        f" acme:R{{a}}_1 in FILE, line {FIRST + 3}; write numbers for names",
    ),
    (
        "pattern of registers",
        rows_of(form="bits", head=BITS.replace('"r"', '"r{n}"')),
        f"FILE, line {FIRST + 2}: bits.register: names in braces are for [[codes]];",
    ),
    (
        "pattern of levels",
        rows_of(
            '"l{n}" = { kind = "fan", meaning = "m" }',
            form="levels",
            head='component = "PCS"\nword_bits = 8\nvalues = { 1 = "fault" }',
        ),
        f"FILE, line {FIRST + 5}: levels.rows.l{{n}}: names in braces are for",
    ),
    # Registers
    (
        "bit out of the word",
        rows_of('16 = { kind = "fan", title = "T" }', form="bits", head=BITS),
        f"FILE, line {FIRST + 6}: bits.rows.16: is no bit of a word of 16 bits; write a"
        " number up to 15",
    ),
    (
        "bit that is no number",
        rows_of('x1 = { kind = "fan", title = "T" }', form="bits", head=BITS),
        f"FILE, line {FIRST + 6}: bits.rows.x1: is no bit of a word of 16 bits",
    ),
    (
        "value 0",
        rows_of('0 = { kind = "fan", title = "T" }', form="enum", head=BITS),
        f"FILE, line {FIRST + 6}: enum.rows.0: 0 always says that nothing stands;",
    ),
    (
        "reserved and coded",
        rows_of('3 = { kind = "fan", title = "T" }', form="bits", head=BITS)
        + '[bits.reserved]\n"2-4" = "states"\n',
        f"FILE, line {FIRST + 6}: bits.rows.3: acme:r.3 is reserved in the register of"
        f" FILE, line {FIRST}; leave it out there or here",
    ),
    (
        "reserved without a reason",
        rows_of(form="bits", head=BITS) + "[bits.reserved]\n2 = true\n",
        f"FILE, line {FIRST + 7}: bits.reserved.2: true cannot be; write why it means nothing",
    ),
    (
        "range that goes down",
        rows_of(form="bits", head=BITS) + '[bits.reserved]\n"15-8" = "w"\n',
        f"FILE, line {FIRST + 7}: bits.reserved.15-8: is no range; write the smaller number first",
    ),
    (
        "range of one number",
        rows_of(form="bits", head=BITS) + '[bits.reserved]\n"8-8" = "w"\n',
        f"FILE, line {FIRST + 7}: bits.reserved.8-8: is no range; write the smaller",
    ),
    (
        "range without an end",
        rows_of(form="bits", head=BITS) + '[bits.reserved]\n"3-" = "w"\n',
        f"FILE, line {FIRST + 7}: bits.reserved.3-: is neither a number nor a range; write it such",
    ),
    (
        "range out of the word",
        rows_of(form="bits", head=BITS) + '[bits.reserved]\n"8-16" = "w"\n',
        f"FILE, line {FIRST + 7}: bits.reserved.8-16: 16 is no bit of a word of 16 bits",
    ),
    (
        "range from 0",
        rows_of(form="enum", head=BITS) + '[enum.reserved]\n"0-7" = "w"\n',
        f"FILE, line {FIRST + 7}: enum.reserved.0-7: 0 always says that nothing stands; leave it out",
    ),
    (
        "reserved twice",
        rows_of(form="bits", head=BITS) + '[bits.reserved]\n"4-9" = "w"\n"8-12" = "w"\n',
        f"FILE, line {FIRST + 8}: bits.reserved.8-12: is in part in 4-9 of FILE, line"
        f" {FIRST + 7} already; write each once",
    ),
    (
        "word that is too long",
        rows_of(form="bits", head=f"{BITS}\nnot_implemented = 0x1FFFF"),
        f"FILE, line {FIRST + 5}: bits.not_implemented: 131071 cannot be; write a word of 16 bits",
    ),
    (
        "register twice",
        rows_of(form="bits", head=BITS) * 2,
        f"FILE, line {FIRST + 6}: register acme:r: is in FILE, line {FIRST} already",
    ),
    (
        "name of another register",
        rows_of(form="bits", head=f'{BITS}\nnames = [["701", "Alrm"]]'),
        f"FILE, line {FIRST}: 701, Alrm is a name of sunspec:701.Alrm in"
        " shared/catalogue/vendors/sunspec.toml, line",
    ),
    (
        "register within a register",
        rows_of(form="bits", head=BITS) + rows_of(form="bits", head=BITS.replace('"r"', '"r.1"')),
        f"FILE, line {FIRST + 6}: register acme:r.1: begins with acme:r of FILE, line {FIRST} and a"
        " full stop, so the one would clear the other's codes; give it another name",
    ),
    (
        "code within a register",
        rows_of(form="bits", head=BITS) + rows_of('"r.hot" = { kind = "fire", meaning = "m" }'),
        f"FILE, line {FIRST + 9}: codes.rows.r.hot: is acme:r of FILE, line {FIRST}, or begins with it"
        " and a full stop, so each report of that register would clear it; give it another name",
    ),
    (
        "code of a register of bits",
        rows_of(form="bits", head=BITS) + rows_of('r = { kind = "fire", meaning = "m" }'),
        f"FILE, line {FIRST + 9}: codes.rows.r: is acme:r of FILE, line {FIRST}, or begins",
    ),
    (
        "code within a raw name",
        rows_of(form="bits", head=f'{BITS}\nnames = [["raw", "hot"]]')
        + rows_of(
            '"raw.hot.fire" = { kind = "fire", meaning = "m" }',
            head='component = "PCS"\nprefix = ""',
        ),
        f"FILE, line {FIRST + 11}: codes.rows.raw.hot.fire: is raw.hot of FILE, line {FIRST}, or",
    ),
    (
        "pattern within a register",
        rows_of(form="bits", head=BITS.replace('"r"', '"r7"'))
        + rows_of('"r{n}.hot" = { kind = "fire", meaning = "m" }'),
        f"FILE, line {FIRST + 9}: codes.rows.r{{n}}.hot: is acme:r7 of FILE, line {FIRST}, or begins",
    ),
    (
        "code within a register of levels",
        rows_of(
            'l = { kind = "fan", meaning = "m" }',
            form="levels",
            head='component = "PCS"\nword_bits = 8\nvalues = { 1 = "fault" }',
        )
        + rows_of('"l.3" = { kind = "fire", meaning = "m" }'),
        f"FILE, line {FIRST + 9}: codes.rows.l.3: is acme:l of FILE, line {FIRST + 5}, or begins",
    ),
    (
        "raw name within a raw name",
        rows_of(form="bits", head=f'{BITS}\nnames = [["in", "side"]]')
        + rows_of(
            form="bits", head=f'{BITS}\nnames = [["in.side", "out"]]'.replace('"r"', '"other"')
        ),
        f"FILE, line {FIRST + 7}: in.side, out: begins with in.side of FILE, line {FIRST} and a full",
    ),
    (
        "raw name that is another's",
        rows_of(form="bits", head=f'{BITS}\nnames = [["two", "in.one"]]')
        + rows_of(
            form="bits", head=f'{BITS}\nnames = [["two.in", "one"]]'.replace('"r"', '"other"')
        ),
        f"FILE, line {FIRST + 7}: two.in, one is a name of acme:r in FILE, line {FIRST} already;",
    ),
    (
        "no width",
        rows_of(form="enum", head='register = "r"'),
        f"FILE, line {FIRST}: enum: has no `word_bits`; write word_bits = the bits of",
    ),
    (
        "no array of tables",
        '[codes]\ncomponent = "PCS"\n',
        f'FILE, line {FIRST}: codes: {{"component":"PCS"}} cannot be; write [[codes]]',
    ),
    # Files
    (
        "not TOML",
        'x = "no end\n',
        f"FILE, line {FIRST}: is not TOML: ",
    ),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is said of each case, all of them files of one folder."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "vendors").mkdir()
    for number, (name, content, _said) in enumerate(BROKEN):
        head = HEAD.replace('"acme"', f'"acme{number}"')
        (folder / "vendors" / f"{name}.toml").write_text(head + content)
    problems: dict[str, list[str]] = {name: [] for name, _content, _said in BROKEN}
    for problem in problems_of(folder):
        name = problem.removeprefix("catalogue vendors/").split(".toml, line")[0]
        problems[name].append(problem)
    return problems


@pytest.mark.parametrize("number", range(len(BROKEN)), ids=[name for name, *_rest in BROKEN])
def test_what_is_wrong_is_said_with_its_line_and_what_to_write(
    told: dict[str, list[str]], number: int
) -> None:
    name, _content, said = BROKEN[number]
    expected = said.replace("FILE", f"vendors/{name}.toml").replace("acme:", f"acme{number}:")
    (problem,) = told[name]
    assert problem.startswith(f"catalogue {expected}"), problem


BROKEN_KINDS: list[tuple[str, str, str]] = [
    (
        "kind without a level",
        KIND.split("[leak.fault]", maxsplit=1)[0],
        "kinds.toml, line 1: leak: has no level, so no grade; write [leak.fault] with grade, reason",
    ),
    (
        "level without a grade",
        KIND.replace('grade = "B"\n', ""),
        "kinds.toml, line 9: leak.fault: has no `grade`; write grade = one of A, B, C, D",
    ),
    (
        "unknown level",
        f"{KIND}[leak.alarm]\n",
        f"kinds.toml, line {KIND_LINES + 1}: leak.alarm: unknown key; there are title, hazard",
    ),
    (
        "delay that is no time",
        KIND.replace("on_delay_s = 5", "on_delay_s = -1"),
        "kinds.toml, line 6: leak.on_delay_s: -1 cannot be; write a number of seconds from 0 to",
    ),
    (
        "unknown skill",
        KIND.replace('"refrigerant"', '"plumbing"'),
        'kinds.toml, line 4: leak.skill: "plumbing" cannot be; write one of electrical_hv,',
    ),
    (
        "delayed hazard",
        KIND.replace('remedy = "hardware"', 'hazard = true\nremedy = "hardware"'),
        "kinds.toml, line 7: leak.on_delay_s: a hazard waits for nothing; write on_delay_s = 0",
    ),
]


@pytest.mark.parametrize(
    ("content", "said"), [case[1:] for case in BROKEN_KINDS], ids=[case[0] for case in BROKEN_KINDS]
)
def test_what_is_wrong_with_a_kind_is_said_likewise(
    tmp_path: Path, content: str, said: str
) -> None:
    write(tmp_path, kinds=content)
    (problem,) = problems_of(tmp_path)
    assert problem.startswith(f"catalogue {said}"), problem


def test_header_must_name_vendor_and_source_with_its_licence(tmp_path: Path) -> None:
    (tmp_path / "vendors").mkdir()
    (tmp_path / "vendors" / "a.toml").write_text('vendor = "a"\n')
    (tmp_path / "vendors" / "b.toml").write_text('[sources.x]\nname = "X"\n')
    assert problems_of(tmp_path) == [
        'catalogue vendors/a.toml, line 1: names no source; write [sources.main] with name = "..."'
        ' and licence = "..."',
        'catalogue vendors/b.toml, line 1: has no `vendor`; write vendor = a short name, such as "acme"',
        "catalogue vendors/b.toml, line 1: sources.x: has no `licence`; write licence = an SPDX"
        ' identifier, such as "MIT"',
    ]


def test_of_several_sources_each_table_names_its_own(tmp_path: Path) -> None:
    source = '[sources.more]\nname = "More"\nlicence = "MIT"\n'
    one = rows_of('A = { kind = "fan", meaning = "m" }')
    named = rows_of(
        'B = { kind = "fan", meaning = "m" }', head='component = "PCS"\nsource = "more"'
    )
    write(tmp_path, acme=source + one + named.replace('"more"', '"mroe"'))
    assert [problem.split(": ", 1)[1] for problem in problems_of(tmp_path)] == [
        "codes: does not name its source; write source = one of manual, more",
        'codes.source: "mroe" cannot be; write a key of [sources]: did you mean more?',
    ]
    write(tmp_path, acme=source + named)
    assert load_catalogue(tmp_path).look_up("acme:B", None).source == "More (MIT)"


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, acme=rows_of("A = {}"), kinds='[leak]\ntitle = ""\n')
    (tmp_path / "vendors" / "broken.toml").write_text("vendor\n")
    (tmp_path / "vendors" / "latin.toml").write_bytes(b'vendor = "\xe9"\n')
    files = {problem.split(".toml")[0] for problem in problems_of(tmp_path)}
    names = ("kinds", "vendors/acme", "vendors/broken", "vendors/latin")
    assert files == {f"catalogue {name}" for name in names}


@pytest.mark.parametrize(
    "name",
    ["vendor/x.toml", "kind.toml", "vendors/x.tml", "vendors/x.toml.bak", "vendors/more/x.toml"],
)
def test_what_lies_in_the_folder_and_is_not_read_is_told(tmp_path: Path, name: str) -> None:
    write(tmp_path, kinds=KIND)
    for file in (tmp_path / name, tmp_path / ".git" / "x.toml", tmp_path / "README.md"):
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(HEAD)
    (problem,) = problems_of(tmp_path)
    entry = "vendors/more" if "more" in name else name.removesuffix("/x.toml")
    assert problem.startswith(
        f"catalogue {entry}: is not read: a folder has kinds.toml and vendors/"
    )


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    write(tmp_path, kinds=KIND)
    (tmp_path / "vendors" / "x.toml").symlink_to(tmp_path / "gone")
    (problem,) = problems_of(tmp_path)
    assert problem.startswith("catalogue vendors/x.toml: cannot be read: ")


@pytest.mark.parametrize(
    ("form", "head", "missing"),
    [
        ("bits", "", {"register", "word_bits"}),
        ("enum", 'register = "r"', {"word_bits"}),
        ("bits", "word_bits = 16\nregister = 7", {"register"}),
        ("levels", "", {"word_bits", "values"}),
    ],
)
def test_what_a_group_lacks_hides_no_problem_of_its_rows(
    tmp_path: Path, form: str, head: str, missing: set[str]
) -> None:
    rows = '3 = { kind = "overtmp", title = "T" }', '4 = { kind = "fan", title = 7 }'
    head = f'component = "PCS"\nmeaning = "m"\n{head}'
    groups = 2 if "register" in missing else 1  # two without a name are not the same one
    write(tmp_path, acme=rows_of(*rows, form=form, head=head) * groups)
    said = "\n".join(problems_of(tmp_path))
    for key in missing:
        assert len(re.findall(f"{form}: has no `{key}`|{form}.{key}: 7 cannot be", said)) == groups
    assert said.count('kind: "overtmp" cannot be') == said.count("title: 7 cannot be") == groups
    assert len(said.splitlines()) == groups * (len(missing) + 2)


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_folder_without_a_catalogue_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"no kinds\.toml and no vendors/\*\.toml; name a folder"):
        load_catalogue(tmp_path / name)


@pytest.mark.parametrize("build", [classifier.build, ingest.build])
def test_a_broken_catalogue_and_a_wrong_setting_are_told_together(
    tmp_path: Path, build: Callable[[dict[str, str]], object]
) -> None:
    write(tmp_path, acme=rows_of("A = {}"))
    with pytest.raises(ConfigError) as caught:
        build({"BAKVAKT_CATALOGUE": str(tmp_path), "BAKVAKT_PARTITIONS": "many"})
    setting, row = caught.value.problems
    assert setting.startswith("BAKVAKT_PARTITIONS: ")
    assert f"acme.toml, line {FIRST + 3}: " in row


FIRE = """
[fire]
title = "Fire"
hazard = {hazard}
remedy = "hardware"
skill = "fire_systems"
parts = []
on_delay_s = 0
off_delay_s = 0
why = "w"
[fire.{level}]
grade = "{grade}"
reason = "r"
clears_by = "reset_on_site"
"""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hazard": "false"}, "fire: is a hazard at level fault, info, warning; write so"),
        ({"grade": "B"}, "fire: level fault is grade A, a hazard's is never lowered; write A"),
        ({"level": "info"}, "fire: has no level fault; write it with grade A or a graver one"),
    ],
)
def test_no_kind_of_ours_stops_being_a_hazard(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    kinds = FIRE.format(**({"hazard": "true", "level": "fault", "grade": "A"} | changes))
    write(tmp_path, kinds=kinds)
    problems = problems_of(tmp_path)
    assert any(problem.startswith(f"catalogue kinds.toml, line 2: {said}") for problem in problems)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('kind = "door"', "door at level fault is grade D, and no hazard"),
        ('kind = "fire", grade = "B", reason = "r"', "fire at level fault is grade B"),
        (
            'kind = "overtemp", level = "warning"',
            "overtemp at level warning is grade B, and no hazard",
        ),
    ],
)
def test_no_code_of_ours_stops_being_a_hazard(tmp_path: Path, row: str, said: str) -> None:
    code = f'"807.Evt1.27" = {{ {row}, meaning = "m" }}'
    write(tmp_path, acme=rows_of(code, head='component = "PCS"\nprefix = "sunspec:"'))
    assert problems_of(tmp_path) == [
        f"catalogue vendors/acme.toml, line {FIRST + 4}: codes.rows.807.Evt1.27: fire, grade A, is a"
        f" hazard and must stay one of that grade or a graver one; {said}"
    ]


EVT1 = """
vendor = "sunspec"
[sources.m]
name = "M"
licence = "own"
[[bits]]
register = "802.Evt1"
names = [["802", "Evt1"]]
word_bits = 32
not_implemented = 0xFFFFFFFF
"""
EVT1_SAID = (
    "vendors/x.toml, line 6: register sunspec:802.Evt1: has hazards in"
    " shared/catalogue/vendors/sunspec.toml, line "
)


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("names =", "#", 'keep its names; add ["802", "Evt1"] to `names`'),
        ("[[bits]]", "[[enum]]", "keep its form; write [[bits]], not [[enum]]"),
        ("0xFFFFFFFF", "2", "no other word may say nothing; write not_implemented = 0xFFFFFFFF"),
        ("not_implemented", "#", "no other word may say nothing; write not_implemented = 0xFF"),
    ],
)
def test_no_register_of_ours_stops_reading_a_hazard(
    tmp_path: Path, was: str, becomes: str, said: str
) -> None:
    write(tmp_path)
    (tmp_path / "vendors" / "x.toml").write_text(EVT1.replace(was, becomes))
    (problem,) = problems_of(tmp_path)
    assert problem.startswith(f"catalogue {EVT1_SAID}")
    assert said in problem


@pytest.mark.parametrize(
    ("values", "softer"),
    [
        ('1 = "warning", 2 = "warning"', [2]),
        ('1 = "warning"', []),  # what has no level is the row's own: a fault
        ('1 = "fault", 2 = "fault"', []),  # graver than ours
    ],
)
def test_no_value_of_a_register_of_ours_stops_being_a_hazard(
    tmp_path: Path, values: str, softer: list[int]
) -> None:
    heat = "vebus/Alarms/HighTemperature"
    row = f'"{heat}" = {{ kind = "overtemp", component = "PCS", meaning = "m" }}'
    head = f'prefix = "victron:"\nword_bits = 8\nvalues = {{ {values} }}'
    (tmp_path / "vendors").mkdir()
    file = tmp_path / "vendors" / "victron.toml"
    file.write_text(HEAD.replace("acme", "victron") + rows_of(row, form="levels", head=head))
    if softer:
        (problem,) = problems_of(tmp_path)
        assert f"{heat}: value 2: overtemp, grade A, is a hazard and must stay one" in problem
        assert problem.endswith("overtemp at level warning is grade B, and no hazard")
    else:
        load_catalogue(tmp_path)


def test_version_follows_the_content_of_every_file_and_nothing_else(tmp_path: Path) -> None:
    def version(folder: Path) -> str:
        return load_catalogue(folder).version

    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        write(folder, acme=rows_of('A = { kind = "leak", meaning = "m" }'), kinds=KIND)
        (folder / "vendors" / "b.toml").write_text(HEAD)
    assert version(first) == version(second) != CATALOGUE.version
    (second / "vendors" / "acme.toml").rename(second / "vendors" / "zz.toml")
    assert version(first) == version(second)
    write(second, kinds=KIND.replace("Drops.", "Drips."))
    changed = version(second)
    assert changed != version(first)
    with (second / "vendors" / "zz.toml").open("a") as file:
        file.write("# a note\n")
    assert version(second) not in {changed, version(first)}


NUMBER = st.integers(0, 999).map(str)
PIECES = st.lists(st.sampled_from(["A", "_", "x:", "1", "20", "{n}"]), min_size=1, max_size=6)


@given(pieces=PIECES, other=PIECES, number=NUMBER, second=NUMBER)
def test_overlapping_patterns_are_those_that_some_code_is_of_both(
    pieces: list[str], other: list[str], number: str, second: str
) -> None:
    """Against filling the names in: wherever both give one code, the overlap must be seen."""
    texts = [
        "".join(f"{{n{i}}}" if p == "{n}" else p for i, p in enumerate(x)) for x in (pieces, other)
    ]
    try:
        one, two = (parse_pattern(text) for text in texts)
    except ValueError:
        return
    for pattern, parts in ((one, pieces), (two, other)):
        code = "".join(number if part == "{n}" else part for part in parts)
        outline, numbers = split_code(code)
        assert outline == pattern.outline
        assert pattern.match(numbers) is not None
        other_pattern = two if pattern is one else one
        if outline == other_pattern.outline and other_pattern.match(numbers) is not None:
            assert one.overlaps(two)
            assert two.overlaps(one)

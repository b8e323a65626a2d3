"""Files of EMUs: what is said, what is wrong, and what it changes."""

import csv
import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatch.fleet_file import (
    COLUMNS,
    MAX_PROBLEMS,
    FileFormat,
    FleetFile,
    read_rows,
)
from services.dispatch.fleet_plan import Site, change_emu, change_site, differences
from services.dispatch.fleet_rows import MAX_LINE_BYTES
from shared.documents.emu import EmuRecord, decode_emu_record, encode_emu_record

GOOD = {"emu_id": "emu-1", "site_id": "site-1"}


def read(body: str | bytes, file_format: FileFormat = "jsonl") -> FleetFile:
    file = FleetFile()
    for row in read_rows(body.encode() if isinstance(body, str) else body, file_format):
        file.add(row)
    file.ended()
    return file


def problems(body: str | bytes, file_format: FileFormat = "jsonl") -> list[tuple[int, str]]:
    return [(problem.line, problem.detail) for problem in read(body, file_format).problems]


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def record(
    body: str, known: EmuRecord | None = None, file_format: FileFormat = "jsonl"
) -> EmuRecord:
    """The record of the only EMU in a file, at a site that was not known."""
    file = read(body, file_format)
    assert not file.problems
    (line,) = file.lines.values()
    return change_emu(known, line, change_site(None, line.site_id, file.sites[line.site_id]))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"site_id": "s"}, "emu_id: is missing"),
        ({"emu_id": "e"}, "site_id: is missing"),
        ({**GOOD, "emu_id": ""}, "emu_id: is nothing"),
        ({**GOOD, "emu_id": "a\nb"}, "printable characters"),
        ({**GOOD, "emu_id": "e" * 129}, "1 to 128 printable characters"),
        ({**GOOD, "emu_id": None}, "emu_id: is nothing"),
        ({**GOOD, "emu_id": 7}, "emu_id: is 7"),
        ({**GOOD, "site_id": "unknown:emu-1"}, "not begin with unknown:"),
        ({**GOOD, "state": "gone"}, 'state: is "gone"; it must be commissioning, in_service or'),
        ({**GOOD, "time_zone": "Europe/Hamburg"}, "time_zone: 'Europe/Hamburg' is not known"),
        ({**GOOD, "units": "two racks"}, "units: Expected `array`, got `str`"),
        ({**GOOD, "units": [{"component": "pcs"}]}, "missing required field `type`"),
        ({**GOOD, "units": [{"component": "p\0", "type": "pcs"}]}, "do not print"),
        ({**GOOD, "units": [{"component": "p", "type": "t", "rated_kw": -1}]}, ">= 0.0"),
        ({**GOOD, "frimware": "1.0"}, "'frimware': there is no such field; there are emu_id,"),
        ({**GOOD, "customer_name": "Aurora"}, "customer_name: whose?"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_with_what_to_write(
    row: dict[str, Any], says: str
) -> None:
    ((line, detail),) = problems(jsonl({"emu_id": "first", "site_id": "s"}, row))
    assert line == 2
    assert says in detail


@pytest.mark.parametrize(
    ("body", "line", "says"),
    [
        ("", 0, "the file holds no EMU"),
        ("\n\n", 0, "the file holds no EMU"),
        ("[]", 1, "no JSON object"),
        ('{"emu_id": "a", ', 1, "no JSON"),
        ("[" * 10_000, 1, "no JSON"),
        (b'{"emu_id": "\xff", "site_id": "s"}', 1, "emu_id"),
        (json.dumps({**GOOD, "area": "a" * MAX_LINE_BYTES}), 1, "bytes; at most"),
    ],
)
def test_what_is_no_file_of_json_lines_is_told(body: str | bytes, line: int, says: str) -> None:
    assert [(number, says in detail) for number, detail in problems(body)] == [(line, True)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("emu_id,desk\ne1,a\n", [(1, "the column site_id is missing")]),
        ("emu_id,site_id,model,model\n", [(1, "model is there twice")]),
        ("emu_id,site_id,modle\ne1,s1,x\n", [(1, "'modle': there is no such column")]),
        ("emu_id,site_id\ne1\ne2,s2,x\n", [(2, "has 1 cells"), (3, "has 3 cells")]),
        ('emu_id,site_id\n"e1"x,s1\n', [(2, "is no CSV")]),
        ("emu_id,site_id\ne1,s1\n\nü,s1\n".encode("latin-1"), [(4, "is not UTF-8")]),
        (
            'emu_id,site_id,model\ne1,,EMU\ne2,s1,"a\nb"\nü,s1,EMU\n'.encode("latin-1"),
            [(2, "site_id"), (3, "model"), (5, "is not UTF-8")],
        ),
        ("emu_id,site_id,units\ne1,s1,two\n", [(2, "units:")]),
        ('emu_id,site_id,site_name\ne1,s1,"a\nb"\ne2,s1,\n', [(2, 'site_name: is "a\\nb"')]),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_told_by_line(
    body: str | bytes, expected: list[tuple[int, str]]
) -> None:
    found = problems(body, "csv")
    assert [line for line, _ in found] == [line for line, _ in expected], found
    for (_, detail), (_, says) in zip(found, expected, strict=True):
        assert says in detail


def test_lines_that_contradict_each_other_are_told() -> None:
    found = problems(
        jsonl(
            {**GOOD, "desk": "europe", "customer_id": "c", "customer_name": "Aurora"},
            {"emu_id": "emu-2", "site_id": "site-1"},
            {"emu_id": "emu-3", "site_id": "site-1", "desk": None},
            {"emu_id": "emu-1", "site_id": "site-2"},
            {"emu_id": "emu-4", "site_id": "site-2", "customer_id": "c", "customer_name": "B"},
        )
    )
    assert [line for line, _ in found] == [3, 4, 5]
    assert "desk: nothing here, 'europe' in line 1" in found[0][1]
    assert "in line 1 already" in found[1][1]
    assert "customer_name: 'B' here, 'Aurora' in line 1" in found[2][1]


def test_a_flood_of_problems_is_counted() -> None:
    file = read(jsonl(*({"emu_id": f"e{n}"} for n in range(MAX_PROBLEMS + 7))))
    assert (len(file.problems), file.more) == (MAX_PROBLEMS, 7)


def test_excel_s_byte_order_mark_semicolons_and_blanks_are_taken() -> None:
    body = "\ufeffemu_id; site_id ;desk\r\ne1; s1 ;europe\r\n;;\r\n"
    file = read(body, "csv")
    assert not file.problems
    (line,) = file.lines.values()
    assert (line.number, line.says) == (2, {"emu_id": "e1", "site_id": "s1", "desk": "europe"})


def test_what_a_file_does_not_name_stays_and_null_is_the_default() -> None:
    site = Site("site-1", "Mill", "c", "europe", "gold", "Europe/Berlin", "north")
    known = EmuRecord(emu_id="emu-1", site_id="site-1", model="M", state="retired", desk="europe")
    file = read(jsonl({**GOOD, "desk": None, "model": None}))
    changed = change_site(site, "site-1", file.sites["site-1"])
    assert changed == site._replace(desk="default")
    emu = change_emu(known, file.lines["emu-1"], changed)
    assert (emu.model, emu.state, emu.desk, emu.area) == (None, "retired", "default", "north")
    assert emu.revision == 2


def test_an_emu_that_only_its_site_has_changed_keeps_what_is_its_own() -> None:
    known = EmuRecord(emu_id="emu-1", site_id="site-1", model="M", state="commissioning")
    emu = change_emu(known, None, Site("site-1", area="north"))
    assert differences(known, emu) == {"area": (None, "north")}
    assert (emu.revision, emu.model, emu.state) == (2, "M", "commissioning")
    assert change_emu(emu, None, Site("site-1", name="Mill", area="north")) is emu


TEXTS = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Cf", "Zl", "Zp", "Zs", "Co", "Cn")),
    min_size=1,
    max_size=20,
)
OPTIONAL = st.none() | TEXTS
UNITS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {"component": TEXTS, "type": TEXTS, "rated_kw": st.none() | st.floats(0, 1e6)}
    ),
    max_size=3,
)
ROWS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"emu_id": TEXTS, "site_id": TEXTS.filter(lambda text: not text.startswith("unknown:"))},
    optional={
        **dict.fromkeys(("desk", "policy", "area", "model", "firmware", "serial"), OPTIONAL),
        "time_zone": st.sampled_from([None, "UTC", "Europe/Berlin"]),
        "state": st.sampled_from([None, "commissioning", "in_service", "retired"]),
        "units": st.none() | UNITS,
    },
)


def as_csv(row: dict[str, Any]) -> str:
    def cell(value: Any) -> str:
        if value is None:
            return ""
        return json.dumps(value) if isinstance(value, list) else str(value)

    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(row)
    writer.writerow(cell(value) for value in row.values())
    return text.getvalue()


@given(ROWS)
def test_both_formats_say_the_same_and_a_second_time_nothing_new(row: dict[str, Any]) -> None:
    made = record(jsonl(row))
    assert record(as_csv(row), file_format="csv") == made
    assert decode_emu_record(encode_emu_record(made)) == made
    assert record(jsonl(row), made) is made
    whole = msgspec.json.encode(made).decode()  # as `simulate --print-fleet` writes it
    assert record(whole, made) is made
    assert set(msgspec.structs.asdict(made)) <= set(COLUMNS)


@given(st.lists(ROWS, max_size=5), st.binary(max_size=200), st.sampled_from(["jsonl", "csv"]))
def test_whatever_a_file_holds_it_is_read_or_refused(
    rows: list[dict[str, Any]], noise: bytes, file_format: FileFormat
) -> None:
    file = read(jsonl(*rows).encode() + noise, file_format)
    assert bool(file.problems) or len(file.lines) >= 1
    for problem in file.problems:
        assert problem.detail

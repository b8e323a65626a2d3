"""`bakvakt catalogue check` and `show`, as a person sees them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.explanation import Report
from deploy.cli.gaps import find_gaps, paste, with_reports
from deploy.cli.main import app
from shared.catalogue import Catalogue, load_catalogue
from shared.documents.fault import Fault
from shared.times import to_rfc3339
from tests.unit.alarms import CATALOGUE
from tests.unit.dispatch_documents import T0, make_fault


def run(*arguments: str, folder: Path | None = None) -> Result:
    environment = {"BAKVAKT_CATALOGUE": str(folder) if folder else None, "BAKVAKT_CONFIG": None}
    return CliRunner(env=environment).invoke(app, ["catalogue", *arguments])


def write(folder: Path, row: str) -> Path:
    (folder / "vendors").mkdir()
    (folder / "vendors" / "acme.toml").write_text(
        'vendor = "acme"\n[sources.m]\nname = "Manual"\nlicence = "own"\n'
        f'[[codes]]\nprefix = ""\ncomponent = "PCS"\n[codes.rows]\n{row}\n'
    )
    return folder


OWN = '"acme:PUMP_{n}" = { kind = "hw_fault", title = "Pump {n}", meaning = "Stands still." }\n'
FAN = '"sunspec:802.Evt1.21" = { kind = "fan", title = "Blower", meaning = "Out." }\n'


def test_check_says_what_was_checked() -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout.startswith("Right: ")
    assert load_catalogue().version in result.stdout


@pytest.mark.parametrize("by_setting", [False, True])
def test_check_says_what_is_replaced(tmp_path: Path, by_setting: bool) -> None:
    folder = write(tmp_path, OWN + FAN)
    result = run("check", folder=folder) if by_setting else run("check", str(folder))
    assert result.exit_code == 0
    assert "patterns 1" in result.stdout
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("replaced")]
    assert line.startswith(
        "replaced: code sunspec:802.Evt1.21 of shared/catalogue/vendors/sunspec.toml"
    )
    assert line.endswith(f"by {folder}/vendors/acme.toml, line 10")
    found = json.loads(run("check", str(folder), "--json").stdout)
    assert (found["problems"], found["patterns"]) == ([], 1)
    assert found["replaced"][0]["name"] == "sunspec:802.Evt1.21"


def test_check_says_every_problem_and_fails(tmp_path: Path) -> None:
    folder = write(tmp_path, "A = {}\nB = {}\n")
    result = run("check", str(folder))
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [
        f"catalogue {folder}/vendors/acme.toml, line {line}" for line in (9, 10)
    ]
    result = run("check", str(folder), "--json")
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)["problems"]) == 2


def test_show_says_all_that_is_known_of_a_code() -> None:
    result = run("show", "sunspec:804.Evt1.9")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    for part in (
        "OVER_VOLT_ALARM", "B Over-voltage of one rack", "overvolt: Voltage too high", "BMS.rack",
        "bit 9 of sunspec:804.Evt1, a word of 32 bits", "804 Evt1", "(Apache-2.0)",
        "sunspec.toml, line", "kinds.toml, line",
    ):  # fmt: skip
        assert part in shown


def test_show_says_what_other_levels_of_the_register_mean() -> None:
    found = json.loads(run("show", "victron:vebus/Alarms/Overload", "--json").stdout)
    assert (found["row"]["level"], found["row"]["grade"]) == ("fault", "A")
    assert [(row["level"], row["grade"]) for row in found["other_levels"]] == [("warning", "C")]
    assert found["register"]["form"] == "levels"


def test_show_finds_an_instance_of_a_pattern(tmp_path: Path) -> None:
    result = run("show", "acme:PUMP_7", "--json", folder=write(tmp_path, OWN))
    found = json.loads(result.stdout)
    assert (found["row"]["title"], found["pattern"]) == ("Pump 7", "acme:PUMP_{n}")
    assert found["written"] == {"file": f"{tmp_path}/vendors/acme.toml", "line": 9}


def test_show_offers_what_is_near_to_an_unknown_code() -> None:
    result = run("show", "sunspec:802.Evt1.91")
    assert result.exit_code == 1
    assert "is not in the catalogue: it is other_alarm, grade B" in result.stdout
    assert "near it: sunspec:802.Evt1.9  OVER_VOLT_ALARM" in result.stdout
    assert (
        "sunspec:802.Evt1.9"
        in json.loads(run("show", "sunspec:802.Evt1.91", "--json").stdout)["near"]
    )


def test_show_knows_each_pattern_that_it_offers(tmp_path: Path) -> None:
    folder = write(tmp_path, OWN)
    (near, *_others) = json.loads(run("show", "acme:PUMP_x", "--json", folder=folder).stdout)[
        "near"
    ]
    result = run("show", near, "--json", folder=folder)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["row"]["title"] == "Pump {n}"


def test_show_says_why_a_reserved_bit_means_nothing() -> None:
    result = run("show", "goodwe:DIAG_STATUS_CODES.4")
    assert result.exit_code == 0
    assert "means nothing and is ignored" in result.stdout


def seen(number: int, code: str, **fields: Any) -> Fault:
    """Each a second after the one before."""
    return make_fault(number, at_ms=T0 + number * 1000, kind="other_alarm", code=code, **fields)


def test_gaps_are_by_code_model_and_firmware_the_most_frequent_first() -> None:
    found = find_gaps(
        [
            seen(1, "acme:X", model="M1"),
            seen(2, "acme:X", model="M1", count=4),
            seen(3, "acme:X", model="M2"),
            seen(4, "PLAIN", count=50, firmware="1.2"),
            seen(2, "acme:X", model="M1", component="bms/rack-2"),
        ]
    )
    assert [(gap.vendor, gap.code, gap.model, gap.firmware) for gap in found] == [
        ("unknown", "PLAIN", None, "1.2"), ("acme", "acme:X", "M1", None),
        ("acme", "acme:X", "M2", None),
    ]  # fmt: skip
    assert [(gap.reports, gap.faults, gap.emus) for gap in found] == [
        (50, 1, 1),
        (6, 3, 2),
        (1, 1, 1),
    ]
    assert found[1].last_at == to_rfc3339(T0 + 2000)


def test_what_gaps_prints_is_a_file_once_kind_and_component_are_chosen(tmp_path: Path) -> None:
    text = paste(
        find_gaps([seen(1, 'acme:X.3"\\'), seen(2, "acme:Y"), seen(3, 'acme:X.3"\\', model="M")]),
        CATALOGUE,
    )
    (tmp_path / "vendors").mkdir()
    file = tmp_path / "vendors" / "acme.toml"
    file.write_text(text)
    problems = run("check", str(tmp_path))
    assert problems.exit_code == 1
    assert problems.stderr.count('"?" cannot be; write one of BMS.system') == 2
    text = text.replace('kind = "?"', 'kind = "fan"').replace(
        'component = "?"', 'component = "HVAC"'
    )
    file.write_text(text)
    assert load_catalogue(tmp_path).look_up('acme:X.3"\\', None).kind == "fan"


def test_codes_without_a_vendor_can_be_pasted_too(tmp_path: Path) -> None:
    text = paste(find_gaps([seen(1, "OVERHEAT")]), CATALOGUE).replace(
        'kind = "?"', 'kind = "overtemp"'
    )
    (tmp_path / "vendors").mkdir()
    (tmp_path / "vendors" / "x.toml").write_text(
        text.replace('component = "?"', 'component = "PCS"')
    )
    assert load_catalogue(tmp_path).look_up("OVERHEAT", None).grade == "A"


def chosen(text: str) -> str:
    """What `gaps` printed, with a word for each ?."""
    text = text.replace('component = "?"', 'component = "PCS"')
    return text.replace('kind = "?"', 'kind = "fire"').replace('meaning = "?"', 'meaning = "m"')


def loaded_with(folder: Path, text: str) -> Catalogue:
    """As a person does: each file by the name above it."""
    (folder / "vendors").mkdir()
    for part in text.split("# ---- vendors/")[1:]:
        name = part.split(".toml of your folder", 1)[0]
        file = folder / "vendors" / f"{name}.toml"
        assert not file.exists()
        file.write_text(f"# {part}")
    return load_catalogue(folder)


@pytest.mark.parametrize(
    "codes",
    [
        ["BMS:OV"],
        ["Acme Corp:X"],
        ["BMS:OV", "bms:OV", "Bms:OV"],  # one file for the three of them
        ["-:X", ":Y", "PLAIN", "unknown:Z"],
        ["E{5}", "acme:{n}", "acme:}{{", "{a}:{b}"],
        ["acme:X#\"\\'"],
    ],
)
def test_whatever_was_seen_can_be_pasted(tmp_path: Path, codes: list[str]) -> None:
    text = paste(find_gaps([seen(n, code) for n, code in enumerate(codes)]), CATALOGUE)
    catalogue = loaded_with(tmp_path, chosen(text))
    found = [catalogue.look_up(code, None) for code in codes]
    assert [(row.code, row.title, row.kind) for row in found] == [
        (code, code, "fire") for code in codes
    ]
    assert catalogue.patterns == []


def test_what_a_device_says_can_be_pasted_whatever_is_in_it(tmp_path: Path) -> None:
    (gap,) = find_gaps([seen(1, "acme:X")])
    said: list[object] = [{"text": "Cell {n}:\nover 50 %\x7f"}]
    read = Report(topic="t", partition=0, offset=1, reports=said)
    text = paste(with_reports([gap], {gap.sample.fault_id: read}), CATALOGUE)
    row = loaded_with(tmp_path, chosen(text)).look_up("acme:X", None)
    assert row.title == "Cell {n}: over 50 % "


def test_bits_of_unknown_registers_are_pasted_as_registers(tmp_path: Path) -> None:
    codes = ["acme:bms.Alm{1}.3", "acme:bms.Alm{1}.17", "64207.Evt.0", "sunspec:802.Evt1.31"]
    words = [
        {"model": "acme:bms", "point": "Alm{1}", "bits": 1 << 17 | 1 << 3},
        {"model": 64207, "point": "Evt", "bits": 1, "component": "bms"},
        {"model": 802, "point": "Evt1", "bits": 1 << 31},  # known, but for that bit
    ]
    read = Report(topic="t", partition=0, offset=1, reports=[{"registers": words}])
    gaps = find_gaps([seen(n, code) for n, code in enumerate(codes)])
    only_one = {gap.sample.fault_id: read for gap in gaps if gap.code == codes[0]}
    text = paste(with_reports(gaps, only_one), CATALOGUE)
    catalogue = loaded_with(tmp_path, chosen(text))
    read_now = [
        [code for code, _ in catalogue.registers.find(model, point).read(bits) or ()]
        for model, point, bits in (
            ("acme:bms", "Alm{1}", 1 << 17 | 1 << 3), ("64207", "Evt", 1), ("802", "Evt1", 1 << 31)
        )
    ]  # fmt: skip
    assert read_now == [["acme:bms.Alm{1}.3", "acme:bms.Alm{1}.17"], ["64207.Evt.0"], [codes[3]]]
    assert all(catalogue.look_up(code, None).kind == "fire" for code in codes)
    new = {code: catalogue.entries[code] for code in ("acme:bms.Alm{1}", "64207.Evt")}
    assert [entry.word_bits for entry in new.values()] == [32, 8]
    assert ("acme:bms", "Alm{1}") in new["acme:bms.Alm{1}"].names


SAID = {"emu_id": "e1", "text": "Pump stopped"}


@pytest.mark.parametrize(
    ("reports", "shown", "title"),
    [
        ([SAID], '{"emu_id":"e1","text":"Pump stopped"}', "Pump stopped"),
        ([{"code": "acme:X"}], '{"code":"acme:X"}', "acme:X"),
        ([{"bits": "1" * 900}], '{"bits":"' + "1" * 591 + "...", "acme:X"),
        (["no report"], '"no report"', "acme:X"),
        ([], f"fault {make_fault(1).fault_id}", "acme:X"),  # not there any more
    ],
)
def test_what_gaps_prints_has_a_report_of_each_code(
    reports: list[object], shown: str, title: str
) -> None:
    (gap,) = find_gaps([seen(1, "acme:X")])
    read = Report(topic="t", partition=0, offset=1, reports=reports)
    lines = paste(with_reports([gap], {gap.sample.fault_id: read}), CATALOGUE).splitlines()
    assert f"#   {shown}" in lines
    assert f'"X" = {{ kind = "?", component = "?", title = "{title}", meaning = "?" }}' in lines

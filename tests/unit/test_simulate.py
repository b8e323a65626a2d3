"""`simulate`: options and files are checked whole before anything is sent, and written as they were read."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.cli.main import app
from deploy.simulator.emus import Record
from deploy.simulator.fleet import make_fleet
from deploy.simulator.replay import Replay, split_lines
from shared.documents.emu import encode_emu_record
from shared.times import from_rfc3339

START = "2026-11-22T10:00:00Z"


def simulate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def problems(*arguments: object) -> list[str]:
    """What it says is wrong; nothing may have come out."""
    result = simulate(*arguments)
    assert result.exit_code in (1, 2), result.output
    assert result.stdout == ""
    return result.stderr.splitlines()


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return tmp_path / "reports.jsonl"


def test_what_was_written_is_sent_again_byte_for_byte(tmp_path: Path, reports: Path) -> None:
    assert simulate("--for", "60s", "--start", START, "--to", reports).exit_code == 0
    assert reports.read_bytes().count(b"\n") > 20
    again = tmp_path / "again.jsonl"
    assert simulate("--from", reports, "--to", again).exit_code == 0
    assert again.read_bytes() == reports.read_bytes()


def test_a_time_that_is_null_is_no_time(tmp_path: Path, reports: Path) -> None:
    reports.write_text('{"emu_id": "emu-1", "at": null}\n[{"emu_id": "emu-1", "at":null}]\n')
    sent = tmp_path / "sent.jsonl"
    assert simulate("--from", reports, "--to", sent, "--start", START).exit_code == 0
    assert sent.read_text().count('"at":"2026-11-22T10:00:00') == 2


def test_figures_beyond_all_measure_are_refused_one_by_one() -> None:
    assert [
        line.partition(":")[0] for line in problems("--rate", "inf", "--for", "1s", "--to", "-")
    ] == ["--rate"]
    said = problems("--rate", 1e300, "--for", "99999999h", "--start", "9999-12-31T23:59:59Z")
    assert [line.partition(":")[0] for line in said] == ["--rate", "--for", "--start"]


def test_the_earliest_and_the_latest_start_can_be_written(reports: Path) -> None:
    for start in ("1970-01-01T00:00:00Z", "9000-01-01T00:00:00Z"):
        assert simulate("--for", "30s", "--start", start, "--to", reports).exit_code == 0


def test_the_same_seed_writes_the_same_file(tmp_path: Path) -> None:
    written: list[bytes] = []
    for seed in (0, 0, 5):
        file = tmp_path / "stream.jsonl"
        made = simulate("--seed", seed, "--for", "2m", "--start", START, "--to", file)
        assert made.exit_code == 0
        written.append(file.read_bytes())
    assert written[0] == written[1] != written[2]


def test_standard_output_takes_the_stream_and_nothing_else() -> None:
    result = simulate("--for", "30s", "--start", START, "--to", "-")
    assert result.exit_code == 0
    assert all(line[:1] in "{[" for line in result.stdout.splitlines())
    assert "alarms in" in result.stderr


def test_a_printed_fleet_can_be_simulated(tmp_path: Path, reports: Path) -> None:
    printed = simulate("--print-fleet", "--emus", 7, "--seed", 3)
    assert printed.stdout_bytes == b"".join(
        encode_emu_record(record) + b"\n" for record in make_fleet(3, 7)
    )
    fleet = tmp_path / "fleet.jsonl"
    fleet.write_bytes(printed.stdout_bytes)
    options = ("--for", "60s", "--start", START)
    assert simulate("--fleet", fleet, "--seed", 3, *options, "--to", reports).exit_code == 0
    made = simulate("--emus", 7, "--seed", 3, *options, "--to", "-")
    assert reports.read_bytes() == made.stdout_bytes
    # What comes from that fleet may be sent with it.
    assert simulate("--from", reports, "--fleet", fleet, "--to", "-").exit_code == 0


def replay(content: str, *, rate: float = 2, restamp: bool = False) -> list[Record]:
    lines = split_lines(content.encode().splitlines(keepends=True))
    source = Replay(lines, rate=rate, start_ms=from_rfc3339(START), restamp=restamp)
    return list(iter(source.next, None))


def test_a_line_is_a_record_empty_ones_are_nothing_and_lists_count_what_is_in_them() -> None:
    assert replay(
        '{"emu_id":"a","at":"x"}\n\n'
        '[{"emu_id":"b","at":"x"},{"emu_id":"c","at":"x"}]\n'
        '{"emu_id":"d","at":"x","type":"registers","registers":[{},{},{}]}\n'
        '{"emu_id":"e","at":"x","type":"snapshot","active":[{},{}]}\n'
        '{"emu_id":"f","at":"x","type":"registers","registers":[]}'
    ) == [
        ("a", b'{"emu_id":"a","at":"x"}', 1),
        ("b", b'[{"emu_id":"b","at":"x"},{"emu_id":"c","at":"x"}]', 2),
        ("d", b'{"emu_id":"d","at":"x","type":"registers","registers":[{},{},{}]}', 3),
        ("e", b'{"emu_id":"e","at":"x","type":"snapshot","active":[{},{}]}', 2),
        ("f", b'{"emu_id":"f","at":"x","type":"registers","registers":[]}', 1),
    ]


def test_a_report_without_a_time_gets_that_of_its_place() -> None:
    content = '{"emu_id":"a","n":1}\n[{"emu_id":"b"},{"emu_id":"c","at":"x"}]\n{"emu_id":"d"}\n'
    assert [value for _, value, _ in replay(content)] == [
        b'{"at":"2026-11-22T10:00:00.000Z","emu_id":"a","n":1}',
        b'[{"at":"2026-11-22T10:00:00.500Z","emu_id":"b"},{"at":"x","emu_id":"c"}]',
        b'{"at":"2026-11-22T10:00:01.500Z","emu_id":"d"}',
    ]


def test_restamped_reports_all_get_new_times() -> None:
    content = '{"emu_id":"a","at":"x"}\n{"emu_id":"b"}\n'
    assert [value for _, value, _ in replay(content, restamp=True)] == [
        b'{"emu_id":"a","at":"2026-11-22T10:00:00.000Z"}',
        b'{"emu_id":"b","at":"2026-11-22T10:00:00.500Z"}',
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("no", "no JSON"),
        ("1", "no report"),
        ("{}", "no report"),
        ('{"emu_id": ""}', "no report"),
        ('[{"emu_id": 5}]', "no report"),
        ("[]", "the list holds no report"),
        ('{"emu_id": "\xff"}', "no JSON"),  # no UTF-8
    ],
)
def test_a_wrong_line_is_named_with_its_file(reports: Path, line: str, says: str) -> None:
    reports.write_text(f'{{"emu_id": "a"}}\n{line}\n{{"emu_id": "b"}}\n', encoding="latin-1")
    (problem,) = problems("--from", reports)
    assert problem.startswith(f"{reports}, line 2: ")
    assert says in problem


def test_every_wrong_line_is_named_and_a_flood_of_them_is_counted(reports: Path) -> None:
    reports.write_text("no\n" * 30)
    said = problems("--from", reports)
    assert said[0].startswith(f"{reports}, line 1: ")
    assert said[-1] == "... and 10 more like these"


def test_a_file_that_ends_in_mid_line_seems_cut_off(reports: Path) -> None:
    reports.write_text('{"emu_id": "a"}\n{"emu_id": "b", "co')
    (problem,) = problems("--from", reports)
    assert problem.startswith(f"{reports}, line 2: the file ends in the middle of this line")
    # One that only lacks its last newline is whole.
    reports.write_text('{"emu_id": "a"}\n{"emu_id": "b"}')
    assert simulate("--from", reports, "--to", "-").exit_code == 0


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_file_is_refused(reports: Path, content: str) -> None:
    reports.write_text(content)
    assert problems("--from", reports)[0].startswith(f"{reports} is empty: ")
    assert problems("--fleet", reports)[0].startswith(f"{reports} is empty: ")


def test_a_report_of_an_emu_that_is_not_in_the_fleet_is_refused(
    tmp_path: Path, reports: Path
) -> None:
    fleet = tmp_path / "fleet.jsonl"
    fleet.write_text('{"emu_id": "a", "site_id": "s"}\n')
    reports.write_text('{"emu_id": "a"}\n[{"emu_id": "a"}, {"emu_id": "z"}, {"emu_id": "z"}]\n')
    assert problems("--from", reports, "--fleet", fleet) == [
        f"{reports}, line 2: EMU 'z' is not in the fleet"
    ]


def test_wrong_emu_records_are_all_named(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.jsonl"
    fleet.write_text(
        '{"emu_id": "a", "site_id": "s"}\n{"site_id": "s"}\n{"emu_id": "b"}\n'
        '{"emu_id": "a", "site_id": "s"}\n{"emu_id": "c", "site_id": "s", "state": "lost"}\n{"emu'
    )
    said = problems("--fleet", fleet)
    assert [problem.split(": ")[0] for problem in said] == [
        f"{fleet}, line {number}" for number in (2, 3, 4, 5, 6)
    ]
    for word, problem in zip(["emu_id", "site_id", "twice", "lost", "cut off"], said, strict=True):
        assert word in problem


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--rate", "0"), "--rate"),
        (("--rate", "-2"), "--rate"),
        (("--rate", "nan"), "--rate"),
        (("--rate", "inf"), "--rate"),
        (("--for", "ten"), "--for"),
        (("--for", "0s"), "--for"),
        (("--start", "yesterday"), "--start"),
        (("--start", "2026-11-22T10:00:00"), "--start"),
        (("--emus", "0"), "--emus"),
        (("--emus", "5", "--fleet", "f.jsonl"), "--emus"),
        (("--seed", "5", "--from", "f.jsonl"), "--seed"),
        (("--restamp",), "--from"),
        (("--to", "f.jsonl"), "--for"),
        (("--to", "f.jsonl", "--for", "1s", "--topic", "t"), "--topic"),
        (("--to", "f.jsonl", "--from", "f.jsonl"), "write over"),
    ],
)
def test_a_wrong_option_is_refused(arguments: tuple[str, ...], word: str) -> None:
    (problem,) = problems(*arguments)
    assert word in problem


def test_all_that_is_wrong_is_told_at_once() -> None:
    assert len(problems("--rate", "-1", "--for", "x", "--start", "y", "--emus", "0")) == 4


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    for option in ("--from", "--fleet"):
        assert f"{tmp_path / 'none'} cannot be read" in problems(option, tmp_path / "none")[0]
        assert "no ordinary file" in problems(option, tmp_path)[0]
    assert "cannot be written" in problems("--for", "1s", "--to", tmp_path / "none/x")[0]

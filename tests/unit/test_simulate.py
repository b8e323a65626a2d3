"""`simulate`: a file is read whole before anything is sent."""

from pathlib import Path

import msgspec
import pytest

from deploy.cli.simulate import BadLine, read_lines
from deploy.local.supervisor import DEMONSTRATION
from shared.catalogue import load_catalogue
from shared.documents.report import AlarmReport, decode_report


def test_a_line_is_a_report_or_a_list_of_them_and_empty_lines_are_nothing(tmp_path: Path) -> None:
    file = tmp_path / "reports.jsonl"
    file.write_text('{"emu_id": "a"}\n\n[{"emu_id": "b"}, {"emu_id": "c", "at": "x"}]\n')
    assert read_lines(file) == [[{"emu_id": "a"}], [{"emu_id": "b"}, {"emu_id": "c", "at": "x"}]]


@pytest.mark.parametrize("line", ["no", "1", "[]", "{}", '{"emu_id": ""}', '[{"emu_id": 5}]'])
def test_a_wrong_line_is_named_with_its_file(tmp_path: Path, line: str) -> None:
    file = tmp_path / "reports.jsonl"
    file.write_text(f'{{"emu_id": "a"}}\n{line}\n')
    with pytest.raises(BadLine, match=r"reports\.jsonl, line 2: "):
        read_lines(file)


def test_the_demonstration_is_made_of_good_reports_of_all_grades() -> None:
    catalogue = load_catalogue()
    grades: set[str] = set()
    for reports in read_lines(DEMONSTRATION):
        for report in reports:
            stamped = {**report, "at": "2026-11-22T10:00:00.000Z"}
            alarm = decode_report(msgspec.json.encode(stamped))
            assert isinstance(alarm, AlarmReport)
            assert alarm.code in catalogue
            grades.add(catalogue.look_up(alarm.code, alarm.level).grade)
    assert grades == {"A", "B", "C", "D"}

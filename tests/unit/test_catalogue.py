"""The catalogue: 434 codes as they were imported, and what becomes of the others."""

import json
from pathlib import Path

import pytest

from shared.catalogue import load_catalogue
from shared.catalogue.catalogue import DEFAULT_PATH
from shared.errors import ConfigError


def test_every_code_keeps_its_kind_level_grade_and_reason() -> None:
    catalogue = load_catalogue()
    imported = json.loads(DEFAULT_PATH.read_text(encoding="utf-8"))
    assert len(catalogue) == len(imported) == 434
    for expected in imported:
        row = catalogue.look_up(expected["code"], None)
        assert (row.kind, row.level, row.grade, row.reason) == (
            expected["kind"],
            expected["level"],
            expected["grade"],
            expected["reason"],
        )


@pytest.mark.parametrize(("level", "grade"), [(None, "B"), ("fault", "B"), ("info", "D")])
def test_an_unknown_code_is_never_lost(level: str | None, grade: str) -> None:
    row = load_catalogue().look_up("acme:42", level)
    assert (row.kind, row.grade, row.title) == ("other_alarm", grade, "acme:42")


def test_a_fire_is_a_hazard() -> None:
    catalogue = load_catalogue()
    kinds = {row.kind for row in catalogue.rows if row.hazard}
    assert {"fire", "thermal_runaway", "arc", "insulation"} <= kinds
    assert "meter_limit" not in kinds


def test_all_problems_of_a_broken_catalogue_are_told(tmp_path: Path) -> None:
    rows = json.loads(DEFAULT_PATH.read_text(encoding="utf-8"))[:3]
    rows[0]["grade"] = "E"
    del rows[1]["kind"]
    rows.append(rows[2])
    path = tmp_path / "alarms.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_catalogue(path)
    assert len(caught.value.problems) == 3


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "alarms.json"
    path.write_bytes(DEFAULT_PATH.read_bytes() + b"\n")
    assert load_catalogue(path).version != load_catalogue().version

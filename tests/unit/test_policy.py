"""The SLA policy: the promised figures, and what a contract's file may say."""

from pathlib import Path

import pytest

from shared.documents.fault import Grade
from shared.errors import ConfigError
from shared.policy import load_policy


@pytest.mark.parametrize(
    ("grade", "response_min", "processing_min", "resolution_min", "resolution", "severity"),
    [
        ("A", 5, 15, 60, "breach", "major"),
        ("B", 10, 30, 120, "breach", "general"),
        ("C", 15, 45, 5 * 24 * 60, "due", "none"),
        ("D", 30, 120, 5 * 24 * 60, "due", "none"),
    ],
)
def test_default_holds_the_figures_of_the_service_agreement(
    *,
    grade: Grade,
    response_min: int,
    processing_min: int,
    resolution_min: int,
    resolution: str,
    severity: str,
) -> None:
    policy = load_policy(None)
    terms = policy.grades[grade]
    assert policy.warning_shares == ("0.5", "0.8")
    assert terms.response_s == terms.step_s == response_min * 60
    assert terms.processing_s == processing_min * 60
    assert terms.resolution_s == resolution_min * 60
    assert (terms.resolution, terms.severity) == (resolution, severity)


def test_file_changes_only_what_it_names(tmp_path: Path) -> None:
    policy = load_policy(write(tmp_path, "[grade.A]\nprocessing_s = 2\n"))
    default = load_policy(None)
    assert policy.grades["A"].processing_s == 2
    assert policy.grades["A"].response_s == default.grades["A"].response_s
    assert policy.grades["B"] == default.grades["B"]
    assert policy.version != default.version


def test_equal_figures_have_an_equal_version(tmp_path: Path) -> None:
    same = load_policy(write(tmp_path, "[grade.A]\nprocessing_s = 900\n"))
    assert same.version == load_policy(None).version


def test_all_errors_are_told_at_once_each_with_its_key(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        warning_shares = ["0.8", "0.5"]
        warnings = 1
        [grade.A]
        procesing_s = 2
        response_s = 301
        resolution = "due"
        [grade.B]
        processing_s = "soon"
        step_s = 601
        [grade.C]
        processing_s = 0
        severity = "fatal"
        [grade.E]
        processing_s = 1
        """,
    )
    with pytest.raises(ConfigError) as raised:
        load_policy(path)
    problems = raised.value.problems
    for line, key in (
        (2, "warning_shares"),
        (3, "warnings"),
        (5, "grade.A.procesing_s"),
        (6, "grade.A.response_s"),
        (7, "grade.A.resolution"),
        (9, "grade.B.processing_s"),
        (10, "grade.B.step_s"),
        (12, "grade.C.processing_s"),
        (13, "grade.C.severity"),
        (14, "grade.E"),
    ):
        said = f"policy {path}, line {line}: {key}: "
        assert any(problem.startswith(said) for problem in problems), key
    assert len(problems) == 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[grade.A]\nresponse_s = "soon"\n',
            'line 2: grade.A.response_s: "soon" cannot be; write a number of seconds from 1 to 31622400',
        ),
        (
            "[grade.B]\nstep_s = 601\n",
            "line 2: grade.B.step_s: 601 is longer than promised, and a contract may shorten the times"
            " of A and B, never lengthen them; write a number of seconds from 1 to 600",
        ),
        (
            "[grade.D]\nstep = 5\n",
            "line 2: grade.D.step: unknown key; did you mean step_s?",
        ),
        (
            '\n[grade.C]\nseverity = "minor"\n',
            'line 3: grade.C.severity: "minor" cannot be; write "major", "general" or "none"',
        ),
        ("grade = 1\n", "line 1: grade: 1 cannot be; write a table, such as [grade]"),
        (
            "[grade.A]\nstep_s = 5\n[grade.A]\n",
            "line 3: grade.A: is in line 1 already; leave one of the two out",
        ),
        ("[grade.A\n", "line 1: is not TOML: "),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_to_write(
    tmp_path: Path, text: str, said: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load_policy(path)
    (problem,) = raised.value.problems
    assert problem.startswith(f"policy {path}, {said}"), problem


@pytest.mark.parametrize("key", ["response_s", "processing_s", "resolution_s", "step_s"])
@pytest.mark.parametrize("grade", ["A", "B"])
def test_no_contract_lengthens_a_time_of_a_or_b(tmp_path: Path, grade: str, key: str) -> None:
    path = write(tmp_path, f"[grade.{grade}]\n{key} = 7201\n")
    with pytest.raises(ConfigError, match="never lengthen"):
        load_policy(path)


@pytest.mark.parametrize("grade", ["A", "B"])
@pytest.mark.parametrize("severity", ["major", "general", "none"])
def test_severity_of_a_and_b_stays(tmp_path: Path, grade: Grade, severity: str) -> None:
    path = write(tmp_path, f'[grade.{grade}]\nseverity = "{severity}"\n')
    if severity == load_policy(None).grades[grade].severity:
        assert load_policy(path) == load_policy(None)
        return
    with pytest.raises(ConfigError, match=f"grade.{grade}.severity: must stay"):
        load_policy(path)


def test_holds_are_those_of_the_agreement_and_may_be_left_out_for_any_grade(tmp_path: Path) -> None:
    holds = {grade: terms.hold_s for grade, terms in load_policy(None).grades.items()}
    assert holds == {"A": 0, "B": 3, "C": 10, "D": 30}
    policy = load_policy(write(tmp_path, "[grade.B]\nhold_s = 0\n[grade.D]\nhold_s = 300\n"))
    assert (policy.grades["B"].hold_s, policy.grades["D"].hold_s) == (0, 300)


@pytest.mark.parametrize(("grade", "longest"), [("A", 0), ("B", 3)])
def test_no_contract_lengthens_a_hold_of_a_or_b(tmp_path: Path, grade: str, longest: int) -> None:
    path = write(tmp_path, f"[grade.{grade}]\nhold_s = {longest + 1}\n")
    with pytest.raises(ConfigError, match=f"write a number of seconds from 0 to {longest}"):
        load_policy(path)


def test_contract_may_lengthen_c_and_d(tmp_path: Path) -> None:
    path = write(tmp_path, "[grade.C]\nresponse_s = 90000\n[grade.D]\nprocessing_s = 90000\n")
    assert load_policy(path).grades["C"].response_s == 90_000


@pytest.mark.parametrize(
    "text",
    ["grade = 1", "[grade]\nA = 1", "warning_shares = 0.5", 'warning_shares = ["1.5"]', "not toml"],
)
def test_wrong_shape_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_policy(write(tmp_path, text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        load_policy(tmp_path / "nowhere.toml")


def write(directory: Path, text: str) -> Path:
    path = directory / "policy.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        ("repeats = 4", "write 2 or 3"),
        ("repeats_within_s = 3600", "write a number of seconds from 86400 to 604800"),
        ("age_s = 100000", "write a number of seconds from 1 to 86400"),
    ],
)
def test_a_file_makes_faults_graver_sooner_and_never_later(
    tmp_path: Path, figure: str, said: str
) -> None:
    assert load_policy(write(tmp_path, "[regrade]\nrepeats = 2\n")).regrade.repeats == 2
    with pytest.raises(ConfigError) as raised:
        load_policy(write(tmp_path, f"[regrade]\n{figure}\n"))
    (problem,) = raised.value.problems
    assert said in problem

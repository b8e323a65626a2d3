"""Places in TOML files: every table and key has the line that it stands on, whatever is around it."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from shared.toml import KeyPath, Problem, Table, read_toml, scan

# What stands around keys and must not be taken for one.
VALUES = (
    "{n}",
    '"# [not] = \\"a table\\" {n}"',
    "'[[no]] \\ {n}'",
    '[{n}, "]", # a comment ]\n  [2],\n  [[3]], # x = 1\n]',
    '{{ x = {n}, y = "}}" }}',
    '"""{n}\n[no]\nx = 1\n\\"""\n"""',
    "'''{n}\n[[no]]\n# '' \n'''",
)
BARE = st.sampled_from(["a", "b", "c-1", "_d", "1"])
KEY = st.one_of(BARE, st.sampled_from(['"q.r"', "'s t'", '"[x]"', '"e\\"="']))
VALUE = st.sampled_from(VALUES)
NOISE = st.sampled_from(["", "\n", "# note = [\n", "   \n\n", "#\n  # [a]\n"])
STATEMENT = st.tuples(st.lists(KEY, min_size=1, max_size=2), VALUE, NOISE)
HEADER = st.tuples(st.booleans(), st.lists(KEY, min_size=1, max_size=3), NOISE)


@given(
    first=st.lists(STATEMENT, max_size=3),
    tables=st.lists(st.tuples(HEADER, st.lists(STATEMENT, max_size=3)), max_size=5),
)
def test_each_key_has_its_own_line(
    first: list[tuple[list[str], str, str]],
    tables: list[tuple[tuple[bool, list[str], str], list[tuple[list[str], str, str]]]],
) -> None:
    """Every value carries a number of its own, by which it is found again in what tomllib reads."""
    text, line_of = "", dict[int, int]()

    def write(statements: list[tuple[list[str], str, str]]) -> None:
        nonlocal text
        for keys, value, noise in statements:
            number = 1000 + len(line_of)
            line_of[number] = text.count("\n") + 1
            text += f"{'.'.join(keys)} = {value.format(n=number)}\n{noise}"

    write(first)
    for (is_array, keys, noise), statements in tables:
        name = ".".join(keys)
        text += f"[[{name}]] # x\n{noise}" if is_array else f"[{name}]\n{noise}"
        write(statements)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        reject()
    lines, repeated = scan(text)
    assert repeated == []
    # A table with one value shows its number too: the value itself comes last.
    deepest_last = sorted(lines, key=len)
    found = {number_at(content, path): lines[path] for path in deepest_last}
    assert {number: line for number, line in found.items() if number} == line_of


def number_at(content: dict[str, Any], path: KeyPath) -> int | None:
    """The number in the value there; None: tables with keys of their own, or without any."""
    value: Any = content
    for part in path:
        value = value[part]
    numbers = re.findall(r"\b1\d{3}\b", str(value))
    return int(numbers[0]) if len(numbers) == 1 else None


@given(st.text(alphabet="ab=.[]{}\"'#\n \\1", max_size=60))
def test_text_that_is_no_toml_is_passed_over(text: str) -> None:
    lines, _repeated = scan(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


class Shape(msgspec.Struct, kw_only=True):
    needed: int
    other: str = "x"


def table_of(path: Path, text: str) -> tuple[Table | None, list[Problem]]:
    path.write_text(text)
    problems: list[Problem] = []
    return read_toml(path, problems, name="f.toml"), problems


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a = 1\nb = 2\na = 3\n",
            "f.toml, line 3: a: is in line 1 already; leave one of the two out",
        ),
        (
            "[t]\nx = 1\n\n[t]\n",
            "f.toml, line 4: t: is in line 1 already; leave one of the two out",
        ),
        ("x = 1\ny = \n", "f.toml, line 2: is not TOML: Invalid value, column 5; write"),
        ('x = "a', "f.toml, line 1: is not TOML: "),
        ("x = [1,\n2\n", "f.toml, line 3: is not TOML: Unclosed array"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    table, problems = table_of(tmp_path / "f", text)
    assert table is None
    assert [str(problem)[: len(said)] for problem in problems] == [said]


def test_what_is_right_is_read_although_something_else_is_wrong(tmp_path: Path) -> None:
    table, problems = table_of(tmp_path / "f", "needed = 3\nother = 4\nmore = 5\n")
    assert table is not None
    read = table.read(Shape)
    assert read is not None
    assert (read.needed, read.other) == (3, "x")
    assert [str(problem).split(":")[0] for problem in problems] == [
        "f.toml, line 3",
        "f.toml, line 2",
    ]


@pytest.mark.parametrize("text", ["other = 'y'\n", "needed = 'much'\n"])
def test_nothing_is_read_where_something_needed_is_missing_or_wrong(
    tmp_path: Path, text: str
) -> None:
    table, problems = table_of(tmp_path / "f", text)
    assert table is not None
    assert table.read(Shape) is None
    assert len(problems) == 1
    table, problems = table_of(tmp_path / "f", text)
    assert table is not None
    read = table.read(Shape, base={"needed": 7})
    assert read is not None
    assert read.needed == 7


@pytest.mark.parametrize("value", ["9" * 5_000, f"{'[' * 5_000}1{']' * 5_000}"])
def test_what_is_too_much_for_the_parser_is_told_with_its_line(tmp_path: Path, value: str) -> None:
    path, problems = tmp_path / "f.toml", list[Problem]()
    path.write_text(f'a = 1\nb = """\nx\n"""\nc = {value}\nd = 2\n')
    assert read_toml(path, problems, name="f.toml") is None
    (problem,) = problems
    assert str(problem).startswith("f.toml, line 5: cannot be read: ")

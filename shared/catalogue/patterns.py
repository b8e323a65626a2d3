"""Codes with numbers in them: one row for `RACK_1_OVERTEMP`, `RACK_2_OVERTEMP`, ...

A pattern is a code in which names in braces stand for numbers: `RACK_{rack}_OVERTEMP`. As nothing but numbers
can stand there, two patterns concern the same code only if they are equal everywhere else, so overlaps are
found by looking at the patterns alone.

A brace of the code itself is written twice: `E{{5}}` is the code `E{5}`, and no pattern. So
are titles and meanings written.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NUMBER = re.compile("([0-9]+)")
NAME = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}")
PART = re.compile(r"(?P<doubled>\{\{|\}\})|(?P<number>[0-9]+|\{[a-z][a-z0-9_]*\})|.", re.DOTALL)
BRACES = re.compile(r"\{\{|\}\}|[{}]")

Outline = tuple[str, ...]
"""What is between the numbers."""


@dataclass(frozen=True)
class Pattern:
    """A code with names for some of its numbers."""

    text: str
    outline: Outline
    numbers: tuple[str, ...]
    """Each a number as it is written, or a name in braces."""

    @property
    def names(self) -> list[str]:
        """The names, without their braces."""
        return [number[1:-1] for number in self.numbers if number.startswith("{")]

    def match(self, numbers: Iterable[str]) -> dict[str, str] | None:
        """The number for each name; None: another code. The outline is the caller's to compare."""
        found: dict[str, str] = {}
        for own, number in zip(self.numbers, numbers, strict=True):
            if own.startswith("{"):
                found[own[1:-1]] = number
            elif own != number:
                return None
        return found

    def has_instance(self, code: str) -> bool:
        """Whether the code is this one with numbers for its names."""
        outline, numbers = split_code(code)
        return outline == self.outline and self.match(numbers) is not None

    def overlaps(self, other: "Pattern") -> bool:
        """Whether some code is an instance of both."""
        return self.outline == other.outline and all(
            one == two or "{" in one + two
            for one, two in zip(self.numbers, other.numbers, strict=True)
        )


def is_pattern(code: str) -> bool:
    """Whether it has names in it; braces that are written twice are none."""
    return any(found in {"{", "}"} for found in BRACES.findall(code))


def parse_pattern(text: str) -> Pattern:
    """Raises ValueError saying what to write instead."""
    outline, numbers = _split_pattern(text)
    pattern = Pattern(text, outline, numbers)
    if any(not between for between in outline[1:-1]):
        raise ValueError("put something between a name in braces and the number beside it")
    if len(set(pattern.names)) != len(pattern.names):
        raise ValueError("give each number a name of its own")
    return pattern


def split_code(code: str) -> tuple[Outline, list[str]]:
    """A code's outline and its numbers."""
    parts = NUMBER.split(code)
    return tuple(parts[::2]), parts[1::2]


def _split_pattern(text: str) -> tuple[Outline, tuple[str, ...]]:
    outline, numbers = [""], list[str]()
    for part in PART.finditer(text):
        if part["number"]:
            numbers.append(part[0])
            outline.append("")
        elif part[0] in {"{", "}"}:
            raise ValueError(
                "a name in braces is small letters, such as {rack}; write a brace of the code twice"
            )
        else:
            outline[-1] += part[0][0]
    return tuple(outline), tuple(numbers)


def fill(text: str, values: Mapping[str, object]) -> str:
    """The text with each known name in braces replaced; others, and doubled braces, are left as they are."""
    return NAME.sub(lambda found: str(values.get(found[1], found[0])), text)


def names_in(text: str) -> set[str]:
    """The names in braces in a text."""
    return {found[1] for found in NAME.finditer(text) if found[1]}


def as_written(text: str) -> str:
    """What to write in a file for a text that has no names: its braces twice."""
    return text.replace("{", "{{").replace("}", "}}")


def as_meant(text: str) -> str:
    """What a text without names says: doubled braces once."""
    return text.replace("{{", "{").replace("}}", "}")

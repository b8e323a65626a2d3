"""The keys that a vendor file may have, and what is to be written for each."""

from typing import Annotated, Literal, TypeVar

import msgspec

from shared.catalogue.words import ComponentKey, GradeKey, Level, LevelKey, Text

Form = Literal["bits", "enum", "levels", "codes"]
FORMS: tuple[Form, ...] = ("bits", "enum", "levels", "codes")

WordBits = Annotated[
    Literal[8, 16, 32, 64], msgspec.Meta(description="the bits of the word: 8, 16, 32 or 64")
]
Word = Annotated[int, msgspec.Meta(ge=0, description="a number, such as 0xFFFF")]
Names = tuple[tuple[str, str], ...]
NamesKey = Annotated[
    Names,
    msgspec.Meta(description='pairs of model and point, such as [["701", "Alrm"]]'),
]
LevelByValue = Annotated[
    dict[str, Level],
    msgspec.Meta(description='the level of each value, such as { 1 = "warning", 2 = "fault" }'),
]


class HeaderKeys(msgspec.Struct, frozen=True, kw_only=True):
    vendor: Annotated[
        str,
        msgspec.Meta(pattern="^[a-z0-9][a-z0-9_.-]*$", description='a short name, such as "acme"'),
    ]


class SourceKeys(msgspec.Struct, frozen=True, kw_only=True):
    name: Text
    licence: Annotated[
        str, msgspec.Meta(min_length=1, description='an SPDX identifier, such as "MIT"')
    ]
    copyright: Text | None = None
    url: Text | None = None


class GroupKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all rows of a group, unless a row says otherwise."""

    prefix: str | None = None
    source: Text | None = None
    level: LevelKey = "fault"
    component: ComponentKey | None = None
    grade: GradeKey | None = None
    reason: Text | None = None
    effect: Text | None = None
    clears_by: Text | None = None
    meaning: Text | None = None


GroupT = TypeVar("GroupT", bound=GroupKeys)


class CodesKeys(GroupKeys, frozen=True, kw_only=True):
    """[[codes]]"""


class WordKeys(GroupKeys, frozen=True, kw_only=True):
    """What all words have."""

    word_bits: WordBits
    not_implemented: Word | None = None


class LevelsKeys(WordKeys, frozen=True, kw_only=True):
    """[[levels]]: each row is a register whose value is its level."""

    values: LevelByValue


class RegisterKeys(WordKeys, frozen=True, kw_only=True):
    """[[bits]] and [[enum]]"""

    register: Text
    names: NamesKey = ()


class RowKeys(msgspec.Struct, frozen=True, kw_only=True):
    kind: Annotated[str, msgspec.Meta(description="a kind of kinds.toml")]
    title: Text | None = None
    meaning: Text | None = None
    level: LevelKey | None = None
    component: ComponentKey | None = None
    grade: GradeKey | None = None
    reason: Text | None = None
    effect: Text | None = None
    clears_by: Text | None = None

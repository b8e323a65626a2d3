"""Kinds: what all vendors' codes come down to. What a kind means for service is said here, once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import msgspec

from shared.catalogue.words import (
    COMPONENTS,
    LEVELS,
    GradeKey,
    Level,
    Remedy,
    RemedyKey,
    Skill,
    SkillKey,
    Text,
)
from shared.documents.fault import Grade
from shared.toml import Place, Table, suggest

DelaySeconds = Annotated[
    int, msgspec.Meta(ge=0, le=86_400, description="a number of seconds from 0 to 86400")
]
PartName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$")]


class Terms(NamedTuple):
    """What a level of a kind says by itself."""

    grade: Grade
    reason: str
    """Why that grade, by the definitions of the agreement: `what: effect`."""
    clears_by: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of conditions, the same for all vendors."""

    name: str
    title: str
    hazard_levels: frozenset[Level]
    remedy: Remedy
    skill: Skill
    parts: tuple[str, ...]
    on_delay_s: int
    off_delay_s: int
    why: str
    terms: Mapping[tuple[Level, str | None], Terms]
    """By level, and the component where its terms are its own (None: all others)."""
    place: Place

    def terms_of(self, level: Level, *components: str | None) -> Terms | None:
        """The terms at the first of these components that has its own, else the level's; None: no grade."""
        for component in components:
            if component is not None and (level, component) in self.terms:
                return self.terms[level, component]
        return self.terms.get((level, None))


class _KindKeys(msgspec.Struct, frozen=True, kw_only=True):
    title: Text
    hazard: Annotated[
        bool | tuple[Level, ...],
        msgspec.Meta(
            description='true, false, or the levels at which it is one, such as ["fault"]'
        ),
    ] = False
    remedy: RemedyKey
    skill: SkillKey
    parts: Annotated[
        tuple[PartName, ...],
        msgspec.Meta(description='names of parts, such as ["dc_fuse"], or [] and a `why`'),
    ]
    on_delay_s: DelaySeconds
    off_delay_s: DelaySeconds
    why: Text


class _LevelKeys(msgspec.Struct, frozen=True, kw_only=True):
    grade: GradeKey
    reason: Text
    clears_by: Text


class _ComponentKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What differs where one sort of component reports it; clears_by: as the level's."""

    grade: GradeKey
    reason: Text
    clears_by: Text | None = None


@dataclass(frozen=True)
class KindFile:
    """A kinds.toml: kinds, and phrases of clears_by by the word that stands for each."""

    kinds: list[Kind]
    phrases: dict[str, str]


def read_kinds(root: Table, phrases: Mapping[str, str]) -> KindFile:
    """All kinds of a file, its own phrases going before `phrases`; what is wrong is told."""
    own = root.table("clears_by")
    said = dict(phrases)
    for word, phrase in own.values.items():
        if isinstance(phrase, str) and phrase:
            said[word] = phrase
        else:
            own.tell_wrong(word, 'a text, such as "configuration corrected"')
    kinds = [
        kind
        for name in root.values
        if name != "clears_by" and (kind := _read_kind(name, root.table(name), said)) is not None
    ]
    return KindFile(kinds, said)


def resolve_phrase(text: str, phrases: Mapping[str, str], table: Table) -> str:
    """A sentence as it is; a single word must be one of [clears_by]."""
    if text in phrases or not re.fullmatch("[a-z0-9_]+", text):
        return phrases.get(text, text)
    how = f"a sentence, or a word of [clears_by] in kinds.toml: {suggest(text, phrases)}"
    table.tell_wrong("clears_by", how)
    return text


def _read_kind(name: str, table: Table, phrases: Mapping[str, str]) -> Kind | None:
    keys = table.read(_KindKeys, besides=LEVELS)
    terms: dict[tuple[Level, str | None], Terms] = {}
    for level in LEVELS:
        if level in table.values:
            terms |= _read_level(level, table.table(level), phrases)
    if not any(level in table.values for level in LEVELS):
        table.tell(f"has no level, so no grade; write [{name}.fault] with grade, reason, clears_by")
    if keys is None:
        return None
    hazards = keys.hazard if isinstance(keys.hazard, tuple) else LEVELS if keys.hazard else ()
    if hazards and keys.on_delay_s:
        table.tell("a hazard waits for nothing; write on_delay_s = 0", "on_delay_s")
    return Kind(
        name=name,
        title=keys.title,
        hazard_levels=frozenset(hazards),
        remedy=keys.remedy,
        skill=keys.skill,
        parts=keys.parts,
        on_delay_s=keys.on_delay_s,
        off_delay_s=keys.off_delay_s,
        why=keys.why,
        terms=terms,
        place=table.place(),
    )


def _read_level(
    level: Level, table: Table, phrases: Mapping[str, str]
) -> dict[tuple[Level, str | None], Terms]:
    terms: dict[tuple[Level, str | None], Terms] = {}
    keys = table.read(_LevelKeys, besides=COMPONENTS)
    if keys is None:
        return terms
    usual = resolve_phrase(keys.clears_by, phrases, table)
    terms[level, None] = Terms(keys.grade, keys.reason, usual)
    for component in (name for name in table.values if name in COMPONENTS):
        part = table.table(component)
        own = part.read(_ComponentKeys)
        if own is not None:
            phrase = resolve_phrase(own.clears_by, phrases, part) if own.clears_by else usual
            terms[level, component] = Terms(own.grade, own.reason, phrase)
    return terms

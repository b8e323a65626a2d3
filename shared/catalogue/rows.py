"""From what vendor files say of a code, and kinds.toml of its kind, to the row that both give."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from shared.catalogue.catalogue import UNKNOWN, UNKNOWN_KIND, Row
from shared.catalogue.kinds import Kind, Terms, resolve_phrase
from shared.catalogue.vendors import Draft
from shared.catalogue.words import Level
from shared.toml import suggest


class Made(NamedTuple):
    """A row with what it was made of."""

    row: Row
    draft: Draft


def make_rows(
    drafts: Mapping[str, Draft], kinds: Mapping[str, Kind], phrases: Mapping[str, str]
) -> tuple[dict[str, Made], dict[tuple[str, str], Row]]:
    """The row of each draft, and those at the other levels that registers may tell; what is wrong is told."""
    made: dict[str, Made] = {}
    by_level: dict[tuple[str, str], Row] = {}
    for code, draft in drafts.items():
        kind = kinds.get(draft.kind)
        if kind is None:
            draft.table.tell_wrong("kind", f"a kind of kinds.toml; {suggest(draft.kind, kinds)}")
            continue
        terms = _own_terms(draft, kind, phrases)
        if terms is not None:
            made[code] = Made(_make_row(draft, kind, draft.level, terms), draft)
            by_level |= dict(_rows_by_level(draft, kind))
    return made, by_level


def make_unknown(kinds: Mapping[str, Kind]) -> Row:
    """What all codes that are in no file have in common."""
    kind = kinds.get(UNKNOWN_KIND)
    return UNKNOWN if kind is None else _of_kind(UNKNOWN, kind)


def _own_terms(draft: Draft, kind: Kind, phrases: Mapping[str, str]) -> Terms | None:
    """The kind's, with what the row has of its own; None: told that there are none."""
    terms = kind.terms_of(draft.level, draft.component, draft.reporter)
    clears_by = draft.clears_by and resolve_phrase(draft.clears_by, phrases, draft.table)
    if terms is None:
        if draft.grade is None or draft.reason is None or clears_by is None:
            draft.table.tell(
                f"kind {kind.name} has no grade at level {draft.level}; write"
                f" [{kind.name}.{draft.level}] in kinds.toml, or grade, reason and clears_by here"
            )
            return None
        return Terms(draft.grade, draft.reason, clears_by)
    reason = draft.reason or terms.reason
    if draft.reason is None and draft.effect is not None:
        what, colon, _effect = terms.reason.partition(": ")
        if not colon:
            draft.table.tell(
                f"the effect stands behind the colon of the kind's reason, and that of {kind.name}"
                ' has none; write reason = "..." instead'
            )
        reason = f"{what}: {draft.effect}"
    return Terms(draft.grade or terms.grade, reason, clears_by or terms.clears_by)


def _rows_by_level(draft: Draft, kind: Kind) -> Iterator[tuple[tuple[str, str], Row]]:
    for level in draft.levels - {draft.level}:
        terms = kind.terms_of(level, draft.component, draft.reporter)
        if terms is not None:
            yield (draft.code, level), _make_row(draft, kind, level, terms)


def _make_row(draft: Draft, kind: Kind, level: Level, terms: Terms) -> Row:
    row = Row(
        code=draft.code,
        kind=kind.name,
        level=level,
        component=draft.component,
        title=draft.title,
        meaning=draft.meaning,
        grade=terms.grade,
        reason=terms.reason,
        clears_by=terms.clears_by,
        source=draft.source,
        hazard=level in kind.hazard_levels,
    )
    return _of_kind(row, kind)


def _of_kind(row: Row, kind: Kind) -> Row:
    return replace(
        row,
        remedy=kind.remedy,
        skill=kind.skill,
        parts=kind.parts,
        on_delay_s=kind.on_delay_s,
        off_delay_s=kind.off_delay_s,
    )

"""A record on which a rule fails, judged without rules, by its catalogue grade. Pure.

A raise opens, a clear clears; no order, no trailing revisions. What is shared with the rules is what cannot
be left out: which record is a redelivery, of what a snapshot says all, and how a fault is written.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from services.classifier.judge import Outcome
from services.classifier.life import make_fault
from services.classifier.order import is_redelivered, remember_source
from services.classifier.scope import is_spoken_of, names_spoken_of
from services.classifier.state import REOPEN_WINDOW_MS, Condition, ConditionName, Emu
from shared.catalogue import Catalogue, Row
from shared.documents.fault import Fault, FaultChange
from shared.documents.ids import make_id
from shared.documents.internal import Edge, InternalRecord, Snapshot

RULE_FAILED_REASON = "a rule of ours failed, so this is the catalogue's grade alone"


class _Word(NamedTuple):
    """What a record says of one condition."""

    name: ConditionName
    raised_by: Edge | Snapshot | None
    """None: it has gone."""
    level: str | None = None


def judge_plainly(
    emu: Emu,
    conditions: Mapping[ConditionName, Condition],
    record: InternalRecord,
    now_ms: int,
    catalogue: Catalogue,
) -> Outcome:
    """`conditions` are all of this EMU."""
    if is_redelivered(emu, record.source):
        return Outcome("redelivered")
    changed: dict[ConditionName, Condition] = {}
    faults: list[Fault] = []
    for word in _words(record, conditions):
        before = changed.get(word.name) or conditions.get(word.name)
        told = _apply(word, before, record.receipt_ms, now_ms, catalogue)
        if told is None:
            continue
        change, condition = told
        condition = replace(
            condition, revision=condition.revision + 1, published_ms=now_ms, publish_at_ms=None
        )
        changed[word.name] = condition
        row = catalogue.look_up(condition.code, condition.level)
        faults.append(make_fault(change, condition, row, catalogue.version))
    heard = remember_source(emu, record.source)
    return Outcome("rule_failed", heard, tuple(changed.values()), tuple(faults))


def _words(
    record: InternalRecord, conditions: Mapping[ConditionName, Condition]
) -> Iterator[_Word]:
    if isinstance(record, Snapshot):
        raised = {
            (part.component, active.code): active.level
            for part in record.parts
            for active in part.active
        }
        spoken = names_spoken_of(record)
        for name in sorted(conditions):
            if name not in raised and is_spoken_of(name, spoken):
                yield _Word(name, None)
        for name, level in raised.items():
            yield _Word(name, record, level)
    elif isinstance(record, Edge):
        yield _Word(
            (record.component, record.code), record if record.raised else None, record.level
        )
    else:
        yield _Word((record.component, record.code), None)


def _apply(
    word: _Word, before: Condition | None, receipt_ms: int, now_ms: int, catalogue: Catalogue
) -> tuple[FaultChange, Condition] | None:
    """None: nothing to tell."""
    if word.raised_by is None:
        return _clear(before, receipt_ms, now_ms)
    if before is None or before.is_word_only:
        return "opened", _open(word.name, word.level, word.raised_by, catalogue)
    row = catalogue.look_up(before.code, word.level)
    if row.grade < before.grade:
        reason = _reason(row)
        graver = replace(before, grade=row.grade, grade_reason=reason, level=word.level)
        return ("regraded", graver) if before.stands else ("reopened", _reopen(graver, receipt_ms))
    return None if before.stands else ("reopened", _reopen(before, receipt_ms))


def _clear(
    before: Condition | None, receipt_ms: int, now_ms: int
) -> tuple[FaultChange, Condition] | None:
    if before is None or not before.stands:
        return None
    cleared_at_ms = max(receipt_ms, before.opened_at_ms)
    closes_at_ms = max(cleared_at_ms, now_ms) + REOPEN_WINDOW_MS
    return "cleared", replace(before, cleared_at_ms=cleared_at_ms, closes_at_ms=closes_at_ms)


def _reopen(before: Condition, receipt_ms: int) -> Condition:
    return replace(
        before,
        cleared_at_ms=None,
        closes_at_ms=None,
        count=before.count + 1,
        flaps=before.flaps + 1,
        last_at_ms=max(before.last_at_ms, receipt_ms),
    )


def _reason(row: Row) -> str:
    return f"{row.reason}; {RULE_FAILED_REASON}"


def _open(
    name: ConditionName, level: str | None, record: Edge | Snapshot, catalogue: Catalogue
) -> Condition:
    component, code = name
    row, source = catalogue.look_up(code, level), record.source
    return Condition(
        emu_id=record.emu_id,
        component=component,
        code=code,
        site_id=record.site_id,
        fault_id=make_id(
            "f", record.site_id, record.emu_id, component, code, *source.stream, *source.place
        ),
        revision=0,
        grade=row.grade,
        grade_reason=_reason(row),
        raised_at_ms=record.at_ms,
        opened_at_ms=record.receipt_ms,
        last_at_ms=record.receipt_ms,
        cleared_at_ms=None,
        count=1,
        flaps=0,
        level=level,
        model=record.model,
        firmware=record.firmware,
        source=source,
        boot=None,
        seq=None,
        published_ms=0,
        ladder=0,
        publish_at_ms=None,
        closes_at_ms=None,
    )

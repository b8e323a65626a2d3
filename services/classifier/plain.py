"""A record or a wake-up on which a rule fails, judged without rules, by its catalogue grade. Pure.

A raise opens, a clear clears; no order, no waits, no trailing revisions. What is shared with the rules is
what cannot be left out: which record is a redelivery, of what a snapshot says all, how a fault is written.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from services.classifier.grading import is_graver, regrade
from services.classifier.judge import Outcome
from services.classifier.order import is_redelivered, remember_source
from services.classifier.presence import OFFLINE, Conditions, say_offline
from services.classifier.revisions import Told, make_revision, set_gone
from services.classifier.scope import is_spoken_of, names_spoken_of
from services.classifier.state import Condition, ConditionName, Emu, facts_of, set_stale
from shared.catalogue import Catalogue
from shared.documents.fault import FaultChange
from shared.documents.ids import make_id
from shared.documents.internal import Edge, Fact, Ruling, Snapshot, Word

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
    record: Word | Fact,
    now_ms: int,
    catalogue: Catalogue,
) -> Outcome:
    """`conditions` are all of this EMU. A fact is learned, and told with each fault's next revision."""
    if isinstance(record, Fact):
        return Outcome("rule_failed", facts=facts_of(record.record))
    if is_redelivered(emu, record.source):
        return Outcome("redelivered")
    changed: dict[ConditionName, Condition] = {}
    told: list[Told] = []
    for word in _words(record, conditions):
        before = changed.get(word.name) or conditions.get(word.name)
        applied = _apply(word, before, record.receipt_ms, now_ms, catalogue)
        if applied is None:
            continue
        change, condition = applied
        if change is not None:
            condition = make_revision(condition, now_ms, catalogue)
            told.append((change, condition))
        changed[word.name] = condition
    heard = remember_source(emu, record.source, record.receipt_ms)
    return Outcome("rule_failed", heard, tuple(changed.values()), tuple(told))


def judge_silence_plainly(
    emu_id: str, emu: Emu, conditions: Conditions, at_ms: int, *, now_ms: int, catalogue: Catalogue
) -> Outcome:
    """Of an EMU with a link. What stands at it is not marked as stale."""
    if emu.link is None:
        return Outcome("nothing")
    said = say_offline(emu_id, emu.link, at_ms)
    applied = _apply(_Word(OFFLINE, said), conditions.get(OFFLINE), at_ms, now_ms, catalogue)
    heard = replace(emu, link=replace(emu.link, gone=True))
    if applied is None:
        return Outcome("rule_failed", heard)
    change, condition = applied
    if change is None:
        return Outcome("rule_failed", heard, (condition,))
    condition = make_revision(condition, now_ms, catalogue)
    return Outcome("rule_failed", heard, (condition,), ((change, condition),))


def wake_plainly(condition: Condition, now_ms: int, catalogue: Catalogue) -> Outcome:
    """What is due by now, where a rule of it raises: what has waited is told, what is over closed."""
    change, awake = _awake(condition, now_ms)
    over = change == "closed"
    if change is None or condition.is_word_only:
        return Outcome("rule_failed", conditions=() if over else (awake,), forget=over)
    awake = make_revision(awake, now_ms, catalogue)
    told: tuple[Told, ...] = ((change, awake),)
    return Outcome("rule_failed", conditions=() if over else (awake,), told=told, forget=over)


def _awake(condition: Condition, now_ms: int) -> tuple[FaultChange | None, Condition]:
    """The change None: nothing to tell. What a repeat or its age would tell comes with the next revision."""
    due_ms = condition.wake_at_ms
    if condition.is_over:
        return "closed", condition
    if due_ms == condition.ripe_at_ms:
        risen = replace(condition, ripe_at_ms=None, cleared_at_ms=None, closes_at_ms=None)
        return "reopened" if condition.revision else "opened", risen
    if due_ms == condition.clears_at_ms:
        gone = set_gone(condition, condition.changes[-1], now_ms)
        return "cleared" if condition.revision else "opened", gone
    return None, replace(condition, publish_at_ms=None, ages_at_ms=None)


def _words(record: Word, conditions: Mapping[ConditionName, Condition]) -> Iterator[_Word]:
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
    elif isinstance(record, Ruling) and record.action == "clear":
        yield _Word((record.component, record.code), None)


def _apply(
    word: _Word, before: Condition | None, receipt_ms: int, now_ms: int, catalogue: Catalogue
) -> tuple[FaultChange | None, Condition] | None:
    """None: nothing changes; a change None: nothing to tell."""
    if word.raised_by is None:
        return _clear(before, receipt_ms, now_ms)
    if before is None or before.is_word_only:
        return "opened", _open(word.name, word.level, word.raised_by, catalogue)
    now_raised = set_stale(replace(before, ripe_at_ms=None, clears_at_ms=None), stale=False)
    if graver := is_graver(before, word.level, catalogue):
        now_raised = regrade(now_raised, word.level, catalogue)
        now_raised = replace(now_raised, grade_reason=_reason(now_raised.grade_reason))
    if before.stands:
        if not before.revision:
            return "opened", now_raised
        if graver or before.is_stale:
            return "regraded" if graver else "repeated", now_raised
        return None if before.is_raised else (None, now_raised)
    return "reopened", _reopen(now_raised, receipt_ms)


def _clear(
    before: Condition | None, receipt_ms: int, now_ms: int
) -> tuple[FaultChange | None, Condition] | None:
    if before is None:
        return None
    if not before.stands:
        waits = before.ripe_at_ms is not None
        gone = set_stale(replace(before, ripe_at_ms=None), stale=False)
        return (None, gone) if waits else None
    return "cleared" if before.revision else "opened", set_gone(before, receipt_ms, now_ms)


def _reopen(before: Condition, receipt_ms: int) -> Condition:
    return replace(
        before,
        cleared_at_ms=None,
        closes_at_ms=None,
        count=before.count + 1,
        flaps=before.flaps + 1,
        last_at_ms=max(before.last_at_ms, receipt_ms),
    )


def _reason(catalogue_s: str) -> str:
    return f"{catalogue_s}; {RULE_FAILED_REASON}"


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
        grade_reason=_reason(row.reason),
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
        kind=row.kind,
        hazard=row.hazard,
    )

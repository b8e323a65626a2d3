"""What an alarm makes of a condition: pure functions of (condition, record, now).

A condition's life (docs/behaviour.md, "A fault's life"):

    raise ─► opened ─► repeated … ─► cleared ─► closed (the reopen window is over, forgotten)
                ▲                       │
                └────── reopened ◄──────┘ raise within the reopen window
"""

from typing import NamedTuple

from msgspec.structs import replace

from services.classifier.order import (
    is_counted,
    is_late,
    is_redelivered,
    remember_report,
    remember_source,
)
from services.classifier.state import REOPEN_WINDOW_MS, Condition, Emu
from shared.catalogue import Catalogue, Row
from shared.documents.fault import Fault, FaultChange, FaultSource
from shared.documents.ids import make_id
from shared.documents.internal import Edge, Ruling
from shared.times import MINUTE_MS, to_rfc3339

# A repeat after this much silence is news, and told at once.
QUIET_MS = MINUTE_MS
# Repeats that go on are told after 1, 5, 15, 60 minutes, and then each hour.
TRAILING_MS = (1 * MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 60 * MINUTE_MS)


class Outcome(NamedTuple):
    """What became of one record, or of one wake-up."""

    verdict: str
    """One word for the metrics: redelivered, duplicate, opened, repeated, ..., nothing."""
    emu: Emu | None = None
    """None: unchanged."""
    condition: Condition | None = None
    """None: unchanged, or gone when `forget`."""
    faults: tuple[Fault, ...] = ()
    """The revisions to publish, in order."""
    forget: bool = False


def judge_edge(
    emu: Emu, condition: Condition | None, edge: Edge, now_ms: int, catalogue: Catalogue
) -> Outcome:
    """One raise or clear; `condition` is what is known of it (None: nothing)."""
    if is_redelivered(emu, edge.source):
        return Outcome("redelivered")
    heard = remember_source(emu, edge.source)
    if is_counted(emu, edge):
        return Outcome("duplicate", heard)
    if condition is not None and is_late(emu, condition, edge):
        return _count_late(remember_report(heard, edge), condition, edge, now_ms)
    heard = remember_report(heard, edge)
    if edge.raised:
        return _raise(heard, condition, edge, now_ms, catalogue)
    if condition is None:
        return Outcome("nothing", heard)
    condition = replace(condition, boot=edge.boot, seq=edge.seq)
    return _clear(heard, condition, edge.receipt_ms, now_ms, catalogue)


def judge_ruling(
    emu: Emu, condition: Condition | None, ruling: Ruling, now_ms: int, catalogue: Catalogue
) -> Outcome:
    """A person says that the condition has gone."""
    if is_redelivered(emu, ruling.source):
        return Outcome("redelivered")
    heard = remember_source(emu, ruling.source)
    if condition is None:
        return Outcome("nothing", heard)
    return _clear(heard, condition, ruling.receipt_ms, now_ms, catalogue)


def wake(condition: Condition, now_ms: int, catalogue: Catalogue) -> Outcome:
    """What is due at `condition.wake_at_ms` <= now: a trailing revision, or the end."""
    if condition.stands:
        ladder = min(condition.ladder + 1, len(TRAILING_MS) - 1)
        return _publish("repeated", None, replace(condition, ladder=ladder), now_ms, catalogue)
    outcome = _publish("closed", None, condition, now_ms, catalogue)
    return outcome._replace(condition=None, forget=True)


def _raise(
    emu: Emu, condition: Condition | None, edge: Edge, now_ms: int, catalogue: Catalogue
) -> Outcome:
    if condition is None:
        return _open(emu, edge, now_ms, catalogue)
    cleared_at_ms = condition.cleared_at_ms
    if cleared_at_ms is not None and edge.receipt_ms - cleared_at_ms >= REOPEN_WINDOW_MS:
        closed = _publish("closed", emu, condition, now_ms, catalogue)
        opened = _open(emu, edge, now_ms, catalogue)
        return opened._replace(faults=closed.faults + opened.faults)
    condition = replace(condition, boot=edge.boot, seq=edge.seq)
    if condition.stands:
        return _repeat(emu, condition, edge, now_ms, catalogue)
    return _reopen(emu, condition, edge, now_ms, catalogue)


def _open(emu: Emu, edge: Edge, now_ms: int, catalogue: Catalogue) -> Outcome:
    row = catalogue.look_up(edge.code, edge.level)
    source = edge.source
    condition = Condition(
        emu_id=edge.emu_id,
        component=edge.component,
        code=edge.code,
        site_id=edge.site_id,
        fault_id=make_id(
            "f", edge.site_id, edge.emu_id, edge.component, edge.code, *source.stream, *source.place
        ),
        revision=0,
        grade=row.grade,
        grade_reason=row.reason,
        raised_at_ms=edge.at_ms,
        opened_at_ms=edge.receipt_ms,
        last_at_ms=edge.receipt_ms,
        cleared_at_ms=None,
        count=1,
        flaps=0,
        level=edge.level,
        model=edge.model,
        firmware=edge.firmware,
        source=source,
        boot=edge.boot,
        seq=edge.seq,
        published_ms=now_ms,
        ladder=0,
        publish_at_ms=None,
        closes_at_ms=None,
    )
    return _publish("opened", emu, condition, now_ms, catalogue)


def _repeat(
    emu: Emu, condition: Condition, edge: Edge, now_ms: int, catalogue: Catalogue
) -> Outcome:
    quiet = edge.receipt_ms - condition.last_at_ms >= QUIET_MS
    condition = _count(condition, edge)
    row = catalogue.look_up(edge.code, edge.level)
    if row.grade < condition.grade:  # only upward: what was said stays said
        condition = replace(condition, grade=row.grade, grade_reason=row.reason)
        return _publish("regraded", emu, condition, now_ms, catalogue)
    if quiet:
        return _publish("repeated", emu, replace(condition, ladder=0), now_ms, catalogue)
    if condition.publish_at_ms is None:
        due_ms = condition.published_ms + TRAILING_MS[condition.ladder]
        condition = replace(condition, publish_at_ms=due_ms)
    return Outcome("repeat", emu, condition)


def _reopen(
    emu: Emu, condition: Condition, edge: Edge, now_ms: int, catalogue: Catalogue
) -> Outcome:
    condition = replace(
        _count(condition, edge),
        cleared_at_ms=None,
        closes_at_ms=None,
        flaps=condition.flaps + 1,
        ladder=0,
    )
    row = catalogue.look_up(edge.code, edge.level)
    if row.grade < condition.grade:
        condition = replace(condition, grade=row.grade, grade_reason=row.reason)
    return _publish("reopened", emu, condition, now_ms, catalogue)


def _clear(
    emu: Emu, condition: Condition, receipt_ms: int, now_ms: int, catalogue: Catalogue
) -> Outcome:
    if not condition.stands:
        return Outcome("nothing", emu, condition)
    cleared_at_ms = max(receipt_ms, condition.opened_at_ms)
    # The task's time may be ahead of this input: catching up after an outage must not shorten the window.
    closes_at_ms = max(cleared_at_ms, now_ms) + REOPEN_WINDOW_MS
    cleared = replace(condition, cleared_at_ms=cleared_at_ms, closes_at_ms=closes_at_ms)
    return _publish("cleared", emu, cleared, now_ms, catalogue)


def _count_late(emu: Emu, condition: Condition, edge: Edge, now_ms: int) -> Outcome:
    """History: a raise counts, but the newer word stands."""
    if not edge.raised or not condition.stands:
        return Outcome("late", emu)
    condition = replace(condition, count=condition.count + 1)
    if condition.publish_at_ms is None:
        due_ms = max(now_ms, condition.published_ms + TRAILING_MS[condition.ladder])
        condition = replace(condition, publish_at_ms=due_ms)
    return Outcome("late", emu, condition)


def _count(condition: Condition, edge: Edge) -> Condition:
    return replace(
        condition,
        count=condition.count + 1,
        last_at_ms=max(condition.last_at_ms, edge.receipt_ms),
        level=edge.level or condition.level,
        model=edge.model or condition.model,
        firmware=edge.firmware or condition.firmware,
    )


def _publish(
    change: FaultChange, emu: Emu | None, condition: Condition, now_ms: int, catalogue: Catalogue
) -> Outcome:
    condition = replace(
        condition, revision=condition.revision + 1, published_ms=now_ms, publish_at_ms=None
    )
    row = catalogue.look_up(condition.code, condition.level)
    fault = _make_fault(change, condition, row, catalogue.version)
    return Outcome(change, emu, condition, (fault,))


def _make_fault(change: FaultChange, condition: Condition, row: Row, version: str) -> Fault:
    cleared_at_ms = condition.cleared_at_ms
    return Fault(
        fault_id=condition.fault_id,
        revision=condition.revision,
        change=change,
        state="open" if cleared_at_ms is None else "closed" if change == "closed" else "cleared",
        grade=condition.grade,
        grade_reason=condition.grade_reason,
        hazard=row.hazard,
        kind=row.kind,
        code=condition.code,
        title=row.title,
        remedy=row.remedy,
        emu_id=condition.emu_id,
        component=condition.component,
        site_id=condition.site_id,
        model=condition.model,
        firmware=condition.firmware,
        raised_at=to_rfc3339(condition.raised_at_ms),
        opened_at=to_rfc3339(condition.opened_at_ms),
        clocks_from=to_rfc3339(condition.opened_at_ms),
        last_at=to_rfc3339(condition.last_at_ms),
        cleared_at=None if cleared_at_ms is None else to_rfc3339(cleared_at_ms),
        count=condition.count,
        flaps=condition.flaps,
        catalogue=version,
        source=FaultSource(
            condition.source.topic, condition.source.partition, condition.source.offset
        ),
    )

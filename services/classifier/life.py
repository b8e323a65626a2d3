"""A condition's life: what a raise, a clear or a wake-up makes of it. Pure.

raise ─► opened ─► repeated … ─► cleared ─► closed (the reopen window is over, forgotten)
            ▲                       │
            └────── reopened ◄──────┘ raise within the reopen window
"""

from typing import NamedTuple

from msgspec.structs import replace

from services.classifier.state import REOPEN_WINDOW_MS, Condition
from shared.catalogue import Catalogue, Row
from shared.documents.fault import Fault, FaultChange, FaultSource
from shared.documents.ids import make_id
from shared.documents.internal import Edge
from shared.times import MINUTE_MS, to_rfc3339

# A repeat after this much silence is news, and told at once.
QUIET_MS = MINUTE_MS
# Repeats that go on are told after 1, 5, 15, 60 minutes, and then each hour.
TRAILING_MS = (1 * MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 60 * MINUTE_MS)


class Turn(NamedTuple):
    """What became of one condition."""

    verdict: str
    """The change that is told, or one word for none: repeat, late, nothing."""
    condition: Condition | None = None
    """None: as it was."""
    faults: tuple[Fault, ...] = ()
    """The revisions to publish, in order."""


def rise(condition: Condition | None, edge: Edge, now_ms: int, catalogue: Catalogue) -> Turn:
    """It has risen, or is said to stand again."""
    if condition is None or condition.is_word_only:
        return _open(edge, now_ms, catalogue)
    cleared_at_ms = condition.cleared_at_ms
    if cleared_at_ms is not None and edge.receipt_ms - cleared_at_ms >= REOPEN_WINDOW_MS:
        closed = close(condition, now_ms, catalogue)
        opened = _open(edge, now_ms, catalogue)
        return opened._replace(faults=closed.faults + opened.faults)
    condition = replace(condition, boot=edge.boot, seq=edge.seq)
    if condition.stands:
        return _repeat(condition, edge, now_ms, catalogue)
    return _reopen(condition, edge, now_ms, catalogue)


def fall(condition: Condition | None, edge: Edge, now_ms: int, catalogue: Catalogue) -> Turn:
    """It is said to have gone.

    Of a condition that nothing is known of, the word is remembered where it has a number: a raise that was
    overtaken by it may come yet.
    """
    if condition is None and edge.seq is None:
        return Turn("nothing")
    if condition is None or condition.is_word_only:
        word = _cleared(_make(edge, catalogue), edge.receipt_ms, now_ms)
        return Turn("nothing", word)
    condition = replace(condition, boot=edge.boot, seq=edge.seq)
    return clear(condition, edge.receipt_ms, now_ms, catalogue)


def clear(condition: Condition, receipt_ms: int, now_ms: int, catalogue: Catalogue) -> Turn:
    """It has gone, by an edge, a snapshot or a person's ruling."""
    if not condition.stands:
        return Turn("nothing", condition)
    return _publish("cleared", _cleared(condition, receipt_ms, now_ms), now_ms, catalogue)


def is_graver(condition: Condition, level: str | None, catalogue: Catalogue) -> bool:
    """Whether the condition at this level has a higher grade than it was given."""
    return catalogue.look_up(condition.code, level).grade < condition.grade


def confirm(condition: Condition, edge: Edge, now_ms: int, catalogue: Catalogue) -> Turn:
    """A snapshot says that it still stands: news only where its level makes the grade go up."""
    if not is_graver(condition, edge.level, catalogue):
        return Turn("nothing")
    condition = replace(
        _regrade(condition, edge.level, catalogue),
        last_at_ms=max(condition.last_at_ms, edge.receipt_ms),
        boot=edge.boot,
        seq=edge.seq,
    )
    return _publish("regraded", condition, now_ms, catalogue)


def count_late(condition: Condition | None, edge: Edge, now_ms: int, catalogue: Catalogue) -> Turn:
    """History: a raise counts, but the newer word stands.

    A raise that its own clear overtook is told as what it is by now: a fault that has cleared.
    """
    if condition is None or not edge.raised:
        return Turn("late")
    if condition.is_word_only:
        past = replace(_make(edge, catalogue), boot=condition.boot, seq=condition.seq)
        return _publish("opened", _cleared(past, edge.receipt_ms, now_ms), now_ms, catalogue)
    if not condition.stands:
        return Turn("late")
    condition = replace(condition, count=condition.count + 1)
    if condition.publish_at_ms is None:
        due_ms = max(now_ms, condition.published_ms + TRAILING_MS[condition.ladder])
        condition = replace(condition, publish_at_ms=due_ms)
    return Turn("late", condition)


def tell_repeats(condition: Condition, now_ms: int, catalogue: Catalogue) -> Turn:
    """The trailing revision; the next one comes after a longer wait."""
    ladder = min(condition.ladder + 1, len(TRAILING_MS) - 1)
    return _publish("repeated", replace(condition, ladder=ladder), now_ms, catalogue)


def close(condition: Condition, now_ms: int, catalogue: Catalogue) -> Turn:
    """The reopen window is over."""
    if condition.is_word_only:
        return Turn("nothing")
    return _publish("closed", condition, now_ms, catalogue)


def _open(edge: Edge, now_ms: int, catalogue: Catalogue) -> Turn:
    return _publish("opened", _make(edge, catalogue), now_ms, catalogue)


def _cleared(condition: Condition, receipt_ms: int, now_ms: int) -> Condition:
    cleared_at_ms = max(receipt_ms, condition.opened_at_ms)
    # The task's time may be ahead of this input: catching up after an outage must not shorten the window.
    closes_at_ms = max(cleared_at_ms, now_ms) + REOPEN_WINDOW_MS
    return replace(condition, cleared_at_ms=cleared_at_ms, closes_at_ms=closes_at_ms)


def _make(edge: Edge, catalogue: Catalogue) -> Condition:
    """A condition that stands, of which nothing is told yet."""
    row = catalogue.look_up(edge.code, edge.level)
    source = edge.source
    return Condition(
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
        published_ms=0,
        ladder=0,
        publish_at_ms=None,
        closes_at_ms=None,
    )


def _repeat(condition: Condition, edge: Edge, now_ms: int, catalogue: Catalogue) -> Turn:
    quiet = edge.receipt_ms - condition.last_at_ms >= QUIET_MS
    condition = _count(condition, edge)
    if is_graver(condition, edge.level, catalogue):
        condition = _regrade(condition, edge.level, catalogue)
        return _publish("regraded", condition, now_ms, catalogue)
    if quiet:
        return _publish("repeated", replace(condition, ladder=0), now_ms, catalogue)
    if condition.publish_at_ms is None:
        due_ms = condition.published_ms + TRAILING_MS[condition.ladder]
        condition = replace(condition, publish_at_ms=due_ms)
    return Turn("repeat", condition)


def _reopen(condition: Condition, edge: Edge, now_ms: int, catalogue: Catalogue) -> Turn:
    condition = replace(
        _count(condition, edge),
        cleared_at_ms=None,
        closes_at_ms=None,
        flaps=condition.flaps + 1,
        ladder=0,
    )
    condition = _regrade(condition, edge.level, catalogue)
    return _publish("reopened", condition, now_ms, catalogue)


def _count(condition: Condition, edge: Edge) -> Condition:
    return replace(
        condition,
        count=condition.count + 1,
        last_at_ms=max(condition.last_at_ms, edge.receipt_ms),
        model=edge.model or condition.model,
        firmware=edge.firmware or condition.firmware,
    )


def _regrade(condition: Condition, level: str | None, catalogue: Catalogue) -> Condition:
    """Only upward: what was said stays said, and with the level its kind and that it is a hazard."""
    row = catalogue.look_up(condition.code, level)
    if row.grade >= condition.grade:
        return condition
    return replace(condition, grade=row.grade, grade_reason=row.reason, level=level)


def _publish(change: FaultChange, condition: Condition, now_ms: int, catalogue: Catalogue) -> Turn:
    condition = replace(
        condition, revision=condition.revision + 1, published_ms=now_ms, publish_at_ms=None
    )
    row = catalogue.look_up(condition.code, condition.level)
    fault = make_fault(change, condition, row, catalogue.version)
    return Turn(change, condition, (fault,))


def make_fault(change: FaultChange, condition: Condition, row: Row, version: str) -> Fault:
    """The document of the condition's newest revision."""
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

"""Revisions of a condition's fault: when they are told. Pure."""

import msgspec
from msgspec.structs import replace

from services.classifier.grading import age, count_raise, keep
from services.classifier.rules import Rules
from services.classifier.state import REOPEN_WINDOW_MS, Condition, set_stale, share, with_marks
from shared.catalogue import Catalogue
from shared.documents.fault import FaultChange
from shared.documents.ids import make_id
from shared.documents.internal import Edge
from shared.times import MINUTE_MS

# Repeats that go on are told after 1, 5, 15, 60 minutes, and then each hour.
TRAILING_MS = (1 * MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 60 * MINUTE_MS)


Told = tuple[FaultChange, Condition]
"""A revision to publish: what it tells, and the condition as it is by then (fault.make_fault)."""


class Turn(msgspec.Struct, frozen=True, gc=False):
    """What became of one condition."""

    verdict: str
    """The change that is told, or one word for none: held, too_short, leaving, repeat, late, nothing."""
    condition: Condition | None = None
    """None: as it was."""
    told: tuple[Told, ...] = ()
    """The revisions to publish, in order."""


def make_condition(edge: Edge, rules: Rules) -> Condition:
    """A condition that stands, of which nothing is told yet."""
    row = rules.catalogue.look_up(edge.code, edge.level)
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
        published_ms=0,
        ladder=0,
        publish_at_ms=None,
        closes_at_ms=None,
        changes=(edge.receipt_ms,),
        kind=row.kind,
        hazard=row.hazard,
        ages_at_ms=edge.receipt_ms + rules.age_ms if row.grade == "D" else None,
    )
    return share(condition)


def publish(change: FaultChange, condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """The next revision; a trailing one that waits is not needed any more."""
    condition = make_revision(condition, now_ms, rules.catalogue)
    return Turn(change, condition, ((change, condition),))


def make_revision(condition: Condition, now_ms: int, catalogue: Catalogue) -> Condition:
    """The condition with its next revision."""
    return replace(
        keep(condition, catalogue.look_up(condition.code, condition.level)),
        revision=condition.revision + 1,
        published_ms=now_ms,
        publish_at_ms=None,
    )


def tell_risen(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """Its raise has waited long enough, or had nothing to wait for."""
    change: FaultChange = "reopened" if condition.revision else "opened"
    condition = out_of_backlog(count_raise(condition, rules), now_ms)
    if condition.ages_at_ms is not None and condition.ages_at_ms <= now_ms:
        condition = age(condition, rules)
    condition = replace(condition, cleared_at_ms=None, closes_at_ms=None, ripe_at_ms=None, ladder=0)
    return publish(change, condition, now_ms, rules)


def tell_gone(
    condition: Condition, gone_ms: int, now_ms: int, rules: Rules, *, off_delay_ms: int = 0
) -> Turn:
    """It has gone since the receipt `gone_ms`; a fault nobody has heard of yet is opened as a cleared one."""
    gone = set_gone(condition, gone_ms, now_ms - off_delay_ms)
    if condition.revision:
        return publish("cleared", gone, now_ms, rules)
    return publish("opened", count_raise(gone, rules), now_ms, rules)


def set_gone(condition: Condition, gone_ms: int, now_ms: int) -> Condition:
    """The condition cleared, its reopen window counted from the clear."""
    cleared_at_ms = max(gone_ms, condition.opened_at_ms)
    # The task's time may be ahead of this input: catching up after an outage must not shorten the window.
    closes_at_ms = max(cleared_at_ms, now_ms) + REOPEN_WINDOW_MS
    if condition.marks is not None and condition.marks.untold:
        condition = with_marks(condition, replace(condition.marks, untold=False))
    return replace(
        set_stale(condition, stale=False),
        cleared_at_ms=cleared_at_ms,
        closes_at_ms=closes_at_ms,
        ripe_at_ms=None,
        clears_at_ms=None,
    )


def out_of_backlog(condition: Condition, now_ms: int) -> Condition:
    """What was kept back until now; the clocks of a fault that nobody knew of run from now."""
    marks = condition.marks
    if marks is None or not marks.untold:
        return condition
    if not condition.revision:
        marks = replace(marks, clocks_from_ms=max(now_ms, condition.opened_at_ms))
    return with_marks(condition, replace(marks, untold=False))


def tell_repeats(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """The trailing revision; the next one comes after a longer wait."""
    ladder = min(condition.ladder + 1, len(TRAILING_MS) - 1)
    return publish("repeated", replace(condition, ladder=ladder), now_ms, rules)


def close(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """The reopen window is over."""
    if condition.is_word_only:
        return Turn("nothing")
    return publish("closed", condition, now_ms, rules)

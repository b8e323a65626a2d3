"""Revisions of a condition's fault: when they are told, and what stands in them. Pure."""

from typing import NamedTuple

from msgspec.structs import replace

from services.classifier.grading import keep
from services.classifier.rules import Rules
from services.classifier.state import REOPEN_WINDOW_MS, Condition
from shared.catalogue import Catalogue, Row
from shared.documents.fault import Fault, FaultChange, FaultSource
from shared.documents.ids import make_id
from shared.documents.internal import Edge
from shared.times import MINUTE_MS, to_rfc3339

# Repeats that go on are told after 1, 5, 15, 60 minutes, and then each hour.
TRAILING_MS = (1 * MINUTE_MS, 5 * MINUTE_MS, 15 * MINUTE_MS, 60 * MINUTE_MS)


class Turn(NamedTuple):
    """What became of one condition."""

    verdict: str
    """The change that is told, or one word for none: held, too_short, leaving, repeat, late, nothing."""
    condition: Condition | None = None
    """None: as it was."""
    faults: tuple[Fault, ...] = ()
    """The revisions to publish, in order."""


def make_condition(edge: Edge, rules: Rules) -> Condition:
    """A condition that stands, of which nothing is told yet."""
    row = rules.catalogue.look_up(edge.code, edge.level)
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
        changes=(edge.receipt_ms,),
        kind=row.kind,
        hazard=row.hazard,
    )


def publish(change: FaultChange, condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """The next revision; a trailing one that waits is not needed any more."""
    condition, fault = make_revision(change, condition, now_ms, rules.catalogue)
    return Turn(change, condition, (fault,))


def make_revision(
    change: FaultChange, condition: Condition, now_ms: int, catalogue: Catalogue
) -> tuple[Condition, Fault]:
    """The condition with its next revision, and the document of it."""
    row = catalogue.look_up(condition.code, condition.level)
    condition = replace(
        keep(condition, row),
        revision=condition.revision + 1,
        published_ms=now_ms,
        publish_at_ms=None,
    )
    return condition, _make_fault(change, condition, row, catalogue.version)


def tell_risen(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """Its raise has waited long enough, or had nothing to wait for."""
    change: FaultChange = "reopened" if condition.revision else "opened"
    condition = replace(condition, cleared_at_ms=None, closes_at_ms=None, ripe_at_ms=None, ladder=0)
    return publish(change, condition, now_ms, rules)


def tell_gone(
    condition: Condition, gone_ms: int, now_ms: int, rules: Rules, *, off_delay_ms: int = 0
) -> Turn:
    """It has gone since the receipt `gone_ms`; a fault nobody has heard of yet is opened as a cleared one."""
    condition = set_gone(condition, gone_ms, now_ms - off_delay_ms)
    return publish("cleared" if condition.revision else "opened", condition, now_ms, rules)


def set_gone(condition: Condition, gone_ms: int, now_ms: int) -> Condition:
    """The condition cleared, its reopen window counted from the clear."""
    cleared_at_ms = max(gone_ms, condition.opened_at_ms)
    # The task's time may be ahead of this input: catching up after an outage must not shorten the window.
    closes_at_ms = max(cleared_at_ms, now_ms) + REOPEN_WINDOW_MS
    return replace(
        condition,
        cleared_at_ms=cleared_at_ms,
        closes_at_ms=closes_at_ms,
        ripe_at_ms=None,
        clears_at_ms=None,
    )


def tell_repeats(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """The trailing revision; the next one comes after a longer wait."""
    ladder = min(condition.ladder + 1, len(TRAILING_MS) - 1)
    return publish("repeated", replace(condition, ladder=ladder), now_ms, rules)


def close(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """The reopen window is over."""
    if condition.is_word_only:
        return Turn("nothing")
    return publish("closed", condition, now_ms, rules)


def _make_fault(change: FaultChange, condition: Condition, row: Row, version: str) -> Fault:
    """The document of the condition's newest revision."""
    cleared_at_ms = condition.cleared_at_ms
    return Fault(
        fault_id=condition.fault_id,
        revision=condition.revision,
        change=change,
        state="open" if cleared_at_ms is None else "closed" if change == "closed" else "cleared",
        grade=condition.grade,
        grade_reason=condition.grade_reason,
        hazard=condition.hazard,
        kind=condition.kind or row.kind,
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

"""What an EMU reports of the past: `historical`, or more than ten minutes older than its receipt. Pure.

A backlog makes history. What it says of a condition is kept back until it ends; then what has gone is told
once, as a fault that has cleared, and what still stands is judged like any raise, with clocks from then. It
ends with the first live report of the EMU, after a minute of quiet, or after five minutes: a device whose
clock is slow seems to report nothing else, and its faults must not be hidden. A hazard is told a minute after
its raise at the latest.

Everything in a backlog comes within seconds. So delays, chatter and the reopen window go by the device's
times (`at`), in the order of arrival. What was said live of a later time than a word of a backlog stays true.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from services.classifier.grading import (
    expect_raise,
    is_graver,
    raises_of,
    recall_raises,
    regrade,
)
from services.classifier.life import (
    Earlier,
    come_back,
    count,
    count_late,
    fall,
    tell_graver,
    tell_later,
)
from services.classifier.revisions import (
    Told,
    Turn,
    close,
    make_condition,
    make_revision,
    out_of_backlog,
    set_gone,
    tell_gone,
    tell_risen,
)
from services.classifier.rules import CHATTER_CHANGES, Rules
from services.classifier.state import (
    BACKLOG_QUIET_MS,
    NO_MARKS,
    REOPEN_WINDOW_MS,
    Backlog,
    Condition,
    Emu,
    with_marks,
)
from shared.documents.fault import FaultChange
from shared.documents.internal import Edge


def note_past(emu: Emu, receipt_ms: int, now_ms: int) -> Emu:
    """The EMU tells of the past, still or newly."""
    last_ms = max(receipt_ms, now_ms)
    since_ms = last_ms if emu.backlog is None else emu.backlog.since_ms
    return replace(emu, backlog=Backlog(since_ms, last_ms))


def say_past(
    condition: Condition | None,
    edge: Edge,
    now_ms: int,
    rules: Rules,
    *,
    snapshot_ms: int,
    earlier: Earlier,
    counts: bool = True,
) -> Turn:
    """A word of a backlog; `snapshot_ms`: receipt of the EMU's newest live snapshot.

    `counts`: whether a raise of what stands is a repeat. That of a snapshot is none.
    """
    if condition is None or condition.is_word_only:
        if not edge.raised:
            return fall(condition, edge, now_ms, rules)
        return Turn(
            "history", _begin(edge, earlier((edge.emu_id, edge.component, edge.code)), rules)
        )
    if not edge.raised:
        return _fall(condition, edge, now_ms, rules, snapshot_ms)
    if not condition.is_raised:
        return _rise(condition, edge, now_ms, rules, earlier)
    return _repeat(condition, edge, now_ms, rules, counts=counts)


def end_backlog(
    conditions: Iterable[Condition], now_ms: int, rules: Rules, *, plainly: bool = False
) -> Iterator[Turn]:
    """What is told, or waits to be, of each condition of the EMU that was kept back.

    `plainly`: told at once and by the catalogue alone, for a rule has failed there.
    """
    come_out = _come_out_plainly if plainly else _come_out
    for condition in sorted(conditions, key=lambda one: one.name):
        if condition.marks is not None and condition.marks.untold:
            yield come_out(condition, now_ms, rules)


def _begin(edge: Edge, raises: tuple[int, ...], rules: Rules) -> Condition:
    """It stands by the backlog, and nobody is told yet."""
    condition = recall_raises(make_condition(edge, rules), raises, rules)
    return _keep_back(replace(expect_raise(condition, rules), changes=(edge.at_ms,)), edge)


def _keep_back(condition: Condition, edge: Edge) -> Condition:
    """It has risen; a hazard is told after a minute, whether the backlog has ended or not."""
    marks = replace(condition.marks or NO_MARKS, past=True, untold=True)
    ripe_at_ms = edge.receipt_ms + BACKLOG_QUIET_MS
    return replace(with_marks(condition, marks), ripe_at_ms=ripe_at_ms)


def _rise(condition: Condition, edge: Edge, now_ms: int, rules: Rules, earlier: Earlier) -> Turn:
    """It had gone, and has risen."""
    past = condition.marks is not None and condition.marks.past
    gone_ms = condition.changes[-1] if past or condition.stands else condition.cleared_at_ms or 0
    if not past and edge.at_ms <= gone_ms:  # it is known to have gone later
        return count_late(condition, edge, now_ms, rules, earlier)
    if edge.at_ms - gone_ms >= REOPEN_WINDOW_MS:
        told, raises = _finish(condition, now_ms, rules)
        return Turn("history", _begin(edge, raises, rules), told)
    back = come_back(condition, edge)
    back = replace(back, changes=(*condition.changes, edge.at_ms)[-CHATTER_CHANGES:])
    if not back.stands or (not back.revision and back.ripe_at_ms is None):
        return Turn("history", _keep_back(regrade(back, edge.level, rules.catalogue), edge))
    return _tell_if_graver(_mark_past(back), edge, now_ms, rules)


def _finish(
    condition: Condition, now_ms: int, rules: Rules
) -> tuple[tuple[Told, ...], tuple[int, ...]]:
    """The end of its fault, which was too long ago to reopen: what is told, and when the condition rose."""
    told: tuple[Told, ...] = ()
    if condition.stands:
        gone = tell_gone(condition, _gone_ms(condition), now_ms, rules)
        told, condition = gone.told, gone.condition or condition
    closed = close(condition, now_ms, rules)
    return told + closed.told, raises_of(closed.told[-1][1])


def _repeat(condition: Condition, edge: Edge, now_ms: int, rules: Rules, *, counts: bool) -> Turn:
    """It stood, and is said to."""
    past = condition.marks is not None and condition.marks.past
    newest = past or edge.at_ms > condition.last_at_ms
    if counts:
        if newest:
            condition = _mark_past(count(condition, edge))
        else:
            condition = replace(condition, count=condition.count + 1)
        condition = tell_later(condition, now_ms)
    return _tell_if_graver(condition, edge, now_ms, rules)


def _tell_if_graver(condition: Condition, edge: Edge, now_ms: int, rules: Rules) -> Turn:
    """Whatever time it speaks of: what was said stays said."""
    if not is_graver(condition, edge.level, rules.catalogue):
        return Turn("history", condition)
    condition = regrade(condition, edge.level, rules.catalogue)
    if condition.marks is not None and condition.marks.untold and condition.ripe_at_ms is not None:
        return Turn("history", _keep_back(condition, edge))
    return tell_graver(condition, now_ms, rules)


def _fall(condition: Condition, edge: Edge, now_ms: int, rules: Rules, snapshot_ms: int) -> Turn:
    """It is said to have gone."""
    if not condition.is_raised:
        return Turn("nothing", replace(condition, boot=edge.boot, seq=edge.seq))
    if not _is_newest(condition, edge, snapshot_ms):
        return Turn("late")
    marks = condition.marks or NO_MARKS
    if not condition.revision and not marks.untold:
        return fall(_mark_past(condition), edge, now_ms, rules)
    changes = (*condition.changes, edge.at_ms)[-CHATTER_CHANGES:]
    gone = replace(
        _mark_past(condition), boot=edge.boot, seq=edge.seq, changes=changes, ripe_at_ms=None
    )
    row = rules.catalogue.look_up(condition.code, condition.level)
    if not condition.revision and edge.at_ms - condition.raised_at_ms < rules.on_delay(row):
        return Turn("too_short", set_gone(gone, edge.receipt_ms, now_ms))
    if not gone.stands:
        return Turn(
            "history", with_marks(gone, replace(marks, past=True, untold=False, stale=False))
        )
    gone = with_marks(gone, replace(marks, past=True, untold=True))
    return Turn("history", replace(gone, clears_at_ms=edge.receipt_ms))


def _is_newest(condition: Condition, edge: Edge, snapshot_ms: int) -> bool:
    """Whether nothing that was said live speaks of a later time."""
    marks = condition.marks or NO_MARKS
    if marks.untold:
        return True
    confirmed = snapshot_ms >= condition.last_at_ms and snapshot_ms >= edge.at_ms
    return (marks.past or edge.at_ms > condition.last_at_ms) and not confirmed


def _come_out(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """The backlog has ended."""
    row = rules.catalogue.look_up(condition.code, condition.level)
    known = out_of_backlog(condition, now_ms)
    if not condition.is_raised:
        if condition.clears_at_ms is None:
            return Turn("history", known)
        gone_at_ms = condition.changes[-1] + rules.off_delay(row, condition.changes)
        if gone_at_ms > now_ms and condition.revision:
            return Turn("leaving", replace(known, clears_at_ms=gone_at_ms))
        return tell_gone(condition, _gone_ms(condition), now_ms, rules)
    if condition.ripe_at_ms is None:
        return Turn("history", known)
    on_ms = rules.on_delay(row)
    ripe_at_ms = max(now_ms, condition.risen_at_ms + on_ms)
    if not condition.revision and not on_ms:
        ripe_at_ms = now_ms + rules.hold(row, condition.grade)
    if ripe_at_ms <= now_ms:
        return tell_risen(condition, now_ms, rules)
    return Turn("held", replace(known, ripe_at_ms=ripe_at_ms))


def _come_out_plainly(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    known = out_of_backlog(condition, now_ms)
    leaves = not condition.is_raised and condition.clears_at_ms is not None
    if not leaves and not (condition.is_raised and condition.ripe_at_ms is not None):
        return Turn("history", known)
    if leaves:
        change: FaultChange = "cleared" if condition.revision else "opened"
        told = set_gone(condition, _gone_ms(condition), now_ms)
    else:
        change = "reopened" if condition.revision else "opened"
        told = replace(known, cleared_at_ms=None, closes_at_ms=None, ripe_at_ms=None)
    told = make_revision(told, now_ms, rules.catalogue)
    return Turn(change, told, ((change, told),))


def _gone_ms(condition: Condition) -> int:
    """Receipt of the clear of what is leaving."""
    untold = condition.marks is not None and condition.marks.untold
    return (condition.clears_at_ms or 0) if untold else condition.changes[-1]


def _mark_past(condition: Condition) -> Condition:
    return with_marks(condition, replace(condition.marks or NO_MARKS, past=True))


def mark_live(condition: Condition) -> Condition:
    """A word of now is said of it."""
    if condition.marks is None or not condition.marks.past:
        return condition
    return with_marks(condition, replace(condition.marks, past=False))

"""A condition's life: what a raise, a clear or a wake-up makes of it. Pure.

raise ─► held ─► opened ─► repeated … ─► leaving ─► cleared ─► closed (the reopen window is over, forgotten)
                    ▲  ▲                    │          │
                    │  └────────────────────┘ raise within the off-delay
                    └─── reopened ◄─ held ◄────────────┘ raise within the reopen window

Without a hold, an on-delay, an off-delay and chatter (rules.py), nothing is held and nothing leaves slowly.
"""

from collections.abc import Callable

from msgspec.structs import replace

from services.classifier.grading import (
    age,
    expect_raise,
    is_graver,
    raises_of,
    recall_raises,
    regrade,
)
from services.classifier.revisions import (
    TRAILING_MS,
    Turn,
    close,
    make_condition,
    publish,
    set_gone,
    tell_gone,
    tell_repeats,
    tell_risen,
)
from services.classifier.rules import CHATTER_CHANGES, Rules
from services.classifier.state import REOPEN_WINDOW_MS, Condition, ConditionKey, set_stale
from shared.catalogue import Row
from shared.documents.internal import Edge
from shared.times import MINUTE_MS

# A repeat after this much silence is news, and told at once.
QUIET_MS = MINUTE_MS


Earlier = Callable[[ConditionKey], tuple[int, ...]]
"""When a condition rose of which all faults are closed (raises.ChangedRaises.of)."""


def rise(
    condition: Condition | None, edge: Edge, now_ms: int, rules: Rules, earlier: Earlier
) -> Turn:
    """It has risen, or is said to stand again."""
    if condition is None or condition.is_word_only:
        raises = earlier((edge.emu_id, edge.component, edge.code))
        return _begin(edge, raises, now_ms, rules)
    if condition.is_raised:
        return _tell_repeat(count(condition, edge), condition, edge, now_ms, rules)
    settled = _settle(condition, edge.receipt_ms, now_ms, rules)
    known = settled.condition
    if known is None:
        turn = _begin(edge, raises_of(settled.told[-1][1]), now_ms, rules)
    else:
        back = come_back(known, edge)
        if known.stands:
            turn = _tell_repeat(back, known, edge, now_ms, rules)
        else:
            turn = tell_or_hold(regrade(back, edge.level, rules.catalogue), now_ms, rules)
    return replace(turn, told=settled.told + turn.told)


def fall(condition: Condition | None, edge: Edge, now_ms: int, rules: Rules) -> Turn:
    """It is said to have gone.

    Of a condition that nothing is known of, the word is remembered where it has a number: a raise that was
    overtaken by it may come yet.
    """
    if condition is None and edge.seq is None:
        return Turn("nothing")
    if condition is None or condition.is_word_only:
        return Turn("nothing", _remember_gone(condition, edge, now_ms, rules))
    if not condition.is_raised:
        return Turn("nothing", replace(condition, boot=edge.boot, seq=edge.seq))
    return _go(condition, edge, now_ms, rules)


def confirm(condition: Condition, edge: Edge, now_ms: int, rules: Rules) -> Turn:
    """A snapshot says that it still stands: news only where its level makes it graver, or it was stale."""
    was_stale, condition = condition.is_stale, set_stale(condition, stale=False)
    if not is_graver(condition, edge.level, rules.catalogue):
        if not was_stale:
            return Turn("nothing")
        if condition.ripe_at_ms is not None:
            return Turn("nothing", condition)
        return publish("repeated", condition, now_ms, rules)
    condition = replace(
        condition,
        last_at_ms=max(condition.last_at_ms, edge.receipt_ms),
        boot=edge.boot,
        seq=edge.seq,
    )
    return tell_graver(regrade(condition, edge.level, rules.catalogue), now_ms, rules)


def count_late(
    condition: Condition | None, edge: Edge, now_ms: int, rules: Rules, earlier: Earlier
) -> Turn:
    """History: a raise counts, but the newer word stands.

    A raise that its own clear overtook, or a snapshot without it, is told as what it is by now: a fault that
    has cleared.
    """
    if not edge.raised:
        return Turn("late")
    if condition is None or condition.is_word_only:
        if rules.on_delay(rules.catalogue.look_up(edge.code, edge.level)):
            return Turn("late")  # nobody knows whether it stood long enough
        raises = earlier((edge.emu_id, edge.component, edge.code))
        past = recall_raises(make_condition(edge, rules), raises, rules)
        if condition is not None:
            past = replace(past, boot=condition.boot, seq=condition.seq)
        return tell_gone(past, edge.receipt_ms, now_ms, rules)
    if not condition.stands:
        return Turn("late")
    return Turn("late", tell_later(replace(condition, count=condition.count + 1), now_ms))


def tell_later(condition: Condition, now_ms: int) -> Condition:
    """What has changed is told with a trailing revision, if nothing else is told before."""
    if not condition.stands or condition.ripe_at_ms or condition.publish_at_ms:
        return condition
    due_ms = condition.published_ms + TRAILING_MS[condition.ladder]
    return replace(condition, publish_at_ms=max(now_ms, due_ms))


def go_on(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """What is due at `condition.wake_at_ms` <= now, but its end."""
    due_ms = condition.wake_at_ms
    if due_ms == condition.ripe_at_ms:
        return tell_risen(condition, now_ms, rules)
    if due_ms == condition.clears_at_ms:
        return _finish_leaving(condition, now_ms, rules)
    if due_ms == condition.ages_at_ms:
        return publish("regraded", age(condition, rules), now_ms, rules)
    return tell_repeats(condition, now_ms, rules)


def _begin(edge: Edge, earlier: tuple[int, ...], now_ms: int, rules: Rules) -> Turn:
    """The first raise of a fault; `earlier`: those of the same condition's earlier ones."""
    condition = make_condition(edge, rules)
    if earlier:
        condition = recall_raises(condition, earlier, rules)
        condition = expect_raise(condition, rules)
    return tell_or_hold(condition, now_ms, rules)


def tell_or_hold(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """A new raise: told at once, or when its hold and its on-delay are over."""
    row = rules.catalogue.look_up(condition.code, condition.level)
    on_ms = rules.on_delay(row)
    risen_ms = condition.risen_at_ms
    ripe_ms = risen_ms + (0 if condition.revision else rules.hold(row, condition.grade))
    if on_ms:  # as with the reopen window: catching up must not shorten it
        ripe_ms = max(ripe_ms, max(risen_ms, now_ms) + on_ms)
    if ripe_ms <= now_ms:
        return tell_risen(condition, now_ms, rules)
    return Turn("held", replace(condition, ripe_at_ms=ripe_ms))


def _tell_repeat(
    condition: Condition, before: Condition, edge: Edge, now_ms: int, rules: Rules
) -> Turn:
    """A raise of what stands, counted already."""
    condition = set_stale(condition, stale=False)
    if is_graver(condition, edge.level, rules.catalogue):
        return tell_graver(regrade(condition, edge.level, rules.catalogue), now_ms, rules)
    if condition.ripe_at_ms is not None:
        return Turn("repeat", condition)
    if before.is_stale or edge.receipt_ms - before.last_at_ms >= QUIET_MS:
        return publish("repeated", replace(condition, ladder=0), now_ms, rules)
    if condition.publish_at_ms is None:
        due_ms = condition.published_ms + TRAILING_MS[condition.ladder]
        condition = replace(condition, publish_at_ms=due_ms)
    return Turn("repeat", condition)


def tell_graver(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """It has a new grade: told at once, or by the shorter hold of that grade."""
    if condition.ripe_at_ms is None:
        return publish("regraded", condition, now_ms, rules)
    row = rules.catalogue.look_up(condition.code, condition.level)
    hold_ms = 0 if condition.revision else rules.hold(row, condition.grade)
    due_ms = condition.risen_at_ms + max(hold_ms, rules.on_delay(row))
    if due_ms <= now_ms:
        return tell_risen(condition, now_ms, rules)
    return Turn("held", replace(condition, ripe_at_ms=min(condition.ripe_at_ms, due_ms)))


def _remember_gone(word: Condition | None, edge: Edge, now_ms: int, rules: Rules) -> Condition:
    """The word that it has gone, for a reopen window or half a one more: it ends later only now and then."""
    gone_ms = max(edge.receipt_ms, now_ms)
    if word is not None and (word.closes_at_ms or 0) >= gone_ms + REOPEN_WINDOW_MS:
        return replace(word, boot=edge.boot, seq=edge.seq)
    word = set_gone(make_condition(edge, rules), edge.receipt_ms, now_ms)
    return replace(word, closes_at_ms=gone_ms + REOPEN_WINDOW_MS + REOPEN_WINDOW_MS // 2)


def _go(condition: Condition, edge: Edge, now_ms: int, rules: Rules) -> Turn:
    """What stood by the last word has gone by this one."""
    row = rules.catalogue.look_up(condition.code, condition.level)
    condition = set_stale(condition, stale=False)
    gone = replace(condition, boot=edge.boot, seq=edge.seq, changes=_changes(condition, edge))
    waits = condition.ripe_at_ms is not None
    if waits and edge.receipt_ms - condition.risen_at_ms < rules.on_delay(row):
        no_fault = set_gone(gone, edge.receipt_ms, now_ms)
        return Turn("too_short", no_fault if gone.stands else replace(gone, ripe_at_ms=None))
    if gone.stands:
        return _leave(gone, row, edge.receipt_ms, now_ms, rules)
    # It came back for long enough by the receipts, though not yet by the task's time.
    risen = tell_risen(gone, now_ms, rules)
    turn = _leave(risen.condition or gone, row, edge.receipt_ms, now_ms, rules)
    return replace(turn, told=risen.told + turn.told)


def _leave(condition: Condition, row: Row, receipt_ms: int, now_ms: int, rules: Rules) -> Turn:
    """It has gone: cleared at once, or when it has been gone for long enough."""
    delay_ms = rules.off_delay(row, condition.changes)
    if not delay_ms:
        return tell_gone(condition, receipt_ms, now_ms, rules)
    return Turn("leaving", replace(condition, clears_at_ms=max(receipt_ms, now_ms) + delay_ms))


def _settle(condition: Condition, receipt_ms: int, now_ms: int, rules: Rules) -> Turn:
    """What is over by the receipts of this condition, though not yet by the task's time; None: closed."""
    turn = Turn("nothing", condition)
    if condition.clears_at_ms is not None:
        row = rules.catalogue.look_up(condition.code, condition.level)
        delay_ms = rules.off_delay(row, condition.changes)
        if receipt_ms - condition.changes[-1] >= delay_ms:
            turn = tell_gone(condition, condition.changes[-1], now_ms, rules)
            condition = turn.condition or condition
    cleared_at_ms = condition.cleared_at_ms
    if cleared_at_ms is not None and receipt_ms - cleared_at_ms >= REOPEN_WINDOW_MS:
        closed = close(condition, now_ms, rules)
        return Turn("closed", None, turn.told + closed.told)
    return turn


def _finish_leaving(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    row = rules.catalogue.look_up(condition.code, condition.level)
    delay_ms = rules.off_delay(row, condition.changes)
    return tell_gone(condition, condition.changes[-1], now_ms, rules, off_delay_ms=delay_ms)


def count(condition: Condition, edge: Edge) -> Condition:
    return replace(
        condition,
        count=condition.count + 1,
        last_at_ms=max(condition.last_at_ms, edge.receipt_ms),
        model=edge.model or condition.model,
        firmware=edge.firmware or condition.firmware,
        boot=edge.boot,
        seq=edge.seq,
    )


def come_back(condition: Condition, edge: Edge) -> Condition:
    """Counted as a raise and as a flap."""
    return replace(
        condition,
        count=condition.count + 1,
        flaps=condition.flaps + 1,
        last_at_ms=max(condition.last_at_ms, edge.receipt_ms),
        model=edge.model or condition.model,
        firmware=edge.firmware or condition.firmware,
        boot=edge.boot,
        seq=edge.seq,
        clears_at_ms=None,
        changes=_changes(condition, edge),
    )


def _changes(condition: Condition, edge: Edge) -> tuple[int, ...]:
    return (*condition.changes, edge.receipt_ms)[-CHATTER_CHANGES:]

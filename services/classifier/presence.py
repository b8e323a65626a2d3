"""Whether an EMU is there, and what its going makes of its conditions. Pure.

An EMU has gone by the word of its broker (`offline`), or by its silence; both are the same from then on: a
condition of our own is raised, and what stood at it is stale. Any live report of it is a sign of life: the
condition falls. What is stale stays so until it is spoken of itself.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from services.classifier.judge import Outcome
from services.classifier.life import Earlier, fall, rise
from services.classifier.order import (
    is_of_older_boot,
    is_redelivered,
    remember_boot,
    remember_source,
)
from services.classifier.revisions import Told, Turn, publish
from services.classifier.rules import Rules
from services.classifier.state import Condition, ConditionName, Emu, Link, set_stale
from shared.documents.internal import Edge, Presence, Snapshot, Source

# By this code the catalogue has what it means; its kind is `emu_offline`.
OFFLINE: ConditionName = ("emu", "bakvakt:emu_offline")
# These records were dropped: they say nothing of now.
_DROPPED = ("redelivered", "duplicate")

Conditions = Mapping[ConditionName, Condition]
"""All of one EMU."""


def judge_presence(
    emu: Emu,
    conditions: Conditions,
    presence: Presence,
    now_ms: int,
    rules: Rules,
    *,
    earlier: Earlier,
) -> Outcome:
    """One heartbeat, `offline` or `online`. Its number is not looked at: it may be a counter of its own."""
    if is_redelivered(emu, presence.source):
        return Outcome("redelivered")
    heard = remember_source(emu, presence.source, presence.receipt_ms)
    if presence.historical:
        return Outcome("history", heard, quiet=True)
    heard = remember_boot(heard, presence.boot)
    if is_of_older_boot(heard, presence.boot):
        return Outcome("late", heard)
    if presence.state == "offline":
        return _go(heard, conditions, presence, now_ms, rules, earlier=earlier)
    link = _link_of(heard, presence)
    if presence.interval_s is not None:
        link = replace(link, interval_ms=round(presence.interval_s * 1000))
    heard = replace(heard, link=link)
    outcome = _live(heard, conditions.get(OFFLINE), presence, now_ms, rules)
    quiet = _is_nothing_new(emu, outcome.emu or heard)
    return replace(outcome, verdict=presence.state, quiet=quiet)


def note_life(
    emu: Emu,
    offline: Condition | None,
    record: Edge | Snapshot,
    outcome: Outcome,
    *,
    now_ms: int,
    rules: Rules,
) -> Outcome:
    """`outcome` of a record of an EMU that tells of its presence, with what the record says of that.

    `offline` is what is known of its condition of that name.
    """
    heard = outcome.emu or emu
    if heard.link is None or outcome.verdict in _DROPPED or record.historical:
        return outcome
    heard = remember_boot(heard, record.boot)
    if is_of_older_boot(heard, record.boot):
        return outcome
    changed = {condition.name: condition for condition in outcome.conditions}
    heard = replace(heard, link=_link_of(heard, record))
    alive = _live(heard, changed.get(OFFLINE, offline), record, now_ms, rules)
    changed.update((condition.name, condition) for condition in alive.conditions)
    return replace(
        outcome, emu=alive.emu, conditions=tuple(changed.values()), told=outcome.told + alive.told
    )


def silent_at_ms(emu: Emu, since_ms: int, rules: Rules) -> int | None:
    """When the EMU will have been silent for too long; None: its silence says nothing.

    Counted from its newest sign of life, and at the earliest from `since_ms`.
    """
    link = emu.link
    if link is None or link.gone or link.interval_ms is None:
        return None
    return max(link.last_ms, since_ms) + rules.silence(link.interval_ms)


def judge_silence(
    emu_id: str,
    emu: Emu,
    conditions: Conditions,
    at_ms: int,
    *,
    now_ms: int,
    rules: Rules,
    earlier: Earlier,
) -> Outcome:
    """The EMU, which has a link, was silent for too long at the receipt `at_ms`."""
    link = emu.link
    if link is None:
        return Outcome("nothing")
    said = say_offline(emu_id, link, at_ms)
    heard = replace(emu, link=replace(link, gone=True))
    return _raise_offline(
        "silent", heard, conditions, said, now_ms=now_ms, rules=rules, earlier=earlier
    )


def say_offline(emu_id: str, link: Link, at_ms: int) -> Edge:
    """The word on our own condition: it was silent for too long at the receipt `at_ms`."""
    return _edge(emu_id, link.site_id, link.source, at_ms, at_ms, raised=True)


def mark_stale(condition: Condition, now_ms: int, rules: Rules) -> Turn:
    """What stands by the newest word on it is stale from now on; told where there is a fault to tell of."""
    if not condition.is_raised or condition.is_stale:
        return Turn("nothing")
    condition = set_stale(condition, stale=True)
    if not condition.is_open:
        return Turn("stale", condition)
    return publish("stale", condition, now_ms, rules)


def _go(
    heard: Emu,
    conditions: Conditions,
    presence: Presence,
    now_ms: int,
    rules: Rules,
    *,
    earlier: Earlier,
) -> Outcome:
    """It was told that the EMU has gone; a second time it is no news."""
    link = _link_of(heard, presence)
    if heard.link is not None and heard.link.gone:
        return Outcome("nothing", heard)
    said = _edge(
        presence.emu_id,
        presence.site_id,
        presence.source,
        presence.at_ms,
        presence.receipt_ms,
        raised=True,
    )
    heard = replace(heard, link=replace(link, gone=True))
    return _raise_offline(
        "offline", heard, conditions, said, now_ms=now_ms, rules=rules, earlier=earlier
    )


def _raise_offline(
    verdict: str,
    heard: Emu,
    conditions: Conditions,
    said: Edge,
    *,
    now_ms: int,
    rules: Rules,
    earlier: Earlier,
) -> Outcome:
    changed: list[Condition] = []
    told: list[Told] = []
    for name in sorted(conditions):
        if name != OFFLINE:
            turn = mark_stale(conditions[name], now_ms, rules)
            changed += () if turn.condition is None else (turn.condition,)
            told += turn.told
    known = conditions.get(OFFLINE)
    if known is None or not known.is_raised:
        turn = rise(known, said, now_ms, rules, earlier)
        changed += () if turn.condition is None else (turn.condition,)
        told += turn.told
    return Outcome(verdict, heard, conditions=tuple(changed), told=tuple(told))


def _live(
    heard: Emu,
    known: Condition | None,
    record: Edge | Snapshot | Presence,
    now_ms: int,
    rules: Rules,
) -> Outcome:
    """The EMU, with its new link, is there."""
    if heard.link is not None and heard.link.gone:
        heard = replace(heard, link=replace(heard.link, gone=False))
    if known is None or not known.is_raised:  # it was there, or a person has cleared its absence
        return Outcome("nothing", heard)
    said = _edge(
        record.emu_id, record.site_id, record.source, record.at_ms, record.receipt_ms, raised=False
    )
    turn = fall(known, said, now_ms, rules)
    conditions_changed = () if turn.condition is None else (turn.condition,)
    too_short = int(turn.verdict == "too_short")
    return Outcome(
        turn.verdict, heard, conditions=conditions_changed, told=turn.told, too_short=too_short
    )


def _link_of(heard: Emu, record: Edge | Snapshot | Presence) -> Link:
    """The EMU's link, with the record as the newest word of it."""
    link = heard.link
    if link is None:
        return Link(record.site_id, record.source, record.receipt_ms)
    last_ms = max(link.last_ms, record.receipt_ms)
    return replace(link, site_id=record.site_id, source=record.source, last_ms=last_ms)


def _is_nothing_new(before: Emu, after: Emu) -> bool:
    """Whether only the source and the time of the newest sign of life differ."""
    old, new = before.link, after.link
    if old is None or new is None:
        return False
    boots = [known.boot for known in before.boots] == [known.boot for known in after.boots]
    kept = (old.site_id, old.interval_ms, old.gone) == (new.site_id, new.interval_ms, new.gone)
    return boots and kept


def _edge(
    emu_id: str, site_id: str, source: Source, at_ms: int, receipt_ms: int, *, raised: bool
) -> Edge:
    """The word on our own condition. It has no number: it is as new as its coming."""
    component, code = OFFLINE
    return Edge(source, emu_id, site_id, component, code, raised, at_ms, receipt_ms)

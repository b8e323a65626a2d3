"""What is carried from one site to another: how a fault ends there and goes on here. Pure."""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from services.classifier.arrivals import Arrivals
from services.classifier.backlog import end_backlog
from services.classifier.grading import ages_at
from services.classifier.order import MAX_BOOTS, join_numbers
from services.classifier.revisions import (
    Told,
    Turn,
    close,
    make_revision,
    publish,
    set_gone,
)
from services.classifier.rules import Rules
from services.classifier.state import (
    NO_FACTS,
    NO_MARKS,
    Boot,
    Condition,
    Emu,
    Facts,
    Link,
    with_marks,
)
from shared.catalogue import Catalogue
from shared.documents.ids import make_id


class Carried(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a transfer has in it."""

    emu: Emu = Emu()
    facts: Facts = NO_FACTS
    arrivals: Arrivals = ()
    conditions: tuple[Condition, ...] = ()
    passed: tuple[tuple[int, int], ...] = ()
    """Other transfers of the EMU that are on their way to the same place (whereabouts.Key)."""


decode_carried = msgspec.msgpack.Decoder(Carried).decode


def hand_over(
    conditions: Iterable[Condition], now_ms: int, rules: Rules, *, plainly: bool = False
) -> tuple[tuple[Told, ...], tuple[Condition, ...]]:
    """The last revisions of their faults, and what goes along.

    A backlog ends with the move. What stands goes along as it is. A cleared fault is closed, its reopen
    window over; what goes along is its place in the EMU's order, and a raise that waits to reopen it.
    """
    known = {condition.name: condition for condition in conditions}
    left: list[Told] = []
    for turn in end_backlog(known.values(), now_ms, rules, plainly=plainly):
        left += turn.told
        if turn.condition is not None:
            known[turn.condition.name] = turn.condition
    carried: list[Condition] = []
    for condition in sorted(known.values(), key=lambda one: one.name):
        if condition.revision:
            change = "moved" if condition.stands else "closed"
            left.append((change, make_revision(condition, now_ms, rules.catalogue)))
        if condition.stands:
            carried.append(condition)
        elif condition.ripe_at_ms is not None:
            carried.append(_begin_anew(condition, rules))
        elif condition.seq is not None:
            carried.append(replace(condition, revision=0, marks=None))
    return tuple(left), tuple(carried)


def move_to(came: Condition, site_id: str, clocks_ms: int | None) -> Condition:
    """A condition at its new site, nothing told of it there; its fault is another, and knows which it was.

    `clocks_ms`: from when its clocks run, if the move is what put the EMU into service.
    """
    source = came.source
    names = (site_id, came.emu_id, came.component, came.code)
    fault_id = make_id("f", *names, *source.stream, *source.place, came.fault_id)
    moved = replace(came, site_id=site_id, fault_id=fault_id, revision=0)
    if not came.revision:
        return moved
    marks = replace(came.marks or NO_MARKS, moved_from=came.fault_id)
    if clocks_ms is not None and not came.hazard:
        marks = replace(marks, clocks_from_ms=max(clocks_ms, came.opened_at_ms))
    return with_marks(moved, marks)


def receive(
    here: Condition | None,
    came: Condition,
    now_ms: int,
    rules: Rules,
    *,
    gone_ms: int | None = None,
) -> Turn:
    """A condition that came with its EMU; `here` is what is known of it at the new site.

    `gone_ms`: receipt of the newest word there by which it has gone, where no more is known.
    """
    was_told = came.marks is not None and came.marks.moved_from is not None
    if here is None and gone_ms is not None and came.stands and came.last_at_ms <= gone_ms:
        return _open_as_gone(came, gone_ms, now_ms, rules, was_told=was_told)
    if here is None:
        return publish("opened", came, now_ms, rules) if was_told else Turn("nothing", came)
    if not came.stands or (here.is_raised and not here.stands):
        return Turn("nothing")
    if not here.stands:
        return _receive_after_clear(here, came, now_ms, rules, was_told=was_told)
    joined = _join(here, came, rules)
    if not (was_told or here.revision):
        return Turn("nothing", joined)
    graver = joined.grade < here.grade
    change = "opened" if not here.revision else "regraded" if graver else "repeated"
    return publish(change, replace(joined, ripe_at_ms=None), now_ms, rules)


def receive_plainly(
    here: Condition | None, came: Condition, now_ms: int, catalogue: Catalogue
) -> Turn:
    """As `receive`, where a rule of it fails: it stands as it came, but where more is known of it here."""
    if here is not None and not here.is_word_only:
        return Turn("nothing")
    if came.marks is None or came.marks.moved_from is None:
        return Turn("nothing", came)
    came = make_revision(came, now_ms, catalogue)
    return Turn("opened", came, (("opened", came),))


def _receive_after_clear(
    here: Condition, came: Condition, now_ms: int, rules: Rules, *, was_told: bool
) -> Turn:
    """What came stands, and here it is known to have gone: the later word holds."""
    gone_ms = here.cleared_at_ms or 0
    if came.last_at_ms > gone_ms:
        ended = close(here, now_ms, rules)
        turn = publish("opened", came, now_ms, rules) if was_told else Turn("nothing", came)
        return replace(turn, told=ended.told + turn.told)
    if not here.is_word_only:
        return Turn("nothing")
    came = replace(came, boot=here.boot, seq=here.seq)
    return _open_as_gone(came, gone_ms, now_ms, rules, was_told=was_told)


def _open_as_gone(
    came: Condition, gone_ms: int, now_ms: int, rules: Rules, *, was_told: bool
) -> Turn:
    """Its fault goes on and ends here; where there was none it is nothing."""
    if not was_told:
        return Turn("nothing")
    return publish("opened", set_gone(came, gone_ms, now_ms), now_ms, rules)


def merge_heard(here: Emu, came: Emu) -> Emu:
    """What was heard here and elsewhere; what came is the older."""
    if here == Emu(sources=here.sources):
        return came
    known = {boot.boot: boot for boot in came.boots}
    for boot in here.boots:
        before = known.get(boot.boot)
        known[boot.boot] = boot if before is None else _join_boots(before, boot)
    return replace(
        here,
        boots=tuple(known.values())[-MAX_BOOTS:],
        spoken=(*came.spoken, *here.spoken),
        link=_join_links(here.link, came.link),
        snapshot_ms=max(here.snapshot_ms, came.snapshot_ms),
    )


def _join_boots(one: Boot, other: Boot) -> Boot:
    return Boot(
        one.boot,
        join_numbers(one.seen, other.seen),
        max(one.base, other.base),
        max(one.wraps_at, other.wraps_at),
    )


def _join_links(one: Link | None, other: Link | None) -> Link | None:
    """Gone if it was by either: then any word of it ends that."""
    if one is None or other is None:
        return one or other
    older, newer = sorted((one, other), key=lambda link: link.last_ms)
    interval_ms = newer.interval_ms or older.interval_ms
    return replace(newer, interval_ms=interval_ms, gone=one.gone or other.gone)


def listen_anew(emu: Emu, now_ms: int) -> Emu:
    """It was listened to elsewhere, and what it said there may be forgotten: silence counts from now."""
    link = emu.link
    return (
        emu if link is None else replace(emu, link=replace(link, last_ms=max(link.last_ms, now_ms)))
    )


def link_to(emu: Emu, site_id: str) -> Emu:
    """Its silence is of its new site."""
    return emu if emu.link is None else replace(emu, link=replace(emu.link, site_id=site_id))


def _begin_anew(condition: Condition, rules: Rules) -> Condition:
    """A raise that waits, of a fault that has ended: it is the first of another, graded by the catalogue."""
    row = rules.catalogue.look_up(condition.code, condition.level)
    anew = replace(
        condition,
        revision=0,
        grade=row.grade,
        grade_reason=row.reason,
        raised_at_ms=condition.risen_at_ms,  # what its device says of that raise is not kept
        opened_at_ms=condition.risen_at_ms,
        cleared_at_ms=None,
        closes_at_ms=None,
        count=1,
        flaps=0,
        marks=None,
    )
    return replace(anew, ages_at_ms=ages_at(anew, rules))


def _join(here: Condition, came: Condition, rules: Rules) -> Condition:
    """Two that stand are one: since the earlier, with the counts of both, and as grave as the graver."""
    graver = came if (came.grade, not came.hazard) < (here.grade, not here.hazard) else here
    came_marks, marks = came.marks or NO_MARKS, here.marks or NO_MARKS
    moved_from = marks.moved_from or came_marks.moved_from
    older = came if came.opened_at_ms < here.opened_at_ms else here
    joined = replace(
        here,
        grade=graver.grade,
        grade_reason=graver.grade_reason,
        level=graver.level,
        kind=graver.kind,
        hazard=here.hazard or came.hazard,
        raised_at_ms=older.raised_at_ms,
        opened_at_ms=older.opened_at_ms,
        last_at_ms=max(here.last_at_ms, came.last_at_ms),
        count=here.count + came.count,
        flaps=here.flaps + came.flaps,
    )
    marks = replace(
        marks,
        moved_from=moved_from,
        clocks_from_ms=(older.marks or NO_MARKS).clocks_from_ms,
        regrade=(graver.marks or NO_MARKS).regrade,
    )
    joined = with_marks(joined, marks)
    return replace(joined, ages_at_ms=ages_at(joined, rules))

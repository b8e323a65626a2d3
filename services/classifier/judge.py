"""What a record makes of its EMU and of its conditions: pure functions of (emu, conditions, record, now)."""

from collections.abc import Iterator, Mapping

import msgspec
from msgspec.structs import replace

from services.classifier.backlog import end_backlog, mark_live, note_past, say_past
from services.classifier.grading import is_graver
from services.classifier.life import (
    Earlier,
    confirm,
    count_late,
    fall,
    go_on,
    rise,
)
from services.classifier.numbers import count_on
from services.classifier.order import (
    is_counted,
    is_late,
    is_of_older_boot,
    is_past,
    is_redelivered,
    remember_report,
    remember_source,
    remember_spoken,
)
from services.classifier.revisions import Told, Turn, close
from services.classifier.rules import Rules
from services.classifier.rulings import clear, detach, regrade_by
from services.classifier.scope import is_spoken_of, names_spoken_of
from services.classifier.state import Condition, ConditionKey, ConditionName, Emu, Facts
from services.classifier.whereabouts import Move
from shared.documents.internal import (
    Active,
    Edge,
    Forward,
    InternalRecord,
    Presence,
    Ruling,
    Snapshot,
    Transfer,
    Word,
)


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of one record, or of one wake-up."""

    verdict: str
    """One word for the metrics: redelivered, duplicate, opened, repeated, ..., nothing."""
    emu: Emu | None = None
    """None: unchanged."""
    conditions: tuple[Condition, ...] = ()
    """Those that changed."""
    told: tuple[Told, ...] = ()
    """The revisions to publish, in order."""
    forget: bool = False
    """The condition that was woken is over."""
    too_short: int = 0
    """Raises that had gone before their on-delay was over."""
    quiet: bool = False
    """The EMU need not be written: what is lost of it would be judged alike."""
    facts: Facts | None = None
    """None: unchanged."""
    move: Move | None = None
    """None: unchanged. What follows comes of moves only."""
    left: tuple[Told, ...] = ()
    """The last revisions of faults that end with a move, with the facts as they were before."""
    gone: tuple[ConditionName, ...] = ()
    """Conditions that are not here any more."""
    sent: tuple[Transfer | Forward, ...] = ()
    """What goes to other partitions."""
    released: tuple[Word | Forward, ...] = ()
    """What was held and is to be judged now."""


def never(_: ConditionKey) -> tuple[int, ...]:
    """Earlier faults are not known."""
    return ()


def judge_edge(
    emu: Emu,
    condition: Condition | None,
    edge: Edge,
    now_ms: int,
    rules: Rules,
    *,
    earlier: Earlier = never,
) -> Outcome:
    """One raise or clear; `condition` is what is known of it (None: nothing)."""
    if is_redelivered(emu, edge.source):
        return Outcome("redelivered")
    late = False
    if edge.seq is not None:
        emu, edge = count_on(emu, edge)
    heard = remember_source(emu, edge.source, edge.receipt_ms)
    if edge.seq is not None:  # one without a number is neither
        if is_counted(emu, edge):
            return Outcome("duplicate", heard)
        heard = remember_report(heard, edge)
        late = is_late(emu, condition, (edge.component, edge.code), edge)
    past = is_past(edge)
    if past:
        heard = note_past(heard, edge.receipt_ms, now_ms)
    if late:
        return _sum_up(heard, count_late(condition, edge, now_ms, rules, earlier))
    if past:
        snapshot_ms = emu.snapshot_ms
        turn = say_past(condition, edge, now_ms, rules, snapshot_ms=snapshot_ms, earlier=earlier)
        return _sum_up(heard, turn)
    if condition is not None and condition.marks is not None:
        condition = mark_live(condition)
    if edge.raised:
        return _sum_up(heard, rise(condition, edge, now_ms, rules, earlier))
    return _sum_up(heard, fall(condition, edge, now_ms, rules))


def judge_snapshot(
    emu: Emu,
    conditions: Mapping[ConditionName, Condition],
    snapshot: Snapshot,
    now_ms: int,
    rules: Rules,
    *,
    earlier: Earlier = never,
) -> Outcome:
    """What stands by the snapshot against what stood; `conditions` are all of this EMU.

    First what is gone is cleared, by name; then what is new is raised, in the snapshot's order. What stands
    and is named is left as it is: a snapshot that says the same again is no repeat.
    """
    if is_redelivered(emu, snapshot.source):
        return Outcome("redelivered")
    emu, snapshot = count_on(emu, snapshot)
    heard = remember_source(emu, snapshot.source, snapshot.receipt_ms)
    if is_counted(emu, snapshot):
        return Outcome("duplicate", heard)
    heard = remember_spoken(remember_report(heard, snapshot), snapshot)
    past = is_past(snapshot)
    if past:
        heard = note_past(heard, snapshot.receipt_ms, now_ms)
    else:
        heard = replace(heard, snapshot_ms=max(heard.snapshot_ms, snapshot.receipt_ms))
    changed: dict[ConditionName, Condition] = {}
    told: list[Told] = []
    late, too_short = False, 0
    for edge in _edges_of(snapshot, conditions, rules):
        name = (edge.component, edge.code)
        condition = changed.get(name) or conditions.get(name)
        if is_late(emu, condition, name, edge):
            late = True
            continue
        snapshot_ms = emu.snapshot_ms if past else None
        turn = _compare(condition, edge, now_ms, rules, snapshot_ms=snapshot_ms, earlier=earlier)
        if turn.condition is not None:
            changed[name] = turn.condition
        too_short += turn.verdict == "too_short"
        told += turn.told
    verdict = "changed" if told else "late" if late else "nothing"
    return Outcome(verdict, heard, tuple(changed.values()), tuple(told), too_short=too_short)


def _compare(
    condition: Condition | None,
    edge: Edge,
    now_ms: int,
    rules: Rules,
    *,
    snapshot_ms: int | None,
    earlier: Earlier,
) -> Turn:
    """What a snapshot says of one condition; `snapshot_ms` as say_past has it, None: it is of now."""
    if snapshot_ms is not None:
        return say_past(
            condition, edge, now_ms, rules,
            snapshot_ms=snapshot_ms, earlier=earlier, counts=False,
        )  # fmt: skip
    if condition is not None:
        condition = mark_live(condition)
    if not edge.raised:
        return fall(condition, edge, now_ms, rules)
    if condition is not None and condition.is_raised:
        return confirm(condition, edge, now_ms, rules)
    return rise(condition, edge, now_ms, rules, earlier)


def judge_ruling(
    emu: Emu, condition: Condition | None, ruling: Ruling, now_ms: int, rules: Rules
) -> Outcome:
    """A person says that the condition has gone, how grave it is, or that it is no symptom."""
    if is_redelivered(emu, ruling.source):
        return Outcome("redelivered")
    heard = remember_source(emu, ruling.source, ruling.receipt_ms)
    if condition is None or condition.is_word_only:
        return Outcome("nothing", heard)
    match ruling.action:
        case "clear":
            turn = clear(condition, ruling.receipt_ms, now_ms, rules)
        case "regrade":
            turn = regrade_by(condition, ruling, now_ms, rules)
        case "detach":
            turn = detach(condition, ruling.receipt_ms, now_ms, rules)
    return _sum_up(heard, turn)


def end_of_backlog(
    emu: Emu,
    conditions: Mapping[ConditionName, Condition],
    now_ms: int,
    rules: Rules,
    *,
    plainly: bool = False,
) -> Outcome:
    """The EMU tells of the present again, or has for long enough told of nothing else but the past."""
    turns = tuple(end_backlog(conditions.values(), now_ms, rules, plainly=plainly))
    return Outcome(
        "backlog_ended",
        replace(emu, backlog=None),
        tuple(turn.condition for turn in turns if turn.condition is not None),
        tuple(told for turn in turns for told in turn.told),
    )


def ends_backlog(emu: Emu, record: InternalRecord) -> bool:
    """Whether it is a report of the present that was not heard before.

    A heartbeat is none: it comes between the parts of a backlog, and the next part may say what has gone.
    """
    if emu.backlog is None:
        return False
    if isinstance(record, Presence):
        live = record.state == "online" and not record.historical
        late = is_of_older_boot(emu, record.boot)
        return live and not late and not is_redelivered(emu, record.source)
    if not isinstance(record, Edge | Snapshot) or is_past(record):
        return False
    return not is_redelivered(emu, record.source) and not is_counted(*count_on(emu, record))


def wake(condition: Condition, now_ms: int, rules: Rules) -> Outcome:
    """What is due at `condition.wake_at_ms` <= now: a revision that waited, or the end."""
    if not condition.is_over:
        return _sum_up(None, go_on(condition, now_ms, rules))
    turn = close(condition, now_ms, rules)
    return Outcome(turn.verdict, told=turn.told, forget=True)


def _sum_up(emu: Emu | None, turn: Turn) -> Outcome:
    conditions = () if turn.condition is None else (turn.condition,)
    return Outcome(
        turn.verdict, emu, conditions, turn.told, too_short=int(turn.verdict == "too_short")
    )


def _edges_of(
    snapshot: Snapshot, conditions: Mapping[ConditionName, Condition], rules: Rules
) -> Iterator[Edge]:
    """The edges that the snapshot amounts to: what is gone, by name; then what is new, stale or graver."""
    named = {(part.component, active.code) for part in snapshot.parts for active in part.active}
    unnamed = [
        name for name, condition in conditions.items() if condition.is_raised and name not in named
    ]
    if unnamed:
        spoken = names_spoken_of(snapshot)
        for component, code in sorted(unnamed):
            if is_spoken_of((component, code), spoken):
                yield _make_edge(snapshot, component, Active(code), raised=False)
    for part in snapshot.parts:
        for active in part.active:
            condition = conditions.get((part.component, active.code))
            if (
                condition is None
                or not condition.is_raised
                or condition.is_stale
                or is_graver(condition, active.level, rules.catalogue)
            ):
                yield _make_edge(snapshot, part.component, active, raised=True)


def _make_edge(snapshot: Snapshot, component: str, active: Active, *, raised: bool) -> Edge:
    return Edge(
        source=snapshot.source,
        emu_id=snapshot.emu_id,
        site_id=snapshot.site_id,
        component=component,
        code=active.code,
        raised=raised,
        at_ms=snapshot.at_ms,
        receipt_ms=snapshot.receipt_ms,
        trusted=snapshot.trusted,
        level=active.level,
        value=active.value,
        boot=snapshot.boot,
        seq=snapshot.seq,
        model=snapshot.model,
        firmware=snapshot.firmware,
        historical=snapshot.historical,
    )

"""The word that comes most often, judged in one step: what stands is said to stand once more. Pure.

A short way and no rule of its own: judge.judge_edge and presence.note_life make the same of it in many steps.
"""

from msgspec.structs import replace

from services.classifier.life import QUIET_MS
from services.classifier.order import is_past
from services.classifier.revisions import TRAILING_MS
from services.classifier.state import Boot, Condition, Emu, Link
from shared.catalogue import Catalogue
from shared.documents.internal import Edge, Source


def judge_repeat(
    emu: Emu, condition: Condition, edge: Edge, catalogue: Catalogue
) -> tuple[Emu, Condition] | None:
    """What an edge makes of both where it only counts; None: judge it by all the rules.

    The EMU is not in a backlog, and has never moved.
    """
    if (
        not edge.raised
        or condition.marks is not None
        or condition.cleared_at_ms is not None
        or condition.clears_at_ms is not None
        or condition.ripe_at_ms is not None
        or edge.receipt_ms - condition.last_at_ms >= QUIET_MS
        or is_past(edge)
        or not _is_next(emu.sources, edge.source)
    ):
        return None
    row = catalogue.look_up(condition.code, edge.level)
    if row.grade < condition.grade or row.hazard > condition.hazard or condition.kind is None:
        return None
    heard = _hear(emu, edge)
    if heard is None or _is_older(edge, condition):
        return None
    publish_at_ms = condition.publish_at_ms
    if publish_at_ms is None:
        publish_at_ms = condition.published_ms + TRAILING_MS[condition.ladder]
    return heard, replace(
        condition,
        count=condition.count + 1,
        last_at_ms=max(condition.last_at_ms, edge.receipt_ms),
        model=edge.model or condition.model,
        firmware=edge.firmware or condition.firmware,
        boot=edge.boot,
        seq=edge.seq,
        publish_at_ms=publish_at_ms,
    )


def _is_next(sources: tuple[Source, ...], source: Source) -> bool:
    """Whether it is the next of the only input that was heard."""
    if len(sources) != 1:
        return False
    (known,) = sources
    return (
        known.offset < source.offset
        and known.partition == source.partition
        and known.topic == source.topic
        and known.generation == source.generation
    )


def _hear(emu: Emu, edge: Edge) -> Emu | None:
    """With this as its newest report; None: its order, or its presence, has to be looked at."""
    if edge.seq is None and emu.link is None:
        return replace(emu, sources=(edge.source,), heard_ms=edge.receipt_ms)
    boots = emu.boots if edge.seq is None and edge.boot is None else _count(emu.boots, edge)
    if boots is None or (emu.link is not None and emu.link.gone):
        return None
    link = emu.link and _link(emu.link, edge)
    return replace(emu, sources=(edge.source,), heard_ms=edge.receipt_ms, boots=boots, link=link)


def _count(boots: tuple[Boot, ...], edge: Edge) -> tuple[Boot, ...] | None:
    """With its number, where that is the next one of the newest boot; None: it is not."""
    if not boots or edge.seq is None:
        return None
    *others, newest = boots
    if newest.boot != edge.boot or newest.base or newest.wraps_at or not newest.seen:
        return None
    *before, (first, last) = newest.seen
    if edge.seq != last + 1:
        return None
    return (*others, replace(newest, seen=(*before, (first, edge.seq))))


def _is_older(edge: Edge, condition: Condition) -> bool:
    """Whether the newest word on the condition has a higher number."""
    if edge.seq is None or condition.seq is None:
        return False
    return edge.boot == condition.boot and edge.seq < condition.seq


def _link(link: Link, edge: Edge) -> Link:
    last_ms = max(link.last_ms, edge.receipt_ms)
    return replace(link, site_id=edge.site_id, source=edge.source, last_ms=last_ms)

"""The word that comes most often, judged in one step: what stands is said to stand once more. Pure.

A short way and no rule of its own: judge.judge_edge makes the same of it, in many steps.
"""

from msgspec.structs import replace

from services.classifier.life import QUIET_MS
from services.classifier.order import is_past
from services.classifier.revisions import TRAILING_MS
from services.classifier.state import Condition, Emu
from shared.catalogue import Catalogue
from shared.documents.internal import Edge, Source


def judge_repeat(
    emu: Emu, condition: Condition, edge: Edge, catalogue: Catalogue
) -> tuple[Emu, Condition] | None:
    """What an edge makes of both where it only counts; None: judge it by all the rules."""
    if (
        not edge.raised
        or edge.seq is not None
        or emu.link is not None
        or emu.backlog is not None
        or condition.marks is not None
        or condition.cleared_at_ms is not None
        or condition.clears_at_ms is not None
        or condition.ripe_at_ms is not None
        or edge.receipt_ms - condition.last_at_ms >= QUIET_MS
        or not _is_next(emu.sources, edge.source)
        or is_past(edge)
    ):
        return None
    row = catalogue.look_up(condition.code, edge.level)
    if row.grade < condition.grade or row.hazard > condition.hazard or condition.kind is None:
        return None
    publish_at_ms = condition.publish_at_ms
    if publish_at_ms is None:
        publish_at_ms = condition.published_ms + TRAILING_MS[condition.ladder]
    return replace(emu, sources=(edge.source,), heard_ms=edge.receipt_ms), replace(
        condition,
        count=condition.count + 1,
        last_at_ms=max(condition.last_at_ms, edge.receipt_ms),
        model=edge.model or condition.model,
        firmware=edge.firmware or condition.firmware,
        boot=edge.boot,
        seq=None,
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

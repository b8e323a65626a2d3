"""Which report is new, and which of two is the newer. Pure.

Three different questions: was this *record* delivered before (its source)? Was this *report* counted before
(its boot and sequence number)? Does this report speak of an earlier moment than what we know?
"""

from msgspec.structs import replace

from services.classifier.state import Boot, Condition, Emu, Interval
from shared.documents.internal import Edge, Source

# A boot older than the last few is not expected back; forgetting one only makes its late reports count.
MAX_BOOTS = 4
# Numbers without gaps are one interval, however many. Past this many gaps the oldest interval is forgotten:
# a report from there would count again rather than be lost.
MAX_INTERVALS = 32


def is_redelivered(emu: Emu, source: Source) -> bool:
    """Whether this record, or a later one of the same input, was processed before."""
    return any(
        known.stream == source.stream and source.place <= known.place for known in emu.sources
    )


def remember_source(emu: Emu, source: Source) -> Emu:
    """`emu` with `source` as the newest of its input; older generations of the topic are forgotten."""
    others = tuple(
        known
        for known in emu.sources
        if known.stream != source.stream
        and not (known.topic == source.topic and known.generation < source.generation)
    )
    return replace(emu, sources=(*others, source))


def is_counted(emu: Emu, edge: Edge) -> bool:
    """Whether a report with this boot and sequence number was counted before."""
    if edge.boot is None or edge.seq is None:
        return False
    seq = edge.seq
    return any(
        known.boot == edge.boot and any(first <= seq <= last for first, last in known.seen)
        for known in emu.boots
    )


def remember_report(emu: Emu, edge: Edge) -> Emu:
    """`emu` with the report's boot and sequence number counted; a boot not seen before is the newest."""
    if edge.boot is None or edge.seq is None:
        return emu
    seq = edge.seq
    if any(known.boot == edge.boot for known in emu.boots):
        boots = tuple(
            Boot(known.boot, _add(known.seen, seq)) if known.boot == edge.boot else known
            for known in emu.boots
        )
    else:
        boots = (*emu.boots, Boot(edge.boot, ((seq, seq),)))[-MAX_BOOTS:]
    return replace(emu, boots=boots)


def is_late(emu: Emu, condition: Condition, edge: Edge) -> bool:
    """Whether the edge is older than the newest word on its condition.

    Within one boot by the sequence number, between boots by the order in which they were first seen;
    where either has no number, what arrives later is newer.
    """
    if edge.boot is None or edge.seq is None or condition.boot is None or condition.seq is None:
        return False
    if edge.boot == condition.boot:
        return edge.seq < condition.seq
    order = [known.boot for known in emu.boots]
    if edge.boot not in order:
        return False
    if condition.boot not in order:  # forgotten: older than every boot remembered
        return False
    return order.index(edge.boot) < order.index(condition.boot)


def _add(seen: tuple[Interval, ...], seq: int) -> tuple[Interval, ...]:
    """The intervals with `seq` in them, those that touch joined."""
    first, last = seq, seq
    apart: list[Interval] = []
    for interval in seen:
        if interval[1] < seq - 1 or interval[0] > seq + 1:
            apart.append(interval)
        else:
            first, last = min(first, interval[0]), max(last, interval[1])
    return tuple(sorted([*apart, (first, last)])[-MAX_INTERVALS:])

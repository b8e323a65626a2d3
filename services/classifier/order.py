"""Which report is new, and which of two is the newer. Pure.

Three different questions: was this *record* delivered before (its source)? Was this *report* counted before
(its boot and sequence number)? Does this report speak of an earlier moment than what we know?
"""

from zlib import crc32

from msgspec.structs import replace

from services.classifier.scope import names_over, names_spoken_of
from services.classifier.state import OLD_MS, Boot, Condition, ConditionName, Emu, Interval, Spoken
from shared.documents.internal import Edge, Snapshot, Source

# A boot older than the last few is not expected back; forgetting one only makes its late reports count.
MAX_BOOTS = 4
# Numbers without gaps are one interval, however many. Past this many gaps the oldest interval is forgotten:
# a report from there would count again rather than be lost.
MAX_INTERVALS = 32
# The names of one report of 1,000 registers. What is forgotten past them may be spoken of by a late snapshot.
MAX_NAMES = 2_000


def is_past(report: Edge | Snapshot) -> bool:
    """Whether it comes in a backlog. A time that is not trusted is that of the receipt."""
    return report.historical or report.receipt_ms - report.at_ms > OLD_MS


def is_redelivered(emu: Emu, source: Source) -> bool:
    """Whether this record, or a later one of the same input, was processed before."""
    for known in emu.sources:
        if (
            known.offset >= source.offset
            and known.partition == source.partition
            and known.topic == source.topic
            and known.generation == source.generation
        ):
            return known.offset > source.offset or known.index >= source.index
    return False


def remember_source(emu: Emu, source: Source, heard_ms: int) -> Emu:
    """`emu` with `source` as the newest of its input, heard at this receipt.

    Older generations of the topic are forgotten.
    """
    others: tuple[Source, ...] = ()
    for known in emu.sources:
        if (
            known.topic != source.topic
            or known.generation > source.generation
            or (known.generation == source.generation and known.partition != source.partition)
        ):
            others = (*others, known)
    return replace(emu, sources=(*others, source), heard_ms=heard_ms)


def is_counted(emu: Emu, report: Edge | Snapshot) -> bool:
    """Whether a report with this boot and sequence number was counted before."""
    if report.boot is None or report.seq is None:
        return False
    seq = report.seq
    return any(
        known.boot == report.boot and any(first <= seq <= last for first, last in known.seen)
        for known in emu.boots
    )


def remember_report(emu: Emu, report: Edge | Snapshot) -> Emu:
    """`emu` with the report's boot and sequence number counted; a boot not seen before is the newest."""
    if report.boot is None or report.seq is None:
        return emu
    seq = report.seq
    if any(known.boot == report.boot for known in emu.boots):
        boots = tuple(
            _count(known, seq) if known.boot == report.boot else known for known in emu.boots
        )
    else:
        boots = (*emu.boots, Boot(report.boot, ((seq, seq),)))[-MAX_BOOTS:]
    return replace(emu, boots=boots)


def remember_boot(emu: Emu, boot: str | None) -> Emu:
    """`emu` with the boot as its newest, where it was not seen before, and no report of it counted."""
    if boot is None or any(known.boot == boot for known in emu.boots):
        return emu
    return replace(emu, boots=(*emu.boots, Boot(boot, ()))[-MAX_BOOTS:])


def is_of_older_boot(emu: Emu, boot: str | None) -> bool:
    """Whether a newer boot was heard of."""
    return boot is not None and any(known.boot == boot for known in emu.boots[:-1])


def remember_spoken(emu: Emu, snapshot: Snapshot) -> Emu:
    """`emu` with the snapshot as the newest word on all that it speaks of, but where there is a newer one.

    Of a snapshot without a number nothing is kept: whatever comes after it is newer.
    """
    if not emu.spoken and snapshot.seq is None:
        return emu
    names = {number_of(*name) for name in names_spoken_of(snapshot)}
    kept: list[Spoken] = []
    for spoken in emu.spoken:
        if _is_before(emu, snapshot, spoken.boot, spoken.seq):
            names.difference_update(spoken.names)
            kept.append(spoken)
        elif not names.issuperset(spoken.names):
            left = tuple(name for name in spoken.names if name not in names)
            kept.append(Spoken(spoken.boot, spoken.seq, left))
    if names and snapshot.boot is not None and snapshot.seq is not None:
        kept.append(Spoken(snapshot.boot, snapshot.seq, tuple(sorted(names))))
    while len(kept) > 1 and sum(len(spoken.names) for spoken in kept) > MAX_NAMES:
        del kept[0]
    return replace(emu, spoken=tuple(kept))


def is_late(
    emu: Emu, condition: Condition | None, name: ConditionName, report: Edge | Snapshot
) -> bool:
    """Whether the report is older than the newest word on the condition of that name.

    That word is an edge or the snapshot that changed it (`condition`; None: nothing is known of it), or a
    snapshot that left it as it was.
    """
    if condition is not None and _is_before(emu, report, condition.boot, condition.seq):
        return True
    if not emu.spoken or report.seq is None:
        return False
    newer = [spoken for spoken in emu.spoken if _is_before(emu, report, spoken.boot, spoken.seq)]
    if not newer:
        return False
    component, code = name
    names = {number_of(component, over) for over in names_over(code)}
    return any(not names.isdisjoint(spoken.names) for spoken in newer)


def number_of(component: str, name: str) -> int:
    """A number for a name of a component: many of them are kept.

    Two names of one EMU that had the same number would only be taken for one where reports come late.
    """
    return crc32(f"{component}\x1f{name}".encode())


def _is_before(emu: Emu, report: Edge | Snapshot, boot: str | None, seq: int | None) -> bool:
    """Whether the report is older than what came as number `seq` of `boot`.

    Within one boot by the sequence number, between boots by the order in which they were first seen;
    where either has no number, what arrives later is newer.
    """
    if report.boot is None or report.seq is None or boot is None or seq is None:
        return False
    if report.boot == boot:
        return report.seq < seq
    order = [known.boot for known in emu.boots]
    if report.boot not in order:
        return False
    if boot not in order:  # forgotten: older than every boot remembered
        return False
    return order.index(report.boot) < order.index(boot)


def _count(boot: Boot, seq: int) -> Boot:
    return Boot(boot.boot, _add(boot.seen, seq), boot.base, boot.wraps_at)


def join_numbers(one: tuple[Interval, ...], other: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """The intervals of both, those that touch joined."""
    joined: list[Interval] = []
    for first, last in sorted((*one, *other)):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined[-MAX_INTERVALS:])


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

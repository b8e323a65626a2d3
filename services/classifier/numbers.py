"""Sequence numbers that begin again within one boot are counted on. Pure.

A counter of 8, 16 or 32 bits comes back to numbers that were heard before. Taken as they are, they would be
duplicates or late words, and live alarms would be lost. What is in doubt is taken as new: at worst it counts
twice. Reasons: docs/adr/0019-counters-that-wrap.md.
"""

from typing import TypeVar

from msgspec.structs import replace

from services.classifier.order import is_past
from services.classifier.state import Boot, Emu
from shared.documents.internal import Edge, Snapshot

# Sparkplug's counter has 8 bits; the others are those of registers.
RANGES = (2**8, 2**16, 2**32)

Report = TypeVar("Report", bound=Edge | Snapshot)


def count_on(emu: Emu, report: Report) -> tuple[Emu, Report]:
    """The report with the number that it would have if its boot's counter never began again.

    And the EMU, with what is known of that counter by now.
    """
    seq = report.seq
    boot = next((known for known in emu.boots if known.boot == report.boot), None)
    if seq is None or boot is None or not boot.seen:
        return emu, report
    if seq > boot.seen[-1][1] and not boot.base:
        return emu, report
    base, wraps_at, number = _count(boot, seq, report)
    if (base, wraps_at) != (boot.base, boot.wraps_at):
        counted = replace(boot, base=base, wraps_at=wraps_at)
        boots = tuple(counted if known is boot else known for known in emu.boots)
        emu = replace(emu, boots=boots)
    return emu, report if number == seq else replace(report, seq=number)


def _count(boot: Boot, seq: int, report: Edge | Snapshot) -> tuple[int, int, int]:
    """Base and range of its counter, and the number counted on."""
    base, wraps_at, newest = boot.base, boot.wraps_at, boot.seen[-1][1]
    if seq < wraps_at:  # it is known to begin again: the lap in which it is nearest to the newest
        laps = (base + wraps_at, base, base - wraps_at)
        lap = min(laps, key=lambda one: abs(one + seq - newest))
        return max(base, lap), wraps_at, lap + seq
    # It is not known to begin again; or no longer, since it has gone on past what was taken for its range.
    wraps_at = _find_range(newest - base, seq, report)
    return base + wraps_at, wraps_at, base + wraps_at + seq


def _find_range(newest: int, seq: int, report: Edge | Snapshot) -> int:
    """Of a counter that has gone from the last quarter of its range to the first; 0: of none.

    Half a range is more than live reports overtake each other by.
    """
    if is_past(report):  # it comes late, and says nothing of the counter
        return 0
    return next((one for one in RANGES if one * 3 // 4 <= newest < one and seq < one // 4), 0)

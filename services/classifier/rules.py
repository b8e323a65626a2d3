"""What conditions are judged by, and the waits that follow from it. Pure.

Four waits, which may run together:
hold         before a fault is told for the first time, by its grade, so that its cause can come before it
on-delay     a condition must stand so long before it is a fault, by its kind
off-delay    it must be gone so long before it is cleared, by its kind
chatter      what changes three times in a minute must be gone for a minute
"""

from collections.abc import Mapping
from typing import NamedTuple

from shared.catalogue import Catalogue, Row
from shared.documents.fault import GRADES, Grade
from shared.policy import HeartbeatTerms, Policy
from shared.times import HOUR_MS, MINUTE_MS

CHATTER_CHANGES = 3


class Rules(NamedTuple):
    """The catalogue, what the policy says of holds, silence and regrading, and what is chatter."""

    catalogue: Catalogue
    hold_ms: Mapping[Grade, int]
    heartbeat: HeartbeatTerms
    chatter_ms: int = MINUTE_MS
    """Three changes between standing and gone within this time: they must be followed by as much quiet."""
    repeats: int = 3
    """What is told as risen so often ..."""
    repeats_ms: int = 24 * HOUR_MS
    """... within this time is one grade graver."""
    age_ms: int = 24 * HOUR_MS
    """What is D and open for so long is C."""

    def hold(self, row: Row, grade: Grade) -> int:
        """In ms; a hazard waits for nothing."""
        return 0 if row.hazard else self.hold_ms[grade]

    def on_delay(self, row: Row) -> int:
        """In ms; a hazard waits for nothing."""
        return 0 if row.hazard else row.on_delay_s * 1000

    def off_delay(self, row: Row, changes: tuple[int, ...]) -> int:
        """In ms: how long it must be gone after its newest change; `changes` as state.Condition has them."""
        return max(row.off_delay_s * 1000, self.chatter_ms if self.chatters(changes) else 0)

    def chatters(self, changes: tuple[int, ...]) -> bool:
        """Whether the newest of its changes are chatter."""
        return len(changes) == CHATTER_CHANGES and changes[-1] - changes[0] <= self.chatter_ms

    def silence(self, interval_ms: int) -> int:
        """In ms: after how long without a word an EMU of that interval is taken for offline."""
        return max(self.heartbeat.missed * interval_ms, self.heartbeat.least_s * 1000)


def make_rules(catalogue: Catalogue, policy: Policy) -> Rules:
    """The figures are the policy's."""
    return Rules(
        catalogue,
        {grade: policy.grades[grade].hold_s * 1000 for grade in GRADES},
        policy.heartbeat,
        repeats=policy.regrade.repeats,
        repeats_ms=policy.regrade.repeats_within_s * 1000,
        age_ms=policy.regrade.age_s * 1000,
    )

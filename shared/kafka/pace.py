"""When a batch is committed. Pure."""

from enum import IntEnum

GATHER_MS = 50
QUIET_MS = 1_000
# Some 20 ms of the event loop: no other partition waits longer than that for its turn.
MAX_RECORDS = 5_000


class Weight(IntEnum):
    """The weightiest thing that a batch holds."""

    NOTHING = 0
    QUIET = 1
    """What nobody else sees: the offset, and state that comes out the same when the input is read again."""
    NEWS = 2
    """Records that others read."""
    URGENT = 3
    """Records that somebody waits for."""


def commit_in_ms(weight: Weight, records: int, gathered_ms: int) -> int | None:
    """For how long a batch of so many records may gather more; 0: commit it now, None: nothing to commit.

    `gathered_ms`: for how long it has held anything. What is weightier never waits longer.
    """
    if weight is Weight.NOTHING:
        return None
    if weight is Weight.URGENT or records >= MAX_RECORDS:
        return 0
    most_ms = GATHER_MS if weight is Weight.NEWS else QUIET_MS
    return max(0, most_ms - gathered_ms)

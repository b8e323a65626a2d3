"""How many records a rule of ours may fail on before waiting is better than going on. Pure."""

from collections import deque

from shared.errors import TooManyFailures
from shared.times import MINUTE_MS

# The reason of a dead letter for a record on which a rule of ours fails; alerts know it.
RULE_FAILED = "rule_failed"
WINDOW_MS = 10 * MINUTE_MS
MOST_IN_WINDOW = 100


class FailureLimit:
    """Counts the failures of one partition, across all its tasks.

    Promise: within any 10 minutes no more than 100 pass.
    """

    def __init__(self) -> None:
        self._passed: deque[tuple[int, int]] = deque()
        """When how many passed, those of the window."""
        self.reached = False
        """The newest failures did not pass, so the partition stands still."""

    def check(self, now_ms: int, count: int) -> None:
        """To be called for each batch before its commit, with the number of its failures.

        Raises TooManyFailures where they must not pass. Counts none: without a commit they will come again.
        """
        while self._passed and self._passed[0][0] <= now_ms - WINDOW_MS:
            self._passed.popleft()
        before = sum(passed for _, passed in self._passed)
        self.reached = count > 0 and before + count > MOST_IN_WINDOW
        if self.reached:
            raise TooManyFailures(
                f"a rule failed on {before + count} records within {WINDOW_MS // MINUTE_MS} minutes; "
                "the partition waits for a version that can judge them"
            )

    def note(self, now_ms: int, count: int) -> None:
        """So many are committed."""
        if count:
            self._passed.append((now_ms, count))

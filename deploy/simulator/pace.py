"""How many alarms must have been sent by now. The time since the start is an argument."""

import math
import re
from dataclasses import dataclass

_DURATION = re.compile(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True)
class Pace:
    """So many alarms a second: the first at once, number n after n / rate seconds."""

    rate: float
    for_s: float = math.inf

    @property
    def last(self) -> float:
        """How many alarms there are in all."""
        return math.ceil(self.for_s * self.rate) if math.isfinite(self.for_s) else math.inf

    def due(self, elapsed_s: float) -> float:
        """How many alarms must have been sent `elapsed_s` after the start."""
        return min(math.floor(elapsed_s * self.rate) + 1, self.last)

    def wait_s(self, sent: int, elapsed_s: float) -> float:
        """How long until the next one is due, when `sent` have been sent; 0 when it is due already."""
        return max(0.0, sent / self.rate - elapsed_s)

    def late_s(self, sent: int, elapsed_s: float) -> float:
        """How late the next one is; below 0: it is not due yet."""
        return elapsed_s - sent / self.rate


def check_rate(rate: float) -> None:
    """Raises ValueError for what is no rate: zero, less, infinite, or no number."""
    if not 0 < rate < math.inf:
        raise ValueError(f"{rate:g} is no rate; write how many alarms a second, more than 0")


def parse_duration(text: str) -> float:
    """Seconds: `90s`, `10m`, `1h`, `1h30m`, `0.5s`. Raises ValueError for anything else, and for nothing."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 90s, 10m, 1h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    duration_s = hours * 3600 + minutes * 60 + seconds
    if duration_s <= 0:
        raise ValueError(f"{text!r} is no time at all; write 90s, 10m, 1h or 1h30m")
    return duration_s

"""How many alarms must have been sent by now, and for how long. What time it is, is an argument."""

import math
import re

# Being this late is worth a word.
LATE_S = 1.0
# Being this late moves the schedule: what is late is not sent in one burst when Kafka comes back.
MOVE_AFTER_S = 5.0

_DURATION = re.compile(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


class Pace:
    """So many alarms a second: the first at once, number n after n / rate seconds."""

    def __init__(self, rate: float, for_s: float = math.inf) -> None:
        self.rate = rate
        self.last = math.ceil(for_s * rate) if math.isfinite(for_s) else math.inf
        """How many alarms there are in all."""
        self.was_late = False
        """Whether the rate has not been held at some time."""
        self._started_s = 0.0

    def begin(self, now_s: float) -> None:
        """The first alarm is due now."""
        self._started_s = now_s

    def due(self, now_s: float) -> float:
        """How many alarms must have been sent."""
        return min(math.floor((now_s - self._started_s) * self.rate) + 1, self.last)

    def wait_s(self, sent: int, now_s: float) -> float:
        """How long until the next one is due, when `sent` have been sent; 0 when it is due already."""
        return max(0.0, -self.late_s(sent, now_s))

    def late_s(self, sent: int, now_s: float) -> float:
        """How late the next one is; below 0: it is not due yet."""
        return now_s - self._started_s - sent / self.rate

    def catch_up(self, sent: int, now_s: float) -> None:
        """Note being late; move the schedule when it is too late to make up for it."""
        late_s = self.late_s(sent, now_s)
        self.was_late = self.was_late or late_s > LATE_S
        if late_s > MOVE_AFTER_S:
            self._started_s += late_s


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

"""How many alarms must have been sent by now, and for how long. What time it is, is an argument."""

import math
import re

from shared.times import from_rfc3339

# Being this late is worth a word.
LATE_S = 1.0
# Being this late moves the schedule: what is late is not sent in one burst when Kafka comes back.
MOVE_AFTER_S = 5.0

# Far beyond what anybody sends, and so near that every time of a stream can be written.
MIN_RATE, MAX_RATE = 0.001, 1e6
MAX_DURATION_H = 8760
# The year has four digits in RFC 3339, and a stream takes its time.
EARLIEST_START, LATEST_START = "1970-01-01T00:00:00Z", "9000-01-01T00:00:00Z"

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
    """Raises ValueError for what is no rate, or one beyond any fleet's."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(
            f"{rate:g} is no rate; write how many alarms a second, {MIN_RATE:g} to {MAX_RATE:,.0f}"
        )


def parse_start(text: str) -> int:
    """The instant in epoch ms. Raises ValueError for no RFC 3339, and for times that leave no room."""
    start_ms = from_rfc3339(text)
    if not from_rfc3339(EARLIEST_START) <= start_ms <= from_rfc3339(LATEST_START):
        raise ValueError(f"{text!r} is not between {EARLIEST_START} and {LATEST_START}")
    return start_ms


def parse_duration(text: str) -> float:
    """Seconds: `90s`, `10m`, `1h30m`, `0.5s`. Raises ValueError for all else, for 0, for over a year."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration; write 90s, 10m, 1h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    duration_s = hours * 3600 + minutes * 60 + seconds
    if duration_s <= 0:
        raise ValueError(f"{text!r} is no time at all; write 90s, 10m, 1h or 1h30m")
    if duration_s > MAX_DURATION_H * 3600:
        raise ValueError(f"{text!r} is too long; write {MAX_DURATION_H}h (a year) or less")
    return duration_s

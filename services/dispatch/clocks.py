"""A case's clocks: their times are computed once, by the policy, and written down.

Pure: what is promised holds for the case as it stands written, whatever policy or program reads it later.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from shared.documents.case import Clock, ClockEvent, Warn
from shared.policy import GradeTerms
from shared.times import from_rfc3339, to_rfc3339

Clocks = Mapping[str, Clock]

RESPONSE = "response"
PROCESSING = "processing"
RESOLUTION = "resolution"
STEP = "step"
END_SHARE = "1"


def promised_clocks(start_ms: int, terms: GradeTerms, shares: tuple[str, ...]) -> dict[str, Clock]:
    """The clocks of the agreement (S3), counted from `start_ms`."""
    return {
        name: _clock(start_ms, start_ms + length_s * 1000, event, shares)
        for name, (length_s, event) in _terms_by_clock(terms).items()
    }


def step_clock(now_ms: int, terms: GradeTerms, latest: Iterable[Clock | None]) -> Clock:
    """The wait before the next person is paged, counted from the newest page.

    It ends no later than any clock of `latest` that runs and is still ahead. The processing time is one
    of them: what breaks that promise unacknowledged goes to the next person, by one step and not by two.
    """
    ahead = [
        due_ms
        for clock in latest
        if clock is not None
        and clock.stopped_at is None
        and (due_ms := from_rfc3339(clock.due)) > now_ms
    ]
    return _clock(now_ms, min([now_ms + terms.step_s * 1000, *ahead]), "due", ())


def stop(clocks: Clocks, names: Collection[str], at_ms: int) -> dict[str, Clock]:
    """`clocks` with those of `names` stopped; what was stopped before stays as it was."""
    stopped_at = to_rfc3339(at_ms)
    return {
        name: replace(clock, stopped_at=stopped_at)
        if name in names and clock.stopped_at is None
        else clock
        for name, clock in clocks.items()
    }


def resume(clocks: Clocks, names: Collection[str]) -> dict[str, Clock]:
    """`clocks` with those of `names` running on as if they had never stopped: the old times hold."""
    return {
        name: replace(clock, stopped_at=None) if name in names else clock
        for name, clock in clocks.items()
    }


def overrun(clocks: Clocks, names: Collection[str], at_ms: int) -> list[str]:
    """Those of `names` that still ran at `at_ms` although their promise had been broken by then."""
    return [
        name
        for name, clock in clocks.items()
        if name in names
        and clock.event == "breach"
        and clock.stopped_at is None
        and from_rfc3339(clock.due) < at_ms
    ]


def shorten(
    clocks: Clocks, terms: GradeTerms, shares: tuple[str, ...], at_ms: int
) -> dict[str, Clock]:
    """The clocks after a regrade upward at `at_ms`: due at the earlier of the old due time and the
    regrade + the new grade's time. None moves later. A warning whose moment has passed is left out."""
    shortened = dict(clocks)
    for name, (length_s, event) in _terms_by_clock(terms).items():
        old = clocks[name]
        due_ms = min(from_rfc3339(old.due), at_ms + length_s * 1000)
        # A promise stays one, also where the new grade has only a target.
        kept = "breach" if old.event == "breach" else event
        new = _clock(from_rfc3339(old.start), due_ms, kept, shares, warn_after_ms=at_ms)
        if new.due == old.due:
            new = replace(new, warn=old.warn)
        shortened[name] = replace(new, stopped_at=old.stopped_at)
    return shortened


def _terms_by_clock(terms: GradeTerms) -> dict[str, tuple[int, ClockEvent]]:
    return {
        RESPONSE: (terms.response_s, "breach"),
        PROCESSING: (terms.processing_s, "breach"),
        RESOLUTION: (terms.resolution_s, terms.resolution),
    }


def _clock(
    start_ms: int,
    due_ms: int,
    event: ClockEvent,
    shares: tuple[str, ...],
    *,
    warn_after_ms: int | None = None,
) -> Clock:
    due = to_rfc3339(due_ms)
    moments = ((share, start_ms + round(float(share) * (due_ms - start_ms))) for share in shares)
    warnings = [
        Warn(share, to_rfc3339(at_ms))
        for share, at_ms in moments
        if warn_after_ms is None or at_ms > warn_after_ms
    ]
    return Clock(to_rfc3339(start_ms), due, event, (*warnings, Warn(END_SHARE, due)))

"""Pure: the four lines of figures, each of one service's count."""

from collections.abc import Mapping

from rich.text import Text

from deploy.screen.style import (
    ALL_FROM,
    BAD,
    SITE_FROM,
    SOFT,
    STRONG,
    WARNING,
    WHERE_FROM,
    Pieces,
    badge,
    figure,
    line,
)
from deploy.screen.view import CLASSIFIER, DISPATCH, TIMER, NextView, View
from deploy.screen.words import bars, count, duration, printable, rate

LABEL_WIDTH = 9
RATE_WIDTH = 18
# What is due this very moment is on its way; this much later it is late.
LATE_S = 2


def figure_lines(view: View, width: int) -> list[Text]:
    """Alarms, faults, cases, clocks."""
    return [
        _line("Alarms", _alarms(view, width - LABEL_WIDTH)),
        _line("Faults", _known(view, CLASSIFIER, _faults(view.faults))),
        _line("Cases", _known(view, DISPATCH, _cases(view.cases, width))),
        _line("Clocks", _known(view, TIMER, _clocks(view, width))),
    ]


def _line(label: str, pieces: Pieces) -> Text:
    return line((label.ljust(LABEL_WIDTH), SOFT), *pieces)


def _known(view: View, service: str, pieces: Pieces | None) -> Pieces:
    """Says so where some of those who count it, or all of them, don't answer."""
    if pieces is None:
        return [(f"not known: no {service} answers", WARNING)]
    return [("at least  ", WARNING), *pieces] if service in view.incomplete else pieces


def _alarms(view: View, width: int) -> Pieces:
    if view.alarms_per_s is None:
        return [("counting ...", SOFT)]
    number = rate(view.alarms_per_s)
    highest = f"  up to {rate(max(view.recent_alarms_per_s, default=0.0))}"
    return [
        figure(number, matters=view.alarms_per_s > 0),
        (" a second".ljust(RATE_WIDTH - len(number)), SOFT),
        (bars(view.recent_alarms_per_s, width - RATE_WIDTH - len(highest)), SOFT),
        (highest, SOFT),
    ]


def _faults(faults: Mapping[str, int] | None) -> Pieces | None:
    if faults is None:
        return None
    pieces: Pieces = []
    for grade, number in faults.items():
        pieces.append(badge(grade) if number else (f" {grade} ", SOFT))
        pieces += [" ", figure(count(number), matters=number > 0), "    "]
    return [*pieces, ("open", SOFT)]


def _cases(cases: Mapping[str, int] | None, width: int) -> Pieces | None:
    if cases is None:
        return None
    pieces: Pieces = []
    for state, number in cases.items():
        if width < WHERE_FROM and not number and state != "open":
            continue
        pieces += [figure(count(number), matters=number > 0), (f" {state}   ", SOFT)]
    return pieces


def _clocks(view: View, width: int) -> Pieces | None:
    if view.clocks is None:
        return None
    pieces: Pieces = [figure(count(view.clocks), matters=view.clocks > 0)]
    if width >= SITE_FROM or view.next is None:
        pieces.append((" standing", SOFT))
    return pieces if view.next is None else [*pieces, ("   next ", SOFT), *_next(view.next, width)]


def _next(coming: NextView, width: int) -> Pieces:
    """Which clock of which case, and in how long."""
    clock = coming.clock
    pieces: Pieces = [badge(clock.grade), f" {printable(clock.clock)} {_happens(coming)} "]
    if coming.in_s <= -LATE_S:
        pieces.append((f"late by {duration(-coming.in_s)}", BAD))
    else:
        pieces.append((f"in {duration(coming.in_s)}", STRONG))
    pieces.append((f"  {printable(clock.site_id)}", SOFT))
    if width >= ALL_FROM:
        pieces.append((f"  {printable(coming.title)}", SOFT))
    return pieces


def _happens(coming: NextView) -> str:
    event, share = coming.clock.event, coming.clock.share
    if event == "warning":
        return f"warns at {float(share):.0%}"
    return "ends" if event == "breach" else "is due"

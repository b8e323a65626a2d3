"""Pure: how many rows of what a terminal of some height has room for."""

from typing import Literal, NamedTuple

FIGURES = 4
# The head, and the hint at the bottom.
ENDS = 2

Air = Literal["all", "ends", "none"]
"""Where empty lines are: between all sections, below the head and above the hint, or nowhere."""


class Fit(NamedTuple):
    """The rows of each section, without its heading; a section with none has no heading either."""

    air: Air
    parts: int
    pages: int
    events: int
    left_over: int


class _Choice(NamedTuple):
    air: Air
    least_pages: int
    most_events: int


# The first that fits is taken: air goes before news, and news before what runs.
_CHOICES = (
    _Choice("all", least_pages=6, most_events=6),
    _Choice("all", least_pages=3, most_events=3),
    _Choice("all", least_pages=3, most_events=1),
    _Choice("all", least_pages=2, most_events=1),
    _Choice("ends", least_pages=2, most_events=2),
    _Choice("ends", least_pages=2, most_events=1),
    _Choice("none", least_pages=2, most_events=1),
    _Choice("none", least_pages=1, most_events=1),
    _Choice("none", least_pages=1, most_events=0),
    _Choice("none", least_pages=0, most_events=0),
)


def fit(height: int, *, parts: int, pages: int, events: int) -> Fit:
    """Rows for `parts`, `pages` and `events`, as far as there is room; pages take what is left.

    Without pages there is one row, which says so. What runs is cut only where nothing else is left to cut.
    """
    wanted_pages = max(1, pages)
    for choice in _CHOICES:
        events_shown = min(events, choice.most_events)
        pages_shown = min(wanted_pages, choice.least_pages)
        sections = [FIGURES, parts, pages_shown, events_shown]
        headings = sum(rows > 0 for rows in sections[1:])
        gaps = {"all": headings + 2, "ends": 2, "none": 0}[choice.air]
        left = height - ENDS - sum(sections) - headings - gaps
        if left >= 0:
            more = min(left, wanted_pages - pages_shown) if pages_shown else 0
            return Fit(choice.air, parts, pages_shown + more, events_shown, left - more)
    return Fit(
        air="none", parts=max(0, height - ENDS - FIGURES - 1), pages=0, events=0, left_over=0
    )

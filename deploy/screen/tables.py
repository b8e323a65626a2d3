"""Pure: the sections of the screen that have a heading and rows."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.table import Column

from deploy.local.messages import Event
from deploy.screen.style import (
    ALL_FROM,
    BAD,
    GOOD,
    SITE_FROM,
    SOFT,
    STRONG,
    WARNING,
    WHERE_FROM,
    Piece,
    badge,
    heading,
    line,
    table,
)
from deploy.screen.view import PageView, PartView, View
from deploy.screen.words import count, duration, printable
from deploy.typed import typed

# As alert rules have it (deploy/prometheus): so far behind, people are paged late.
LONG_LAG_S = 10
# A page leaves within a second; what waits for so long is tried again and again.
LONG_WAIT_S = 5
PERSON_WIDTH = 18
SITE_WIDTH = 20

PART_STYLES = {
    "ready": GOOD,
    "runs": GOOD,
    "yours": SOFT,
    "stopped": SOFT,
    "not ready": WARNING,
    "no answer": BAD,
    "restarts": BAD,
}
UNWELL = {"not ready", "no answer", "restarts"}


def utc(at_ms: int | None) -> str:
    """The time of day, which is what people read off; a blank as wide where it is not known."""
    if at_ms is None:
        return " " * 8
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")


# ---- What runs ----


def part_rows(parts: Sequence[PartView], rows: int, width: int) -> list[RenderableType]:
    """The table of services and servers; where not all fit, those that need somebody come first."""
    if not rows:
        return []
    shown = parts
    if len(parts) > rows:
        shown = sorted(parts, key=lambda part: part.state not in UNWELL)[: rows - 1]
    with_where = width >= WHERE_FROM
    columns = [Column(), Column()]
    columns += [Column(justify="right"), Column(ratio=1)] if with_where else [Column(ratio=1)]
    found = table(*columns)
    for part in shown:
        cells = [line(_mark(part), f" {part.name}"), line(_state(part)), line(*_lag(part, width))]
        found.add_row(*cells, *([line(_where(part))] if with_where else []))
    lines: list[RenderableType] = [heading("Services"), found]
    if len(shown) < len(parts):
        lines.append(line((f"and {len(parts) - len(shown)} more: {typed('status')}", SOFT)))
    return lines


def _mark(part: PartView) -> Piece:
    return ("●" if part.state not in UNWELL else "○"), PART_STYLES[part.state]


def _state(part: PartView) -> Piece:
    return part.state, PART_STYLES[part.state] if part.state in UNWELL else ""


def _lag(part: PartView, width: int) -> list[Piece]:
    if part.lag is None:
        return []
    style = WARNING if part.lag_s > LONG_LAG_S else (STRONG if part.lag else SOFT)
    age = (
        f" ({duration(part.lag_s)})" if part.lag and part.lag_s >= 1 and width >= SITE_FROM else ""
    )
    return [("lag ", SOFT), (f"{count(part.lag)}{age}", style)]


def _where(part: PartView) -> Piece:
    """Its address; of one that isn't ready what is missing, which is more to the point."""
    if part.state == "not ready":
        return printable(part.missing), WARNING
    return printable(part.where), SOFT


# ---- Pages ----


def page_rows(view: View, rows: int, width: int) -> list[RenderableType]:
    """The newest pages, and whether somebody has taken their cases."""
    if not rows:
        return []
    waiting: list[Piece] = []
    if view.pages_oldest_s >= LONG_WAIT_S:
        age = duration(view.pages_oldest_s)
        waiting = [(f"  {count(view.pages_pending)} not delivered, one for {age}", BAD)]
    top = heading("Pages", *waiting)
    if not view.has_receiver:
        return [top, line(("They go to your own webhook.", SOFT))]
    if not view.pages:
        return [top, line(("None has been sent yet.", SOFT))]
    columns = [
        Column(width=8),
        Column(width=3),
        Column(max_width=PERSON_WIDTH),
        Column(ratio=1),
        *([Column(max_width=SITE_WIDTH)] if width >= SITE_FROM else []),
        *([Column()] if width >= ALL_FROM else []),
        Column(),
    ]
    found = table(*columns)
    for shown in view.pages[:rows]:
        cells: list[Piece] = [
            (utc(shown.at_ms), SOFT),
            badge(shown.page.grade),
            printable(shown.page.person),
            _title(shown),
        ]
        if width >= SITE_FROM:
            cells.append(printable(shown.page.site_id))
        if width >= ALL_FROM:
            cells.append(_reason(shown))
        found.add_row(*(line(cell) for cell in [*cells, _taken(shown, width)]))
    return [top, found]


def _title(shown: PageView) -> Piece:
    title = printable(shown.page.title) or "Page"
    return f"{title} (x{shown.page.count})" if shown.page.count > 1 else title


def _reason(shown: PageView) -> Piece:
    """Why this page, where it isn't simply the first of its case."""
    reason = shown.page.reason
    return (printable(reason), SOFT) if reason != "opened" else ""


def _taken(shown: PageView, width: int) -> Piece:
    state = printable(shown.case_state)
    if state == "open":
        return state, BAD if shown.page.grade in {"A", "B"} else STRONG
    if state == "acknowledged" and shown.assignee and width >= ALL_FROM:
        return f"{state} by {printable(shown.assignee)}", GOOD
    return state, GOOD if state == "acknowledged" else SOFT


# ---- Events ----


def event_rows(events: Sequence[Event], rows: int) -> list[RenderableType]:
    """What the supervisor said last, the newest first; no section where it has said nothing."""
    if not rows:
        return []
    shown = [
        line((utc(event.at_ms), SOFT), f"  {printable(event.text)}") for event in events[:rows]
    ]
    return [heading("Events"), *shown]

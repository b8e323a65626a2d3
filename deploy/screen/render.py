"""Pure: a view as what Rich prints, never wider or higher than it is told."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Column

from deploy.screen.fit import Air, fit
from deploy.screen.lines import figure_lines
from deploy.screen.style import BAD, GOOD, SOFT, STRONG, WARNING, Piece, line, table
from deploy.screen.tables import UNWELL, event_rows, page_rows, part_rows, utc
from deploy.screen.view import View
from deploy.screen.words import duration
from deploy.typed import typed


def render(view: View, *, width: int, height: int, hint: str) -> RenderableType:
    """The whole screen; `hint` is its last line."""
    if not view.running:
        start = [line(f"Start it with: {typed('up --detach')}")]
        return _whole([[_header(view)], start], hint, air="all", left_over=height - 5)
    plan = fit(height, parts=len(view.parts), pages=len(view.pages), events=len(view.events))
    sections = [
        [_header(view)],
        figure_lines(view, width),
        part_rows(view.parts, plan.parts, width),
        page_rows(view, plan.pages, width),
        event_rows(view.events, plan.events),
    ]
    return _whole(sections, hint, air=plan.air, left_over=plan.left_over)


def _whole(
    sections: Sequence[Sequence[RenderableType]], hint: str, *, air: Air, left_over: int
) -> Group:
    """The sections from above, the hint at the bottom."""
    lines: list[RenderableType] = []
    for section in filter(None, sections):
        if (air == "all" and lines) or (air == "ends" and len(lines) == 1):
            lines.append(line())
        lines += section
    filler = [line()] * max(0, left_over + (air != "none"))
    return Group(*lines, *filler, line((hint, SOFT)))


def _header(view: View) -> RenderableType:
    pieces: list[Piece] = [("Bakvakt", STRONG), "   ", _condition(view)]
    if view.running_s is not None:
        pieces.append((f"   runs for {duration(view.running_s)}", SOFT))
    found = table(Column(ratio=1), Column())
    found.add_row(line(*pieces), line((f"{utc(view.at_ms)} UTC", SOFT)))
    return found


def _condition(view: View) -> Piece:
    if not view.running:
        return "nothing is running", BAD
    if view.stopping:
        return "is stopping", WARNING
    unwell = sum(part.state in UNWELL for part in view.parts)
    return (f"{unwell} of {len(view.parts)} not ready", BAD) if unwell else ("all ready", GOOD)

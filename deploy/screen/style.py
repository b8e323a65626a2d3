"""Pure: how the screen looks. Colour has one meaning here: how grave something is."""

from rich.rule import Rule
from rich.style import Style
from rich.table import Column, Table
from rich.text import Text

# The terminal's own colours, so that they hold on a dark ground and on a light one.
SOFT = "dim"
STRONG = "bold"
GOOD = "green"
WARNING = "yellow"
BAD = "bold red"
GRADE_STYLES = {
    "A": "bold white on red",
    "B": "black on yellow",
    "C": "white on blue",
    "D": STRONG,
}

# Below these widths a column goes, rather than being cut to what says nothing.
WHERE_FROM = 72
SITE_FROM = 96
ALL_FROM = 116

Piece = str | tuple[str, str | Style]
Pieces = list[Piece]


def line(*pieces: Piece) -> Text:
    """One line, which ends in an ellipsis where there is no more room."""
    return Text.assemble(*pieces, no_wrap=True, overflow="ellipsis")


def heading(text: str, *more: Piece) -> Rule:
    """The name of a section, and a rule as far as there is room."""
    return Rule(Text.assemble((text, STRONG), *more), align="left", style=SOFT)


def table(*columns: Column) -> Table:
    """Columns side by side over the whole width, for cells that are lines."""
    return Table(
        *columns, box=None, expand=True, show_header=False, pad_edge=False, padding=(0, 2, 0, 0)
    )


def badge(grade: str) -> Piece:
    """A grade as a patch of its colour."""
    return (f" {grade} ", GRADE_STYLES.get(grade, STRONG)) if grade else ""


def figure(text: str, *, matters: bool) -> Piece:
    """A number, soft where it is of no interest."""
    return text, STRONG if matters else SOFT

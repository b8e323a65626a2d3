"""Where commands print: a terminal as wide as it is, or a pipe that cuts and folds nothing."""

import sys

import typer
from rich.console import Console, RenderableType

# Programs that read a line want it whole.
PIPE_WIDTH = 1000


def make_console() -> Console:
    """Colours on a terminal only. Nothing in a text is taken for markup: it may come from anywhere."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=width, markup=False, highlight=False, emoji=False)


def print_out(what: RenderableType, console: Console | None = None) -> None:
    """Print; in a pipe without the blanks that fill columns up."""
    console = console or make_console()
    if console.is_terminal:
        console.print(what)
        return
    with console.capture() as captured:
        console.print(what)
    for line in captured.get().splitlines():
        typer.echo(line.rstrip())


def failure(message: str) -> typer.Exit:
    """Tell what went wrong; raise what is returned."""
    typer.echo(message, err=True)
    return typer.Exit(1)

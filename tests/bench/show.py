"""What a run looks like in a terminal."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.figures import Change, Figure, Spread, compare
from tests.bench.frame import Bench, Run
from tests.bench.machine import busy_warning, machine_line

# Of what is no terminal: wide enough for the longest names.
PLAIN_WIDTH = 110


def make_console(*, stderr: bool) -> Console:
    """As wide as the terminal is."""
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def show_benches(console: Console, benches: Iterable[Bench]) -> None:
    """Each with its question."""
    table = Table("Bench", "Answers", box=None, pad_edge=False)
    table.add_column("By default", justify="right")
    for bench in benches:
        table.add_row(bench.name, bench.question, f"{bench.size:,} {bench.counts}")
    console.print(table)
    console.print("\nRun one with: bakvakt bench NAME")


def show_run(console: Console, run: Run) -> None:
    """Question, machine, and a table in which what has a floor stands below its floor."""
    console.print(f"\n[bold]{run.question}[/]")
    console.print(
        f"{run.size:,} {run.counts}; repetitions: {run.repetitions}; {run.took_s:.0f} s in all"
    )
    console.print(machine_line(run.machine), style="dim")
    warn_of_load(console, run)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("")
    for column in ("median", "min .. max", "x floor", "min .. max"):
        table.add_column(column, justify="right", no_wrap=True)
    for depth, figure in _by_floor(run.figures):
        table.add_row(
            "  " * depth + figure.name,
            figure.unit,
            number(figure.value.median),
            spread(figure.value),
            f"[bold cyan]{number(figure.ratio.median)}[/]" if figure.ratio else _no_ratio(figure),
            spread(figure.ratio) if figure.ratio else "",
        )
    console.print()
    console.print(table)


def warn_of_load(console: Console, run: Run) -> None:
    """Where others were at work when it began."""
    if warning := busy_warning(run.machine.load_1m, run.machine.cores):
        console.print(warning, style="yellow")


def show_changes(console: Console, earlier: Run, run: Run) -> None:
    """The ratios of both runs side by side, and what makes them differ that is no work of ours."""
    console.print(f"\n[bold]Against the run of {earlier.began_at}[/]")
    for difference in differences(earlier, run):
        console.print(difference, style="yellow")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("x floor", no_wrap=True)
    for column in ("earlier", "min .. max", "now", "min .. max", "change"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for change in compare(earlier.figures, run.figures):
        table.add_row(
            change.name,
            number(change.earlier.median),
            spread(change.earlier),
            number(change.now.median),
            spread(change.now),
            f"{change.share:+.0%}",
            _verdict(change),
        )
    console.print(table)


def differences(earlier: Run, run: Run) -> Iterator[str]:
    """Why the two may differ although the code does not."""
    if earlier.size != run.size:
        yield f"Another size: {earlier.size:,}, now {run.size:,} {run.counts}."
    was, now = earlier.machine, run.machine
    if (was.cpu, was.cores) != (now.cpu, now.cores):
        yield f"Another machine: {was.cores} cores ({was.cpu})."
    versions = {"Python": was.python, **was.versions}
    for name, version in {"Python": now.python, **now.versions}.items():
        if versions.get(name) != version:
            yield f"Another version: {name} {versions.get(name)}, now {version}."


def number(value: float) -> str:
    """Three digits or so, whatever the size."""
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals}f}"


def spread(values: Spread) -> str:
    """From the least to the most."""
    return f"{number(values.least)} .. {number(values.most)}"


def _no_ratio(figure: Figure) -> str:
    """A floor has none; what has a floor of 0 was too little to be measured."""
    return "" if figure.floor is None else "floor is 0"


def _verdict(change: Change) -> str:
    return "[bold]more than the spread[/]" if change.is_beyond_spread else "within the spread"


def _by_floor(
    figures: Sequence[Figure], floor: str | None = None, depth: int = 0
) -> Iterator[tuple[int, Figure]]:
    for figure in figures:
        if figure.floor == floor:
            yield depth, figure
            yield from _by_floor(figures, figure.name, depth + 1)

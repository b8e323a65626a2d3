"""`bench`: measure. What is measured, and how, is in `tests/bench`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.state import ROOT

BENCHES = ROOT / "tests/bench"


def bench(
    name: Annotated[
        str | None, typer.Argument(help="Which bench; without a name they are listed.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=1, help="How many records it sends; the list says of what.")
    ] = None,
    repetitions: Annotated[
        int | None, typer.Option("--repetitions", "-r", min=1, help="By default 5.")
    ] = None,
    json_file: Annotated[
        str | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Where to write the figures, `-` for standard output;"
            " by default .local/bench/NAME-TIME.json.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="An earlier run: show how the ratios have changed."),
    ] = None,
) -> None:
    """Measure what ours costs against the least that Kafka and Redis cost, in the same run.

    Starts servers of its own; nothing that `up` runs is touched, but it takes its share of the
    machine: stop it first. Compare ratios, never times of different machines.

    Examples:

    - `bakvakt bench` lists the benches with the question that each answers

    - `bakvakt bench classifier --size 200000`

    - `bakvakt bench ingest --compare .local/bench/ingest-20261122T100000.json`

    - `bakvakt bench kafka --json - | jq '.figures[] | {name, ratio}'`
    """
    if not BENCHES.is_dir():
        typer.echo(
            f"There are no benches here: {BENCHES} does not exist. They come with a clone of the"
            " repository, not with a container.",
            err=True,
        )
        raise typer.Exit(1)
    options = {
        "--size": size,
        "--repetitions": repetitions,
        "--json": json_file,
        "--compare": compare,
    }
    arguments = [f"{option}={value}" for option, value in options.items() if value is not None]
    # What the caller has set is for the services that run, not for those that are measured.
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("BAKVAKT_")
    } | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "tests.bench", *([name] if name else []), *arguments]
    sys.stdout.flush()
    # Becomes it: Ctrl-C and SIGTERM reach the process that has servers to end.
    os.execve(sys.executable, command, environment)  # noqa: S606

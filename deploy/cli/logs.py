"""`logs`: what a part of `up` has said."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.state import StateDirectory

FOLLOW_POLL_S = 0.2


def logs(
    name: Annotated[str, typer.Argument(help="kafka, redis, postgres, ingest, classifier-2, ...")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many at first.")] = 100,
) -> None:
    """Show the end of the log of one part.

    Examples:

    - `bakvakt logs dispatch`

    - `bakvakt logs kafka -f -n 0`
    """
    directory = StateDirectory.from_environment(os.environ)
    log = directory.log(name)
    known = sorted(path.stem for path in log.parent.glob("*.log"))
    if name not in known:
        there = ", ".join(known) or "none yet, since nothing has been started"
        typer.echo(f"There is no log of {name!r}. There are: {there}", err=True)
        raise typer.Exit(1)
    _show(log, lines=lines, follow=follow)


def _show(log: Path, *, lines: int, follow: bool) -> None:
    with log.open(encoding="utf-8", errors="replace") as text:
        shown = text.readlines()
        typer.echo("".join(shown[len(shown) - lines if lines < len(shown) else 0 :]), nl=False)
        while follow:
            typer.echo(text.read(), nl=False)
            time.sleep(FOLLOW_POLL_S)

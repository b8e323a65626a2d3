"""In whose name a command changes something."""

import getpass
import os
from typing import Annotated

import typer

from deploy.cli.terminal import failure

BY_VARIABLE = "BAKVAKT_BY"

ByOption = Annotated[
    str | None,
    typer.Option("--by", help=f"Who does it. Else {BY_VARIABLE}, else the name of your log-in."),
]


def name_of(by: str | None) -> str:
    """Who `by` says that it is; else as the option's help has it."""
    named = by or os.environ.get(BY_VARIABLE)
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        raise failure(f"Say who you are: --by NAME, or {BY_VARIABLE}") from None

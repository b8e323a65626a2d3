"""`test`: everything that must hold before a change is good."""

import os
import subprocess
import sys
import time
from typing import Annotated

import typer

from deploy.local.state import ROOT

PROGRAMS = ROOT / ".venv/bin"
CHECKS = (
    ("ruff", "check"),
    ("ruff", "format", "--check"),
    ("basedpyright",),
    ("lint-imports",),
)


def check(
    pytest_arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[PYTEST ARGUMENTS]...")
    ] = None,
    run_all: Annotated[
        bool, typer.Option("--all", help="Also the tests that take long, such as the kill tests.")
    ] = False,
) -> None:
    """Check style, types and imports, then run the tests on real Kafka, Redis and PostgreSQL.

    Nothing that `up` runs is touched. All checks are run even if an early one fails.

    Examples:

    - `bakvakt test`

    - `bakvakt test --all`

    - `bakvakt test tests/unit -k deadline`
    """
    # What the caller has set is for the services that run, not for those under test.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("BAKVAKT_")
    }
    failed: list[str] = []
    for program, *arguments in CHECKS:
        started_s = time.monotonic()
        name = " ".join((program, *arguments))
        typer.echo(f"==== {name}")
        if _run([str(PROGRAMS / program), *arguments], environment) != 0:
            failed.append(name)
        typer.echo(f"({time.monotonic() - started_s:.1f} s)")
    if failed:
        typer.echo(f"==== these checks have failed: {', '.join(failed)}")
    typer.echo("==== pytest")
    selected = [] if run_all else ["-m", "not long"]
    command = [sys.executable, "-P", "-m", "pytest", *selected, *(pytest_arguments or [])]
    # Last, so that its closing line is the last one of all.
    status = _run(command, environment)
    raise typer.Exit(status or (1 if failed else 0))


def _run(command: list[str], environment: dict[str, str]) -> int:
    sys.stdout.flush()
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603

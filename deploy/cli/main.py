"""All commands by name."""

import os
import sys
from typing import NoReturn

import typer

from deploy.cli.bench import bench
from deploy.cli.case_rulings import detach, regrade
from deploy.cli.cases import cases
from deploy.cli.catalogue import catalogue
from deploy.cli.check import check
from deploy.cli.clocks import clocks
from deploy.cli.explain import explain
from deploy.cli.fleet import fleet
from deploy.cli.local import down, logs, up
from deploy.cli.simulate import simulate
from deploy.cli.status import status
from deploy.cli.topics import topics

app = typer.Typer(
    help="Bakvakt: alarms of a fleet in, graded faults, kept deadlines, people paged.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

HERE = "On this machine"
WORK = "Working on cases and the fleet"
SERVICES = "One instance of one service"
TOOLS = "Tools"

app.command(rich_help_panel=HERE)(up)
app.command(rich_help_panel=HERE)(down)
app.command(rich_help_panel=HERE)(status)
app.command(rich_help_panel=HERE)(logs)
app.command("test", rich_help_panel=HERE, context_settings={"ignore_unknown_options": True})(check)
cases.command()(regrade)
cases.command()(detach)
app.add_typer(cases, name="cases", rich_help_panel=WORK)
app.add_typer(clocks, name="clocks", rich_help_panel=WORK)
app.command(rich_help_panel=WORK)(explain)
app.add_typer(fleet, name="fleet", rich_help_panel=WORK)
app.command(rich_help_panel=TOOLS)(simulate)
app.command(rich_help_panel=TOOLS)(bench)
app.add_typer(topics, name="topics", rich_help_panel=TOOLS)
app.add_typer(catalogue, name="catalogue", rich_help_panel=TOOLS)


def become_service(name: str) -> NoReturn:
    """Replace this process by the service: its pid, signals and exit status are the service's."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", f"services.{name}"])  # noqa: S606


@app.command(rich_help_panel=SERVICES)
def ingest() -> None:
    """Reports in, checked and normalised alarms out. Settings: BAKVAKT_* in the environment."""
    become_service("ingest")


@app.command(rich_help_panel=SERVICES)
def classifier() -> None:
    """Alarms in, graded faults out. Settings: BAKVAKT_* in the environment."""
    become_service("classifier")


@app.command(rich_help_panel=SERVICES)
def dispatch() -> None:
    """Faults in, cases and pages out. Settings: BAKVAKT_* in the environment."""
    become_service("dispatch")


@app.command(rich_help_panel=SERVICES)
def timer() -> None:
    """Cases in, deadlines out. Settings: BAKVAKT_* in the environment."""
    become_service("timer")

"""All commands by name."""

import os
import sys
from typing import NoReturn

import typer

from deploy.cli.later import Later, group_of

HERE = "On this machine"
WORK = "Working on cases and the fleet"
SERVICES = "One instance of one service"
TOOLS = "Tools"

# In the order in which they are listed.
COMMANDS = {
    "up": Later(
        "deploy.cli.local:up",
        HERE,
        "Start Kafka, Redis, PostgreSQL, the four services, a webhook receiver and a simulated fleet.",
    ),
    "down": Later(
        "deploy.cli.local:down",
        HERE,
        "Stop what `up` has started; also what a killed `up` has left running.",
    ),
    "status": Later(
        "deploy.cli.status:status",
        HERE,
        "Say what runs, whether it is ready, and how many faults, clocks and cases there are.",
    ),
    "logs": Later(
        "deploy.cli.logs:logs",
        HERE,
        "Show the end of the log of one part.",
    ),
    "test": Later(
        "deploy.cli.check:check",
        HERE,
        "Check style, types and imports, then run the tests on real Kafka, Redis and PostgreSQL.",
        passes_on=True,
    ),
    "cases": Later(
        "deploy.cli.case_rulings:cases",
        WORK,
        "List the cases that need work, newest first; show one, acknowledge, regrade, resolve or close it.",
    ),
    "clocks": Later(
        "deploy.cli.clocks:clocks",
        WORK,
        "The timer's clocks: those that stand, what fires next, all of a case; build a shard anew.",
    ),
    "explain": Later(
        "deploy.cli.explain:explain",
        WORK,
        "Tell the path of an alarm, from what is stored and nothing else.",
    ),
    "fleet": Later(
        "deploy.cli.fleet:fleet",
        WORK,
        "Customers, sites and EMUs: import them from a file, export them, show them.",
    ),
    "simulate": Later(
        "deploy.cli.simulate:simulate",
        TOOLS,
        "Send what a fleet would report: repeats, changes, and incidents with a cause and symptoms.",
    ),
    "bench": Later(
        "deploy.cli.bench:bench",
        TOOLS,
        "Measure what ours costs against the least that Kafka and Redis cost, in the same run.",
    ),
    "topics": Later(
        "deploy.cli.topics:topics",
        TOOLS,
        "Make the topics, or check them. Settings: BAKVAKT_* in the environment. Kafka: "
        "BAKVAKT_KAFKA, else that of the `up` that runs here.",
    ),
    "catalogue": Later(
        "deploy.cli.catalogue:catalogue",
        TOOLS,
        "The catalogue: what each code means. Your own files: BAKVAKT_CATALOGUE, a folder.",
    ),
}

app = typer.Typer(
    cls=group_of(COMMANDS),
    help="Bakvakt: alarms of a fleet in, graded faults, kept deadlines, people paged.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


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

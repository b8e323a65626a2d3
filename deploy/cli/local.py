"""`up`, `down`: everything on this machine."""

import asyncio
import os
from typing import Annotated

import typer

from deploy.local.background import down as stop_everything
from deploy.local.background import run_in_foreground, start_in_background
from deploy.local.state import StateDirectory
from deploy.local.supervisor import SERVICES, Options
from deploy.simulator import DEFAULT_EMUS, DEFAULT_RATE
from deploy.simulator.pace import check_rate
from deploy.typed import typed


def up(  # noqa: PLR0917 - options of the command line
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when all is ready; go on behind.")
    ] = False,
    no_simulator: Annotated[
        bool, typer.Option("--no-simulator", help="Send no reports of a simulated fleet.")
    ] = False,
    emus: Annotated[int, typer.Option(min=1, help="EMUs of the simulated fleet.")] = DEFAULT_EMUS,
    rate: Annotated[
        float, typer.Option(help="Alarms that the simulated fleet sends each second.")
    ] = DEFAULT_RATE,
    scale: Annotated[
        list[str] | None,
        typer.Option(metavar="SERVICE=N", help="Run N instances of a service."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines instead of the live screen.")
    ] = False,
    must_be_ready: Annotated[bool, typer.Option("--must-be-ready", hidden=True)] = False,
) -> None:
    """Start Kafka, Redis, PostgreSQL, the four services, a webhook receiver and a simulated fleet.

    A server of your own is used instead where BAKVAKT_KAFKA, BAKVAKT_REDIS or BAKVAKT_POSTGRES
    names one. A standard port that is taken is replaced by a free one, and that is said. On a
    terminal a live screen shows what happens (docs/operating.md); elsewhere it says lines.

    Examples:

    - `bakvakt up` runs until Ctrl-C

    - `bakvakt up --detach --no-simulator`

    - `bakvakt up --emus 500 --rate 100`

    - `BAKVAKT_POLICY=policy.toml bakvakt up --scale classifier=2`
    """
    directory = StateDirectory.from_environment(os.environ)
    instances = _instances(scale or [])
    try:
        check_rate(rate)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rate") from None
    if detach:
        arguments = ["--no-simulator"] if no_simulator else []
        arguments += ["--emus", str(emus), "--rate", str(rate)]
        for entry in scale or []:
            arguments += ["--scale", entry]
        raise typer.Exit(asyncio.run(start_in_background(directory, arguments)))
    options = Options(
        simulate=not no_simulator,
        emus=emus,
        rate=rate,
        instances=instances,
        screen=not plain,
        must_be_ready=must_be_ready,
    )
    raise typer.Exit(asyncio.run(run_in_foreground(directory, options)))


def down(
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Forget all records, cases and pages.")
    ] = False,
) -> None:
    """Stop what `up` has started; also what a killed `up` has left running.

    Data stays, and the next `up` goes on with it, unless you say otherwise.

    Examples:

    - `bakvakt down`

    - `bakvakt down --delete-data`
    """
    directory = StateDirectory.from_environment(os.environ)
    try:
        status = asyncio.run(stop_everything(directory, delete_data=delete_data))
    except PermissionError:
        typer.echo(f"It was started by root. Run: sudo {typed('down')}", err=True)
        status = 1
    raise typer.Exit(status)


def _instances(scale: list[str]) -> dict[str, int]:
    """`classifier=2` and the like, by name."""
    instances: dict[str, int] = {}
    for entry in scale:
        service, _, count = entry.partition("=")
        if service not in SERVICES or not count.isdecimal() or int(count) < 1:
            message = f"{entry!r}: write SERVICE=N, where SERVICE is one of {', '.join(SERVICES)}"
            raise typer.BadParameter(message, param_hint="--scale")
        instances[service] = int(count)
    return instances

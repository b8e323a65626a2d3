"""`status`: what runs on this machine, and what stands, from the services' own metrics."""

import asyncio
import os
import sys
from collections import defaultdict
from typing import Annotated

import aiohttp
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from deploy.local.live_screen import terminal
from deploy.local.messages import Event
from deploy.local.state import StateDirectory
from deploy.local.supervisor import SERVICES
from deploy.screen.figures import GRADES, read_figures
from deploy.screen.look import SERVERS, Looker
from deploy.screen.snapshot import NextClock, Page, Snapshot
from deploy.screen.view import View
from deploy.screen.watch import watch, watch_on_terminal
from deploy.typed import typed
from shared.times import to_rfc3339

STARTS_AGAIN = "starts again"
HINT_OF_UP = "Ctrl-C stops everything."


class InstanceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a service; `pid` is null while it waits to be started again."""

    url: str
    pid: int | None
    ready: bool


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What `status --json` prints."""

    kafka: str
    redis: str
    postgres: str
    services: dict[str, list[InstanceStatus]]
    faults: dict[str, int]
    """Open ones, by grade."""
    clocks: int
    """Standing ones."""
    cases: dict[str, int]
    """By state."""
    lag: dict[str, int]
    """Records that a service has still to read."""


class WatchedPage(Page, frozen=True, kw_only=True):
    """A page, and the state of its case; null: not known."""

    case_state: str | None


class WatchLine(Status, frozen=True, kw_only=True):
    """What `status --watch --json` prints each second. Null stands for what nobody has told."""

    at: str
    running: bool
    """False: all else is empty."""
    running_s: float | None
    alarms_per_s: float | None
    """Judged by the classifier, over the last 5 seconds."""
    reports_per_s: float | None
    """Read by ingest, likewise."""
    next_clock: NextClock | None
    pages: list[WatchedPage]
    """The newest first."""
    pages_pending: int
    pages_oldest_s: float
    events: list[Event]
    """The newest first."""


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    on_and_on: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C, with rates and pages.")
    ] = False,
    of_up: Annotated[bool, typer.Option("--of-up", hidden=True)] = False,
) -> None:
    """Say what runs, whether it is ready, and how many faults, clocks and cases there are.

    Exit status 1 if nothing runs.

    Examples:

    - `bakvakt status`

    - `bakvakt status --json | jq .faults.A`

    - `bakvakt status --watch`, the live screen of `up`

    - `bakvakt status --watch --json`, one line of JSON a second
    """
    directory = StateDirectory.from_environment(os.environ)
    descriptor = terminal()
    if on_and_on and not as_json and descriptor is None:
        raise typer.BadParameter("needs a terminal; add --json for programs", param_hint="--watch")
    _refuse_if_nothing_runs(directory)
    if descriptor is not None and on_and_on and not as_json:
        hint = HINT_OF_UP if of_up else f"Ctrl-C ends this view; {typed('down')} stops everything."
        asyncio.run(watch_on_terminal(directory, descriptor, hint=hint))
    elif on_and_on:
        _print_lines(directory)
    else:
        found = asyncio.run(_look_once(directory))
        if as_json:
            _print(status_of(found))
        else:
            _show(found)


def status_of(seen: Snapshot) -> Status:
    """What does not answer is not ready and counts nothing."""
    services: dict[str, list[InstanceStatus]] = {name: [] for name in SERVICES}
    lag = defaultdict[str, int](int, dict.fromkeys(SERVICES, 0))
    for one in seen.services:
        found = InstanceStatus(url=one.url, pid=one.pid, ready=one.ready)
        services[one.service].append(found)
        lag[one.service] += read_figures(one.metrics).lag_records
    figures = read_figures(*(one.metrics for one in seen.services))
    where = {server.name: server.where for server in seen.servers}
    return Status(
        **{name: where.get(name, "") for name in SERVERS},
        services=services,
        faults={grade: figures.faults.get(grade, 0) for grade in GRADES},
        clocks=figures.clocks,
        cases=figures.cases,
        lag=dict(lag),
    )


def watch_line(seen: Snapshot, view: View) -> WatchLine:
    """One line of `status --watch --json`."""
    pages = [
        WatchedPage(**msgspec.structs.asdict(shown.page), case_state=shown.case_state or None)
        for shown in view.pages
    ]
    return WatchLine(
        **msgspec.structs.asdict(status_of(seen)),
        at=to_rfc3339(view.at_ms),
        running=view.running,
        running_s=view.running_s,
        alarms_per_s=view.alarms_per_s,
        reports_per_s=view.reports_per_s,
        next_clock=view.next.clock if view.next else None,
        pages=pages,
        pages_pending=view.pages_pending,
        pages_oldest_s=view.pages_oldest_s,
        events=list(view.events),
    )


async def _look_once(directory: StateDirectory) -> Snapshot:
    async with aiohttp.ClientSession() as session:
        return await Looker(directory, session).look()


def _refuse_if_nothing_runs(directory: StateDirectory) -> None:
    state = directory.read()
    if state is None or not state.is_running():
        left = state.leftovers() if state else []
        hint = f" But an earlier `up` has left processes: {typed('down')}" if left else ""
        typer.echo(f"Nothing is running. Start it with: {typed('up --detach')}.{hint}", err=True)
        raise typer.Exit(1)


def _print_lines(directory: StateDirectory) -> None:
    """Until somebody ends it, or closes the pipe, as `head` does."""
    try:
        asyncio.run(watch(directory, lambda seen, view: _print(watch_line(seen, view))))
    except BrokenPipeError:
        # Python would try again at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(found: Status) -> None:
    # At once, also into a pipe: whoever reads it waits for each line.
    print(msgspec.json.encode(found).decode(), flush=True)


def _show(seen: Snapshot) -> None:
    found = status_of(seen)
    table = Table("Part", box=None, pad_edge=False)
    table.add_column("Where", overflow="fold")
    for column in ("Process", "Ready", "Lag"):
        table.add_column(column, no_wrap=True)
    for server in seen.servers:
        pid = "yours" if server.state == "yours" else str(server.pid or STARTS_AGAIN)
        table.add_row(server.name, server.where, pid)
    for one in seen.services:
        ready = "[green]yes[/]" if one.ready else "[red]no[/]"
        lag = str(found.lag[one.service])
        table.add_row(one.service, one.url, str(one.pid or STARTS_AGAIN), ready, lag)
    if seen.receiver is not None:
        table.add_row("receiver", seen.receiver.url, str(seen.receiver.pid or STARTS_AGAIN))
    console = Console()
    console.print(table)
    faults = "  ".join(f"{grade} {count}" for grade, count in found.faults.items())
    cases = "  ".join(f"{name} {count}" for name, count in sorted(found.cases.items())) or "none"
    console.print(f"\nOpen faults      {faults}")
    console.print(f"Cases            {cases}")
    console.print(f"Standing clocks  {found.clocks}")

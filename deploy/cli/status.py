"""`status`: what runs on this machine, and what stands, from the services' own metrics."""

import asyncio
import os
from typing import Annotated

import aiohttp
import msgspec
import typer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from deploy.local.endpoints import is_ready, metrics_text
from deploy.local.state import ChildRecord, State, StateDirectory
from deploy.local.supervisor import SERVICES

GRADES = ("A", "B", "C", "D")
FAULTS_OPEN = "bakvakt_classifier_faults_open"
CASES = "bakvakt_dispatch_cases"
CLOCKS_STANDING = "bakvakt_timer_clocks_standing"
LAG_RECORDS = "bakvakt_kafka_lag_records"

STARTS_AGAIN = "starts again"


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


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what runs, whether it is ready, and how many faults, clocks and cases there are.

    Exit status 1 if nothing runs.

    Examples:

    - `bakvakt status`

    - `bakvakt status --json | jq .faults.A`
    """
    state = StateDirectory.from_environment(os.environ).read()
    if state is None or not state.is_running():
        left = state.leftovers() if state else []
        hint = " But an earlier `up` has left processes: bakvakt down" if left else ""
        typer.echo(f"Nothing is running. Start it with: bakvakt up --detach.{hint}", err=True)
        raise typer.Exit(1)
    found = asyncio.run(read_status(state))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _show(found, state)


async def read_status(state: State) -> Status:
    """Ask every instance; one that does not answer is not ready and counts nothing."""
    children = [child for child in state.children if child.kind == "service"]
    async with aiohttp.ClientSession() as session:
        answers = await asyncio.gather(*(_ask(session, child) for child in children))
    services: dict[str, list[InstanceStatus]] = {name: [] for name in SERVICES}
    faults: dict[str, int] = dict.fromkeys(GRADES, 0)
    cases: dict[str, int] = {}
    lag: dict[str, int] = dict.fromkeys(SERVICES, 0)
    clocks = 0
    for child, (instance, metrics) in zip(children, answers, strict=True):
        services[child.service].append(instance)
        for name, label, value in _samples(metrics):
            if name == FAULTS_OPEN:
                faults[label] = faults.get(label, 0) + value
            elif name == CASES:
                cases[label] = cases.get(label, 0) + value
            elif name == CLOCKS_STANDING:
                clocks += value
            elif name == LAG_RECORDS:
                lag[child.service] += value
    return Status(
        kafka=state.kafka,
        redis=state.redis,
        postgres=state.postgres,
        services=services,
        faults=faults,
        clocks=clocks,
        cases=cases,
        lag=lag,
    )


async def _ask(session: aiohttp.ClientSession, child: ChildRecord) -> tuple[InstanceStatus, str]:
    url = child.url or ""
    ready, metrics = await asyncio.gather(is_ready(session, url), metrics_text(session, url))
    pid = child.process.pid if child.process else None
    return InstanceStatus(url=url, pid=pid, ready=ready), metrics


def _samples(metrics: str) -> list[tuple[str, str, int]]:
    """Name, grade or state, and value of each sample."""
    return [
        (
            sample.name,
            sample.labels.get("grade") or sample.labels.get("state", ""),
            int(sample.value),
        )
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name in {FAULTS_OPEN, CASES, CLOCKS_STANDING, LAG_RECORDS}
    ]


def _show(found: Status, state: State) -> None:
    table = Table("Part", box=None, pad_edge=False)
    table.add_column("Where", overflow="fold")
    for column in ("Process", "Ready", "Lag"):
        table.add_column(column, no_wrap=True)
    pids = {
        child.name: str(child.process.pid) if child.process else STARTS_AGAIN
        for child in state.children
    }
    for name in ("kafka", "redis", "postgres"):
        table.add_row(name, getattr(found, name), pids.get(name, "yours"))
    for service, instances in found.services.items():
        for instance in instances:
            ready = "[green]yes[/]" if instance.ready else "[red]no[/]"
            pid = str(instance.pid or STARTS_AGAIN)
            table.add_row(service, instance.url, pid, ready, str(found.lag[service]))
    for child in state.children:
        if child.kind == "receiver":
            table.add_row("receiver", child.url, pids[child.name])
    console = Console()
    console.print(table)
    faults = "  ".join(f"{grade} {count}" for grade, count in found.faults.items())
    cases = "  ".join(f"{name} {count}" for name, count in sorted(found.cases.items())) or "none"
    console.print(f"\nOpen faults      {faults}")
    console.print(f"Cases            {cases}")
    console.print(f"Standing clocks  {found.clocks}")

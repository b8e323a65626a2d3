"""`simulate`: reports from a file, sent as a fleet would send them."""

import asyncio
import os
from collections.abc import Awaitable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast

import msgspec
import typer
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

DEFAULT_KAFKA = "127.0.0.1:9092"
DEFAULT_TOPIC = "emu.alarms"
CLOCK_FIELD = "at"

Report = dict[str, object]


class BadLine(Exception):
    """A line of the file holds no report; the message says which line, and what is wrong."""


def simulate(
    file: Annotated[
        Path,
        typer.Option(
            "--from", exists=True, dir_okay=False, help="JSON lines, each a report or a list."
        ),
    ],
    rate: Annotated[
        float, typer.Option(min=0.001, max=100_000, help="Lines sent each second.")
    ] = 1.0,
    topic: Annotated[
        str | None, typer.Option(help="By default the first one of BAKVAKT_INPUT_TOPICS.")
    ] = None,
) -> None:
    """Send the reports of a file to the input topic, one Kafka record a line.

    A report without `at` gets the time at which it is sent. The whole file is checked first: if a
    line is wrong, nothing is sent.

    Examples:

    - `bakvakt simulate --from deploy/local/demonstration.jsonl`

    - `bakvakt simulate --from reports.jsonl --rate 50 --topic emu.alarms`
    """
    try:
        lines = read_lines(file)
    except BadLine as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    kafka = os.environ.get("BAKVAKT_KAFKA") or DEFAULT_KAFKA
    configured = os.environ.get("BAKVAKT_INPUT_TOPICS", "").split(",")[0].strip()
    target = topic or configured or DEFAULT_TOPIC
    try:
        asyncio.run(_send(lines, kafka=kafka, topic=target, interval_s=1 / rate))
    except KafkaError as error:
        typer.echo(f"Kafka at {kafka}, topic {target}: {error!r}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{len(lines)} lines sent to {target} of {kafka}")


def read_lines(file: Path) -> list[list[Report]]:
    """The reports of each line that is not empty; raises BadLine for the first wrong one."""
    lines: list[list[Report]] = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                lines.append(_reports(line))
            except ValueError as error:
                raise BadLine(f"{file}, line {number}: {error}") from error
    return lines


def _reports(line: bytes) -> list[Report]:
    value: object = msgspec.json.decode(line)
    reports = cast(list[object], value) if isinstance(value, list) else [value]
    if not reports:
        raise ValueError("the list holds no report")
    for report in reports:
        emu_id = cast(Report, report).get("emu_id") if isinstance(report, dict) else None
        if not (isinstance(emu_id, str) and emu_id):
            raise ValueError("a report is a JSON object with an `emu_id`, a text that is not empty")
    return cast(list[Report], reports)


async def _send(lines: list[list[Report]], *, kafka: str, topic: str, interval_s: float) -> None:
    """Evenly, by the time since the start, so that a slow answer does not lower the rate."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        sent: list[Awaitable[object]] = []
        for number, reports in enumerate(lines):
            await asyncio.sleep(started_s + number * interval_s - loop.time())
            key = str(reports[0]["emu_id"]).encode()
            sent.append(await producer.send(topic, _encode(reports), key))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def _encode(reports: list[Report]) -> bytes:
    """One report as itself, more as a list, each with its time."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    stamped = [{CLOCK_FIELD: now, **report} for report in reports]
    return msgspec.json.encode(stamped[0] if len(stamped) == 1 else stamped)

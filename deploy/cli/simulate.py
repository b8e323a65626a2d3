"""`simulate`: a fleet's reports, made or from a file, sent to the input topic or written to a file."""

import asyncio
import math
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from deploy.cli.feed import Fed, feed_file, feed_kafka
from deploy.cli.local_kafka import with_local_kafka
from deploy.simulator import DEFAULT_EMUS, DEFAULT_RATE, DEFAULT_SEED
from deploy.simulator.fleet import make_fleet
from deploy.simulator.pace import Pace, check_rate, parse_duration, parse_start
from deploy.simulator.presence import PresentFleet
from deploy.simulator.replay import (
    BadLine,
    Line,
    Replay,
    Source,
    check_reports,
    read_fleet,
    split_lines,
)
from deploy.simulator.stream import Stream
from services.ingest.config import IngestSettings
from shared.config import load
from shared.documents.emu import EmuRecord, encode_emu_record
from shared.errors import ConfigError, TransactionError
from shared.times import now_ms

STDOUT = Path("-")

# Enough to see what is wrong with a file.
SHOWN_PROBLEMS = 20

USAGE_STATUS = 2
FAILURE_STATUS = 1


def simulate(  # noqa: PLR0917 - options of the command line
    rate: Annotated[
        float, typer.Option(help="Alarms sent each second. A register counts as an alarm.")
    ] = DEFAULT_RATE,
    emus: Annotated[
        int | None,
        typer.Option(help=f"EMUs of the demonstration fleet.  [default: {DEFAULT_EMUS}]"),
    ] = None,
    duration: Annotated[
        str | None, typer.Option("--for", help="90s, 10m, 1h: how long. By default without end.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help=f"The same seed gives the same stream.  [default: {DEFAULT_SEED}]"),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Send the reports of this file: JSON lines, each one or a list."
        ),
    ] = None,
    restamp: Annotated[
        bool, typer.Option("--restamp", help="With --from: new times also where reports have some.")
    ] = False,
    target: Annotated[
        Path | None,
        typer.Option("--to", help="Write JSON lines to this file (- is standard output), at once."),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="By default the first one of BAKVAKT_INPUT_TOPICS.")
    ] = None,
    fleet: Annotated[
        Path | None,
        typer.Option(
            help="JSON lines of EMU records: simulate these, or allow only these in --from."
        ),
    ] = None,
    presence: Annotated[
        bool,
        typer.Option(
            "--presence", help="Also heartbeats, broken connections, and lists of all that stands."
        ),
    ] = False,
    start: Annotated[
        str | None, typer.Option(help="Time of the first report, RFC 3339. By default now.")
    ] = None,
    print_fleet: Annotated[
        bool, typer.Option("--print-fleet", help="Print the fleet's EMU records, and send nothing.")
    ] = False,
) -> None:
    """Send what a fleet would report: repeats, changes, and incidents with a cause and symptoms.

    Without a file it is a demonstration fleet of several vendors' EMUs, the same for the same seed. With one,
    the file's reports are sent, one Kafka record a line; a report without `at` gets the time at which it is
    sent. Everything is checked first: if anything is wrong, nothing is sent. Ends on Ctrl-C.

    Kafka is that of BAKVAKT_KAFKA, else of the `up` that runs here.

    Examples:

    - `bakvakt simulate --emus 200 --rate 50 --for 10m`

    - `bakvakt simulate --for 1h --to hour.jsonl`, then `bakvakt simulate --from hour.jsonl --restamp`

    - `bakvakt simulate --print-fleet > fleet.jsonl`, then `bakvakt simulate --fleet fleet.jsonl`

    - `bakvakt simulate --presence --for 1h`

    - `bakvakt simulate --from reports.jsonl --rate 50 --topic emu.alarms`
    """
    asked = Asked(
        rate=rate,
        emus=emus,
        duration=duration,
        seed=seed,
        source=source,
        restamp=restamp,
        target=target,
        topic=topic,
        fleet=fleet,
        presence=presence,
        start=start,
    )
    _stop_if(asked.problems(), USAGE_STATUS)
    records = _fleet(asked)
    if print_fleet:
        _print(records)
        return
    made = _source(asked, records)
    try:
        if target is None:
            _send(asked, made)
        else:
            _write(asked, made, target)
    except BadLine as error:
        _stop_if([f"{source} has changed since it was checked: {error}"], FAILURE_STATUS)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options, as they were given."""

    rate: float
    emus: int | None
    duration: str | None
    seed: int | None
    source: Path | None
    restamp: bool
    target: Path | None
    topic: str | None
    fleet: Path | None
    presence: bool
    start: str | None

    def problems(self) -> Iterator[str]:
        """What is wrong with them, alone or together."""
        for name, check in (
            ("--rate", lambda: check_rate(self.rate)),
            ("--for", lambda: self.for_s),
            ("--start", lambda: self.start_ms),
        ):
            try:
                check()
            except ValueError as error:
                yield f"{name}: {error}"
        if self.emus is not None and self.emus < 1:
            yield f"--emus: {self.emus} EMUs are no fleet; write 1 or more"
        yield from self._conflicts()

    def _conflicts(self) -> Iterator[str]:
        if self.source and (self.emus is not None or self.seed is not None):
            yield "--from sends a file: leave --emus and --seed away"
        if self.presence and self.source:
            yield "--presence is of a simulated fleet: leave it away with --from"
        if self.fleet and self.emus is not None:
            yield "--fleet says which EMUs there are: leave --emus away"
        if self.restamp and not self.source:
            yield "--restamp is about the reports of a file: give --from too"
        if self.target and self.topic:
            yield "--to writes a file, --topic is for Kafka: leave one of them away"
        if self.target not in (None, STDOUT) and not self.source and not self.duration:
            yield "--to needs --for here: a simulated fleet goes on without end"
        for read in (self.source, self.fleet):
            if read and self.target and read.resolve() == self.target.resolve():
                yield f"--to would write over {read}, which is to be read"

    @property
    def pace(self) -> Pace:
        return Pace(self.rate, self.for_s)

    @property
    def for_s(self) -> float:
        return math.inf if self.duration is None else parse_duration(self.duration)

    @property
    def start_ms(self) -> int:
        return now_ms() if self.start is None else parse_start(self.start)

    @property
    def seed_or_default(self) -> int:
        return DEFAULT_SEED if self.seed is None else self.seed


def _fleet(asked: Asked) -> list[EmuRecord]:
    if asked.fleet is None:
        return make_fleet(asked.seed_or_default, asked.emus or DEFAULT_EMUS)
    records, problems = read_fleet(str(asked.fleet), _lines(asked.fleet))
    _stop_if(problems, FAILURE_STATUS)
    return records


def _source(asked: Asked, fleet: list[EmuRecord]) -> Source:
    rate, start_ms = asked.rate, asked.start_ms
    if asked.source is None:
        kind = PresentFleet if asked.presence else Stream
        return kind(fleet, seed=asked.seed_or_default, rate=rate, start_ms=start_ms)
    known = {record.emu_id for record in fleet} if asked.fleet else None
    _stop_if(check_reports(str(asked.source), _lines(asked.source), known), FAILURE_STATUS)
    return Replay(_lines(asked.source), rate=rate, start_ms=start_ms, restamp=asked.restamp)


def _lines(file: Path) -> Iterator[Line]:
    """Read as it is needed: files are read twice, once to check them, and held at no time."""
    try:
        if file.exists() and not file.is_file():
            _stop_if([f"{file} cannot be read twice: it is no ordinary file"], FAILURE_STATUS)
        with file.open("rb") as raw_lines:
            yield from split_lines(raw_lines)
    except OSError as error:
        _stop_if([f"{file} cannot be read: {error}"], FAILURE_STATUS)


def _send(asked: Asked, source: Source) -> None:
    fed = Fed()
    pace = asked.pace
    try:
        settings = load(IngestSettings, with_local_kafka(os.environ), "ingest")
    except ConfigError as error:
        _stop_if(error.problems, USAGE_STATUS)
        return
    kafka, topic = settings.kafka, asked.topic or settings.input_topics[0]
    try:
        asyncio.run(feed_kafka(source, pace, kafka=kafka, topic=topic, fed=fed, say=_complain))
    except ConfigError as error:
        _stop_if(error.problems, FAILURE_STATUS)
    except (KafkaError, TransactionError) as error:
        before = f" Before that it took {fed.summary()}." if fed.alarms else ""
        problem = f"Kafka at {kafka}, topic {topic}: {error}.{before}"
        _stop_if([problem], FAILURE_STATUS)
    typer.echo(f"Sent to {topic} of {kafka}: {fed.summary()}")
    if pace.was_late:
        _complain(f"The rate was not held: {fed.rate:,.1f} of {pace.rate:,g} alarms a second.")


def _write(asked: Asked, source: Source, target: Path) -> None:
    fed = Fed()
    try:
        if target == STDOUT:
            feed_file(source, asked.pace, sys.stdout.buffer, fed)
            sys.stdout.flush()
        else:
            with target.open("wb") as file:
                feed_file(source, asked.pace, file, fed)
    except BrokenPipeError:  # whoever read it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _stop_if([f"{target} cannot be written: {error}"], FAILURE_STATUS)
    typer.echo(f"Written to {target}: {fed.summary()}", err=True)


def _print(records: list[EmuRecord]) -> None:
    for record in records:
        typer.echo(encode_emu_record(record))


def _stop_if(problems: Iterable[str], status: int) -> None:
    """Say what is wrong, the first of it where it is much, and end; go on where nothing is."""
    left = iter(problems)
    shown = list(islice(left, SHOWN_PROBLEMS))
    more = sum(1 for _ in left)
    for problem in shown:
        _complain(problem)
    if more:
        _complain(f"... and {more} more like these")
    if shown:
        raise typer.Exit(status)


def _complain(text: str) -> None:
    typer.echo(text, err=True)

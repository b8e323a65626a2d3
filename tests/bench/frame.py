"""What a bench is, and how it is run. Adding one: docs/benchmarks.md."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from deploy.local.servers import RunningServers
from shared.times import now_ms, to_rfc3339
from tests.bench.figures import Figure, Measurement, make_figures
from tests.bench.machine import Machine
from tests.servers import own_servers

Repetitions = Generator[list[Measurement]]


class CannotMeasure(Exception):
    """What was measured would say nothing; the message says why, and what would help."""


@dataclass(frozen=True)
class Setup:
    """What a bench is given: servers that nobody else uses, and how much it is to do."""

    servers: RunningServers
    size: int
    repetitions: range
    directory: Path
    """For logs and state; gone afterwards."""

    @property
    def broker_pid(self) -> int:
        return self.servers.processes["kafka"].pid

    @property
    def redis_pid(self) -> int:
        return self.servers.processes["redis"].pid


@dataclass(frozen=True)
class Bench:
    """One question, and how it is answered.

    `run` yields the measurements of each repetition, the floor's and ours, always of the same names. It is
    no coroutine, and no event loop runs around it: it starts its own, as the services do (uvloop).
    """

    name: str
    question: str
    size: int
    """By default; about a minute in all."""
    counts: str
    """What `size` is a number of."""
    run: Callable[[Setup], Repetitions]
    repetitions: int = 5


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a bench: what its JSON file holds."""

    bench: str
    question: str
    size: int
    counts: str
    repetitions: int
    began_at: str
    took_s: float
    machine: Machine
    figures: list[Figure]


def measure(
    bench: Bench, machine: Machine, *, size: int, repetitions: int, say: Callable[[str], None]
) -> Run:
    """Start servers, run the bench on them, stop them. Must be called in the main thread."""
    began_at, began_s = to_rfc3339(now_ms()), time.monotonic()
    say("Starting Kafka, Redis and PostgreSQL ...")
    with own_servers() as servers, TemporaryDirectory(prefix="bakvakt-bench-") as directory:
        say(f"They serve after {time.monotonic() - began_s:.1f} s")
        setup = Setup(servers, size, range(repetitions), Path(directory))
        with closing(bench.run(setup)) as running:
            found = list(_told(running, repetitions, say))
    return Run(
        bench=bench.name,
        question=bench.question,
        size=size,
        counts=bench.counts,
        repetitions=repetitions,
        began_at=began_at,
        took_s=round(time.monotonic() - began_s, 1),
        machine=machine,
        figures=make_figures(found),
    )


def _told(
    running: Repetitions, repetitions: int, say: Callable[[str], None]
) -> Iterator[list[Measurement]]:
    began_s = time.monotonic()
    for number, measurements in enumerate(running, start=1):
        now_s = time.monotonic()
        say(f"Repetition {number} of {repetitions}: {now_s - began_s:.1f} s")
        began_s = now_s
        yield measurements

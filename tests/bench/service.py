"""A service of ours as a process of its own, and what some work costs it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.endpoints import is_ready, metrics_text
from deploy.local.ports import LOOPBACK, take_port
from deploy.local.process import Program, Running
from deploy.local.server import CannotStart
from deploy.local.state import ROOT
from shared.kafka.topics import Topics, apply_topics
from tests.acceptance.stack import PARTITIONS
from tests.bench.figures import Measurement
from tests.bench.frame import CannotMeasure, Setup
from tests.bench.meter import Cost, Meter, cpu_s
from tests.conditions import until

START_TIMEOUT_S, ANSWER_TIMEOUT_S, WORK_TIMEOUT_S = 60, 30, 1200
# The services' session time-out is 10 s by default.
STOPPED_AT_MOST_S = 8
# A service that has nothing to do uses some 2 % of a core: it looks whether there is something.
IDLE_AFTER_S, IDLE_SHARE = 0.5, 0.05
LOOK_INTERVAL_S = 0.01


class ServiceProcess:
    """One instance that runs, by whoever it was started."""

    def __init__(self, pid: int, url: str) -> None:
        self.pid = pid
        self.url = url

    async def metric(self, name: str) -> float:
        """Sum over all labels. Asking costs the service some ms: not to be done while it is measured."""
        async with aiohttp.ClientSession() as session:
            text = await until(
                lambda: metrics_text(session, self.url),
                timeout_s=ANSWER_TIMEOUT_S,
                what=f"{self.url}/metrics answers",
            )
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )


@asynccontextmanager
async def running(
    setup: Setup, name: str, prefix: str, **settings: str
) -> AsyncGenerator[ServiceProcess]:
    """One instance of `python -m services.<name>`, ready, on topics of its own; then SIGTERM.

    `settings` by their names without BAKVAKT_. Raises CannotStart with its last words.
    """
    port = take_port()
    url = f"http://{LOOPBACK}:{port}"
    program = Program(
        name=name,
        command=(sys.executable, "-P", "-m", f"services.{name}"),
        log=setup.directory / f"{prefix}-{name}.log",
        environment=_environment(
            {
                "KAFKA": setup.servers.kafka,
                "REDIS": setup.servers.redis,
                "PREFIX": prefix,
                "PARTITIONS": str(PARTITIONS),
                "REPLICATION": "1",
                "PORT": str(port),
                **settings,
            }
        ),
    )
    process = Running(program)
    try:
        await _until_ready(process, url)
        yield ServiceProcess(process.pid, url)
    finally:
        await process.stop()


async def make_topics(setup: Setup, prefix: str, *scratch: str) -> Topics:
    """Ours under `prefix`, and `scratch` ones."""
    kafka = setup.servers.kafka
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1, inputs=scratch)
    return Topics(prefix)


async def cost_of(
    process: ServiceProcess,
    fill: Callable[[], Awaitable[object]],
    is_done: Callable[[], Awaitable[bool]],
    **servers: int,
) -> Cost:
    """What it costs `process` to work off what `fill` lays before it, from the first record to the last.

    It is stopped (SIGSTOP) while that is laid out, so it finds all of it there, as after an outage. That
    must take less than its session's time-out, else CannotMeasure. `servers` are pids by name.
    """
    os.kill(process.pid, signal.SIGSTOP)
    stopped_s = time.monotonic()
    try:
        await fill()
        if time.monotonic() - stopped_s > STOPPED_AT_MOST_S:
            raise CannotMeasure(
                f"It took over {STOPPED_AT_MOST_S} s to lay the input out, and meanwhile the service's"
                " partitions were given away. Try a smaller --size."
            )
        meter = Meter(ours=process.pid, **servers)
    finally:
        os.kill(process.pid, signal.SIGCONT)
    began_s = time.monotonic()
    ended_s = await until_done(is_done, process.pid)
    _, used_s, _ = meter.read()
    servers_s = {name: used_s[name] for name in servers}
    return Cost(used_s["ours"], servers_s, ended_s - began_s)


def against_floor(name: str, count: int, floor: Cost, ours: Cost) -> list[Measurement]:
    """Of one record: the process's CPU and each server's, and how many went through a second."""
    floor_name = f"floor of {name}"
    found = [
        Measurement(floor_name, "us", floor.cpu_s / count * 1e6),
        Measurement(name, "us", ours.cpu_s / count * 1e6, floor_name),
    ]
    for server, used_s in ours.servers_s.items():
        floor_us = floor.servers_s[server] / count * 1e6
        found += [
            Measurement(f"{floor_name}: {server}", "us", floor_us),
            Measurement(f"{name}: {server}", "us", used_s / count * 1e6, f"{floor_name}: {server}"),
        ]
    return [
        *found,
        Measurement(f"{floor_name}: rate", "1/s", count / floor.took_s),
        Measurement(f"{name}: rate", "1/s", count / ours.took_s, f"{floor_name}: rate"),
    ]


async def until_done(is_done: Callable[[], Awaitable[bool]], *pids: int) -> float:
    """When the work was at its end, by the monotonic clock: since then the processes have been idle.

    Seen from outside, by their CPU time: to ask them would be work for them. `is_done` is asked only once
    they are idle. Raises TimeoutError.
    """
    async with asyncio.timeout(WORK_TIMEOUT_S):
        while True:
            ended_s = await _until_idle(*pids)
            if await is_done():
                return ended_s


async def _until_idle(*pids: int) -> float:
    busy_s, used_s = time.monotonic(), sum(map(cpu_s, pids))
    while (now_s := time.monotonic()) - busy_s < IDLE_AFTER_S:
        now_used_s = sum(map(cpu_s, pids))
        if now_used_s - used_s > IDLE_SHARE * IDLE_AFTER_S * len(pids):
            busy_s, used_s = now_s, now_used_s
        await asyncio.sleep(LOOK_INTERVAL_S)
    return busy_s


async def _until_ready(process: Running, url: str) -> None:
    async with aiohttp.ClientSession() as session:

        async def ready() -> bool:
            if process.exit_status() is not None:
                raise CannotStart(f"{process.program.name} has ended:\n{process.last_words()}")
            return await is_ready(session, url)

        await until(ready, timeout_s=START_TIMEOUT_S, what=f"{process.program.name} is ready")


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the caller's own settings."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("BAKVAKT_")}
    return outside | {
        "PYTHONPATH": str(ROOT),
        **{f"BAKVAKT_{name}": value for name, value in settings.items()},
    }

"""Kafka goes away under the services: they say so, they can be stopped, and nothing is lost."""

import asyncio
import signal
import time
from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.process import Running
from deploy.local.servers import RunningServers
from tests.acceptance.stack import Stack, started
from tests.bench.meter import cpu_s
from tests.chaos.test_kill_services import SERVICES, reports
from tests.conditions import until
from tests.servers import own_servers

# A reader gives up after 10 s of silence.
TOLD_WITHIN_S = 25
LEAVES_WITHIN_S = 20
# It is 1 % and 100 lines; where clients were only left alone it was 20 % and 80,000, and more each minute.
AWAY_S, MOST_CPU, MOST_LINES = 60, 0.1, 300


@pytest.mark.long
def test_kafka_goes_away(tmp_path: Path) -> None:
    """On servers of its own, which nobody else misses."""
    with (
        own_servers() as servers,
        started(tmp_path / "state", servers, f"t{uuid4().hex[:8]}", {}) as stack,
    ):
        asyncio.run(_go_away(servers, stack))


async def _go_away(servers: RunningServers, stack: Stack) -> None:
    stack.send(*reports(0, 1500))
    await until(lambda: len(stack.pages()) >= 50, what="50 pages")
    broker = servers.processes["kafka"].identity
    assert broker is not None
    broker.send(signal.SIGKILL)

    async def none_ready() -> bool:
        return not any([await stack.ready(service) for service in SERVICES])

    await until(none_ready, timeout_s=TOLD_WITHIN_S, what="/readyz is 503 everywhere")

    before = {service: stack.pid(service) for service in SERVICES}
    began_s = time.monotonic()
    for child in stack.bakvakt.state().children:
        if child.kind == "service" and child.process is not None:
            child.process.send(signal.SIGTERM)

    def all_left() -> bool:
        return not any(stack.pid(service) == before[service] for service in SERVICES)

    await until(all_left, timeout_s=LEAVES_WITHIN_S, what="SIGTERM is followed")
    assert time.monotonic() - began_s < LEAVES_WITHIN_S


@pytest.mark.long
def test_kafka_stays_away_and_comes_back(tmp_path: Path) -> None:
    """Who waits for it does not spin, nor fill the disk; and goes on where it was."""
    with (
        own_servers() as servers,
        started(tmp_path / "state", servers, f"t{uuid4().hex[:8]}", {}) as stack,
    ):
        asyncio.run(_stay_away(servers, stack))


async def _stay_away(servers: RunningServers, stack: Stack) -> None:
    async def all_ready() -> bool:
        return all([await stack.ready(service) for service in SERVICES])

    stack.send(*reports(0, 300))
    await until(lambda: len(stack.pages()) >= 50, what="50 pages")
    broker = servers.processes["kafka"]
    assert broker.identity is not None
    broker.identity.send(signal.SIGKILL)
    await broker.ended()
    await asyncio.sleep(AWAY_S / 3)  # clients are given up and built anew by then
    pids = {service: stack.pid(service) for service in SERVICES}
    before = {service: cpu_s(pid) for service, pid in pids.items()}
    lines = {service: stack.bakvakt.log(service).count("\n") for service in SERVICES}
    await asyncio.sleep(AWAY_S)
    for service, pid in pids.items():
        assert stack.pid(service) == pid
        assert (cpu_s(pid) - before[service]) / AWAY_S < MOST_CPU, service
        assert stack.bakvakt.log(service).count("\n") - lines[service] < MOST_LINES, service
    again = Running(broker.program)
    try:
        await until(all_ready, timeout_s=90, what="/readyz is 200 everywhere")
        stack.send(*reports(300, 300))
        await until(lambda: len(stack.pages()) >= 600, timeout_s=90, what="the other pages")
    finally:
        await again.abandon()

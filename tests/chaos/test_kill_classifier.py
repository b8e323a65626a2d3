"""Instances of the classifier die, stall, come and go under load: each change is told once, and soon.

The figures are those of docs/behaviour.md, with room for a machine that has the broker and more on it.
"""

import asyncio
import signal
from pathlib import Path

import pytest

from deploy.local.servers import running_servers
from shared.times import now_ms
from tests.chaos.classifiers import SESSION_S, loaded_fleet
from tests.conditions import until

pytestmark = pytest.mark.long

# Promised: under 2 s, and session + 3 s.
HEALTHY_WAIT_S = 2 + 2
ORPHANED_WAIT_S = SESSION_S + 3 + 3
# Over the time in which a commit is given up.
BROKER_STILL_S = 14


async def test_one_is_killed_in_the_middle_of_its_transactions(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with loaded_fleet(kafka, prefix, tmp_path) as fleet:
        one, other = fleet.instances
        healthy, orphaned = await one.partitions(), await other.partitions()
        began_ms = now_ms()
        other.send(signal.SIGKILL)
        await fleet.until_shared(one)
        await fleet.until_shared(one, fleet.start())
    assert await fleet.longest_wait_s(healthy, began_ms) < HEALTHY_WAIT_S
    assert await fleet.longest_wait_s(orphaned, began_ms) < ORPHANED_WAIT_S


async def test_one_that_stalls_past_its_session_publishes_nothing_and_steals_nothing(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    async with loaded_fleet(kafka, prefix, tmp_path) as fleet:
        one, other = fleet.instances
        healthy, orphaned = await one.partitions(), await other.partitions()
        began_ms = now_ms()
        other.send(signal.SIGSTOP)
        await fleet.until_shared(one)
        other.send(signal.SIGCONT)
        await fleet.until_shared(one, other)
        assert '"reason": "fenced"' in other.log, "it tried to commit what it had in hand"
    assert await fleet.longest_wait_s(healthy, began_ms) < HEALTHY_WAIT_S
    assert await fleet.longest_wait_s(orphaned, began_ms) < ORPHANED_WAIT_S


async def test_one_joins_and_leaves(kafka: str, prefix: str, tmp_path: Path) -> None:
    async with loaded_fleet(kafka, prefix, tmp_path) as fleet:
        one, other = fleet.instances
        began_ms = now_ms()
        third = fleet.start()
        await fleet.until_shared(one, other, third)
        other.send(signal.SIGTERM)
        await other.ended()
        await fleet.until_shared(one, third)
    assert await fleet.longest_wait_s({0, 1, 2, 3}, began_ms) < HEALTHY_WAIT_S


async def test_one_is_killed_while_it_restores(kafka: str, prefix: str, tmp_path: Path) -> None:
    async with loaded_fleet(kafka, prefix, tmp_path) as fleet:
        one, other = fleet.instances
        for _ in range(3):
            third = fleet.start()
            await until(lambda third=third: '"partitions assigned"' in third.log, timeout_s=20)
            third.send(signal.SIGKILL)
            await third.ended()
            await fleet.until_shared(one, other)


async def test_the_broker_stands_still_in_the_middle_of_their_commits(
    prefix: str, tmp_path: Path
) -> None:
    """Whether those commits stand, nobody knows until it goes on. On servers of its own."""
    async with running_servers() as servers:
        broker = servers.processes["kafka"].identity
        assert broker is not None
        async with loaded_fleet(servers.kafka, prefix, tmp_path) as fleet:
            broker.send(signal.SIGSTOP)
            await asyncio.sleep(BROKER_STILL_S)
            broker.send(signal.SIGCONT)
            await fleet.until_shared(*fleet.instances)
        logs = "".join(instance.log for instance in fleet.instances)
        assert '"reason": "outcome_unknown"' in logs or '"reason": "transaction"' in logs

"""Instances of the classifier die, stall, come and go under load: each change is told once, and soon.

What is published is compared with the oracle at the end of each, document by document. The figures are those
of docs/behaviour.md, with a second more for a machine that has the broker and more on it.
"""

import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from deploy.local.process import Running
from deploy.local.servers import running_servers
from shared.times import now_ms
from tests.chaos.classifiers import ALL_PARTITIONS, SESSION_S, loaded_fleet
from tests.conditions import until

pytestmark = pytest.mark.long

HEALTHY_WAIT_S = 2 + 1
ORPHANED_WAIT_S = SESSION_S + 3 + 1

two_and_three = pytest.mark.parametrize("instances", [2, 3])


@two_and_three
async def test_one_is_killed_in_the_middle_of_its_transactions(
    kafka: str, prefix: str, tmp_path: Path, instances: int
) -> None:
    async with loaded_fleet(kafka, prefix, tmp_path, instances) as fleet:
        *others, victim = fleet.alive
        orphaned = await victim.partitions()
        await fleet.stopped_in_a_transaction(victim)
        began_ms = now_ms()
        victim.send(signal.SIGKILL)
        await fleet.until_shared(*others)
        await fleet.until_shared(*others, fleet.start())
    healthy = ALL_PARTITIONS - orphaned
    assert await fleet.longest_wait_s(healthy, began_ms) < HEALTHY_WAIT_S
    assert await fleet.longest_wait_s(orphaned, began_ms) < ORPHANED_WAIT_S


@pytest.mark.parametrize("owns", ["source", "target"])
async def test_one_is_killed_in_the_middle_of_a_move(
    kafka: str, prefix: str, tmp_path: Path, owns: str
) -> None:
    """Its transfer is written and not committed; or what it has made of transfers that have come is not.

    An open transaction holds back all that is written behind it, so partitions of the other one wait as well.
    """
    async with loaded_fleet(kafka, prefix, tmp_path, movers=20) as fleet:
        other, victim = fleet.alive
        if owns == "source":
            await fleet.stopped_in_a_transfer(victim)
        else:
            await fleet.stopped_in_a_transaction(victim)
        began_ms = now_ms()
        victim.send(signal.SIGKILL)
        await fleet.until_shared(other)
        await fleet.until_shared(other, fleet.start())
    assert await fleet.longest_wait_s(ALL_PARTITIONS, began_ms) < ORPHANED_WAIT_S


@two_and_three
async def test_one_that_stalls_past_its_session_publishes_nothing_and_steals_nothing(
    kafka: str, prefix: str, tmp_path: Path, instances: int
) -> None:
    async with loaded_fleet(kafka, prefix, tmp_path, instances) as fleet:
        *others, victim = fleet.alive
        orphaned = await victim.partitions()
        began_ms = now_ms()
        victim.send(signal.SIGSTOP)
        await fleet.until_shared(*others)
        woken_ms = now_ms()
        victim.send(signal.SIGCONT)
        await fleet.until_shared(*others, victim)
        assert '"reason": "fenced"' in victim.log, "it tried to commit what it had in hand"
    healthy = ALL_PARTITIONS - orphaned
    assert await fleet.longest_wait_s(healthy, began_ms) < HEALTHY_WAIT_S
    assert await fleet.longest_wait_s(orphaned, began_ms) < ORPHANED_WAIT_S
    assert await fleet.longest_wait_s(ALL_PARTITIONS, woken_ms) < HEALTHY_WAIT_S


@two_and_three
async def test_one_joins_and_one_leaves(
    kafka: str, prefix: str, tmp_path: Path, instances: int
) -> None:
    async with loaded_fleet(kafka, prefix, tmp_path, instances) as fleet:
        *others, leaving = fleet.alive
        began_ms = now_ms()
        joining = fleet.start()
        await fleet.until_shared(*others, leaving, joining)
        leaving.send(signal.SIGTERM)
        await leaving.ended()
        await fleet.until_shared(*others, joining)
    assert await fleet.longest_wait_s(ALL_PARTITIONS, began_ms) < HEALTHY_WAIT_S


@two_and_three
async def test_one_is_killed_while_it_restores(
    kafka: str, prefix: str, tmp_path: Path, instances: int
) -> None:
    async with loaded_fleet(kafka, prefix, tmp_path, instances) as fleet:
        others = fleet.alive
        restoring = 0
        while restoring < 2:
            victim = fleet.start()
            await until(lambda victim=victim: '"partitions assigned"' in victim.log, timeout_s=30)
            victim.send(signal.SIGKILL)
            await victim.ended()
            restoring += '"partition restored"' not in victim.log
            await fleet.until_shared(*others)


@two_and_three
async def test_the_broker_stands_still_in_the_middle_of_their_commits(
    prefix: str, tmp_path: Path, instances: int
) -> None:
    """Whether those commits stand, nobody knows until it goes on. On servers of its own."""
    async with running_servers() as servers:
        broker = servers.processes["kafka"].identity
        assert broker is not None
        async with loaded_fleet(servers.kafka, prefix, tmp_path, instances) as fleet:
            broker.send(signal.SIGSTOP)
            await until(lambda: fleet.given_up, timeout_s=60, what="a commit is given up")
            broker.send(signal.SIGCONT)
            await fleet.until_shared(*fleet.alive)


# aiokafka lets go of a connection that is cancelled while it is made; these are the test's own clients.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("instances", "how"), [(2, signal.SIGTERM), (3, signal.SIGKILL)])
async def test_the_broker_is_restarted(
    prefix: str, tmp_path: Path, instances: int, how: signal.Signals
) -> None:
    """On servers of its own."""
    async with running_servers() as servers, AsyncExitStack() as last:
        broker = servers.processes["kafka"]
        assert broker.identity is not None
        async with loaded_fleet(servers.kafka, prefix, tmp_path, instances) as fleet:
            broker.identity.send(how)
            await broker.ended()
            last.push_async_callback(Running(broker.program).abandon)
            told = fleet.told
            await until(lambda: fleet.told > told + 100, timeout_s=150, what="they go on")
            await fleet.until_shared(*fleet.alive)

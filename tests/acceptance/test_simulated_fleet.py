"""The fleet that `up` simulates, and what becomes of its reports."""

import asyncio
from pathlib import Path

from deploy.local.servers import RunningServers
from deploy.simulator import DEFAULT_SEED
from deploy.simulator.fleet import make_fleet
from tests.acceptance.stack import started
from tests.conditions import until
from tests.kafka_log import documents, read_topic


def test_up_simulates_as_many_emus_as_it_is_told(
    servers: RunningServers, prefix: str, tmp_path: Path
) -> None:
    fleet = ("--emus", "12", "--rate", "40")
    with started(tmp_path / "state", servers, prefix, {}, fleet) as stack:

        async def enough_faults() -> set[str]:
            faults = documents(await read_topic(stack.kafka, stack.topics.faults))
            reporting = {fault["emu_id"] for fault in faults}
            is_whole = any(fault["customer_id"] and fault["desk"] != "default" for fault in faults)
            return reporting if is_whole and len(faults) > 8 and len(reporting) > 3 else set()

        reporting = asyncio.run(until(enough_faults, timeout_s=30))
        assert reporting <= {record.emu_id for record in make_fleet(DEFAULT_SEED, 12)}
        assert asyncio.run(read_topic(stack.kafka, stack.topics.dead_letters)) == []
        (child,) = [c for c in stack.bakvakt.state().children if c.name == "simulator"]
        assert child.process is not None
        assert child.process.is_alive()
    # Told to leave, it says what it has sent.
    assert "Sent to " in stack.bakvakt.log("simulator")

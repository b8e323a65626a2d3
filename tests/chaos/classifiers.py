"""Instances of the classifier as processes, alarms that keep coming, and what must come of them."""

import asyncio
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.endpoints import is_ready, metrics_text
from deploy.local.ports import LOOPBACK, take_port
from deploy.local.process import Program, Running
from deploy.local.state import ROOT
from shared.documents.internal import Edge, Source, encode_internal
from shared.kafka.partition import partition_of
from shared.kafka.topics import Topics, apply_topics
from shared.times import now_ms
from tests.conditions import until
from tests.kafka_log import documents, producing, read_topic

PARTITIONS = 4
SESSION_S = 6
# Grade A, without delays: each change is told at once.
CODE = "foxbms2:DIAG_ID_SYSTEM_MONITORING"
INTERVAL_S = 0.01


class Instance:
    """One `python -m services.classifier`."""

    def __init__(self, running: Running, url: str) -> None:
        self._running = running
        self._url = url

    @property
    def log(self) -> str:
        return self._running.program.log.read_text(encoding="utf-8", errors="replace")

    async def ready(self) -> bool:
        async with aiohttp.ClientSession() as session:
            return await is_ready(session, self._url)

    async def partitions(self) -> set[int]:
        """Those that it reads alarms of."""
        async with aiohttp.ClientSession() as session:
            text = await metrics_text(session, self._url)
        return {
            int(sample.labels["partition"])
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "bakvakt_task_oldest_unjudged_seconds"
        }

    def send(self, number: signal.Signals) -> None:
        assert self._running.identity is not None
        self._running.identity.send(number)

    async def ended(self) -> None:
        async with asyncio.timeout(20):
            await self._running.ended()

    async def abandon(self) -> None:
        self.send(signal.SIGCONT)
        await self._running.abandon()


@dataclass
class Fleet:
    """Instances on one prefix, and what was sent to them: each EMU raises once, every second one clears."""

    kafka: str
    directory: Path
    topics: Topics
    instances: list[Instance] = field(default_factory=list[Instance])
    sent_ms: dict[int, int] = field(default_factory=dict[int, int])
    """When the alarm of this number was sent."""
    raised: list[str] = field(default_factory=list[str])
    cleared: set[str] = field(default_factory=set[str])
    sending: bool = True

    def start(self) -> Instance:
        """One more, without waiting for it. In the main thread."""
        name, port = f"classifier-{len(self.instances)}", take_port()
        settings = {
            "BAKVAKT_KAFKA": self.kafka,
            "BAKVAKT_PREFIX": self.topics.prefix,
            "BAKVAKT_PARTITIONS": str(PARTITIONS),
            "BAKVAKT_REPLICATION": "1",
            "BAKVAKT_SESSION_TIMEOUT_MS": str(SESSION_S * 1000),
            "BAKVAKT_PORT": str(port),
            "PYTHONPATH": str(ROOT),
        }
        program = Program(
            name=name,
            command=(sys.executable, "-P", "-m", "services.classifier"),
            log=self.directory / f"{name}.log",
            environment=settings,
        )
        self.instances.append(Instance(Running(program), f"http://{LOOPBACK}:{port}"))
        return self.instances[-1]

    async def until_shared(self, *instances: Instance) -> None:
        """Each of them serves some partitions, and together they serve all, each once."""

        async def shared() -> bool:
            owned = [await instance.partitions() for instance in instances]
            ready = all([await instance.ready() for instance in instances])
            return ready and all(owned) and sorted(p for ps in owned for p in ps) == [0, 1, 2, 3]

        await until(shared, timeout_s=40, what="the instances share the partitions out")

    async def send(self) -> None:
        """A raise each 10 ms, and half a second later the clear of every second one."""
        async with producing(self.kafka) as producer:
            number = 0
            while self.sending or number % 100:
                emu = f"emu-{len(self.raised)}"
                words = [(emu, True)]
                if len(self.raised) >= 50 and len(self.raised) % 2:
                    words.append((f"emu-{len(self.raised) - 50 + 1}", False))
                self.raised.append(emu)
                for emu_id, raised in words:
                    edge = self._edge(emu_id, number, raised=raised)
                    self.sent_ms[number] = edge.receipt_ms
                    await producer.send(
                        self.topics.alarms,
                        encode_internal(edge),
                        emu_id.encode(),
                        partition_of(edge.site_id, PARTITIONS),
                    )
                    self.cleared |= set() if raised else {emu_id}
                    number += 1
                await asyncio.sleep(INTERVAL_S)
            await producer.flush()

    def _edge(self, emu_id: str, number: int, *, raised: bool) -> Edge:
        now = now_ms()
        return Edge(
            source=Source(1, "reports", 0, number, 0),
            emu_id=emu_id,
            site_id=f"site-{int(emu_id.partition('-')[2]) % 97}",
            component="emu",
            code=CODE,
            raised=raised,
            at_ms=now,
            receipt_ms=now,
        )

    async def faults(self) -> list[dict[str, Any]]:
        return documents(await read_topic(self.kafka, self.topics.faults))

    async def check(self) -> None:
        """Each revision is there once, without a hole, in order; what stands is what was sent."""
        expected = len(self.raised) + len(self.cleared)

        async def all_told() -> bool:
            return len(await self.faults()) >= expected

        await until(all_told, timeout_s=40, what=f"{expected} revisions")
        revisions: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
        emus: dict[str, str] = {}
        for fault in await self.faults():
            revisions[fault["fault_id"]].append((fault["revision"], fault["change"]))
            emus[fault["fault_id"]] = fault["emu_id"]
        assert sorted(emus.values()) == sorted(self.raised), "one fault each"
        for fault_id, told in revisions.items():
            gone = emus[fault_id] in self.cleared
            assert told == [(1, "opened"), (2, "cleared")][: 1 + gone], emus[fault_id]

    async def longest_wait_s(self, partitions: set[int], since_ms: int) -> float:
        """From an alarm to its fault, by Kafka's timestamps, of the alarms sent since then."""
        records = await read_topic(self.kafka, self.topics.faults)
        waits_ms = [
            record.timestamp - self.sent_ms[fault["source"]["offset"]]
            for record in records
            for fault in documents([record])
            if record.partition in partitions and fault["change"] == "opened"
            if self.sent_ms[fault["source"]["offset"]] >= since_ms
        ]
        assert waits_ms
        return max(waits_ms) / 1000


@asynccontextmanager
async def loaded_fleet(kafka: str, prefix: str, directory: Path) -> AsyncGenerator[Fleet]:
    """Two instances that share the partitions out, and alarms that keep coming until the end."""
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1)
    fleet = Fleet(kafka, directory, Topics(prefix))
    sending = asyncio.create_task(fleet.send())
    try:
        await fleet.until_shared(fleet.start(), fleet.start())
        await asyncio.sleep(1)  # of plain work, as a measure
        yield fleet
        await asyncio.sleep(1)
        fleet.sending = False
        await sending
        await fleet.check()
    finally:
        sending.cancel()
        await asyncio.gather(*(instance.abandon() for instance in fleet.instances))

"""Instances of the classifier as processes under load: what they tell, and how long that takes."""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import chain
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.endpoints import is_ready, metrics_text
from deploy.local.ports import LOOPBACK, take_port
from deploy.local.process import Program, Running
from deploy.local.state import ROOT
from shared.documents.fault import Fault, decode_fault
from shared.documents.internal import Edge, Snapshot, decode_internal
from shared.kafka.producer import Outgoing
from shared.kafka.topics import Topics, apply_topics
from shared.times import now_ms
from tests.chaos.load import CODE, Load, check_published, judged_by_the_oracle
from tests.conditions import until
from tests.kafka_log import Record, ends_of, producing, read_topic

PARTITIONS = 6
ALL_PARTITIONS = frozenset(range(PARTITIONS))
SESSION_S = 6
TURN_EVERY_S = 0.02


class Instance:
    """One `python -m services.classifier`."""

    def __init__(self, running: Running, url: str) -> None:
        self._running = running
        self._url = url

    @property
    def log(self) -> str:
        return self._running.program.log.read_text(encoding="utf-8", errors="replace")

    @property
    def alive(self) -> bool:
        return self._running.identity is not None and self._running.identity.is_alive()

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


class Fleet:
    """Instances on one prefix, and what is sent to them."""

    def __init__(self, kafka: str, topics: Topics, directory: Path, movers: int = 0) -> None:
        self._kafka = kafka
        self._topics = topics
        self._directory = directory
        self._movers = movers
        self._turns: list[tuple[int, int]] = []
        """When each turn of the load was due, and how late it came to its end, in ms."""
        self._told_ms: dict[bytes, int] = {}
        """When each fault was first read."""
        self.instances: list[Instance] = []

    @property
    def alive(self) -> list[Instance]:
        """Those that have not ended, in the order of their starts."""
        return [instance for instance in self.instances if instance.alive]

    @property
    def given_up(self) -> bool:
        """Whether one of them has had no answer to a commit for so long that it has begun anew."""
        logs = "".join(instance.log for instance in self.instances)
        return '"reason": "outcome_unknown"' in logs or '"reason": "transaction"' in logs

    @property
    def told(self) -> int:
        """How many faults a reader has seen."""
        return len(self._told_ms)

    def start(self) -> Instance:
        """One more, without waiting for it. In the main thread."""
        name, port = f"classifier-{len(self.instances)}", take_port()
        settings = {
            "BAKVAKT_KAFKA": self._kafka,
            "BAKVAKT_PREFIX": self._topics.prefix,
            "BAKVAKT_PARTITIONS": str(PARTITIONS),
            "BAKVAKT_REPLICATION": "1",
            "BAKVAKT_SESSION_TIMEOUT_MS": str(SESSION_S * 1000),
            "BAKVAKT_PORT": str(port),
            "PYTHONPATH": str(ROOT),
        }
        program = Program(
            name=name,
            command=(sys.executable, "-P", "-m", "services.classifier"),
            log=self._directory / f"{name}.log",
            environment=settings,
        )
        self.instances.append(Instance(Running(program), f"http://{LOOPBACK}:{port}"))
        return self.instances[-1]

    async def until_shared(self, *instances: Instance) -> None:
        """Each of them serves some partitions, and together they serve all, each once."""

        async def shared() -> bool:
            await asyncio.sleep(0.2)  # each look costs the machine something
            owned = [await instance.partitions() for instance in instances]
            ready = all([await instance.ready() for instance in instances])
            return ready and all(owned) and sorted(chain(*owned)) == sorted(ALL_PARTITIONS)

        await until(shared, timeout_s=60, what="the instances share the partitions out")

    async def send(self, ending: asyncio.Event) -> None:
        """A turn of the load each 20 ms, or as soon as Kafka has the one before."""
        load = Load(self._topics.alarms, PARTITIONS, self._movers)
        async with producing(self._kafka) as producer:
            while not ending.is_set():
                due_ms = now_ms()
                await self._deliver(producer, load.turn())
                await asyncio.sleep(TURN_EVERY_S)
                self._turns.append((due_ms, now_ms() - due_ms))
            await self._deliver(producer, load.last_words())

    async def _deliver(self, producer: AIOKafkaProducer, words: Iterable[Outgoing]) -> None:
        """What does not arrive, or twice, is no matter: the oracle hears what is in Kafka."""
        with suppress(KafkaError):
            sent = [
                await producer.send(word.topic, word.value, word.key, word.partition)
                for word in words
            ]
            await asyncio.gather(*sent)

    async def watch(self) -> None:
        """Note when faults can be read."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            consumer.assign([TopicPartition(self._topics.faults, n) for n in ALL_PARTITIONS])
            while True:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for record in records:
                        self._told_ms.setdefault(record.key or b"", now_ms())
        finally:
            await consumer.stop()

    async def longest_wait_s(self, partitions: Collection[int], since_ms: int) -> float:
        """From an alarm in Kafka to its fault in a reader's hand, of the alarms sent since then.

        Less the longest time that this machine needed for one turn of the load: it is a busy one.
        """
        sent_ms: dict[int, int] = {}
        for alarm in await read_topic(self._kafka, self._topics.alarms):
            word = decode_internal(alarm.value or b"")
            if isinstance(word, Edge | Snapshot):
                sent_ms.setdefault(word.source.offset, alarm.timestamp)
        waits_ms = [
            self._told_ms[record.key or b""] - sent_ms[fault.source.offset]
            for record in await read_topic(self._kafka, self._topics.faults)
            if record.partition in partitions
            for fault in [decode_fault(record.value or b"")]
            if (fault.code, fault.change, fault.moved_from) == (CODE, "opened", None)
            if sent_ms[fault.source.offset] >= since_ms
        ]
        late_ms = max(late_ms for due_ms, late_ms in self._turns if due_ms >= since_ms)
        return (max(waits_ms) - late_ms) / 1000

    async def stopped_in_a_transfer(self, instance: Instance) -> None:
        """Stop it there: a transfer is written, and neither committed nor given up."""
        while True:
            instance.send(signal.SIGSTOP)
            written = await ends_of(self._kafka, self._topics.alarms, committed=False)
            await asyncio.sleep(0.5)  # by then those of the others are committed
            decided = await ends_of(self._kafka, self._topics.alarms)
            if any(decided[number] < written[number] for number in ALL_PARTITIONS):
                return
            instance.send(signal.SIGCONT)
            await asyncio.sleep(0.1)

    async def stopped_in_a_transaction(self, instance: Instance) -> None:
        """Stop it there: what it has written so far is neither committed nor given up."""
        partitions = await instance.partitions()
        while True:
            instance.send(signal.SIGSTOP)
            written = await ends_of(self._kafka, self._topics.faults, committed=False)
            decided = await ends_of(self._kafka, self._topics.faults)
            if any(decided[number] < written[number] for number in partitions):
                return
            instance.send(signal.SIGCONT)
            await asyncio.sleep(0.1)

    async def check(self) -> None:
        """What is published is what the oracle has for the alarms in Kafka."""
        expected: dict[int, list[Fault]] = {}

        async def all_written() -> bool:
            alarms = await read_topic(self._kafka, self._topics.alarms)
            judged = judged_by_the_oracle(alarms, PARTITIONS)
            expected.update(judged.published)
            return not judged.unwritten

        await until(all_written, timeout_s=60, what="what goes to other partitions")
        revisions = sum(map(len, expected.values()))
        faults: list[Record] = []

        async def all_told() -> bool:
            faults[:] = await read_topic(self._kafka, self._topics.faults)
            return len(faults) >= revisions

        await until(all_told, timeout_s=60, what=f"{revisions} revisions")
        check_published(faults, expected)


@asynccontextmanager
async def loaded_fleet(
    kafka: str, prefix: str, directory: Path, instances: int = 2, movers: int = 0
) -> AsyncGenerator[Fleet]:
    """Instances that share the partitions out, and alarms that keep coming until the end."""
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1)
    fleet, ending = Fleet(kafka, Topics(prefix), directory, movers), asyncio.Event()
    sending = asyncio.create_task(fleet.send(ending))
    watching = asyncio.create_task(fleet.watch())
    try:
        await fleet.until_shared(*[fleet.start() for _ in range(instances)])
        await asyncio.sleep(1)  # of plain work, as a measure
        yield fleet
        await asyncio.sleep(1)
        ending.set()
        await sending
        await fleet.check()
    finally:
        sending.cancel()
        watching.cancel()
        await asyncio.gather(*(instance.abandon() for instance in fleet.instances))

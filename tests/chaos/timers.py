"""Instances of the timer as processes under load, and the oracle of what they are to publish."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain
from pathlib import Path
from random import Random
from typing import NamedTuple

import aiohttp
import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.endpoints import metrics_text
from deploy.local.ports import LOOPBACK, take_port
from deploy.local.process import Program, Running
from deploy.local.state import ROOT
from services.timer.plan import Identity, Moment
from services.timer.records import read_change
from shared.documents.case import Case, Clock, Warn, encode_case
from shared.documents.deadline import Deadline, decode_deadline
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing
from shared.kafka.topics import Topics, apply_topics
from shared.times import from_rfc3339, now_ms, to_rfc3339
from tests.chaos.classifiers import Instance
from tests.conditions import until
from tests.kafka_log import Record, producing, read_topic

PARTITIONS = 4
SITES = 53
SESSION_S = 6
TURN_EVERY_S = 0.02
# What is to fire does so within 1 to 4 s, so that much is due at any time and a test soon ends.
NEAR_MS, FAR_MS = 1_000, 4_000
HOUR_MS = 3_600_000
# A stop that is so long in Kafka before the moment counts: shorter ones may meet it on its way.
KNOWN_AFTER_MS = 2_500
# Warning and end of a clock are one deadline where nobody could publish between them.
FOLDED_WITHIN_MS = 1_500


class CaseLoad:
    """What dispatch would write: new cases, and revisions that stop, move, close or say the same again."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._random = Random(7)  # noqa: S311 - a load, no secret
        self._opened = 0
        self._open: dict[str, Case] = {}

    def turn(self, at_ms: int) -> list[Outgoing]:
        """Some records."""
        new = [self._write(self._case(at_ms)) for _ in range(2)]
        return [*new, self._anything(at_ms), self._anything(at_ms)]

    def _case(self, at_ms: int) -> Case:
        self._opened += 1
        return Case(
            case_id=f"case-{self._opened}",
            revision=1,
            change="opened",
            state="open",
            grade="A",
            grade_worst="A",
            site_id=f"site-{self._random.randrange(SITES)}",
            clocks={
                "response": self._clock(at_ms),
                "step": self._clock(at_ms),
                "resolution": _clock(at_ms, at_ms + HOUR_MS),
            },
        )

    def _clock(self, at_ms: int) -> Clock:
        return _clock(at_ms, at_ms + self._random.randrange(NEAR_MS, FAR_MS))

    def _anything(self, at_ms: int) -> Outgoing:
        case = self._open[self._random.choice(list(self._open)[-100:])]
        name = self._random.choice(list(case.clocks))
        clocks = case.clocks
        match self._random.randrange(8):
            case 0:
                return self._end(case, None)
            case 1:
                return self._end(case, _revised(case, state="closed"))
            case 2:  # the same revision, with other clocks: nobody may listen to it
                other = msgspec.structs.replace(case, clocks={name: self._clock(at_ms)})
                return self._outgoing(case, other)
            case 3:
                clocks = {**clocks, name: self._clock(at_ms)}
            case 4 | 5 | 6:
                stopped = msgspec.structs.replace(clocks[name], stopped_at=to_rfc3339(at_ms))
                clocks = {**clocks, name: stopped}
            case _:
                pass
        return self._write(_revised(case, clocks=clocks))

    def _end(self, case: Case, word: Case | None) -> Outgoing:
        del self._open[case.case_id]
        return self._outgoing(case, word)

    def _write(self, case: Case) -> Outgoing:
        self._open[case.case_id] = case
        return self._outgoing(case, case)

    def _outgoing(self, of: Case, word: Case | None) -> Outgoing:
        home = partition_of(of.site_id, PARTITIONS)
        value = encode_case(word) if word else None
        return Outgoing(self._topic, home, of.case_id.encode(), value)


def _clock(at_ms: int, due_ms: int) -> Clock:
    warn = (Warn("0.5", to_rfc3339((at_ms + due_ms) // 2)), Warn("1", to_rfc3339(due_ms)))
    return Clock(to_rfc3339(at_ms), to_rfc3339(due_ms), "breach", warn)


def _revised(case: Case, **changed: object) -> Case:
    return msgspec.structs.replace(case, revision=case.revision + 1, change="opened", **changed)


class Version(NamedTuple):
    """A case from some time on."""

    written_ms: int
    revision: int | None
    moments: dict[Identity, Moment]


class Outage(NamedTuple):
    """When nobody could publish."""

    began_ms: int
    ended_ms: int


def histories(cases: Iterable[Record]) -> dict[str, list[Version]]:
    """Every version of every case that counts, in the order of the log."""
    found: dict[str, list[Version]] = {}
    for record in cases:
        change = read_change(
            record.key,
            record.value,
            written_ms=record.timestamp,
            partition=record.partition,
            partitions=PARTITIONS,
        )
        case_id, revision, plan = change.case_id, change.revision, change.plan
        versions = found.setdefault(case_id, [])
        newest = versions[-1].revision if versions else None
        if revision is not None and newest is not None and revision <= newest:
            continue
        moments = {moment.identity: moment for moment in plan.moments} if plan else {}
        versions.append(Version(record.timestamp, revision, moments))
    return found


class Oracle:
    """What is to be in `bakvakt.deadlines`, by the cases alone."""

    def __init__(self, cases: Iterable[Record], outages: Sequence[Outage], until_ms: int) -> None:
        self._histories = histories(cases)
        self._outages = outages
        self._until_ms = until_ms

    def missing(self, deadlines: Iterable[Deadline]) -> set[tuple[str, Identity]]:
        """What should have fired by now and has not."""
        fired = {_identity(deadline) for deadline in deadlines}
        return {
            (case_id, identity)
            for case_id, versions in self._histories.items()
            for identity, moment in versions[-1].moments.items()
            if moment.at_ms <= self._until_ms
            if (case_id, identity) not in fired
            and not self._folded(case_id, versions, moment, fired)
        }

    def _folded(
        self,
        case_id: str,
        versions: Sequence[Version],
        moment: Moment,
        fired: set[tuple[str, Identity]],
    ) -> bool:
        """A warning that nobody could publish before its clock's own end had come."""
        end = (moment.clock, "1", moment.version)
        if moment.share == "1" or (case_id, end) not in fired:
            return False
        known_ms = min(one.written_ms for one in versions if moment.identity in one.moments)
        since_ms = max(moment.at_ms, known_ms) + FOLDED_WITHIN_MS
        return moment.version <= since_ms or any(
            outage.began_ms <= since_ms and moment.version <= outage.ended_ms + FOLDED_WITHIN_MS
            for outage in self._outages
        )

    def check(self, records: Sequence[Record]) -> None:
        """None early, none twice, none that no case asked for, none after a stop; none is missing."""
        deadlines = [decode_deadline(record.value or b"") for record in records]
        twice = {one: n for one, n in Counter(map(_identity, deadlines)).items() if n > 1}
        assert not twice, f"published more than once: {twice}"
        for record, deadline in zip(records, deadlines, strict=True):
            self._check_one(record, deadline)
        assert not self.missing(deadlines), "lost"

    def _check_one(self, record: Record, deadline: Deadline) -> None:
        case_id, identity = _identity(deadline)
        versions = self._histories[case_id]
        moments = [v.moments[identity] for v in versions if identity in v.moments]
        assert moments, f"no case asked for {deadline}"
        at_ms = moments[0].at_ms
        assert deadline.due_at == to_rfc3339(at_ms)
        fired_ms = from_rfc3339(deadline.fired_at)
        assert at_ms <= fired_ms, f"early: {deadline}"
        assert at_ms <= record.timestamp, f"early by the host's clock: {deadline}"
        assert deadline.late_ms == fired_ms - at_ms
        known = [v for v in versions if v.written_ms <= at_ms - KNOWN_AFTER_MS]
        newer = [v for v in versions if v.written_ms > at_ms - KNOWN_AFTER_MS]
        assert any(identity in v.moments for v in known[-1:] + newer), f"was stopped: {deadline}"


def _identity(deadline: Deadline) -> tuple[str, Identity]:
    return deadline.case_id, (deadline.clock, deadline.share, deadline.version)


class Timer(Instance):
    """One `python -m services.timer`."""

    @property
    def name(self) -> str:
        """By which Redis knows its connections."""
        return self._running.program.name

    async def partitions(self) -> set[int]:
        """Those whose cases it reads."""
        async with aiohttp.ClientSession() as session:
            text = await metrics_text(session, self._url)
        return {
            int(sample.labels["partition"])
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "bakvakt_kafka_lag_records"
            if sample.labels["topic"].endswith(".cases")
        }


class Timers:
    """Instances on one prefix, and what is sent to them."""

    def __init__(self, kafka: str, redis_url: str, topics: Topics, directory: Path) -> None:
        self.kafka = kafka
        self.topics = topics
        self._redis_url = redis_url
        self._directory = directory
        self._outages: list[Outage] = []
        self.instances: list[Timer] = []

    @property
    def alive(self) -> list[Timer]:
        return [instance for instance in self.instances if instance.alive]

    def start(self) -> Timer:
        """One more, without waiting for it. In the main thread."""
        name, port = f"timer-{len(self.instances)}", take_port()
        settings = {
            "BAKVAKT_KAFKA": self.kafka,
            # So that CLIENT LIST tells whose a connection is.
            "BAKVAKT_REDIS": f"{self._redis_url}?client_name={name}",
            "BAKVAKT_REDIS_TIMEOUT_S": "2",
            "BAKVAKT_PREFIX": self.topics.prefix,
            "BAKVAKT_PARTITIONS": str(PARTITIONS),
            "BAKVAKT_REPLICATION": "1",
            "BAKVAKT_SESSION_TIMEOUT_MS": str(SESSION_S * 1000),
            "BAKVAKT_PORT": str(port),
            "PYTHONPATH": str(ROOT),
        }
        program = Program(
            name=name,
            command=(sys.executable, "-P", "-m", "services.timer"),
            log=self._directory / f"{name}.log",
            environment=settings,
        )
        self.instances.append(Timer(Running(program), f"http://{LOOPBACK}:{port}"))
        return self.instances[-1]

    async def until_shared(self, *instances: Timer) -> None:
        """Each of them serves some shards, and together they serve all, each once."""

        async def shared() -> bool:
            await asyncio.sleep(0.2)  # each look costs the machine something
            owned = [await instance.partitions() for instance in instances]
            ready = all([await instance.ready() for instance in instances])
            return ready and all(owned) and sorted(chain(*owned)) == list(range(PARTITIONS))

        await until(shared, timeout_s=60, what="the instances share the shards out")

    @asynccontextmanager
    async def outage(self) -> AsyncGenerator[None]:
        """Nobody can publish from some time within this until the instances that live serve all again."""
        began_ms = now_ms()
        yield
        await self.until_shared(*self.alive)
        self._outages.append(Outage(began_ms, now_ms()))

    async def send(self, ending: asyncio.Event) -> None:
        """A turn of the load each 20 ms, or as soon as Kafka has the one before."""
        load = CaseLoad(self.topics.cases)
        async with producing(self.kafka) as producer:
            while not ending.is_set():
                await self._deliver(producer, load.turn(now_ms()))
                await asyncio.sleep(TURN_EVERY_S)

    async def _deliver(self, producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> None:
        """What does not arrive, or twice, is no matter: the oracle hears what is in Kafka."""
        with suppress(KafkaError):
            sent = [
                await producer.send(one.topic, one.value, one.key, one.partition) for one in records
            ]
            await asyncio.gather(*sent)

    async def published(self) -> list[Record]:
        """What a read_committed reader sees of the deadlines."""
        return await read_topic(self.kafka, self.topics.deadlines)

    async def check(self) -> None:
        """Once all that is due has come, what is published is what the oracle allows and nothing else."""
        cases = await read_topic(self.kafka, self.topics.cases)
        oracle = Oracle(cases, self._outages, now_ms() + FAR_MS)

        async def all_told() -> bool:
            await asyncio.sleep(0.2)
            deadlines = [decode_deadline(record.value or b"") for record in await self.published()]
            return not oracle.missing(deadlines)

        with suppress(AssertionError):  # the oracle says more
            await until(all_told, timeout_s=40, what="everything that is due")
        await asyncio.sleep(0.5)  # for what nobody has asked for
        oracle.check(await self.published())


@asynccontextmanager
async def loaded_timers(
    kafka: str, redis_url: str, prefix: str, directory: Path, instances: int = 1
) -> AsyncGenerator[Timers]:
    """Instances that share the shards out, and cases that keep coming until the end."""
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1)
    timers, ending = Timers(kafka, redis_url, Topics(prefix), directory), asyncio.Event()
    try:
        await timers.until_shared(*[timers.start() for _ in range(instances)])
        sending = asyncio.create_task(timers.send(ending))
        try:
            await asyncio.sleep(1.5)  # of plain work
            yield timers
            await asyncio.sleep(1)
        finally:
            ending.set()
            await sending
        await timers.check()
    finally:
        await asyncio.gather(*(instance.abandon() for instance in timers.instances))

"""Reports of a source on their way: into Kafka at a pace, or into a file at once."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from deploy.simulator.emus import Record
from deploy.simulator.pace import MOVE_AFTER_S, Pace
from deploy.simulator.replay import Source
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing, PlainProducer
from shared.kafka.topics import check_inputs
from shared.times import now_ms
from shared.waiting import is_set_within

# What is in flight at most: some 5 MB, and 0.1 s of CPU. So much is due at 50,000 a second after a Kafka that
# took 0.4 s for an answer.
PORTION_ALARMS = 20_000
# At high rates what has become due since the last time is sent together.
LEAST_WAIT_S = 0.01


# Of fewer the figures say nothing but what starting costs.
TELLING_ALARMS = 1_000


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@dataclass
class Fed:
    """What was sent."""

    alarms: int = 0
    records: int = 0
    started_s: float = field(default_factory=time.monotonic)
    cpu_started_s: float = field(default_factory=time.process_time)

    @property
    def rate(self) -> float:
        """Alarms a second, from the first to now."""
        took_s = time.monotonic() - self.started_s
        return self.alarms / took_s if took_s else 0.0

    def summary(self) -> str:
        """`1,200 alarms in 310 records in 60.0 s (20.0 a second; 0.4 s of CPU, 330.0 us an alarm)`"""
        took_s = time.monotonic() - self.started_s
        cpu_s = time.process_time() - self.cpu_started_s
        said = (
            f"{_count(self.alarms, 'alarm')} in {_count(self.records, 'record')} in {took_s:.1f} s"
        )
        if self.alarms < TELLING_ALARMS:
            return said
        each_us = cpu_s / self.alarms * 1e6
        return (
            f"{said} ({self.rate:,.1f} a second; {cpu_s:.1f} s of CPU, {each_us:.1f} us an alarm)"
        )


def feed_file(source: Source, pace: Pace, file: BinaryIO, fed: Fed) -> None:
    """Write all of it as JSON lines, one Kafka value each, without waiting for its time."""
    for record in _take(source, pace.last):
        file.write(record.value + b"\n")
        fed.alarms = source.sent
        fed.records += 1


async def feed_kafka(
    source: Source, pace: Pace, *, kafka: str, topic: str, fed: Fed, say: Callable[[str], None]
) -> None:
    """Send all of it at its pace, until it ends or a signal comes; say it, once, if that cannot be held.

    Raises KafkaError, ConfigError or TransactionError; `fed` says what was sent before.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await check_inputs(kafka, (topic,))
    async with PlainProducer(kafka) as producer:
        partitions = await producer.partitions_of(topic)
        ahead_ms = source.start_ms - now_ms()
        fed.started_s = time.monotonic()
        pace.begin(fed.started_s)
        while not stop.is_set() and source.sent < pace.last:
            wait_s = pace.wait_s(source.sent, time.monotonic())
            if wait_s > 0:
                await is_set_within(stop, max(wait_s, LEAST_WAIT_S))
                continue
            until = min(pace.due(time.monotonic()), source.sent + PORTION_ALARMS)
            portion = list(_take(source, until))
            if not portion:
                break
            await producer.send(_address(portion, topic, partitions))
            fed.alarms = source.sent
            fed.records += len(portion)
            was_late = pace.was_late
            pace.catch_up(source.sent, time.monotonic())
            if pace.was_late and not was_late:
                say(f"Kafka is slower than {pace.rate:,g} alarms a second: the rate is not held.")
            _follow_clock(source, pace, now_ms() + ahead_ms)


def _follow_clock(source: Source, pace: Pace, now_ms: int) -> None:
    """Times of reports stay by the host's clock, also when it is set or the machine has slept."""
    at_ms = source.start_ms + int(source.sent * 1000 / pace.rate)
    if abs(now_ms - at_ms) > MOVE_AFTER_S * 1000:
        source.start_ms += now_ms - at_ms


def _take(source: Source, until: float) -> Iterator[Record]:
    """Records until so many alarms have been sent in all, or there is no more."""
    while source.sent < until and (record := source.next()) is not None:
        yield record


def _address(portion: list[Record], topic: str, partitions: int) -> Iterator[Outgoing]:
    """By the EMU, as any Kafka client with the key does it."""
    for key, value, _ in portion:
        yield Outgoing(topic, partition_of(key, partitions), key.encode(), value)

"""Reports of a source on their way: into Kafka at a pace, or into a file at once."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from deploy.simulator.emus import Record
from deploy.simulator.pace import Pace
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
# Being this late is said, once.
LATE_S = 1.0
# Being this late, or off the host's clock (the machine slept), the schedule moves: what is late is not sent
# in one burst, and its times stay those of now.
MOVE_AFTER_S = 5.0


@dataclass
class Fed:
    """What was sent."""

    alarms: int = 0
    records: int = 0
    was_late: bool = False
    started_s: float = field(default_factory=time.monotonic)
    cpu_started_s: float = field(default_factory=time.process_time)

    def summary(self) -> str:
        """`1,200 alarms in 310 records in 60.0 s (20.0 a second; 0.4 s of CPU, 330.0 us an alarm)`"""
        took_s = time.monotonic() - self.started_s
        cpu_s = time.process_time() - self.cpu_started_s
        rate = self.alarms / took_s if took_s else 0.0
        each_us = cpu_s / self.alarms * 1e6 if self.alarms else 0.0
        return (
            f"{self.alarms:,} alarms in {self.records:,} records in {took_s:.1f} s"
            f" ({rate:,.1f} a second; {cpu_s:.1f} s of CPU, {each_us:.1f} us an alarm)"
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
    """Send all of it at its pace, until it ends or a signal comes.

    Raises KafkaError, ConfigError or TransactionError; `fed` says what was sent before.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await check_inputs(kafka, (topic,))
    async with PlainProducer(kafka) as producer:
        partitions = await producer.partitions_of(topic)
        fed.started_s = started_s = time.monotonic()
        skew_ms = source.start_ms - now_ms()
        while not stop.is_set() and source.sent < pace.last:
            elapsed_s = time.monotonic() - started_s
            wait_s = pace.wait_s(source.sent, elapsed_s)
            if wait_s > 0:
                await is_set_within(stop, max(wait_s, LEAST_WAIT_S))
                continue
            until = min(pace.due(elapsed_s), source.sent + PORTION_ALARMS)
            portion = list(_take(source, until))
            if not portion:
                return
            await producer.send(_address(portion, topic, partitions))
            fed.alarms = source.sent
            fed.records += len(portion)
            late_s = pace.late_s(source.sent, time.monotonic() - started_s)
            if late_s > LATE_S and not fed.was_late:
                fed.was_late = True
                say(f"The rate of {pace.rate:g} alarms a second is not held: {late_s:.1f} s late.")
            if late_s > MOVE_AFTER_S:
                started_s += late_s
            _follow_clock(source, pace, skew_ms)


def _follow_clock(source: Source, pace: Pace, skew_ms: int) -> None:
    """The times of reports stay by the host's clock, or as far from it as they began."""
    at_ms = source.start_ms + int(source.sent * 1000 / pace.rate)
    off_ms = now_ms() + skew_ms - at_ms
    if abs(off_ms) > MOVE_AFTER_S * 1000:
        source.start_ms += off_ms


def _take(source: Source, until: float) -> Iterator[Record]:
    """Records until so many alarms have been sent in all, or there is no more."""
    while source.sent < until and (record := source.next()) is not None:
        yield record


def _address(portion: list[Record], topic: str, partitions: int) -> Iterator[Outgoing]:
    """By the EMU, as any Kafka client with the key does it."""
    for key, value, _ in portion:
        yield Outgoing(topic, partition_of(key, partitions), key.encode(), value)

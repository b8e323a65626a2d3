"""Keeps the fleet as `<prefix>.fleet` has it: whole before anything is placed by it, then as it changes."""

import asyncio
from functools import partial

import structlog
from aiokafka import TopicPartition

from services.ingest.fleet import Fleet
from services.ingest.metrics import FLEET_EMUS, FLEET_READ_SECONDS, FLEET_REFUSED
from shared.errors import ReadError, RecordError
from shared.kafka.partition import partition_of
from shared.kafka.reader import Reader, Record
from shared.times import now_ms
from shared.waiting import in_slices, is_set_within

log = structlog.get_logger()

READ_TIMEOUT_MS = 500
FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
# What is taken in before others of the event loop have their turn.
SLICE_S = 0.05


class FleetReader:
    """Reads all partitions, in no group: each instance places the reports of any EMU.

    While Kafka does not answer, `fleet` stays as it was; where that was left, reading goes on.
    """

    def __init__(self, kafka: str, topic: str, partitions: int) -> None:
        self.fleet = Fleet(partial(partition_of, partitions=partitions))
        self.whole = asyncio.Event()
        """Set once the fleet was read to the end that it had."""
        self._kafka = kafka
        self._topic = topic
        self._offsets: dict[TopicPartition, int | None] = {
            TopicPartition(topic, partition): None for partition in range(partitions)
        }
        self._backoff_s = FIRST_BACKOFF_S

    def not_ready(self) -> list[str]:
        """What is missing until the first time that all was read."""
        if self.whole.is_set():
            return []
        return [f"{self._topic}: still being read, {len(self.fleet)} EMUs so far"]

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until `stopping` is set, again and again where that fails."""
        while not stopping.is_set():
            try:
                await self._read(stopping)
            except ReadError as error:
                log.warning(
                    "the fleet cannot be read, reports are placed by what is known of it",
                    error=str(error),
                    emus=len(self.fleet),
                    backoff_s=self._backoff_s,
                )
                await is_set_within(stopping, self._backoff_s)
                self._backoff_s = min(2 * self._backoff_s, LONGEST_BACKOFF_S)

    async def _read(self, stopping: asyncio.Event) -> None:
        """Raises ReadError."""
        async with Reader(self._kafka, self._offsets) as reader:
            async for records in reader.batches_to_end():
                await self._take(records)
                if stopping.is_set():
                    return
            if not self.whole.is_set():
                log.info("fleet read", emus=len(self.fleet))
            self.whole.set()
            self._backoff_s = FIRST_BACKOFF_S
            while not stopping.is_set():
                FLEET_READ_SECONDS.set(now_ms() / 1000)
                await self._take(await reader.read(timeout_ms=READ_TIMEOUT_MS))

    async def _take(self, records: list[Record]) -> None:
        for taken in in_slices(map(self._take_one, records), SLICE_S):
            for partition, offset in taken:
                self._offsets[partition] = offset
            await asyncio.sleep(0)
        FLEET_EMUS.set(len(self.fleet))

    def _take_one(self, record: Record) -> tuple[TopicPartition, int]:
        """The partition, and the offset behind the record."""
        try:
            self.fleet.take(record.partition, record.key, record.value)
        except RecordError as error:
            FLEET_REFUSED.labels(error.reason).inc()
            log.warning(
                "a record of the fleet cannot be used",
                partition=record.partition,
                offset=record.offset,
                reason=error.reason,
                detail=error.detail,
            )
        return TopicPartition(self._topic, record.partition), record.offset + 1

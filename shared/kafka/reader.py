"""A reader of chosen partitions from chosen offsets, in no consumer group."""

import time
from collections.abc import AsyncIterator, Collection, Mapping
from types import TracebackType
from typing import Self

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from shared.errors import ReadError
from shared.kafka.clients import make_reader
from shared.kafka.ending import end_client
from shared.metrics import LAG_RECORDS, LAG_SECONDS, LAST_READ_SECONDS, LOST_INPUT
from shared.times import now_ms
from shared.waiting import within

log = structlog.get_logger()

Record = ConsumerRecord[bytes | None, bytes | None]

START_TIMEOUT_S = 20
MAX_SILENCE_MS = 10_000
ANSWER_TIMEOUT_S = 10
STOP_TIMEOUT_S = 3
# Nobody asks for the lag more often, and to work it out costs as much as to read a record.
TELL_INTERVAL_S = 0.5


class Reader:
    """Reads `offsets` (partition -> first offset wanted; None: from the log's start) in order.

    Only committed records are seen. Raises ReadError when Kafka cannot be reached.
    """

    def __init__(
        self,
        kafka: str,
        offsets: Mapping[TopicPartition, int | None],
        *,
        ask_ends: bool = False,
        fetch_max_wait_ms: int = 500,
    ) -> None:
        """`ask_ends`: find out `ends_at_start`. `fetch_max_wait_ms`: for how long the broker keeps a fetch
        for which there is nothing."""
        self.losses = 0
        """How often input was gone that was not read yet; what `read` gives from then on lies behind it."""
        self._client: AIOKafkaConsumer = make_reader(kafka, fetch_max_wait_ms=fetch_max_wait_ms)
        self._offsets = dict(offsets)
        self._started_ms = now_ms()
        self._ask_ends = ask_ends
        self.ends_at_start: Mapping[TopicPartition, int] = {}
        """Where the partitions ended before the first record was asked for. To ask later takes up to
        `fetch_max_wait_ms`: the broker answers in order, and lets a request wait for which there is
        nothing."""
        self._heard_ms: dict[TopicPartition, int] = {}
        self._heard_before_ms: dict[TopicPartition, int] = {}
        self._placed: set[TopicPartition] = set()
        """Partitions that have had a position: from then on they always have one."""
        self._tell_at_s = 0.0

    async def __aenter__(self) -> Self:
        try:
            await within(START_TIMEOUT_S, self._start())
        except BaseException as error:
            await self._stop()
            if isinstance(error, KafkaError | TimeoutError):
                raise ReadError(f"the reader did not start: {error!r}") from error
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for partition in self._offsets:
            for gauge in (LAG_RECORDS, LAG_SECONDS, LAST_READ_SECONDS):
                gauge.remove(partition.topic, str(partition.partition))
        await self._stop()

    async def read(self, *, timeout_ms: int, max_records: int = 5_000) -> list[Record]:
        """What has come, in order within each partition; empty after `timeout_ms` without any."""
        try:
            found = await self._client.getmany(timeout_ms=timeout_ms, max_records=max_records)
        except OffsetOutOfRangeError:
            await self._go_to_start()
            return []
        except KafkaError as error:
            raise ReadError(f"reading failed: {error!r}") from error
        self._note_answers()
        if time.monotonic() >= self._tell_at_s:
            self._tell_at_s = time.monotonic() + TELL_INTERVAL_S
            await self._tell_lag(
                {partition: some[0].timestamp for partition, some in found.items() if some}
            )
        if not found:
            self._check_silence()
        if len(found) == 1:
            return found.popitem()[1]
        return [record for some in found.values() for record in some]

    async def position(self, partition: TopicPartition) -> int:
        """The offset of the next record, behind every record read and every transaction marker."""
        if partition in self._placed:
            return await self._client.position(partition)
        try:
            position = await within(ANSWER_TIMEOUT_S, self._client.position(partition))
        except (KafkaError, TimeoutError) as error:
            raise ReadError(f"the position cannot be read: {error!r}") from error
        self._placed.add(partition)
        return position

    def read_to_end_ms(self, partition: TopicPartition, position: int) -> int | None:
        """A moment at which nothing was in the log behind `position`; None: there is more to read.

        The newest answer of the broker may have lain in a socket while we were stopped; but it was asked
        for after the answer before it had come, and that moment is given.
        """
        highwater = self._client.highwater(partition)
        if highwater is None or position < highwater:
            return None
        return self._heard_before_ms.get(partition)

    async def _ends(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        try:
            ends = await within(ANSWER_TIMEOUT_S, self._client.end_offsets([*partitions]))
        except (KafkaError, TimeoutError) as error:
            raise ReadError(f"the log's end cannot be read: {error!r}") from error
        return {partition: ends[partition] for partition in partitions}

    async def _starts(self) -> dict[TopicPartition, int]:
        try:
            return await within(ANSWER_TIMEOUT_S, self._client.beginning_offsets([*self._offsets]))
        except (KafkaError, TimeoutError) as error:
            raise ReadError(f"the log's start cannot be read: {error!r}") from error

    async def batches_to_end(
        self, max_records: int = 5_000, *, ends: Mapping[TopicPartition, int] | None = None
    ) -> AsyncIterator[list[Record]]:
        """Every record up to `ends`, or to the end that the partitions have now, and maybe some more.

        A batch may be empty, so that the caller can look whether it is still to go on.
        """
        if ends is None:
            ends = await self._ends(self._offsets)
        while any([await self.position(partition) < end for partition, end in ends.items()]):
            yield await self.read(timeout_ms=200, max_records=max_records)

    async def records_to_end(self) -> AsyncIterator[Record]:
        """As `batches_to_end`, one by one."""
        async for batch in self.batches_to_end():
            for record in batch:
                yield record

    async def _start(self) -> None:
        await self._client.start()
        if self._ask_ends:
            self.ends_at_start = await self._client.end_offsets([*self._offsets])
        self._client.assign(list(self._offsets))
        for partition, offset in self._offsets.items():
            if offset is None:
                await self._client.seek_to_beginning(partition)
            else:
                self._client.seek(partition, offset)

    async def _stop(self) -> None:
        """What was read is the caller's by now."""
        await end_client(self._client, STOP_TIMEOUT_S)

    def _check_silence(self) -> None:
        """aiokafka waits for absent brokers without a word; an idle one answers each fetch in 0.5 s."""
        heard_ms = [self._client.last_poll_timestamp(partition) for partition in self._offsets]
        oldest_ms = min(heard if heard is not None else self._started_ms for heard in heard_ms)
        silent_ms = now_ms() - max(oldest_ms, self._started_ms)
        if silent_ms > MAX_SILENCE_MS:
            raise ReadError(f"Kafka has not answered for {silent_ms / 1000:.0f} s")

    def _note_answers(self) -> None:
        """When the broker last answered, and when before that."""
        for partition in self._offsets:
            heard_ms = self._client.last_poll_timestamp(partition)
            if heard_ms is None or heard_ms == self._heard_ms.get(partition):
                continue
            if partition in self._heard_ms:
                self._heard_before_ms[partition] = self._heard_ms[partition]
            self._heard_ms[partition] = heard_ms

    async def _tell_lag(self, oldest_ms: Mapping[TopicPartition, int]) -> None:
        for partition in self._offsets:
            labels = (partition.topic, str(partition.partition))
            highwater = self._client.highwater(partition)
            lag = 0 if highwater is None else highwater - await self.position(partition)
            LAG_RECORDS.labels(*labels).set(max(0, lag))
            if partition in self._heard_ms:
                LAST_READ_SECONDS.labels(*labels).set(self._heard_ms[partition] / 1000)
            age_ms = now_ms() - oldest_ms[partition] if partition in oldest_ms else 0
            LAG_SECONDS.labels(*labels).set(max(0, age_ms) / 1000)

    async def _go_to_start(self) -> None:
        """Input is gone that was not read yet: say so, and go on with what is left."""
        ends = await self._ends(self._offsets)
        for partition, start in (await self._starts()).items():
            position = await self.position(partition)
            if start <= position <= ends[partition]:
                continue
            self.losses += 1
            LOST_INPUT.labels(partition.topic, str(partition.partition)).inc()
            log.error(
                "input lost: the log does not hold the next record any more",
                topic=partition.topic,
                partition=partition.partition,
                wanted=position,
                log_start=start,
                log_end=ends[partition],
            )
            self._client.seek(partition, start)

"""One partition of an input topic: reports in, internal records and dead letters out."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable, Iterator

import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from services.ingest.config import IngestSettings
from services.ingest.fleet import Fleet, Spoken
from services.ingest.metrics import (
    CONTRADICTED_SITES,
    READ_TO_SECONDS,
    REPORTS,
    UNKNOWN_CODES,
    UNKNOWN_EMUS,
    UNKNOWN_REGISTERS,
)
from services.ingest.reports import (
    Arrival,
    Made,
    clamp_receipt,
    count_unknown_codes,
    count_unknown_registers,
    read_arrival,
)
from services.ingest.ticks import Inputs, Ticks
from shared.catalogue import Catalogue
from shared.documents.dead_letter import DeadLetter
from shared.documents.internal import encode_internal
from shared.errors import ReadError
from shared.kafka.group import Ownership
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing, PlainProducer, bury, tell_buried
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import Topics
from shared.times import now_ms
from shared.waiting import in_slices, within

log = structlog.get_logger()

# What is read again after a crash, and dropped by the classifier.
COMMIT_INTERVAL_MS = 1_000
READ_TIMEOUT_MS = 500
ANSWER_TIMEOUT_S = 10
STOP_TIMEOUT_S = 3
# What is computed before others of the event loop have their turn: other partitions, the group's heartbeat.
SLICE_S = 0.05
# By so much the broker's clock, or a gateway's, may be behind ours without a receipt being touched.
CLOCK_SKEW_MS = 1_000
CREATE_TIME = 0


def group_name(prefix: str, topic: str) -> str:
    """The group whose commits are ingest's offsets in `topic`."""
    return f"{prefix}.ingest.{topic}"


class IngestTask:
    """At least once, in input order: the offset is committed after Kafka has what came of it.

    A former owner that wakes up late repeats at most what the new one writes as well; its commits are
    refused. The classifier drops repetitions by their source.
    """

    def __init__(
        self,
        settings: IngestSettings,
        topic: str,
        catalogue: Catalogue,
        fleet: Fleet,
        inputs: Callable[[], Inputs | None],
    ) -> None:
        """`fleet` may change while the task runs. `inputs`: what has to be read besides; None: unknown."""
        self._settings = settings
        self._fleet = fleet
        self._catalogue = catalogue
        self._topics = Topics(settings.prefix)
        self._topic = topic
        self._inputs = inputs
        self._read_to_ms = 0
        self._committed_ms = 0
        self._warned = False
        self._reports = REPORTS.labels(topic)
        self._unknown_codes = UNKNOWN_CODES.labels(topic)
        self._unknown_registers = UNKNOWN_REGISTERS.labels(topic)
        self._unknown_emus = UNKNOWN_EMUS.labels(topic)
        self._contradicted_sites = CONTRADICTED_SITES.labels(topic)

    async def run(self, ownership: Ownership) -> None:
        """See shared.kafka.group.PartitionTask."""
        partition = ownership.topic_partition
        ticks = Ticks(self._settings.input_generation, self._topic, partition.partition)
        offset = await self._read_committed(partition)
        labels = (self._topic, str(partition.partition))
        async with (
            PlainProducer(self._settings.kafka) as producer,
            Reader(self._settings.kafka, {partition: offset}) as reader,
        ):
            ownership.ready = True
            self._committed_ms = now_ms()
            try:
                while not ownership.ended:
                    records = await reader.read(timeout_ms=READ_TIMEOUT_MS)
                    if not await self._carry_over(records, ownership, producer):
                        return
                    position = await reader.position(partition)
                    read_to_ms = reader.read_to_end_ms(partition, position)
                    if read_to_ms is not None:
                        self._read_to_ms = max(self._read_to_ms, read_to_ms - CLOCK_SKEW_MS)
                    READ_TO_SECONDS.labels(*labels).set(self._read_to_ms / 1000)
                    await self._tick_if_due(ticks, producer)
                    await self._commit_if_due(ownership, position)
            finally:
                READ_TO_SECONDS.remove(*labels)

    async def _carry_over(
        self, records: Iterable[Record], ownership: Ownership, producer: PlainProducer
    ) -> bool:
        """Send what comes of the records, slice by slice. False: the rest is the next owner's."""
        for made in in_slices(self._read(records), SLICE_S):
            if ownership.ended:
                return False
            await producer.send([outgoing for _, outgoing in made])
            offset, _ = made[-1]  # the record's own: more may come of it
            await self._commit_if_due(ownership, offset)
            await asyncio.sleep(0)
        return True

    async def _tick_if_due(self, ticks: Ticks, producer: PlainProducer) -> None:
        """Behind all that came of what was read: Kafka has it, so it lies before the tick everywhere."""
        now, inputs = now_ms(), self._inputs()
        if inputs is None or not ticks.is_due(now):
            return
        partitions = self._settings.partitions
        await producer.send(
            ticks.make(
                inputs, self._read_to_ms, now, topic=self._topics.alarms, partitions=partitions
            )
        )

    async def _commit_if_due(self, ownership: Ownership, position: int) -> None:
        due = now_ms() - self._committed_ms >= COMMIT_INTERVAL_MS or ownership.ended
        if due and position != ownership.processed:
            await ownership.commit(position, json.dumps({"read_to_ms": self._read_to_ms}))
            self._committed_ms = now_ms()

    async def _read_committed(self, partition: TopicPartition) -> int | None:
        """The group's offset (None: it has none yet), and the moment kept in its metadata."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka)
        try:
            await within(ANSWER_TIMEOUT_S, admin.start())
            group = group_name(self._settings.prefix, self._topic)
            found = await within(
                ANSWER_TIMEOUT_S, admin.list_consumer_group_offsets(group, partitions=[partition])
            )
        except (KafkaError, TimeoutError) as error:
            raise ReadError(f"the committed offset cannot be read: {error!r}") from error
        finally:
            with contextlib.suppress(TimeoutError, KafkaError):
                await within(STOP_TIMEOUT_S, admin.close())
        if partition not in found:
            # aiokafka passes over an answer that is only an error, such as "coordinator is loading".
            raise ReadError("the group's coordinator does not know the committed offset yet")
        if found[partition].offset < 0:
            return None
        try:
            self._read_to_ms = int(json.loads(found[partition].metadata)["read_to_ms"])
        except (ValueError, KeyError, TypeError):
            self._read_to_ms = 0  # committed by a tool, not by us
        return found[partition].offset

    def _read(self, records: Iterable[Record]) -> Iterator[tuple[int, Outgoing]]:
        """What comes of the records, each with the offset of its own."""
        now = now_ms()
        for record in records:
            self._look_at_timestamp(record)
            arrival = Arrival(
                generation=self._settings.input_generation,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                key=record.key,
                value=record.value,
                receipt_ms=clamp_receipt(record.timestamp, read_to_ms=self._read_to_ms, now_ms=now),
            )
            for result in read_arrival(arrival, self._catalogue):
                if isinstance(result, DeadLetter):
                    yield record.offset, self._bury(result)
                else:
                    self._count(result)
                    yield record.offset, self._address(self._place(result))

    def _look_at_timestamp(self, record: Record) -> None:
        if record.timestamp_type == CREATE_TIME and not self._warned:
            self._warned = True
            log.warning(
                "the input has the producers' timestamps; "
                "message.timestamp.type=LogAppendTime on it is better",
                topic=self._topic,
            )

    def _count(self, made: Made) -> None:
        self._reports.inc()
        if unknown := count_unknown_codes(made, self._catalogue):
            self._unknown_codes.inc(unknown)
        if unknown := count_unknown_registers(made, self._catalogue):
            self._unknown_registers.inc(unknown)

    def _place(self, made: Spoken) -> Spoken:
        """At its EMU's site, by the EMU's record; where there is none, as the report has it."""
        placed, how = self._fleet.place(made)
        if how == "unknown":
            self._unknown_emus.inc()
        elif how == "contradicted":
            self._contradicted_sites.inc()
        return placed

    def _address(self, made: Made) -> Outgoing:
        partition = partition_of(made.site_id, self._settings.partitions)
        return Outgoing(self._topics.alarms, partition, made.emu_id.encode(), encode_internal(made))

    def _bury(self, letter: DeadLetter) -> Outgoing:
        tell_buried("ingest", letter)
        partition = letter.origin.partition % self._settings.partitions
        return bury(letter, self._topics.dead_letters, partition)

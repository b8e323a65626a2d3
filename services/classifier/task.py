"""One partition of the alarms: exactly once from `bakvakt.alarms` to `bakvakt.faults`."""

import time
from collections import deque
from collections.abc import Iterator

import msgspec
import structlog
from aiokafka import TopicPartition

from services.classifier.config import ClassifierSettings
from services.classifier.metrics import (
    ALARMS,
    COMMIT_SECONDS,
    FAULTS,
    FAULTS_OPEN,
    RESTORE_SECONDS,
)
from services.classifier.partition import Batch, Partition
from shared.catalogue import Catalogue
from shared.documents.dead_letter import DeadLetter, make_dead_letter
from shared.documents.fault import GRADES, encode_fault
from shared.documents.internal import InternalRecord, decode_internal
from shared.errors import RecordError
from shared.failures import RULE_FAILED, FailureLimit
from shared.kafka.group import Ownership
from shared.kafka.partition import partition_of
from shared.kafka.producer import FencedProducer, Outgoing, bury
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import Topics
from shared.metrics import DEAD_LETTERS
from shared.times import now_ms

log = structlog.get_logger()

READ_TIMEOUT_MS = 200
MAX_BATCH_RECORDS = 5_000
# Records that change nothing (redeliveries) still move the offset, but not each at once.
OFFSET_INTERVAL_MS = 1_000


class ClassifierTask:
    """Faults, changelog and input offset of a batch in one transaction; state changes after it.

    Taking over: InitProducerId fences the former owner and settles its open transaction, so the changelog
    is read to an end that nobody can move; the input is read on from the offset found there.
    """

    def __init__(
        self, settings: ClassifierSettings, catalogue: Catalogue, failures: FailureLimit
    ) -> None:
        self._settings = settings
        self._failures = failures
        self._topics = Topics(settings.prefix)
        self._partition = Partition(catalogue)
        self._committed_ms = 0
        self._failed = False

    async def run(self, ownership: Ownership) -> None:
        """See shared.kafka.group.PartitionTask."""
        p = ownership.partition
        kafka, alarms = self._settings.kafka, ownership.topic_partition
        transactional_id = f"{self._settings.prefix}.classifier.{self._topics.alarms}.{p}"
        began_s = time.monotonic()
        async with FencedProducer(kafka, transactional_id) as producer:
            await self._restore(p)
            async with Reader(kafka, {alarms: self._partition.meta.offset}) as reader:
                RESTORE_SECONDS.observe(time.monotonic() - began_s)
                # Where it was the rules that stopped the last task, this one has to get past that place.
                ownership.ready = not self._failures.reached
                self._tell_open(p)
                try:
                    while not ownership.ended:
                        await self._step(producer, reader, alarms)
                        # Each time: a former task of this partition, ending late, may have withdrawn it.
                        self._tell_open(p)
                        ownership.ready = not self._failures.reached
                        ownership.processed = self._partition.meta.offset
                finally:
                    for grade in GRADES:
                        FAULTS_OPEN.remove(str(p), grade)

    async def _step(self, producer: FencedProducer, reader: Reader, alarms: TopicPartition) -> None:
        """Read what has come, judge it, commit it; in several batches where very much is due."""
        read = await reader.read(timeout_ms=READ_TIMEOUT_MS, max_records=MAX_BATCH_RECORDS)
        records = deque(read)
        self._failed = False
        position = await reader.position(alarms)
        # Where all input is read, time goes on without records.
        end_ms = reader.read_to_end_ms(alarms, position) or 0
        finished = False
        while not finished:
            batch = self._partition.stage()
            letters: list[DeadLetter] = []
            finished = self._judge_all(batch, records, letters) and batch.follow_clock(end_ms)
            batch.move_offset(records[0].offset if records else position)
            await self._commit(producer, alarms.partition, batch, letters)

    def _judge_all(self, batch: Batch, records: deque[Record], letters: list[DeadLetter]) -> bool:
        """Take the records in, one by one; False: the batch is full before the first one that is left."""
        while records:
            record = records[0]
            try:
                alarm = self._read(record)
            except RecordError as error:
                letters.append(self._bury(error, record))
            else:
                if not batch.follow_clock(alarm.receipt_ms):
                    return False
                if (letter := self._judge(batch, alarm, record)) is not None:
                    letters.append(letter)
            records.popleft()
        return True

    async def _commit(
        self, producer: FencedProducer, p: int, batch: Batch, letters: list[DeadLetter]
    ) -> None:
        for verdict, count in batch.verdicts.items():
            ALARMS.labels(verdict).inc(count)
        if not (batch.changes_state or letters):
            moved = batch.meta.offset != self._partition.meta.offset
            if not moved or now_ms() - self._committed_ms < OFFSET_INTERVAL_MS:
                return
        self._failures.note(now_ms(), sum(letter.reason == RULE_FAILED for letter in letters))
        with COMMIT_SECONDS.time():
            await producer.commit(self._outgoing(p, batch, letters))
        self._committed_ms = now_ms()
        self._partition.apply(batch)
        for fault in batch.faults:
            FAULTS.labels(fault.change).inc()

    async def _restore(self, p: int) -> None:
        changelog = TopicPartition(self._topics.classifier_state, p)
        records = 0
        async with Reader(self._settings.kafka, {changelog: None}) as reader:
            async for record in reader.records_to_end():
                records += 1
                if record.key is not None:
                    self._partition.restore(record.key, record.value)
        self._partition.restored()
        log.info(
            "partition restored",
            partition=p,
            records=records,
            conditions=len(self._partition.conditions),
            offset=self._partition.meta.offset,
        )

    def _read(self, record: Record) -> InternalRecord:
        try:
            alarm = decode_internal(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError("undecodable", str(error)) from error
        home = partition_of(alarm.site_id, self._settings.partitions)
        if home != record.partition:
            raise RecordError(
                "wrong_partition", f"site {alarm.site_id} belongs to partition {home}"
            )
        return alarm

    def _judge(self, batch: Batch, alarm: InternalRecord, record: Record) -> DeadLetter | None:
        try:
            batch.judge(alarm)
        except Exception as error:
            if not self._failed:  # one traceback a read is enough: there may be thousands
                self._failed = True
                log.exception("a rule failed", offset=record.offset)
            return self._bury(RecordError(RULE_FAILED, repr(error)), record)
        return None

    def _bury(self, error: RecordError, record: Record) -> DeadLetter:
        DEAD_LETTERS.labels("classifier", error.reason).inc()
        log.error(
            "dead letter",
            reason=error.reason,
            detail=error.detail,
            partition=record.partition,
            offset=record.offset,
        )
        return make_dead_letter(error, record)

    def _outgoing(self, p: int, batch: Batch, letters: list[DeadLetter]) -> Iterator[Outgoing]:
        topics = self._topics
        for fault in batch.faults:
            yield Outgoing(topics.faults, p, fault.fault_id.encode(), encode_fault(fault))
        for key, value in batch.changelog():
            yield Outgoing(topics.classifier_state, p, key, value)
        for letter in letters:
            yield bury(letter, topics.dead_letters, p)

    def _tell_open(self, p: int) -> None:
        for grade in GRADES:
            FAULTS_OPEN.labels(str(p), grade).set(self._partition.open_by_grade[grade])

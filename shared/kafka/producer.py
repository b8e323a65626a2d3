"""Writing to Kafka: batches whose every answer is awaited, in a fenced transaction or without one."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Self

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.structs import RecordMetadata

from shared.documents.dead_letter import DeadLetter
from shared.errors import FencedError, OutcomeUnknown, TransactionError
from shared.kafka.clients import make_producer
from shared.kafka.ending import end_client
from shared.metrics import DEAD_LETTERS
from shared.waiting import within

log = structlog.get_logger()

# InitProducerId waits for the former owner's open transaction to end, TRANSACTION_TIMEOUT_MS at most.
START_TIMEOUT_S = 20
# Longer than the coordinator allows a transaction to live: past it the outcome is "aborted" or "unknown".
COMMIT_TIMEOUT_S = 12
CLOSE_TIMEOUT_S = 3
# Batches of an idempotent producer never expire by themselves.
SEND_TIMEOUT_S = 10


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One record to be written; `value` None is a tombstone."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = []


def bury(letter: DeadLetter, topic: str, partition: int) -> Outgoing:
    """A dead letter on its way to `topic`, the dead letters'."""
    return Outgoing(topic, partition, letter.key, letter.value, letter.headers)


def tell_buried(service: str, letter: DeadLetter) -> None:
    """Count a dead letter of `service`, and log why it is one; once it is sure to come to Kafka."""
    DEAD_LETTERS.labels(service, letter.reason).inc()
    log.warning(
        "dead letter",
        reason=letter.reason,
        detail=letter.detail,
        topic=letter.origin.topic,
        partition=letter.origin.partition,
        offset=letter.origin.offset,
    )


async def _send(
    producer: AIOKafkaProducer, outgoing: Iterable[Outgoing], *, one_by_one: bool
) -> dict[tuple[str, int], int]:
    """Send all and await every answer: aiokafka commits a transaction although a batch in it failed.

    Gives the offset behind the last record of each partition, where Kafka tells it.

    `one_by_one`: a batch of a partition is sent only after the one before it is there. Outside a
    transaction nothing takes a later batch back where an earlier one has failed.
    """
    by_partition = defaultdict[tuple[str, int], list[Outgoing]](list)
    for record in outgoing:
        by_partition[record.topic, record.partition].append(record)
    results = await asyncio.gather(
        *(
            _send_partition(producer, topic, partition, records, one_by_one=one_by_one)
            for (topic, partition), records in by_partition.items()
        ),
        return_exceptions=True,  # so that none is still under way when the first error is told
    )
    ends: dict[tuple[str, int], int] = {}
    for target, result in zip(by_partition, results, strict=True):
        if isinstance(result, BaseException):
            raise result
        if result is not None:
            ends[target] = result
    return ends


async def _send_partition(
    producer: AIOKafkaProducer,
    topic: str,
    partition: int,
    records: list[Outgoing],
    *,
    one_by_one: bool,
) -> int | None:
    answers: list[asyncio.Future[RecordMetadata]] = []
    batch = producer.create_batch()
    for record in records:
        appended = batch.append(
            key=record.key, value=record.value, timestamp=None, headers=record.headers
        )
        if appended is None:  # full
            answers.append(await producer.send_batch(batch, topic, partition=partition))
            if one_by_one:
                await answers.pop()
            batch = producer.create_batch()
            batch.append(key=record.key, value=record.value, timestamp=None, headers=record.headers)
    answers.append(await producer.send_batch(batch, topic, partition=partition))
    *_, last = await asyncio.gather(*answers)
    # A batch that was sent twice is answered without an offset.
    return last.offset + batch.record_count() if last.offset >= 0 else None


class _Producer:
    """What both producers share: a client that is started once and thrown away after any error."""

    def __init__(self, client: AIOKafkaProducer) -> None:
        self._client = client

    async def __aenter__(self) -> Self:
        try:
            await within(START_TIMEOUT_S, self._client.start())
        except (KafkaError, TimeoutError) as error:
            await self._close()
            raise TransactionError(f"the producer did not start: {error!r}") from error
        except asyncio.CancelledError:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await end_client(self._client, CLOSE_TIMEOUT_S)  # what matters was awaited before


class FencedProducer(_Producer):
    """A transactional producer. Entering it fences every earlier one with the same id.

    After any error of `commit` this object is of no further use: leave it and build a new one.
    """

    def __init__(self, kafka: str, transactional_id: str) -> None:
        super().__init__(make_producer(kafka, transactional_id))
        self._ending = False

    async def commit(self, outgoing: Iterable[Outgoing]) -> Mapping[tuple[str, int], int]:
        """Write all of `outgoing` in one transaction, or nothing; does nothing when it is empty.

        Gives the offset behind the last record of each partition, where Kafka tells it.

        Raises FencedError when a newer owner has taken over, TransactionError when the transaction failed,
        OutcomeUnknown when Kafka was asked to commit and nothing is known of what it did.
        """
        records = list(outgoing)
        if not records:
            return {}
        try:
            return await within(COMMIT_TIMEOUT_S, self._commit(records))
        except (ProducerFenced, InvalidProducerEpoch) as error:
            raise FencedError(repr(error)) from error
        except (KafkaError, TimeoutError) as error:
            kind = OutcomeUnknown if self._ending else TransactionError
            raise kind(repr(error)) from error

    async def _commit(self, records: Iterable[Outgoing]) -> Mapping[tuple[str, int], int]:
        await self._client.begin_transaction()
        ends = await _send(self._client, records, one_by_one=False)
        self._ending = True
        await self._client.commit_transaction()
        self._ending = False
        return ends


class PlainProducer(_Producer):
    """An idempotent producer without transactions: at least once, in order."""

    def __init__(self, kafka: str) -> None:
        super().__init__(make_producer(kafka))

    async def partitions_of(self, topic: str) -> int:
        """How many partitions the topic has; raises TransactionError where Kafka does not say."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                return len(await self._client.partitions_for(topic))
        except (KafkaError, TimeoutError) as error:
            raise TransactionError(repr(error)) from error

    async def send(self, outgoing: Iterable[Outgoing]) -> None:
        """Return once Kafka has all of `outgoing` (acks=all).

        Raises TransactionError otherwise; the first part of what goes to a partition may be written then.
        """
        try:
            await within(SEND_TIMEOUT_S, _send(self._client, outgoing, one_by_one=True))
        except (KafkaError, TimeoutError) as error:
            raise TransactionError(repr(error)) from error

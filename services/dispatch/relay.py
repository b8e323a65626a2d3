"""From the outbox to Kafka, by the owner of the partition alone."""

from msgspec import json
from sqlalchemy import Text, cast, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.bell import Belfry
from services.dispatch.database import transaction
from services.dispatch.news import settle
from services.dispatch.tables import outbox
from shared.kafka.group import Ownership
from shared.kafka.producer import FencedProducer, Outgoing, PlainProducer
from shared.kafka.topics import Topics
from shared.times import now_ms

ROWS_AT_ONCE = 500
_decode_headers = json.Decoder(list[tuple[str, str]]).decode


class Relay:
    """Writes the outbox rows of one partition to Kafka, in the order of their ids.

    Promise: at least once; of one document never an old revision after a new one, for only the owner's
    producer is not fenced. A row is deleted once Kafka has it; with the last fact of an EMU that is deleted,
    its record comes to the outbox of its own partition.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        kafka: str,
        producer: FencedProducer,
        *,
        topics: Topics,
        partition: int,
        bells: Belfry,
    ) -> None:
        self._engine = engine
        self._kafka = kafka
        self._producer = producer
        self._topics = topics
        self._partition = partition
        self._bells = bells

    async def run(self, ownership: Ownership) -> None:
        while not ownership.ended:
            if not await self.relay_some():
                await self._bells[self._partition].relay.wait()

    async def relay_some(self) -> int:
        """Write the oldest rows to Kafka; gives their number."""
        rows = await self._read()
        if not rows:
            return 0
        alarms = [record for _, record in rows if record.topic == self._topics.alarms]
        documents = [record for _, record in rows if record.topic != self._topics.alarms]
        # Acknowledged before the transaction begins: an open one holds back every alarm behind it.
        if alarms:
            async with PlainProducer(self._kafka) as producer:
                await producer.send(alarms)
        await self._producer.commit(documents)
        await self._settle([row_id for row_id, _ in rows])
        return len(rows)

    async def _read(self) -> list[tuple[int, Outgoing]]:
        query = (
            select(
                outbox.c.id,
                outbox.c.topic,
                outbox.c.key,
                outbox.c.value,
                cast(outbox.c.headers, Text).label("headers"),
            )
            .where(outbox.c.partition == self._partition)
            .order_by(outbox.c.id)
            .limit(ROWS_AT_ONCE)
        )
        async with transaction(self._engine) as connection:
            rows = (await connection.execute(query)).all()
        return [
            (
                row.id,
                Outgoing(
                    row.topic,
                    self._partition,
                    row.key,
                    row.value,
                    [(name, text.encode()) for name, text in _decode_headers(row.headers)],
                ),
            )
            for row in rows
        ]

    async def _settle(self, ids: list[int]) -> None:
        """Kafka has these rows."""
        async with transaction(self._engine) as connection:
            more = await settle(connection, self._topics, ids, now_ms())
        for partition in more:
            self._bells[partition].relay.ring()
        self._bells[self._partition].teller.ring()

"""From the outbox to Kafka, by the owner of the partition alone."""

from msgspec import json
from sqlalchemy import BigInteger, Text, bindparam, cast, delete, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.bell import Bell
from services.dispatch.database import transaction
from services.dispatch.tables import outbox
from shared.kafka.group import Ownership
from shared.kafka.producer import FencedProducer, Outgoing, PlainProducer

ROWS_AT_ONCE = 500
_decode_headers = json.Decoder(list[tuple[str, str]]).decode


class Relay:
    """Writes the outbox rows of one partition to Kafka, in the order of their ids.

    Promise: at least once; of one document never an old revision after a new one, for only the owner's
    producer is not fenced. A row is deleted once Kafka has it.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        kafka: str,
        producer: FencedProducer,
        *,
        alarms_topic: str,
        partition: int,
        bell: Bell,
    ) -> None:
        self._engine = engine
        self._kafka = kafka
        self._producer = producer
        self._alarms_topic = alarms_topic
        self._partition = partition
        self._bell = bell

    async def run(self, ownership: Ownership) -> None:
        while not ownership.ended:
            if not await self.relay_some():
                await self._bell.wait()

    async def relay_some(self) -> int:
        """Write the oldest rows to Kafka; gives their number."""
        rows = await self._read()
        if not rows:
            return 0
        alarms = [record for _, record in rows if record.topic == self._alarms_topic]
        documents = [record for _, record in rows if record.topic != self._alarms_topic]
        # Acknowledged before the transaction begins: an open one holds back every alarm behind it.
        if alarms:
            async with PlainProducer(self._kafka) as producer:
                await producer.send(alarms)
        await self._producer.commit(documents)
        await self._delete([row_id for row_id, _ in rows])
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

    async def _delete(self, ids: list[int]) -> None:
        """By their ids, never up to one: a smaller id may be committed after a greater one."""
        gone = delete(outbox).where(
            outbox.c.id == func.any(bindparam("ids", ids, ARRAY(BigInteger)))
        )
        async with transaction(self._engine) as connection:
            await connection.execute(gone)

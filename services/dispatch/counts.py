"""What metrics ask of the tables; nothing here writes or locks."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.dispatch.tables import cases, deadlines_parked, outbox, pages


class Backlog(NamedTuple):
    """How much waits, and since when at the longest (None: nothing waits)."""

    rows: int
    oldest_ms: int | None


async def count_cases(connection: AsyncConnection, partitions: Collection[int]) -> dict[str, int]:
    """The number of cases in each state, of these partitions."""
    rows = await connection.execute(
        select(cases.c.state, func.count())
        .where(cases.c.partition.in_(partitions))
        .group_by(cases.c.state)
    )
    return {state: count for state, count in rows}


async def pages_pending(connection: AsyncConnection, partitions: Collection[int]) -> Backlog:
    """The pages that are decided and not delivered yet."""
    rows = await connection.execute(
        select(func.count(), func.min(pages.c.created_ms)).where(
            pages.c.partition.in_(partitions), pages.c.sent_ms.is_(None)
        )
    )
    count, oldest_ms = rows.one()
    return Backlog(count, oldest_ms)


async def outbox_waiting(connection: AsyncConnection, partitions: Collection[int]) -> Backlog:
    """The records that wait to be written to Kafka."""
    rows = await connection.execute(
        select(func.count(), func.min(outbox.c.created_ms)).where(
            outbox.c.partition.in_(partitions)
        )
    )
    count, oldest_ms = rows.one()
    return Backlog(count, oldest_ms)


async def count_parked(connection: AsyncConnection, partitions: Collection[int]) -> int:
    """The deadlines whose case is not written yet."""
    rows = await connection.execute(
        select(func.count()).where(deadlines_parked.c.partition.in_(partitions))
    )
    return rows.scalar_one()

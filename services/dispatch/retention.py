"""What dispatch forgets of deadlines. Cases, their log and their pages are records: they stay."""

import structlog
from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.dispatch.database import DatabaseError, transaction
from services.dispatch.tables import cases, deadlines_parked, deadlines_seen
from shared.kafka.group import Ownership
from shared.times import DAY_MS, now_ms, to_rfc3339

log = structlog.get_logger()

# As long as the classifier keeps a closed fault: none comes back after this, so neither does its case, and
# the clocks of a closed case have all stopped.
KEPT_MS = 30 * DAY_MS
INTERVAL_S = 3_600.0
ROWS_AT_ONCE = 1_000


class Forgetting:
    """Forgets, once an hour, what is of no use any more in one partition."""

    def __init__(self, engine: AsyncEngine, partition: int) -> None:
        self._engine = engine
        self._partition = partition

    async def run(self, ownership: Ownership) -> None:
        """It may wait: no error of PostgreSQL ends this."""
        while not ownership.ended:
            await ownership.sleep(INTERVAL_S)
            try:
                while not ownership.ended and await self.forget_some(now_ms()):
                    pass
            except DatabaseError as error:
                log.warning("deadlines wait to be forgotten", error=repr(error))

    async def forget_some(self, at_ms: int) -> int:
        """Gives the number of rows that went; 0: there are no more."""
        before_ms = at_ms - KEPT_MS
        async with transaction(self._engine) as connection:
            seen = await _forget_seen(connection, self._partition, before_ms)
            parked = await _forget_parked(connection, self._partition, before_ms)
        if parked:
            log.error(
                "deadlines are dropped, their cases never came",
                partition=self._partition,
                count=parked,
            )
        return seen + parked


async def _forget_seen(connection: AsyncConnection, partition: int, before_ms: int) -> int:
    """What was acted on, of cases that are closed for so long.

    Those of cases that are not stay, however old: what has fired stays fired also where such a case moves.
    """
    key = tuple_(deadlines_seen.c.deadline_id, deadlines_seen.c.version)
    closed_at = cases.c.doc["milestones"]["closed_at"].astext
    old = (
        select(deadlines_seen.c.deadline_id, deadlines_seen.c.version)
        .join(cases, cases.c.case_id == func.split_part(deadlines_seen.c.deadline_id, ":", 1))
        .where(deadlines_seen.c.version < before_ms, cases.c.partition == partition)
        .where(cases.c.state == "closed", closed_at < to_rfc3339(before_ms))
        .limit(ROWS_AT_ONCE)
    )
    return (await connection.execute(delete(deadlines_seen).where(key.in_(old)))).rowcount


async def _forget_parked(connection: AsyncConnection, partition: int, before_ms: int) -> int:
    """Those whose case did not come for so long: no fault that could open it is left."""
    return (
        await connection.execute(
            delete(deadlines_parked).where(
                deadlines_parked.c.partition == partition, deadlines_parked.c.parked_ms < before_ms
            )
        )
    ).rowcount

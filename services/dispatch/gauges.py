"""The gauges that are counted only when somebody looks."""

import asyncio
from collections.abc import Callable, Collection
from typing import get_args

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.counts import (
    Backlog,
    count_cases,
    count_parked,
    outbox_waiting,
    pages_pending,
)
from services.dispatch.database import DatabaseError, transaction
from services.dispatch.metrics import (
    CASES,
    DEADLINES_PARKED,
    OLDEST_PENDING,
    OUTBOX_OLDEST,
    OUTBOX_ROWS,
    PAGES_PENDING,
)
from shared.documents.case import CaseState
from shared.times import now_ms

log = structlog.get_logger()

# Many who look at once cost the database no more than one.
KEPT_MS = 1_000
# Prometheus gives up after 10 s by default; old figures are better than none.
TIMEOUT_S = 3.0


class Gauges:
    """Cases, pages, outbox and parked deadlines of the partitions that this instance owns."""

    def __init__(self, engine: AsyncEngine, partitions: Callable[[], Collection[int]]) -> None:
        self._engine = engine
        self._partitions = partitions
        self._counted_ms = 0

    async def refresh(self) -> None:
        """Count anew, unless that was done just now or PostgreSQL does not answer."""
        at_ms = now_ms()
        if at_ms - self._counted_ms < KEPT_MS:
            return
        self._counted_ms = at_ms
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._count(at_ms)
        except (DatabaseError, TimeoutError) as error:
            log.warning("metrics were not counted", error=repr(error))

    async def _count(self, at_ms: int) -> None:
        partitions = self._partitions()
        async with transaction(self._engine) as connection:
            by_state = await count_cases(connection, partitions)
            pending = await pages_pending(connection, partitions)
            waiting = await outbox_waiting(connection, partitions)
            parked = await count_parked(connection, partitions)
        for state in get_args(CaseState):
            CASES.labels(state).set(by_state.get(state, 0))
        DEADLINES_PARKED.set(parked)
        _set(PAGES_PENDING, OLDEST_PENDING, pending, at_ms)
        _set(OUTBOX_ROWS, OUTBOX_OLDEST, waiting, at_ms)


def _set(rows: Gauge, oldest_s: Gauge, backlog: Backlog, at_ms: int) -> None:
    rows.set(backlog.rows)
    age_ms = 0 if backlog.oldest_ms is None else at_ms - backlog.oldest_ms
    oldest_s.set(max(0, age_ms) / 1000)

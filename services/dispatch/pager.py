"""Delivers the pages of one partition, apart from the intake: a slow receiver delays no new fault."""

import asyncio
from typing import NamedTuple

import structlog
from msgspec import json
from sqlalchemy import BigInteger, Text, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.dispatch.bell import Bell
from services.dispatch.database import transaction
from services.dispatch.metrics import PAGE_DELAY, PAGES
from services.dispatch.pages import PageBody
from services.dispatch.tables import pages
from services.dispatch.webhook import TIMEOUT_S, Delivery, DeliveryError, DuePage
from shared.kafka.group import Ownership
from shared.times import now_ms

log = structlog.get_logger()

# Whoever claims a page has it for this long. A former owner that is still waiting for the receiver's answer
# has written it down by then, so a change of owners repeats no page.
CLAIM_MS = int(TIMEOUT_S * 1000) + 3_000
FIRST_BACKOFF_MS = 1_000
LONGEST_BACKOFF_MS = 60_000
URGENT = ("A", "B")

_decode_body = json.Decoder(PageBody).decode


class Result(NamedTuple):
    """What became of a try; `error` None: the page is delivered."""

    page: DuePage
    at_ms: int
    error: str | None


def backoff_ms(attempts: int) -> int:
    """The wait after the `attempts`-th try has failed."""
    return min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** min(attempts - 1, 10))


class Pager:
    """Promise: each page is delivered at least once, and tried until it is; its id is always the same.

    The gravest go first, and C and D never take all places: an A does not wait for a flood of D.

    One of a partition for the whole life of the process: what is under way when a task fails is neither cut
    nor tried a second time, and what became of it is written down by the next task.
    """

    def __init__(
        self, engine: AsyncEngine, delivery: Delivery, *, partition: int, bell: Bell
    ) -> None:
        self._engine = engine
        self._delivery = delivery
        self._partition = partition
        self._bell = bell
        self._under_way: dict[asyncio.Task[None], DuePage] = {}
        self._results: list[Result] = []
        # A partition that is lost and given back at once has two tasks for a moment.
        self._running = asyncio.Lock()

    async def run(self, ownership: Ownership) -> None:
        """Deliver until the ownership ends; what is under way then is waited for and written down."""
        async with self._running:
            while not ownership.ended:
                for page in await self._turn():
                    task = asyncio.create_task(self._deliver(page), name=f"page {page.message_id}")
                    self._under_way[task] = page
                    task.add_done_callback(self._finish)
                await self._bell.wait()
            if self._under_way:
                await asyncio.wait(self._under_way)
            await self._turn(claim=False)

    async def _turn(self, *, claim: bool = True) -> list[DuePage]:
        """Write down what became of the tries, and claim as many pages that are due as have a place."""
        results = list(self._results)
        free = self._delivery.at_once - len(self._under_way) if claim else 0
        if not results and not free:
            return []
        async with transaction(self._engine) as connection:
            if results:
                await self._record(connection, results)
            claimed = await self._claim(connection, free, now_ms()) if free else []
        del self._results[: len(results)]
        return claimed

    async def _claim(self, connection: AsyncConnection, free: int, at_ms: int) -> list[DuePage]:
        query = (
            select(pages.c.message_id, pages.c.grade)
            .where(pages.c.partition == self._partition, pages.c.sent_ms.is_(None))
            .where(pages.c.next_try_ms <= at_ms)
            .order_by(pages.c.grade, pages.c.next_try_ms)
            .limit(free)
            .with_for_update(skip_locked=True)
        )
        due = (await connection.execute(query)).all()
        urgent = [message_id for message_id, grade in due if grade in URGENT]
        others = [message_id for message_id, grade in due if grade not in URGENT]
        taken = urgent + others[: self._free_for_others()]
        if not taken:
            return []
        claimed = await connection.execute(
            update(pages)
            .where(pages.c.message_id.in_(taken))
            .values(attempts=pages.c.attempts + 1, next_try_ms=at_ms + CLAIM_MS)
            .returning(*(pages.c[name] for name in DuePage._fields))
        )
        return [DuePage(*row) for row in claimed]

    def _free_for_others(self) -> int:
        """How many pages of C and D may be claimed, if there is room for them at all."""
        places = self._delivery.at_once - self._delivery.kept_for_urgent
        return max(0, places - sum(page.grade not in URGENT for page in self._under_way.values()))

    async def _record(self, connection: AsyncConnection, results: list[Result]) -> None:
        statement = (
            update(pages)
            .where(pages.c.message_id == bindparam("id"), pages.c.sent_ms.is_(None))
            .values(
                sent_ms=bindparam("sent", type_=BigInteger),
                next_try_ms=bindparam("next_try", type_=BigInteger),
                last_error=bindparam("error", type_=Text),
            )
        )
        await connection.execute(
            statement,
            [
                {
                    "id": page.message_id,
                    "sent": at_ms if error is None else None,
                    "next_try": at_ms + (0 if error is None else backoff_ms(page.attempts)),
                    "error": error,
                }
                for page, at_ms, error in results
            ],
        )

    async def _deliver(self, page: DuePage) -> None:
        error_text: str | None = None
        try:
            await self._delivery.deliver(page, now_ms())
        except DeliveryError as error:
            error_text = str(error)
        except Exception as error:  # whatever it is, the page is tried again
            log.exception("a page's delivery failed unexpectedly", message_id=page.message_id)
            error_text = repr(error)
        result = Result(page, now_ms(), error_text)
        self._results.append(result)
        _tell(result)

    def _finish(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._bell.ring()


def _tell(result: Result) -> None:
    """One line for each page in the log, and one for each try that failed."""
    page, at_ms, error = result
    body = _decode_body(page.body)
    line = log.bind(
        action="page",
        message_id=page.message_id,
        case_id=body.case_id,
        grade=body.grade,
        title=body.title,
        emu_id=body.emu_id,
        person=body.person,
        roster_level=body.level,  # `level` is the log line's own
        step=body.step,
        reason=body.reason,
    )
    if error is None:
        PAGES.labels("sent").inc()
        PAGE_DELAY.observe(max(0, at_ms - page.caused_ms) / 1000)
        line.info("page sent")
    else:
        PAGES.labels("failed").inc()
        retry_in_s = backoff_ms(page.attempts) / 1000
        line.warning("page not delivered", error=error, retry_in_s=retry_in_s)

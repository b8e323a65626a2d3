"""What people and metrics ask of the tables; nothing here writes or locks."""

from collections.abc import Collection
from typing import NamedTuple

import msgspec
from sqlalchemy import Text, cast, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.dispatch.tables import case_log, cases, faults, outbox, pages
from shared.times import to_rfc3339


class LogEntry(msgspec.Struct, frozen=True):
    """What happened to a case; `who` None: the system."""

    at: str
    what: str
    who: str | None
    detail: str | None


class SentPage(msgspec.Struct, frozen=True, kw_only=True):
    """One step of escalation, and how its delivery went; `sent_at` None: not yet."""

    message_id: str
    step: int
    level: int
    person: str
    reason: str
    created_at: str
    sent_at: str | None
    attempts: int
    last_error: str | None


class CaseFile(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known about one case."""

    case: msgspec.Raw
    faults: list[msgspec.Raw]
    log: list[LogEntry]
    pages: list[SentPage]


class Backlog(NamedTuple):
    """How much waits, and since when at the longest (None: nothing waits)."""

    rows: int
    oldest_ms: int | None


class Place(NamedTuple):
    """Where a case stands among all of them."""

    opened_ms: int
    case_id: str


async def find_place(connection: AsyncConnection, case_id: str) -> Place | None:
    """None where there is no such case."""
    query = select(cases.c.opened_ms, cases.c.case_id).where(cases.c.case_id == case_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Place(row.opened_ms, row.case_id)


async def list_cases(
    connection: AsyncConnection,
    *,
    state: str | None,
    grade: str | None,
    limit: int,
    after: Place | None,
) -> list[msgspec.Raw]:
    """Case documents, newest first; `after`: those that follow this place in that order."""
    query = select(cast(cases.c.doc, Text))
    if state is not None:
        query = query.where(cases.c.state == state)
    if grade is not None:
        query = query.where(cases.c.grade == grade)
    if after is not None:
        query = query.where(tuple_(cases.c.opened_ms, cases.c.case_id) < after)
    query = query.order_by(cases.c.opened_ms.desc(), cases.c.case_id.desc()).limit(limit)
    return [_raw(doc) for (doc,) in await connection.execute(query)]


async def read_case_file(connection: AsyncConnection, case_id: str) -> CaseFile | None:
    """The case with its faults, log and pages, each in the order of its beginning."""
    query = select(cast(cases.c.doc, Text)).where(cases.c.case_id == case_id)
    doc: str | None = (await connection.execute(query)).scalar()
    if doc is None:
        return None
    fault_docs = await connection.execute(
        select(cast(faults.c.doc, Text)).where(faults.c.case_id == case_id)
    )
    entries = await connection.execute(
        select(case_log.c.at_ms, case_log.c.what, case_log.c.who, case_log.c.detail)
        .where(case_log.c.case_id == case_id)
        .order_by(case_log.c.id)
    )
    steps = await connection.execute(
        select(pages).where(pages.c.case_id == case_id).order_by(pages.c.step)
    )
    return CaseFile(
        case=_raw(doc),
        faults=[_raw(fault) for (fault,) in fault_docs],
        log=[
            LogEntry(to_rfc3339(entry.at_ms), entry.what, entry.who, entry.detail)
            for entry in entries
        ],
        pages=[
            SentPage(
                message_id=page.message_id,
                step=page.step,
                level=page.level,
                person=page.person,
                reason=page.reason,
                created_at=to_rfc3339(page.created_ms),
                sent_at=None if page.sent_ms is None else to_rfc3339(page.sent_ms),
                attempts=page.attempts,
                last_error=page.last_error,
            )
            for page in steps
        ],
    )


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


def _raw(doc: str) -> msgspec.Raw:
    return msgspec.Raw(doc.encode())

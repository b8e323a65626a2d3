"""What people ask of the tables; nothing here writes or locks."""

from typing import NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Text, and_, bindparam, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.dispatch.tables import case_log, cases, faults, pages
from shared.documents.answers import CaseFile, CaseList, FaultFile, FaultList, LogEntry, SentPage
from shared.times import to_rfc3339

Raw = msgspec.Raw

# Behind every character that an id may hold.
_BEHIND_ALL = "~"


class Place(NamedTuple):
    """Where a case stands among all of them."""

    opened_ms: int
    case_id: str


class CaseFilter(NamedTuple):
    """Which cases are asked for; None: whatever it is."""

    states: tuple[str, ...] | None = None
    grades: tuple[str, ...] | None = None
    site_id: str | None = None
    id_begins: str | None = None


async def find_place(connection: AsyncConnection, case_id: str) -> Place | None:
    """None where there is no such case."""
    query = select(cases.c.opened_ms, cases.c.case_id).where(cases.c.case_id == case_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Place(row.opened_ms, row.case_id)


async def list_cases(
    connection: AsyncConnection,
    wanted: CaseFilter,
    *,
    limit: int,
    after: Place | None,
) -> CaseList[Raw, Raw]:
    """`after`: those that follow this place."""
    first_fault = cases.c.doc["fault_ids"][0].astext
    query = select(cases.c.case_id, cast(cases.c.doc, Text), first_fault)
    if wanted.states is not None:
        query = query.where(cases.c.state.in_(wanted.states))
    if wanted.grades is not None:
        query = query.where(cases.c.grade.in_(wanted.grades))
    if wanted.site_id is not None:
        query = query.where(cases.c.site_id == wanted.site_id)
    if wanted.id_begins is not None:
        query = query.where(_begins(cases.c.case_id, wanted.id_begins))
    if after is not None:
        query = query.where(tuple_(cases.c.opened_ms, cases.c.case_id) < after)
    query = query.order_by(cases.c.opened_ms.desc(), cases.c.case_id.desc()).limit(limit)
    rows = (await connection.execute(query)).all()
    fault_ids = [fault_id for _, _, fault_id in rows]
    fault_docs = await connection.execute(
        select(cast(faults.c.doc, Text))
        .where(faults.c.fault_id == func.any(bindparam("ids", fault_ids, ARRAY(Text))))
        .order_by(faults.c.fault_id)
    )
    return CaseList(
        cases=[_raw(doc) for _, doc, _ in rows],
        faults=[_raw(doc) for (doc,) in fault_docs],
        next=rows[-1].case_id if len(rows) == limit else None,
    )


async def read_case_file(connection: AsyncConnection, case_id: str) -> CaseFile[Raw, Raw] | None:
    """The case with its faults, log and pages, each in the order of its beginning."""
    query = select(cast(cases.c.doc, Text)).where(cases.c.case_id == case_id)
    doc: str | None = (await connection.execute(query)).scalar()
    if doc is None:
        return None
    fault_docs = await connection.execute(
        select(cast(faults.c.doc, Text))
        .where(faults.c.case_id == case_id)
        .order_by(faults.c.doc["opened_at"].astext, faults.c.fault_id)
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


async def read_fault(connection: AsyncConnection, fault_id: str) -> FaultFile[Raw] | None:
    """The fault's newest revision, and the case that it is in."""
    query = select(cast(faults.c.doc, Text), faults.c.case_id).where(faults.c.fault_id == fault_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else FaultFile(fault=_raw(row[0]), case_id=row[1])


async def list_faults(connection: AsyncConnection, *, id_begins: str, limit: int) -> FaultList[Raw]:
    """Those whose ids begin so, by their ids."""
    query = select(cast(faults.c.doc, Text)).where(_begins(faults.c.fault_id, id_begins))
    rows = await connection.execute(query.order_by(faults.c.fault_id).limit(limit))
    return FaultList(faults=[_raw(doc) for (doc,) in rows])


def _begins(column: ColumnElement[str], beginning: str) -> ColumnElement[bool]:
    """Whether an id begins so: a stretch of its index, which is in the order of bytes (`tables.py`)."""
    return and_(column >= beginning, column < beginning + _BEHIND_ALL)


def _raw(doc: str) -> Raw:
    return Raw(doc.encode())

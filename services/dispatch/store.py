"""The statements by which dispatch keeps its records: inputs, faults, cases, what people do with them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Row,
    Text,
    bindparam,
    cast,
    delete,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.dispatch.changes import (
    CaseRow,
    Changes,
    FaultRow,
    LogRow,
    OutboxRow,
    PageRow,
    ParkedRow,
    SeenRow,
    StoredFault,
)
from services.dispatch.decision import Note
from services.dispatch.rows import insert_rows, upsert_rows, write_rows
from services.dispatch.tables import (
    case_log,
    cases,
    counters,
    deadlines_parked,
    deadlines_seen,
    faults,
    inputs,
    outbox,
    pages,
)
from shared.documents.case import Case, decode_case
from shared.documents.fault import Fault, decode_fault
from shared.errors import OwnershipError
from shared.kafka.reader import Record

Offsets = Mapping[str, int]
"""Topic -> offset of the next record of our partition; 0: nothing was read yet."""

_UPSERT_CASES = upsert_rows(cases, CaseRow._fields)
_UPSERT_FAULTS = upsert_rows(faults, FaultRow._fields)
# A step that was decided before is not decided again, whatever led to it.
_INSERT_PAGES = insert_rows(pages, PageRow._fields).on_conflict_do_nothing()
_INSERT_LOG = insert_rows(case_log, LogRow._fields)
_INSERT_SEEN = insert_rows(deadlines_seen, SeenRow._fields).on_conflict_do_nothing()
# It comes at least once, and waits since it came first.
_INSERT_PARKED = insert_rows(deadlines_parked, ParkedRow._fields).on_conflict_do_nothing()
_INSERT_OUTBOX = insert_rows(outbox, OutboxRow._fields)


async def open_inputs(
    connection: AsyncConnection, partition: int, topics: Collection[str]
) -> dict[str, int]:
    """How far `partition` of each of `topics` was read; what was never read begins at 0."""
    first = [{"topic": topic, "partition": partition, "next": 0} for topic in sorted(topics)]
    await connection.execute(insert(inputs).values(first).on_conflict_do_nothing())
    return await _read_inputs(connection, partition, topics)


async def lock_inputs(connection: AsyncConnection, partition: int, expected: Offsets) -> None:
    """The partition's inputs are ours until the transaction ends.

    Raises OwnershipError where they are not as we left them: somebody else has read on.
    """
    found = await _read_inputs(connection, partition, expected, lock=True)
    if found != dict(expected):
        raise OwnershipError(f"partition {partition} was left at {expected}, it is at {found}")


async def lock_all_inputs(connection: AsyncConnection) -> None:
    """No other partition judges anything until the transaction ends. Before any other lock."""
    await connection.execute(text("LOCK TABLE inputs IN EXCLUSIVE MODE"))


async def may_be_opened_elsewhere(
    connection: AsyncConnection, moved: Collection[tuple[str, str]]
) -> bool:
    """Whether the former case of any of these (fault_id, former case) may be opened at this moment.

    Once the case is there its own lock does; once it is known what became of its fault, no such case is
    opened any more. No row of either is ever deleted, so nothing needs to be locked to ask for it.
    """
    fault_ids = [fault_id for fault_id, _ in moved]
    known = await connection.scalars(
        select(faults.c.fault_id).where(
            faults.c.fault_id == func.any(bindparam("faults", fault_ids, ARRAY(Text))),
            faults.c.moved_from.is_not(None),
        )
    )
    unknown = set(fault_ids) - set(known)
    wanted = {case_id for fault_id, case_id in moved if fault_id in unknown}
    if not wanted:
        return False
    there = await connection.scalars(
        select(cases.c.case_id).where(
            cases.c.case_id == func.any(bindparam("cases", sorted(wanted), ARRAY(Text)))
        )
    )
    return bool(wanted - set(there))


async def move_inputs(
    connection: AsyncConnection, partition: int, expected: Offsets, new: Offsets
) -> None:
    """Write down how far the inputs are read; raises OwnershipError as `lock_inputs` does."""
    for topic, offset in new.items():
        moved = await connection.execute(
            update(inputs)
            .where(inputs.c.topic == topic, inputs.c.partition == partition)
            .where(inputs.c.next == expected[topic])
            .values(next=offset)
        )
        if moved.rowcount != 1:
            raise OwnershipError(f"{topic}[{partition}] is not at {expected[topic]} any more")


async def _read_inputs(
    connection: AsyncConnection, partition: int, topics: Collection[str], *, lock: bool = False
) -> dict[str, int]:
    query = (
        select(inputs.c.topic, inputs.c.next)
        .where(inputs.c.topic.in_(sorted(topics)), inputs.c.partition == partition)
        .order_by(inputs.c.topic)
    )
    rows = await connection.execute(query.with_for_update() if lock else query)
    return {row.topic: row.next for row in rows}


async def lock_cases(connection: AsyncConnection, case_ids: Iterable[str]) -> dict[str, Case]:
    """The cases among `case_ids` that are there, locked; always in one order, so nobody deadlocks."""
    wanted = sorted(set(case_ids))
    rows = await connection.execute(
        select(cast(cases.c.doc, Text))
        .where(cases.c.case_id == func.any(bindparam("ids", wanted, ARRAY(Text))))
        .order_by(cases.c.case_id)
        .with_for_update()
    )
    found = [decode_case(doc) for (doc,) in rows]
    return {case.case_id: case for case in found}


async def find_faults(
    connection: AsyncConnection,
    *,
    fault_ids: Collection[str] = (),
    case_ids: Collection[str] = (),
) -> dict[str, StoredFault]:
    """The faults of these ids, those that they have become at another site, and those of these cases."""
    wanted = bindparam("faults", list(fault_ids), ARRAY(Text))
    rows = await connection.execute(
        select(cast(faults.c.doc, Text), faults.c.case_id).where(
            or_(
                faults.c.fault_id == func.any(wanted),
                faults.c.moved_from == func.any(wanted),
                faults.c.case_id == func.any(bindparam("cases", list(case_ids), ARRAY(Text))),
            )
        )
    )
    found = [StoredFault(decode_fault(doc), case_id) for doc, case_id in rows]
    return {stored.fault.fault_id: stored for stored in found}


async def find_faults_of(
    connection: AsyncConnection, case_id: str, fault_id: str | None = None
) -> dict[str, Fault]:
    """The newest revisions of the faults of a case, and of `fault_id`, whatever case that is in."""
    rows = await connection.execute(
        select(cast(faults.c.doc, Text)).where(
            or_(faults.c.case_id == case_id, faults.c.fault_id == fault_id)
            if fault_id
            else faults.c.case_id == case_id
        )
    )
    found = [decode_fault(doc) for (doc,) in rows]
    return {fault.fault_id: fault for fault in found}


async def last_note(connection: AsyncConnection, case_id: str) -> Note | None:
    """The newest line of the case's log."""
    rows = await connection.execute(
        select(case_log.c.what, case_log.c.who, case_log.c.detail)
        .where(case_log.c.case_id == case_id)
        .order_by(case_log.c.id.desc())
        .limit(1)
    )
    row = rows.one_or_none()
    return None if row is None else Note(row.what, row.who, row.detail)


async def find_seen(
    connection: AsyncConnection, keys: Collection[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Those of `keys` (deadline_id, version) that were acted on already."""
    if not keys:
        return set()
    key = tuple_(deadlines_seen.c.deadline_id, deadlines_seen.c.version)
    rows = await connection.execute(
        select(deadlines_seen.c.deadline_id, deadlines_seen.c.version).where(key.in_(sorted(keys)))
    )
    return {(deadline_id, version) for deadline_id, version in rows}


async def take_parked(
    connection: AsyncConnection, topic: str, case_ids: Collection[str]
) -> list[tuple[Record, int]]:
    """The deadlines that wait for these cases, each with since when, the oldest first; they wait no longer.

    A case is opened by the partition in which its deadlines are, so under the lock of the inputs none comes
    in between.
    """
    rows = await connection.execute(
        delete(deadlines_parked)
        .where(deadlines_parked.c.case_id == func.any(bindparam("ids", case_ids, ARRAY(Text))))
        .returning(deadlines_parked)
    )
    return [
        (_as_it_came(topic, row), row.parked_ms)
        for row in sorted(rows, key=lambda row: (row.parked_ms, row.offset))
    ]


def _as_it_came(topic: str, row: Row[Any]) -> Record:
    return Record(
        topic=topic,
        partition=row.partition,
        offset=row.offset,
        timestamp=row.published_ms,
        timestamp_type=0,
        key=row.key,
        value=row.value,
        checksum=None,
        serialized_key_size=len(row.key or b""),
        serialized_value_size=len(row.value),
        headers=(),
    )


async def write(connection: AsyncConnection, changes: Changes) -> None:
    """All rows of `changes`. The locks of its cases must be held."""
    for statement, rows in (
        (_UPSERT_FAULTS, list(changes.faults.values())),
        (_UPSERT_CASES, list(changes.cases.values())),
        (_INSERT_PAGES, changes.pages),
        (_INSERT_LOG, changes.log),
        (_INSERT_SEEN, changes.seen),
        (_INSERT_PARKED, changes.parked),
        (_INSERT_OUTBOX, changes.outbox),
    ):
        await write_rows(connection, statement, rows)


async def write_outbox(connection: AsyncConnection, rows: Sequence[OutboxRow]) -> None:
    """In their order."""
    await write_rows(connection, _INSERT_OUTBOX, rows)


async def next_seq(connection: AsyncConnection, partition: int, count: int = 1) -> int:
    """The number of the partition's next record of ours on `<prefix>.alarms`, from 1; of `count`, the last.

    Nobody else gets one until the transaction ends, so they come to the outbox in their order.
    """
    first = insert(counters).values(partition=partition, seq=count)
    statement = first.on_conflict_do_update(
        index_elements=["partition"], set_={"seq": counters.c.seq + count}
    ).returning(counters.c.seq)
    return (await connection.execute(statement)).scalar_one()

"""The statements by which news of EMUs are told: facts first, the record once Kafka has all of them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Text,
    bindparam,
    column,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from services.dispatch import fleet_store, store
from services.dispatch.changes import OutboxRow
from services.dispatch.rows import upsert_rows, write_rows
from services.dispatch.tables import copies, faults, news, outbox
from shared.documents.emu import EmuRecord, encode_emu_record
from shared.kafka.topics import Topics
from shared.times import DAY_MS

# By then every reader has the record of the new partition.
COPY_KEPT_MS = DAY_MS


class Told(NamedTuple):
    """An EMU whose facts are in the outbox now, and how many."""

    emu_id: str
    site_id: str
    facts: int


class _CopyRow(NamedTuple):
    partition: int
    emu_id: str
    gone_ms: int | None


_UPSERT_COPIES = upsert_rows(copies, _CopyRow._fields)


async def outbox_rows(connection: AsyncConnection, partition: int, *, at_most: int) -> int:
    """How many rows wait in the partition's outbox; no more than `at_most` are counted."""
    first = select(outbox.c.id).where(outbox.c.partition == partition).limit(at_most).subquery()
    return (await connection.execute(select(func.count()).select_from(first))).scalar_one()


async def lock_changed(
    connection: AsyncConnection, partition: int, *, limit: int
) -> dict[str, str | None]:
    """EMUs with a revision that is to be told, each with the site that was told last."""
    rows = await connection.execute(
        select(news.c.emu_id, news.c.told_site)
        .where(news.c.partition == partition, news.c.changed_ms.is_not(None))
        .order_by(news.c.emu_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return {row.emu_id: row.told_site for row in rows}


async def sites_of_faults(
    connection: AsyncConnection, emu_ids: Collection[str]
) -> Mapping[str, set[str]]:
    """The sites under which each of the EMUs has faults."""
    site_id = faults.c.doc["site_id"].astext
    rows = await connection.execute(
        select(faults.c.emu_id, site_id).where(_any(faults.c.emu_id, emu_ids)).distinct()
    )
    found: dict[str, set[str]] = {emu_id: set() for emu_id in emu_ids}
    for emu_id, site in rows:
        found[emu_id].add(site)
    return found


async def note_told(connection: AsyncConnection, told: Sequence[Told]) -> None:
    """Their facts wait in the outbox. The locks of `lock_changed` must be held."""
    values = (
        func.unnest(
            bindparam("emu_ids", [each.emu_id for each in told], ARRAY(Text)),
            bindparam("site_ids", [each.site_id for each in told], ARRAY(Text)),
            bindparam("facts", [each.facts for each in told], ARRAY(Integer)),
        )
        .table_valued(column("emu_id", Text), column("site_id", Text), column("facts", Integer))
        .render_derived()
    )
    await connection.execute(
        update(news)
        .where(news.c.emu_id == values.c.emu_id)
        .values(
            changed_ms=None, told_site=values.c.site_id, waiting=news.c.waiting + values.c.facts
        )
    )


async def settle(
    connection: AsyncConnection, topics: Topics, ids: Sequence[int], at_ms: int
) -> set[int]:
    """Kafka has these rows of the outbox. Gives the partitions in whose outbox there is more now.

    By their ids, never up to one: a smaller id may be committed after a greater one.
    """
    gone = await connection.execute(
        delete(outbox)
        .where(outbox.c.id == func.any(bindparam("ids", list(ids), ARRAY(BigInteger))))
        .returning(outbox.c.topic, outbox.c.emu_id)
    )
    facts = Counter[str](
        emu_id for topic, emu_id in gone if topic == topics.alarms and emu_id is not None
    )
    if not facts:
        return set()
    ready = await _take_off(connection, facts)
    await _keep_copies(connection, ready, at_ms)
    records = await fleet_store.find_emus(connection, ready)
    rows = [_row(topics, records[emu_id], ready[emu_id], at_ms) for emu_id in sorted(ready)]
    await store.write_outbox(connection, rows)
    return set(ready.values())


async def _take_off(connection: AsyncConnection, facts: Mapping[str, int]) -> dict[str, int]:
    """So many facts less wait. Gives the EMUs whose record may go out, with its partition."""
    # Those who tell a change of the same EMU wait for us, and we for them; all in one order.
    locked = await connection.execute(
        select(news.c.emu_id, news.c.partition, news.c.changed_ms, news.c.waiting)
        .where(_any(news.c.emu_id, facts))
        .order_by(news.c.emu_id)
        .with_for_update()
    )
    rows = list(locked)
    for count in set(facts.values()):
        of_count = [emu_id for emu_id, each in facts.items() if each == count]
        await connection.execute(
            update(news).where(_any(news.c.emu_id, of_count)).values(waiting=news.c.waiting - count)
        )
    return {
        row.emu_id: row.partition
        for row in rows
        if row.waiting == facts[row.emu_id] and row.changed_ms is None
    }


async def _keep_copies(connection: AsyncConnection, ready: Mapping[str, int], at_ms: int) -> None:
    """Before the record's row is written: a tombstone that is written just now has a smaller id then."""
    for partition in sorted(set(ready.values())):
        emu_ids = sorted(emu_id for emu_id, own in ready.items() if own == partition)
        await connection.execute(
            update(copies)
            .where(_any(copies.c.emu_id, emu_ids), copies.c.partition != partition)
            .where(copies.c.gone_ms.is_(None))
            .values(gone_ms=at_ms + COPY_KEPT_MS)
        )
        rows = [_CopyRow(partition, emu_id, None) for emu_id in emu_ids]
        await write_rows(connection, _UPSERT_COPIES, rows)


async def remove_copies(
    connection: AsyncConnection, topics: Topics, partition: int, *, at_ms: int, limit: int
) -> int:
    """Tombstones for the records that the partition has kept long enough; gives their number.

    Not while the newer record waits in another partition's outbox.
    """
    on_its_way = select(outbox.c.id).where(
        outbox.c.emu_id == copies.c.emu_id, outbox.c.topic == topics.fleet
    )
    due = (
        select(copies.c.emu_id, copies.c.partition)
        .where(copies.c.partition == partition, copies.c.gone_ms <= at_ms)
        .where(~on_its_way.exists())
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    gone = await connection.execute(
        delete(copies)
        .where(tuple_(copies.c.emu_id, copies.c.partition).in_(due))
        .returning(copies.c.emu_id)
    )
    rows = [_row(topics, emu_id, partition, at_ms) for (emu_id,) in gone]
    await store.write_outbox(connection, rows)
    return len(rows)


def _row(topics: Topics, what: EmuRecord | str, partition: int, at_ms: int) -> OutboxRow:
    """A record, or the tombstone of the EMU of that id."""
    record = what if isinstance(what, EmuRecord) else None
    emu_id = what if isinstance(what, str) else what.emu_id
    return OutboxRow(
        partition=partition,
        topic=topics.fleet,
        key=emu_id.encode(),
        value=None if record is None else encode_emu_record(record),
        headers=b"[]",
        created_ms=at_ms,
        emu_id=emu_id,
    )


def _any(column: ColumnElement[str], ids: Collection[str]) -> ColumnElement[bool]:
    return column == func.any(bindparam(None, sorted(ids), ARRAY(Text), unique=True))

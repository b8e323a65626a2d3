"""The statements by which dispatch keeps customers, sites and EMUs."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Table, Text, bindparam, cast, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.dispatch.fleet_plan import Site
from services.dispatch.rows import upsert_rows, write_rows
from services.dispatch.tables import customers, emus, imports, news, sites
from shared.documents.emu import EmuRecord, EmuState, decode_emu_record, encode_emu_record


class Customer(NamedTuple):
    customer_id: str
    name: str | None


class EmuRow(NamedTuple):
    emu_id: str
    revision: int
    site_id: str
    state: EmuState
    doc: bytes


class StoredEmu(NamedTuple):
    """An EMU as it is shown."""

    emu_id: str
    doc: str
    site_name: str | None
    customer_name: str | None
    told: bool


class Place(NamedTuple):
    """Where an EMU stands in the list."""

    site_id: str
    emu_id: str


class _NewsRow(NamedTuple):
    emu_id: str
    partition: int
    changed_ms: int
    waiting: int


_UPSERT_CUSTOMERS = upsert_rows(customers, Customer._fields)
_UPSERT_SITES = upsert_rows(sites, Site._fields)
_UPSERT_EMUS = upsert_rows(emus, EmuRow._fields)
_UPSERT_NEWS = upsert_rows(news, _NewsRow._fields, changing=("partition", "changed_ms"))


async def lock_fleet(connection: AsyncConnection) -> None:
    """Nobody else changes the fleet until the transaction ends; everybody may read it."""
    await connection.execute(text("LOCK TABLE emus IN SHARE ROW EXCLUSIVE MODE"))


async def find_customers(
    connection: AsyncConnection, customer_ids: Collection[str]
) -> dict[str, Customer]:
    rows = await connection.execute(
        select(customers.c.customer_id, customers.c.name).where(
            _among(customers, "customer_id", customer_ids)
        )
    )
    return {row.customer_id: Customer(*row) for row in rows}


async def find_sites(connection: AsyncConnection, site_ids: Collection[str]) -> dict[str, Site]:
    rows = await connection.execute(
        select(*(sites.c[name] for name in Site._fields)).where(_among(sites, "site_id", site_ids))
    )
    return {row.site_id: Site(*row) for row in rows}


async def find_emus(connection: AsyncConnection, emu_ids: Collection[str]) -> dict[str, EmuRecord]:
    rows = await connection.execute(
        select(cast(emus.c.doc, Text)).where(_among(emus, "emu_id", emu_ids))
    )
    found = [decode_emu_record(doc) for (doc,) in rows]
    return {record.emu_id: record for record in found}


async def emus_at(connection: AsyncConnection, site_ids: Collection[str]) -> list[str]:
    rows = await connection.execute(select(emus.c.emu_id).where(_among(emus, "site_id", site_ids)))
    return [emu_id for (emu_id,) in rows]


async def write_customers(connection: AsyncConnection, rows: Sequence[Customer]) -> None:
    await write_rows(connection, _UPSERT_CUSTOMERS, rows)


async def write_sites(connection: AsyncConnection, rows: Sequence[Site]) -> None:
    await write_rows(connection, _UPSERT_SITES, rows)


async def write_emus(connection: AsyncConnection, records: Iterable[EmuRecord]) -> None:
    rows = [
        EmuRow(
            record.emu_id, record.revision, record.site_id, record.state, encode_emu_record(record)
        )
        for record in records
    ]
    await write_rows(connection, _UPSERT_EMUS, rows)


async def write_news(
    connection: AsyncConnection, emu_ids: Iterable[str], partitions: Mapping[str, int], at_ms: int
) -> None:
    """These EMUs (with the partitions of their sites) have a revision that is to be told.

    Written last, for whoever tells news waits for these rows; and by their ids, so nobody deadlocks.
    """
    rows = [_NewsRow(emu_id, partitions[emu_id], at_ms, 0) for emu_id in emu_ids]
    await write_rows(connection, _UPSERT_NEWS, rows)


async def note_import(
    connection: AsyncConnection, *, at_ms: int, who: str, lines: int, added: int, changed: int
) -> None:
    row = {"at_ms": at_ms, "who": who, "lines": lines, "added": added, "changed": changed}
    await connection.execute(insert(imports).values(row))


async def read_emu(connection: AsyncConnection, emu_id: str) -> StoredEmu | None:
    rows = await connection.execute(_SHOWN.where(emus.c.emu_id == emu_id))
    row = rows.one_or_none()
    return None if row is None else StoredEmu(*row)


async def list_emus(
    connection: AsyncConnection,
    *,
    site_id: str | None = None,
    states: Collection[str] | None = None,
    limit: int,
    after: Place | None = None,
) -> list[StoredEmu]:
    """By site; `after`: those that follow this place."""
    query = _SHOWN.order_by(emus.c.site_id, emus.c.emu_id).limit(limit)
    if site_id is not None:
        query = query.where(emus.c.site_id == site_id)
    if states is not None:
        query = query.where(emus.c.state.in_(states))
    if after is not None:
        query = query.where(tuple_(emus.c.site_id, emus.c.emu_id) > after)
    return [StoredEmu(*row) for row in await connection.execute(query)]


async def next_emus(connection: AsyncConnection, *, after: str, limit: int) -> list[StoredEmu]:
    """By emu_id, those behind `after`: so each comes once, also where some move meanwhile."""
    query = _SHOWN.where(emus.c.emu_id > after).order_by(emus.c.emu_id).limit(limit)
    return [StoredEmu(*row) for row in await connection.execute(query)]


async def find_place(connection: AsyncConnection, emu_id: str) -> Place | None:
    query = select(emus.c.site_id, emus.c.emu_id).where(emus.c.emu_id == emu_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else Place(*row)


def _among(table: Table, name: str, ids: Collection[str]):
    return table.c[name] == func.any(bindparam("ids", sorted(ids), ARRAY(Text)))


_SHOWN = (
    select(
        emus.c.emu_id,
        cast(emus.c.doc, Text),
        sites.c.name,
        customers.c.name,
        func.coalesce(news.c.changed_ms.is_(None) & (news.c.waiting == 0), True),
    )
    .select_from(emus)
    .outerjoin(sites, sites.c.site_id == emus.c.site_id)
    .outerjoin(customers, customers.c.customer_id == sites.c.customer_id)
    .outerjoin(news, news.c.emu_id == emus.c.emu_id)
)

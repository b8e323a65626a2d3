"""Rows to PostgreSQL as one array a column (`unnest`): one statement for any number of them, at a fraction of
what a statement for each row costs.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, LargeBinary, Table, bindparam, cast, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY, Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

# Columns of JSON text. They are carried as bytes: psycopg writes an array of bytes as it is, but searches an
# array of text for quotes, which JSON is full of, and took half of all time.
_JSON_COLUMNS = ("doc", "headers", "body")


def insert_rows(table: Table, names: Sequence[str]) -> Insert:
    """Inserts rows that are given as one array for each of `names`, in their order."""

    def carried_as(name: str) -> TypeEngine[Any]:
        return LargeBinary() if name in _JSON_COLUMNS else table.c[name].type

    def value(name: str) -> ColumnElement[Any]:
        if name not in _JSON_COLUMNS:
            return rows.c[name]
        return cast(func.convert_from(rows.c[name], "UTF8"), table.c[name].type)

    arrays = [bindparam(name, type_=ARRAY(carried_as(name))) for name in names]
    columns = [column(name, carried_as(name)) for name in names]
    rows = func.unnest(*arrays).table_valued(*columns, with_ordinality="ordinal").render_derived()
    selected = select(*map(value, names)).order_by(rows.c.ordinal)
    return insert(table).from_select(list(names), selected)


def upsert_rows(
    table: Table, names: Sequence[str], *, changing: Collection[str] | None = None
) -> Insert:
    """As `insert_rows`; a row whose primary key is there takes the new values, or those of `changing`."""
    statement = insert_rows(table, names)
    keys = [key.name for key in table.primary_key]
    changed = {
        name: statement.excluded[name]
        for name in (names if changing is None else changing)
        if name not in keys
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


async def write_rows(
    connection: AsyncConnection, statement: Insert, rows: Sequence[NamedTuple]
) -> None:
    """All `rows`, whose fields are the columns of the statement; does nothing where there are none."""
    if rows:
        names = rows[0]._fields
        columns = map(list, zip(*rows, strict=True))
        await connection.execute(statement, dict(zip(names, columns, strict=True)))

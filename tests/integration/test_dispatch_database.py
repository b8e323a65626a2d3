"""Dispatch's transactions: which errors of PostgreSQL another try may mend, and which it may not."""

from collections.abc import AsyncGenerator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.database import DatabaseError, make_engine, parse_url, transaction


@pytest.fixture
async def engine(postgres_url: str) -> AsyncGenerator[AsyncEngine]:
    made = make_engine(parse_url(postgres_url), "test")
    yield made
    await made.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        # A key that is too long for its index, even when it is compressed.
        "CREATE TEMPORARY TABLE long (id text PRIMARY KEY) ON COMMIT DROP;"
        "INSERT INTO long SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) AS n",
        "SELECT 1 / 0",
        "SELECT '\\ud800'::jsonb",
        "SELECT nothing",
    ],
)
async def test_what_postgres_refuses_is_not_told_as_its_absence(
    engine: AsyncEngine, statement: str
) -> None:
    with pytest.raises(DBAPIError):
        await execute(engine, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_terminate_backend(pg_backend_pid())",
        "SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)",
        "SET TRANSACTION READ ONLY; CREATE TABLE nothing ()",  # as on a server that has failed over
    ],
)
async def test_what_another_try_may_mend_is_an_error_of_ours(
    engine: AsyncEngine, statement: str
) -> None:
    with pytest.raises(DatabaseError):
        await execute(engine, statement)


async def test_error_does_not_repeat_what_people_wrote(engine: AsyncEngine) -> None:
    with pytest.raises(DBAPIError) as raised:
        await execute(engine, "SELECT nothing, :words", words="in confidence")
    assert "in confidence" not in str(raised.value)


async def execute(engine: AsyncEngine, statements: str, **values: str) -> None:
    async with transaction(engine) as connection:
        for statement in statements.split(";"):
            await connection.execute(text(statement), values)

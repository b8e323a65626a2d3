"""Dispatch's schema, brought up to date at start (Alembic)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.database import transaction

# Any number will do, as long as no other program that uses the database takes the same one.
LOCK_KEY = 0x62616B76


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Bring the schema to `revision`, by default the newest, all of it or nothing.

    Instances that start together wait for the first of them. Waiting for a lock or a long migration is not
    limited in time: half of a schema would be of no use. Raises DatabaseError while PostgreSQL is away.
    """
    async with transaction(engine) as connection:
        for setting in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            await connection.execute(text(f"SET LOCAL {setting} = 0"))
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        await connection.run_sync(_upgrade, revision)


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)

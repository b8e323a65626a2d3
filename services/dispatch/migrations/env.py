"""Run by Alembic, on the connection and in the transaction that `migrate` hands over."""

from alembic import context
from sqlalchemy import Connection

from services.dispatch.tables import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

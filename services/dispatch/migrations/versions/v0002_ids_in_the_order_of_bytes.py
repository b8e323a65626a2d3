"""Ids of cases and faults are sorted by their bytes, so that an index finds them by their beginning."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute('ALTER TABLE cases ALTER COLUMN case_id TYPE text COLLATE "C"')
    op.execute('ALTER TABLE faults ALTER COLUMN fault_id TYPE text COLLATE "C"')

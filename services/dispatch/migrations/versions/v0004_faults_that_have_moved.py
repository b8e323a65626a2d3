"""A fault is found by the one that it was at the site where its EMU stood before."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute('ALTER TABLE faults ADD COLUMN moved_from text COLLATE "C"')
    op.execute("CREATE INDEX faults_by_former ON faults (moved_from) WHERE moved_from IS NOT NULL")

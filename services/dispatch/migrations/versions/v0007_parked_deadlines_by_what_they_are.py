"""A parked deadline is known by its id and version: its offset is another's where the topic was made anew."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE deadlines_parked ADD COLUMN deadline_id text, ADD COLUMN version bigint",
    """
    UPDATE deadlines_parked SET
        deadline_id = convert_from(value, 'UTF8')::json ->> 'deadline_id',
        version = (convert_from(value, 'UTF8')::json ->> 'version')::bigint
    """,
    # The timer gives a deadline at least once; it waits since it came first.
    """
    DELETE FROM deadlines_parked AS again USING deadlines_parked AS before
    WHERE (before.deadline_id, before.version) = (again.deadline_id, again.version)
        AND (before.parked_ms, before.partition, before."offset")
            < (again.parked_ms, again.partition, again."offset")
    """,
    """
    ALTER TABLE deadlines_parked
        ALTER COLUMN deadline_id SET NOT NULL,
        ALTER COLUMN version SET NOT NULL,
        DROP CONSTRAINT deadlines_parked_pkey,
        ADD PRIMARY KEY (deadline_id, version)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

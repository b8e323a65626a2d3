"""Deadlines that wait for their case, and those that are forgotten."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    """
    CREATE TABLE deadlines_parked (
        partition integer NOT NULL,
        "offset" bigint NOT NULL,
        case_id text NOT NULL,
        key bytea,
        value bytea NOT NULL,
        published_ms bigint NOT NULL,
        parked_ms bigint NOT NULL,
        PRIMARY KEY (partition, "offset")
    )
    """,
    "CREATE INDEX deadlines_parked_by_case ON deadlines_parked (case_id)",
    "CREATE INDEX deadlines_seen_by_version ON deadlines_seen (version)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

"""Customers, sites and EMUs, who imported them, and what of them is still to be told."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    """
    CREATE TABLE customers (
        customer_id text COLLATE "C" PRIMARY KEY,
        name text
    )
    """,
    """
    CREATE TABLE sites (
        site_id text COLLATE "C" PRIMARY KEY,
        name text,
        customer_id text,
        desk text NOT NULL,
        policy text NOT NULL,
        time_zone text NOT NULL,
        area text
    )
    """,
    """
    CREATE TABLE emus (
        emu_id text COLLATE "C" PRIMARY KEY,
        revision bigint NOT NULL,
        site_id text COLLATE "C" NOT NULL,
        state text NOT NULL,
        doc jsonb NOT NULL
    )
    """,
    "CREATE INDEX emus_by_site ON emus (site_id, emu_id)",
    """
    CREATE TABLE imports (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at_ms bigint NOT NULL,
        who text NOT NULL,
        lines integer NOT NULL,
        added integer NOT NULL,
        changed integer NOT NULL
    )
    """,
    """
    CREATE TABLE news (
        emu_id text COLLATE "C" PRIMARY KEY,
        partition integer NOT NULL,
        changed_ms bigint,
        told_site text,
        waiting integer NOT NULL
    )
    """,
    "CREATE INDEX news_to_tell ON news (partition, emu_id) WHERE changed_ms IS NOT NULL",
    """
    CREATE TABLE copies (
        partition integer NOT NULL,
        emu_id text COLLATE "C" NOT NULL,
        gone_ms bigint,
        PRIMARY KEY (emu_id, partition)
    )
    """,
    "CREATE INDEX copies_to_remove ON copies (partition, gone_ms) WHERE gone_ms IS NOT NULL",
    "ALTER TABLE outbox ADD COLUMN emu_id text",
    "ALTER TABLE faults ADD COLUMN emu_id text GENERATED ALWAYS AS (doc ->> 'emu_id') STORED",
    "CREATE INDEX faults_by_emu ON faults (emu_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

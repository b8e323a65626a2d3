"""The first schema: inputs, cases, faults, pages, their log, and what goes out."""

from alembic import op

revision = "0001"
down_revision = None

STATEMENTS = (
    """
    CREATE TABLE inputs (
        topic text NOT NULL,
        partition integer NOT NULL,
        next bigint NOT NULL,
        PRIMARY KEY (topic, partition)
    )
    """,
    """
    CREATE TABLE cases (
        case_id text PRIMARY KEY,
        partition integer NOT NULL,
        revision bigint NOT NULL,
        state text NOT NULL,
        grade text NOT NULL,
        opened_ms bigint NOT NULL,
        doc jsonb NOT NULL
    )
    """,
    "CREATE INDEX cases_by_age ON cases (opened_ms, case_id)",
    "CREATE INDEX cases_by_state_and_age ON cases (state, opened_ms, case_id)",
    "CREATE INDEX cases_by_partition_and_state ON cases (partition, state)",
    """
    CREATE TABLE faults (
        fault_id text PRIMARY KEY,
        partition integer NOT NULL,
        case_id text,
        revision bigint NOT NULL,
        state text NOT NULL,
        doc jsonb NOT NULL
    )
    """,
    "CREATE INDEX faults_by_case ON faults (case_id)",
    """
    CREATE TABLE pages (
        message_id text PRIMARY KEY,
        case_id text NOT NULL,
        partition integer NOT NULL,
        grade text NOT NULL,
        step integer NOT NULL,
        level integer NOT NULL,
        person text NOT NULL,
        reason text NOT NULL,
        body text NOT NULL,
        caused_ms bigint NOT NULL,
        created_ms bigint NOT NULL,
        sent_ms bigint,
        attempts integer NOT NULL,
        next_try_ms bigint NOT NULL,
        last_error text
    )
    """,
    "CREATE INDEX pages_by_case ON pages (case_id)",
    "CREATE INDEX pages_pending ON pages (partition, grade, next_try_ms) WHERE sent_ms IS NULL",
    """
    CREATE TABLE case_log (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        case_id text NOT NULL,
        at_ms bigint NOT NULL,
        what text NOT NULL,
        who text,
        detail text
    )
    """,
    "CREATE INDEX case_log_by_case ON case_log (case_id, id)",
    """
    CREATE TABLE deadlines_seen (
        deadline_id text NOT NULL,
        version bigint NOT NULL,
        PRIMARY KEY (deadline_id, version)
    )
    """,
    """
    CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        partition integer NOT NULL,
        topic text NOT NULL,
        key bytea,
        value bytea,
        headers jsonb NOT NULL,
        created_ms bigint NOT NULL
    )
    """,
    "CREATE INDEX outbox_by_partition ON outbox (partition, id)",
    """
    CREATE TABLE counters (
        partition integer PRIMARY KEY,
        seq bigint NOT NULL
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)

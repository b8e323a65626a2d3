"""Cases of one site, and of one grade, are found by an index however many there are."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE cases ADD COLUMN site_id text GENERATED ALWAYS AS (doc ->> 'site_id') STORED"
    )
    op.execute("CREATE INDEX cases_by_grade_and_age ON cases (grade, opened_ms, case_id)")
    op.execute("CREATE INDEX cases_by_site_and_age ON cases (site_id, opened_ms, case_id)")

"""Dispatch's tables. Times are epoch ms (`_ms`); documents are whole, beside the columns that are searched.

Changed by a migration (`migrations/versions`), which a test holds against this.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

# Ids that people may shorten: in the order of bytes, an index finds those that begin alike, whatever
# language the database sorts in.
ID = Text(collation="C")

# How far each input has been read: the offset of the next record, 0 when there was none yet.
inputs = Table(
    "inputs",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "partition"),
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", ID, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("grade", Text, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("doc", JSONB, nullable=False),
    Column("site_id", Text, Computed("doc ->> 'site_id'", persisted=True)),
    # The orders in which people list cases, newest first, and the count by state of the metrics.
    Index("cases_by_age", "opened_ms", "case_id"),
    Index("cases_by_state_and_age", "state", "opened_ms", "case_id"),
    Index("cases_by_grade_and_age", "grade", "opened_ms", "case_id"),
    Index("cases_by_site_and_age", "site_id", "opened_ms", "case_id"),
    Index("cases_by_partition_and_state", "partition", "state"),
)

faults = Table(
    "faults",
    metadata,
    Column("fault_id", ID, primary_key=True),
    Column("partition", Integer, nullable=False),
    # None while the fault stands in no case.
    Column("case_id", Text),
    Column("revision", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("doc", JSONB, nullable=False),
    # The fault that it was at the site where its EMU stood before.
    Column("moved_from", ID),
    Column("emu_id", Text, Computed("doc ->> 'emu_id'", persisted=True)),
    Index("faults_by_case", "case_id"),
    Index("faults_by_emu", "emu_id"),
)
# Few have moved.
Index(
    "faults_by_former",
    faults.c.moved_from,
    postgresql_where=faults.c.moved_from.is_not(None),
)

# The steps that were decided, each once: the id is made from the case and the number of the step.
pages = Table(
    "pages",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("case_id", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    # Of the case when the step was decided: the gravest are delivered first.
    Column("grade", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("level", Integer, nullable=False),
    Column("person", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
    # When what caused the page came to Kafka.
    Column("caused_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("sent_ms", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("next_try_ms", BigInteger, nullable=False),
    Column("last_error", Text),
    Index("pages_by_case", "case_id"),
)
# Holds only what is still to be sent: nearly always nothing.
Index(
    "pages_pending",
    pages.c.partition,
    pages.c.grade,
    pages.c.next_try_ms,
    postgresql_where=pages.c.sent_ms.is_(None),
)

# What happened to a case, by whom, in what words. Only ever added to.
case_log = Table(
    "case_log",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("case_id", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("who", Text),
    Column("detail", Text),
    Index("case_log_by_case", "case_id", "id"),
)

# The timer gives a deadline at least once; this makes it act once. `retention` forgets it.
deadlines_seen = Table(
    "deadlines_seen",
    metadata,
    Column("deadline_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    PrimaryKeyConstraint("deadline_id", "version"),
    Index("deadlines_seen_by_version", "version"),
)

# Deadlines of cases that are not written yet, as they came; taken out by whoever writes the case. Nearly
# always empty: only a database that has lost something does not know a case that the timer knows.
deadlines_parked = Table(
    "deadlines_parked",
    metadata,
    Column("deadline_id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("case_id", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    # Where it came; where the topic is made anew, others come there again.
    Column("offset", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary, nullable=False),
    Column("published_ms", BigInteger, nullable=False),
    # When it came first.
    Column("parked_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("deadline_id", "version"),
    Index("deadlines_parked_by_case", "case_id"),
)

# What goes to Kafka. Written under the lock of its document's row, so the ids of one document ascend
# with its revisions; relayed by the partition's owner, deleted once Kafka has it.
outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    # A list of [name, text]; none: [].
    Column("headers", JSONB, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    # Of a fact, and of an EMU record: what is to be done once Kafka has it depends on it (`news`).
    Column("emu_id", Text),
    Index("outbox_by_partition", "partition", "id"),
)

# The newest `seq` of our own records on `<prefix>.alarms`, so their reader can tell a redelivery.
counters = Table(
    "counters",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
)

customers = Table(
    "customers",
    metadata,
    Column("customer_id", ID, primary_key=True),
    Column("name", Text),
)

sites = Table(
    "sites",
    metadata,
    Column("site_id", ID, primary_key=True),
    Column("name", Text),
    Column("customer_id", Text),
    Column("desk", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("area", Text),
)

# `doc` is the whole EMU record, with what it has from its site.
emus = Table(
    "emus",
    metadata,
    Column("emu_id", ID, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("site_id", ID, nullable=False),
    Column("state", Text, nullable=False),
    Column("doc", JSONB, nullable=False),
    Index("emus_by_site", "site_id", "emu_id"),
)

# Who has changed the fleet, and how much of it. Only ever added to.
imports = Table(
    "imports",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("added", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
)

# How far each EMU's newest revision is told: first its facts, and once Kafka has them all its record.
news = Table(
    "news",
    metadata,
    Column("emu_id", ID, primary_key=True),
    # Of the site of the newest revision; its owner tells it.
    Column("partition", Integer, nullable=False),
    # Since when there is a revision whose facts are not written to the outbox; None: there is none.
    Column("changed_ms", BigInteger),
    # The site in the newest facts; None: there were none yet.
    Column("told_site", Text),
    # How many facts of the EMU are in the outbox.
    Column("waiting", Integer, nullable=False),
)
Index(
    "news_to_tell",
    news.c.partition,
    news.c.emu_id,
    postgresql_where=news.c.changed_ms.is_not(None),
)

# The partitions of `<prefix>.fleet` that hold a record of the EMU. One that it has left is removed when
# `gone_ms` is past.
copies = Table(
    "copies",
    metadata,
    Column("partition", Integer, nullable=False),
    Column("emu_id", ID, nullable=False),
    Column("gone_ms", BigInteger),
    PrimaryKeyConstraint("emu_id", "partition"),
)
Index(
    "copies_to_remove",
    copies.c.partition,
    copies.c.gone_ms,
    postgresql_where=copies.c.gone_ms.is_not(None),
)

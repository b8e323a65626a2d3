"""Metrics that all services have; each service's own are in its `metrics.py`."""

from prometheus_client import Counter, Gauge, Histogram

LAG_RECORDS = Gauge(
    "bakvakt_kafka_lag_records",
    "Records that this instance has still to read of a partition that it owns.",
    ["topic", "partition"],
)
LAG_SECONDS = Gauge(
    "bakvakt_kafka_lag_seconds",
    "Age of the oldest record that was waiting at the newest read; 0 when none was.",
    ["topic", "partition"],
)
LAST_READ_SECONDS = Gauge(
    "bakvakt_kafka_last_read_timestamp_seconds",
    "When Kafka last answered this instance about a partition that it owns; old: stuck, or cut off.",
    ["topic", "partition"],
)
LOST_INPUT = Counter(
    "bakvakt_kafka_lost_input_total",
    "Times that the log no longer held the next record: retention or a new topic took it.",
    ["topic", "partition"],
)
TASKS_ASSIGNED = Gauge(
    "bakvakt_tasks_assigned",
    "Partitions that the group has given to this instance.",
    ["group"],
)
TASKS_READY = Gauge(
    "bakvakt_tasks_ready",
    "Partitions that this instance owns and serves.",
    ["group"],
)
TASKS_UNPROVEN = Gauge(
    "bakvakt_tasks_unproven",
    "Partitions whose task has ended, fenced or by another error, and waits for proof that they are ours.",
    ["group"],
)
TASK_RESTARTS = Counter(
    "bakvakt_task_restarts_total",
    "Tasks of a partition that ended in an error and were built anew, by the error's reason.",
    ["group", "reason"],
)
RESTORE_SECONDS = Histogram(
    "bakvakt_task_restore_seconds",
    "Time of taking a partition over exactly once: fence, restore, seek.",
    ["group"],
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
COMMIT_SECONDS = Histogram(
    "bakvakt_task_commit_seconds",
    "Time of one exactly-once transaction, from its begin to Kafka's answer.",
    ["group"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
COMMITS_FAILED = Counter(
    "bakvakt_task_commits_failed_total",
    "Exactly-once transactions without Kafka's yes, by reason: fenced, transaction, outcome_unknown.",
    ["group", "reason"],
)
OLDEST_UNJUDGED_SECONDS = Gauge(
    "bakvakt_task_oldest_unjudged_seconds",
    "Age of the oldest record that was read and whose judgement is not yet committed; 0 when there is none.",
    ["topic", "partition"],
)
DEAD_LETTERS = Counter(
    "bakvakt_dead_letters_total",
    "Records and reports written to the dead letters, by reason.",
    ["service", "reason"],
)

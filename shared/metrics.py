"""Metrics that all services have; each service's own are in its `metrics.py`."""

from prometheus_client import Counter, Gauge

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
TASK_RESTARTS = Counter(
    "bakvakt_task_restarts_total",
    "Tasks of a partition that ended in an error and were built anew, by the error's reason.",
    ["group", "reason"],
)
DEAD_LETTERS = Counter(
    "bakvakt_dead_letters_total",
    "Records and reports written to the dead letters, by reason.",
    ["service", "reason"],
)

"""Metrics of the classifier."""

from prometheus_client import Counter, Gauge, Histogram

ALARMS = Counter(
    "bakvakt_classifier_alarms_total",
    "Internal records judged, by what became of them.",
    ["verdict"],
)
FAULTS = Counter(
    "bakvakt_classifier_faults_published_total",
    "Revisions of faults published, by what they tell.",
    ["change"],
)
FAULTS_OPEN = Gauge(
    "bakvakt_classifier_faults_open",
    "Faults whose condition stands.",
    ["partition", "grade"],
)
COMMIT_SECONDS = Histogram(
    "bakvakt_classifier_commit_seconds",
    "Time of one transaction, from its begin to Kafka's yes.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
RESTORE_SECONDS = Histogram(
    "bakvakt_classifier_restore_seconds",
    "Time of taking a partition over: fence, restore, seek.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)

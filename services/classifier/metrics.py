"""Metrics of the classifier."""

from prometheus_client import Counter, Gauge

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

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
TOO_SHORT = Counter(
    "bakvakt_classifier_too_short_total",
    "Raises that had gone before the on-delay of their kind was over: no fault.",
)
RETIRED = Counter(
    "bakvakt_classifier_retired_total",
    "Alarms of EMUs that are retired: recorded, and nobody is paged for them but for hazards.",
)
EMUS = Gauge(
    "bakvakt_classifier_emus_known",
    "EMUs whose record is known, by its state.",
    ["partition", "state"],
)
REGRADED = Counter(
    "bakvakt_classifier_regraded_total",
    "Revisions that open, reopen or regrade a fault by a grade that is not the catalogue's, by what gave it.",
    ["by"],
)
CONDITIONS = Gauge(
    "bakvakt_classifier_conditions",
    "Conditions that are remembered: they stand, wait to be told, or may yet be reopened.",
    ["partition"],
)
FLAPPING = Gauge(
    "bakvakt_classifier_conditions_flapping",
    "Conditions that come and go: three changes within a minute, and no quiet minute since.",
    ["partition"],
)
TRANSFERS_MISSING = Gauge(
    "bakvakt_classifier_transfers_missing",
    "EMUs that came from another site, and what was known of them there has not come yet.",
    ["partition"],
)
FAULTS_OPEN = Gauge(
    "bakvakt_classifier_faults_open",
    "Faults whose condition stands.",
    ["partition", "grade"],
)
FAULTS_STALE = Gauge(
    "bakvakt_classifier_faults_stale",
    "Faults of which nobody knows whether they still stand: their EMU is offline, or input was lost.",
    ["partition"],
)
EMUS_LISTENED = Gauge(
    "bakvakt_classifier_emus_listened",
    "EMUs that have told of their presence: by heartbeats, online or offline.",
    ["partition"],
)
EMUS_OFFLINE = Gauge(
    "bakvakt_classifier_emus_offline",
    "Those of them that are offline, by their broker's word or by their silence.",
    ["partition"],
)
HEARD_TO_SECONDS = Gauge(
    "bakvakt_classifier_heard_to_timestamp_seconds",
    "Up to which receipt all inputs are read, by ingest's word; silence is judged up to there. 0: not known.",
    ["partition"],
)

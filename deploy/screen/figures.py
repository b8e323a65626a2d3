"""Pure: what the metrics of an instance say, as far as people ask for it at a glance."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

GRADES = ("A", "B", "C", "D")

_ALARMS = "bakvakt_classifier_alarms_total"
_REPORTS = "bakvakt_ingest_reports_total"
_FAULTS_OPEN = "bakvakt_classifier_faults_open"
_CASES = "bakvakt_dispatch_cases"
_CLOCKS_STANDING = "bakvakt_timer_clocks_standing"
_LAG_RECORDS = "bakvakt_kafka_lag_records"
_LAG_SECONDS = "bakvakt_kafka_lag_seconds"
_TASKS_READY = "bakvakt_tasks_ready"
_PAGES_PENDING = "bakvakt_dispatch_pages_pending"
_PAGES_OLDEST = "bakvakt_dispatch_pages_oldest_pending_seconds"
_WANTED = (
    _ALARMS,
    _REPORTS,
    _FAULTS_OPEN,
    _CASES,
    _CLOCKS_STANDING,
    _LAG_RECORDS,
    _LAG_SECONDS,
    _TASKS_READY,
    _PAGES_PENDING,
    _PAGES_OLDEST,
)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Of one instance, or of several together."""

    counted: float = 0.0
    """Since the process began. By ingest: reports read; by the classifier: alarms judged."""
    faults: dict[str, int] = {}
    """Open ones, by grade."""
    cases: dict[str, int] = {}
    """By state."""
    clocks: int = 0
    """Standing ones."""
    lag_records: int = 0
    lag_s: float = 0.0
    """The longest of its partitions."""
    partitions: int = 0
    """That it owns and serves."""
    pages_pending: int = 0
    pages_oldest_s: float = 0.0
    """The longest that one waits to be delivered."""


def read_figures(*metrics: str) -> Figures:
    """What the texts of one or more /metrics say together; a text without figures adds none.

    Each instance counts what it owns, so those of several instances add up.
    """
    totals = defaultdict[str, float](float)
    faults = defaultdict[str, int](int)
    cases = defaultdict[str, int](int)
    oldest_s = {_LAG_SECONDS: 0.0, _PAGES_OLDEST: 0.0}
    for sample in _samples(metrics):
        totals[sample.name] += sample.value
        if sample.name == _FAULTS_OPEN:
            faults[sample.labels["grade"]] += int(sample.value)
        elif sample.name == _CASES:
            cases[sample.labels["state"]] += int(sample.value)
        elif sample.name in oldest_s:
            oldest_s[sample.name] = max(oldest_s[sample.name], sample.value)
    return Figures(
        # Each service has one of them, and that only once it has counted something.
        counted=totals[_ALARMS] + totals[_REPORTS],
        faults=dict(faults),
        cases=dict(cases),
        clocks=int(totals[_CLOCKS_STANDING]),
        lag_records=int(totals[_LAG_RECORDS]),
        lag_s=oldest_s[_LAG_SECONDS],
        partitions=int(totals[_TASKS_READY]),
        pages_pending=int(totals[_PAGES_PENDING]),
        pages_oldest_s=oldest_s[_PAGES_OLDEST],
    )


def _samples(metrics: Iterable[str]) -> Iterator[Sample]:
    # Parsing takes long, and most of each text is of no interest here.
    wanted = "".join(
        line
        for text in metrics
        for line in text.splitlines(keepends=True)
        if line.startswith(_WANTED)
    )
    for family in text_string_to_metric_families(wanted):
        yield from family.samples

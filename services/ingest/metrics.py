"""Metrics of ingest."""

from prometheus_client import Counter

REPORTS = Counter(
    "bakvakt_ingest_reports_total",
    "Reports read and written on as internal records.",
    ["topic"],
)

"""Metrics of ingest."""

from prometheus_client import Counter

REPORTS = Counter(
    "bakvakt_ingest_reports_total",
    "Reports read and written on as internal records.",
    ["topic"],
)
UNKNOWN_CODES = Counter(
    "bakvakt_ingest_unknown_codes_total",
    "Codes in reports that the catalogue does not have, each time that one was named.",
    ["topic"],
)
UNKNOWN_REGISTERS = Counter(
    "bakvakt_ingest_unknown_registers_total",
    "Words of registers that the catalogue does not have, also those that name nothing.",
    ["topic"],
)

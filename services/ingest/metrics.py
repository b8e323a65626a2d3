"""Metrics of ingest."""

from prometheus_client import Counter, Gauge

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
FLEET_EMUS = Gauge(
    "bakvakt_ingest_fleet_emus",
    "EMUs of which this instance has a record, by which their reports find their site.",
)
FLEET_READ_SECONDS = Gauge(
    "bakvakt_ingest_fleet_read_timestamp_seconds",
    "When this instance last read the fleet; old: it places reports by what it knew then. 0: not yet whole.",
)
FLEET_REFUSED = Counter(
    "bakvakt_ingest_fleet_refused_total",
    "Records of the fleet that could not be used, each time that they were read.",
    ["reason"],
)
UNKNOWN_EMUS = Counter(
    "bakvakt_ingest_unknown_emus_total",
    "Reports from EMUs without a record: they are at the site that they name, else at one of their own.",
    ["topic"],
)
CONTRADICTED_SITES = Counter(
    "bakvakt_ingest_contradicted_sites_total",
    "Reports that name another site than their EMU's record, which holds.",
    ["topic"],
)
READ_TO_SECONDS = Gauge(
    "bakvakt_ingest_read_to_timestamp_seconds",
    "Up to which receipt a partition of the input is read and written on; 0: not known yet.",
    ["topic", "partition"],
)

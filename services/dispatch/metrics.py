"""Dispatch's own metrics; those that all services have are in `shared/metrics.py`."""

from prometheus_client import Counter, Gauge, Histogram

CASES = Gauge(
    "bakvakt_dispatch_cases",
    "Cases of the partitions that this instance owns, by state.",
    ["state"],
)
PAGES = Counter(
    "bakvakt_dispatch_pages_total",
    "Tries to deliver a page, by result: sent, or failed and tried again.",
    ["result"],
)
PAGE_DELAY = Histogram(
    "bakvakt_dispatch_page_delay_seconds",
    "From the publication of what caused a page to its delivery.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800),
)
PAGES_PENDING = Gauge(
    "bakvakt_dispatch_pages_pending",
    "Pages that are decided and not delivered yet, of the partitions that this instance owns.",
)
OLDEST_PENDING = Gauge(
    "bakvakt_dispatch_pages_oldest_pending_seconds",
    "Age of the oldest page that is not delivered yet; 0 when there is none.",
)
OUTBOX_ROWS = Gauge(
    "bakvakt_dispatch_outbox_rows",
    "Records that wait to be written to Kafka, of the partitions that this instance owns.",
)
OUTBOX_OLDEST = Gauge(
    "bakvakt_dispatch_outbox_oldest_seconds",
    "Age of the oldest record that waits to be written to Kafka; 0 when there is none.",
)
DEADLINES = Counter(
    "bakvakt_dispatch_deadlines_total",
    "Deadlines judged, by outcome: acted, noted, repeated, stale, stopped, parked.",
    ["outcome"],
)
DEADLINES_PARKED = Gauge(
    "bakvakt_dispatch_deadlines_parked",
    "Deadlines that wait for a case which is not written yet, of the partitions that this instance owns.",
)
TRANSACTION_SECONDS = Histogram(
    "bakvakt_dispatch_transaction_seconds",
    "Duration of the PostgreSQL transaction for one batch of inputs.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)

"""The page of all metrics."""

from typing import cast

from prometheus_client.metrics import MetricWrapperBase

import shared.metrics
from deploy.local.supervisor import SERVICES
from deploy.reference.services import declared_metrics, metrics_of
from deploy.reference.table import code, table

HEAD = ("metric", "type", "labels", "unit", "meaning")
# By the end of the name, the longest first.
UNITS = {"timestamp_seconds": "s since 1970", "seconds": "s", "bytes": "bytes"}

INTRODUCTION = """\
# Metrics

*Made from the code by `.venv/bin/python -m deploy.reference`; do not edit.*

Every service answers `/metrics` in Prometheus' format. Each instance tells of its own partitions; sum over
instances. Prometheus adds the labels `job` and `instance`; a histogram has the series `_bucket`, `_sum` and
`_count`. Beside these there are the Python client's own, `process_*` and `python_*`. Where no unit is named,
things are counted. What to do about an alert: [alerts](../alerts.md).

## All services

"""


def metrics_page() -> str:
    """All metrics: of all services, and of each one."""
    parts = [INTRODUCTION, table(HEAD, metric_rows(declared_metrics(shared.metrics)))]
    for service in SERVICES:
        own = table(HEAD, metric_rows(metrics_of(service)))
        parts.append(f"\n## {service.capitalize()}\n\n{own}")
    return "".join(parts)


def metric_rows(metrics: list[MetricWrapperBase]) -> list[tuple[str, ...]]:
    """A row for each metric."""
    return [_row(metric) for metric in metrics]


def _row(metric: MetricWrapperBase) -> tuple[str, ...]:
    (described,) = metric.describe()
    # The client takes "_total" off a counter's name and puts it back when asked by Prometheus.
    name = f"{described.name}_total" if described.type == "counter" else described.name
    labels = cast("tuple[str, ...]", vars(metric)["_labelnames"])  # it has no public name
    return (
        code(name),
        described.type,
        ", ".join(code(label) for label in labels),
        next((unit for end, unit in UNITS.items() if described.name.endswith(f"_{end}")), ""),
        described.documentation,
    )

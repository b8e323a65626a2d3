"""The settings and the metrics that the services declare, by service."""

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from prometheus_client.metrics import MetricWrapperBase

from shared.config import Settings


def settings_of(service: str) -> type[Settings]:
    """The struct that the service's `config.py` declares."""
    module = import_module(f"services.{service}.config")
    (kind,) = (
        value for value in _own(module) if isinstance(value, type) and issubclass(value, Settings)
    )
    return kind


def metrics_of(service: str) -> list[MetricWrapperBase]:
    """What the service's `metrics.py` declares, in its order."""
    return declared_metrics(import_module(f"services.{service}.metrics"))


def declared_metrics(module: ModuleType) -> list[MetricWrapperBase]:
    """The metrics of a module, in the order in which it declares them."""
    return [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]


def _own(module: ModuleType) -> Iterator[object]:
    """What the module declares itself, not what it imports."""
    for value in vars(module).values():
        if getattr(value, "__module__", None) == module.__name__:
            yield value

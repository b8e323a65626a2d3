"""Edges and conditions for tests: what a test doesn't say has a plain default."""

from typing import Any

from services.classifier.judge import judge_edge
from services.classifier.state import Condition, Emu
from shared.catalogue import load_catalogue
from shared.documents.internal import Edge, Source
from shared.times import from_rfc3339

NOON_MS = from_rfc3339("2026-11-22T12:00:00Z")
CATALOGUE = load_catalogue()
CODE_A = "sunspec:802.Evt1.1"


def edge(offset: int = 0, *, receipt_ms: int = NOON_MS, **fields: Any) -> Edge:
    """A raise of `unknown.code` by EMU `e1` of site `s1`."""
    known: dict[str, Any] = {
        "source": Source(1, "emu.alarms", 0, offset, 0),
        "emu_id": "e1",
        "site_id": "s1",
        "component": "bms/rack-1",
        "code": "unknown.code",
        "raised": True,
        "at_ms": receipt_ms,
        "receipt_ms": receipt_ms,
    }
    return Edge(**(known | fields))


def condition_of(first: Edge) -> Condition:
    """The condition that `first` opens."""
    outcome = judge_edge(Emu(), None, first, first.receipt_ms, CATALOGUE)
    assert outcome.condition is not None
    return outcome.condition

"""Faults and deadlines for the tests of dispatch."""

from typing import Any

from msgspec.structs import replace

from shared.documents.case import Case
from shared.documents.deadline import Deadline
from shared.documents.fault import Fault, FaultSource
from shared.documents.ids import make_id
from shared.times import from_rfc3339, to_rfc3339

T0 = 1_790_000_000_000
MINUTE = 60_000


def make_fault(number: int = 1, *, at_ms: int = T0, **fields: Any) -> Fault:
    """A grade A fault that was opened at `at_ms`."""
    at = to_rfc3339(at_ms)
    fault = Fault(
        fault_id=make_id("f", "site-1", number),
        revision=1,
        change="opened",
        state="open",
        grade="A",
        grade_reason="catalogue",
        hazard=False,
        kind="overtemp",
        code="E-17",
        title="Cell over temperature",
        remedy="operate",
        emu_id=f"emu-{number}",
        component="bms/rack-3",
        site_id="site-1",
        raised_at=at,
        opened_at=at,
        clocks_from=at,
        last_at=at,
        count=1,
        flaps=0,
        catalogue="1",
        source=FaultSource("emu.alarms", 0, number),
    )
    return replace(fault, **fields)


def make_deadline(case: Case, clock: str, share: str = "1") -> Deadline:
    """What the timer says when `share` of the case's clock is used up."""
    found = case.clocks[clock]
    at = next(warn.at for warn in found.warn if warn.share == share)
    return Deadline(
        deadline_id=f"{case.case_id}:{clock}:{share}",
        version=from_rfc3339(found.due),
        case_id=case.case_id,
        clock=clock,
        event=found.event if share == "1" else "warning",
        share=share,
        grade=case.grade,
        site_id=case.site_id,
        desk=case.desk,
        due_at=at,
        fired_at=at,
        late_ms=0,
    )

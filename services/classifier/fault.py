"""The Fault document: made here and nowhere else, of a condition and its EMU. Pure."""

from services.classifier.state import NO_MARKS, Condition, Facts, Regrade
from shared.catalogue import Catalogue
from shared.documents.fault import GRADES, Fault, FaultChange, FaultSource, FaultState
from shared.policy import GRADE_DEFINITIONS
from shared.times import to_rfc3339

_BY_CATALOGUE = {
    grade: f". By the catalogue {grade}: {GRADE_DEFINITIONS[grade]}." for grade in GRADES
}


def make_fault(
    change: FaultChange, condition: Condition, facts: Facts, catalogue: Catalogue
) -> Fault:
    """The document of the condition's newest revision; `facts` are those of its EMU by then."""
    row = catalogue.look_up(condition.code, condition.level)
    marks, source = condition.marks or NO_MARKS, condition.source
    cleared_at_ms = condition.cleared_at_ms
    opened_at = clocks_from = to_rfc3339(condition.opened_at_ms)
    if marks.clocks_from_ms is not None:
        clocks_from = to_rfc3339(marks.clocks_from_ms)
    return Fault(
        fault_id=condition.fault_id,
        revision=condition.revision,
        change=change,
        state=_state(change, condition),
        stale=marks.stale,
        grade=condition.grade,
        grade_reason=_reason(condition, marks.regrade),
        hazard=condition.hazard,
        kind=condition.kind or row.kind,
        code=condition.code,
        title=row.title,
        remedy=row.remedy,
        emu_id=condition.emu_id,
        component=condition.component,
        site_id=condition.site_id,
        customer_id=facts.customer_id,
        desk=facts.desk,
        policy=facts.policy,
        model=condition.model or facts.model,
        firmware=condition.firmware or facts.firmware,
        emu_state=facts.state,
        raised_at=to_rfc3339(condition.raised_at_ms),
        opened_at=opened_at,
        clocks_from=clocks_from,
        last_at=to_rfc3339(condition.last_at_ms),
        cleared_at=None if cleared_at_ms is None else to_rfc3339(cleared_at_ms),
        count=condition.count,
        flaps=condition.flaps,
        cause_id=marks.cause_id,
        rule=marks.rule,
        moved_from=marks.moved_from,
        catalogue=catalogue.version,
        source=FaultSource(source.topic, source.partition, source.offset),
    )


def _state(change: FaultChange, condition: Condition) -> FaultState:
    if change in ("closed", "moved"):
        return "closed"
    return "open" if condition.cleared_at_ms is None else "cleared"


def _reason(condition: Condition, regrade: Regrade | None) -> str:
    """What the catalogue says, then the rule that gave the grade, and what that grade means."""
    reason, grade = condition.grade_reason.removesuffix("."), condition.grade
    if regrade is None:
        return reason + _BY_CATALOGUE[grade]
    change = f"{grade} instead of {regrade.base}" if grade != regrade.base else grade
    return f"{reason}. {regrade.words}, {change}: {GRADE_DEFINITIONS[grade]}."

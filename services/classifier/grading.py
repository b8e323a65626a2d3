"""How grave a condition is: its grade, and whether it is a hazard. Both go upward only. Pure."""

from msgspec.structs import replace

from services.classifier.state import Condition
from shared.catalogue import Catalogue, Row
from shared.catalogue.catalogue import UNKNOWN_KIND


def is_graver(condition: Condition, level: str | None, catalogue: Catalogue) -> bool:
    """Whether the condition at this level is of a higher grade than it was given, or newly a hazard."""
    row = catalogue.look_up(condition.code, level)
    if row.grade < condition.grade:
        return True
    return row.hazard and not _known(condition, catalogue).hazard


def regrade(condition: Condition, level: str | None, catalogue: Catalogue) -> Condition:
    """What was said stays said: a level makes its grade higher, or a hazard of it, or nothing."""
    if not is_graver(condition, level, catalogue):
        return condition
    row = catalogue.look_up(condition.code, level)
    condition = replace(_known(condition, catalogue), level=level)
    if row.grade <= condition.grade:
        condition = replace(condition, grade=row.grade, grade_reason=row.reason)
    return keep(condition, row)


def keep(condition: Condition, row: Row) -> Condition:
    """With its kind, and that it is a hazard, as its next revision tells them.

    The row is today's: it takes no hazard back, and where the catalogue has lost the code, the kind stays.
    """
    kind, hazard = row.kind, row.hazard
    if condition.kind is not None and ((condition.hazard and not hazard) or kind == UNKNOWN_KIND):
        kind, hazard = condition.kind, hazard or bool(condition.hazard)
    if (kind, hazard) == (condition.kind, condition.hazard):
        return condition
    return replace(condition, kind=kind, hazard=hazard)


def _known(condition: Condition, catalogue: Catalogue) -> Condition:
    """One that was remembered before kinds were is of the kind that the catalogue has for it."""
    if condition.kind is not None:
        return condition
    return keep(condition, catalogue.look_up(condition.code, condition.level))

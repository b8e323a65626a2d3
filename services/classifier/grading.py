"""How grave a condition is: its grade, why, and whether it is a hazard. Pure.

The catalogue proposes the grade, by the gravest level that was reported. What rises often, or stands long,
is graver by one; the two don't add up. A person's word goes before both, and holds until the fault is closed;
only a graver level than those that the person knew of, or a hazard, goes before it.
"""

from msgspec.structs import replace

from services.classifier.rules import Rules
from services.classifier.state import NO_MARKS, Condition, Regrade, with_marks
from shared.catalogue import Catalogue, Row
from shared.catalogue.catalogue import UNKNOWN_KIND
from shared.documents.fault import GRADES, Grade
from shared.documents.internal import Ruling
from shared.times import HOUR_MS


def is_graver(condition: Condition, level: str | None, catalogue: Catalogue) -> bool:
    """Whether the condition at this level is of a higher grade than it was given, or newly a hazard."""
    row = catalogue.look_up(condition.code, level)
    if condition.marks is not None and condition.marks.regrade is not None:
        if _grade_by(row, condition, condition.marks.regrade) < condition.grade:
            return True
    elif row.grade < condition.grade:
        return True
    return row.hazard and not _known(condition, catalogue).hazard


def regrade(condition: Condition, level: str | None, catalogue: Catalogue) -> Condition:
    """What was said stays said: a level makes its grade higher, or a hazard of it, or nothing."""
    if not is_graver(condition, level, catalogue):
        return condition
    row = catalogue.look_up(condition.code, level)
    condition = replace(_known(condition, catalogue), level=level)
    before = (condition.marks or NO_MARKS).regrade
    grade = row.grade if before is None else _grade_by(row, condition, before)
    if grade <= condition.grade:
        now = replace(before, base=row.grade) if before and before.by == "repeats" else None
        condition = replace(_with_grade(condition, grade, now), grade_reason=row.reason)
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


def raises_of(condition: Condition) -> tuple[int, ...]:
    """When it was told as risen, oldest first, as far back as the rule on repeats needs."""
    if condition.marks is not None and condition.marks.raises:
        return condition.marks.raises
    return (condition.began_ms,) if condition.revision else ()


def recall_raises(condition: Condition, earlier: tuple[int, ...], rules: Rules) -> Condition:
    """A new condition with the raises of its earlier faults that may still count."""
    since_ms = condition.began_ms - rules.repeats_ms
    raises = tuple(at_ms for at_ms in earlier if at_ms >= since_ms)
    return _with_raises(condition, raises) if raises else condition


def expect_raise(condition: Condition, rules: Rules) -> Condition:
    """As grave as it will be when its raise is told: the hold is by that grade."""
    return _grade_by_repeats(condition, _with_this_raise(condition), rules)


def count_raise(condition: Condition, rules: Rules) -> Condition:
    """Its raise is told now."""
    if condition.marks is None and not condition.revision:
        return condition
    raises = _with_this_raise(condition)[-rules.repeats :]
    if len(raises) == 1:
        return condition
    return _grade_by_repeats(_with_raises(condition, raises), raises, rules)


def _with_this_raise(condition: Condition) -> tuple[int, ...]:
    """Oldest first: one that comes late must not put newer ones out."""
    return tuple(sorted((*raises_of(condition), condition.risen_at_ms)))


def age(condition: Condition, rules: Rules) -> Condition:
    """It has been open for too long for a D."""
    regrade = Regrade("age", condition.grade, f"Open for {_hours(rules.age_ms)}")
    return _with_grade(condition, "C", regrade)


def ages_at(condition: Condition, rules: Rules) -> int | None:
    """When it will have been open for too long; None: never, as long as its grade is this one."""
    ruled = condition.marks is not None and condition.marks.regrade is not None
    return condition.opened_at_ms + rules.age_ms if condition.grade == "D" and not ruled else None


def obey(condition: Condition, ruling: Ruling, catalogue: Catalogue) -> Condition | None:
    """With the grade that a person gives it; None: a hazard is not lowered.

    Raises ValueError where the ruling says no grade.
    """
    grade = ruling.grade
    if grade is None:
        raise ValueError("a ruling regrade that says no grade")
    condition = _known(condition, catalogue)
    if condition.hazard and grade > condition.grade:
        return None
    before = (condition.marks or NO_MARKS).regrade
    base = condition.grade if before is None else before.base
    return _with_grade(
        condition, grade, Regrade("ruling", base, f"Ruled by {ruling.by} ({ruling.reason})")
    )


def _grade_by(row: Row, condition: Condition, regrade: Regrade) -> Grade:
    """The grade by a level of which that is the row, for a condition that was regraded."""
    if regrade.by == "repeats":
        return _one_up(row.grade)
    if regrade.by == "age":
        return row.grade
    known = row.grade >= regrade.base and (condition.hazard or not row.hazard)
    return condition.grade if known else row.grade


def _grade_by_repeats(condition: Condition, raises: tuple[int, ...], rules: Rules) -> Condition:
    """One grade up, once, where it rose often enough."""
    newest = raises[-rules.repeats :]
    if len(newest) < rules.repeats or max(newest) - min(newest) > rules.repeats_ms:
        return condition
    if condition.grade == "A" or (condition.marks or NO_MARKS).regrade is not None:
        return condition
    words = f"Raised {rules.repeats} times within {_hours(rules.repeats_ms)}"
    grade = _one_up(condition.grade)
    return _with_grade(condition, grade, Regrade("repeats", condition.grade, words))


def _with_grade(condition: Condition, grade: Grade, regrade: Regrade | None) -> Condition:
    """None: by the catalogue."""
    marks = condition.marks or NO_MARKS
    if marks.regrade != regrade:
        condition = with_marks(condition, replace(marks, regrade=regrade))
    ages_at_ms = condition.ages_at_ms if grade == "D" and regrade is None else None
    return replace(condition, grade=grade, ages_at_ms=ages_at_ms)


def _with_raises(condition: Condition, raises: tuple[int, ...]) -> Condition:
    return with_marks(condition, replace(condition.marks or NO_MARKS, raises=raises))


def _one_up(grade: Grade) -> Grade:
    return GRADES[max(GRADES.index(grade) - 1, 0)]


def _hours(span_ms: int) -> str:
    return f"{span_ms / HOUR_MS:g} h"


def _known(condition: Condition, catalogue: Catalogue) -> Condition:
    """One that was remembered before kinds were is of the kind that the catalogue has for it."""
    if condition.kind is not None:
        return condition
    return keep(condition, catalogue.look_up(condition.code, condition.level))

"""What a person's word makes of a condition that is known. Pure."""

from msgspec.structs import replace

from services.classifier.grading import obey
from services.classifier.life import tell_graver
from services.classifier.revisions import Turn, publish, tell_gone
from services.classifier.rules import Rules
from services.classifier.state import NO_MARKS, Condition, set_stale, with_marks
from shared.documents.internal import Ruling


def clear(condition: Condition, receipt_ms: int, now_ms: int, rules: Rules) -> Turn:
    """A person says that it has gone: at once, whatever it waits for."""
    if condition.stands:
        return tell_gone(condition, receipt_ms, now_ms, rules)
    return Turn("nothing", set_stale(replace(condition, ripe_at_ms=None), stale=False))


def regrade_by(condition: Condition, ruling: Ruling, now_ms: int, rules: Rules) -> Turn:
    """A person says how grave it is. Raises ValueError where the ruling says no grade."""
    ruled = obey(condition, ruling, rules.catalogue)
    if ruled is None:
        return Turn("hazard_not_lowered")
    if condition.revision:
        return publish("regraded", ruled, now_ms, rules)
    if ruled.marks is not None and ruled.marks.untold:
        return Turn("history", ruled)
    return tell_graver(ruled, now_ms, rules)


def detach(condition: Condition, receipt_ms: int, now_ms: int, rules: Rules) -> Turn:
    """A person says that it stands for itself, which holds as long as its fault lives."""
    marks = condition.marks or NO_MARKS
    free = replace(marks, cause_id=None, rule=None, detached=True)
    if marks.cause_id is None:
        return Turn("nothing", with_marks(condition, free))
    condition = with_marks(condition, replace(free, clocks_from_ms=receipt_ms))
    if not condition.revision:
        return Turn("nothing", condition)
    return publish("detached", condition, now_ms, rules)

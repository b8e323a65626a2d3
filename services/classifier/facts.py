"""What a fact makes of its EMU, and of the faults that stand there. Pure.

The higher revision of an EMU's record wins, whichever way it comes; one that is known changes nothing.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from services.classifier.judge import Outcome
from services.classifier.revisions import Told, make_revision
from services.classifier.rules import Rules
from services.classifier.state import NO_MARKS, Condition, Facts, facts_of, with_marks
from shared.documents.fault import FaultChange
from shared.documents.internal import Fact

# Of these dispatch opens no case, but for hazards.
HELD_BACK = ("commissioning", "retired")


def judge_fact(
    before: Facts, conditions: Iterable[Condition], fact: Fact, now_ms: int, rules: Rules
) -> Outcome:
    """`before`: what was known of the EMU; `conditions` are all of it, judged by name.

    Each fault that stands gets one revision where its document says anything else by now: `released` where
    it was held back and no longer is, with clocks from the fact's receipt; else `repeated`.
    """
    if fact.record.revision <= before.revision:
        return Outcome("known")
    facts = facts_of(fact.record)
    released = before.state in HELD_BACK and facts.state == "in_service"
    changed: list[Condition] = []
    told: list[Told] = []
    for condition in sorted(conditions, key=lambda one: one.name):
        change = _change(condition, before, facts, rules, released=released)
        if change == "released":
            condition = _start_clocks(condition, fact.receipt_ms)  # noqa: PLW2901 - as it is now
        if change is not None and condition.is_open:
            condition = make_revision(condition, now_ms, rules.catalogue)  # noqa: PLW2901
            told.append((change, condition))
        if change is not None:
            changed.append(condition)
    return Outcome("fact", conditions=tuple(changed), told=tuple(told), facts=facts)


def _change(
    condition: Condition, before: Facts, facts: Facts, rules: Rules, *, released: bool
) -> FaultChange | None:
    """What has become of its fault with the new facts; None: nothing."""
    if condition.is_word_only:
        return None
    if released and not _is_hazard(condition, rules):
        return "released"
    return None if _tells(condition, before) == _tells(condition, facts) else "repeated"


def _is_hazard(condition: Condition, rules: Rules) -> bool:
    """Nothing holds a hazard back: it has had its clocks since it opened."""
    return condition.hazard or rules.catalogue.look_up(condition.code, condition.level).hazard


def _tells(condition: Condition, facts: Facts) -> tuple[str | None, ...]:
    """What the Fault document has from the facts (fault.make_fault)."""
    return (
        facts.customer_id,
        facts.desk,
        facts.policy,
        facts.state,
        condition.model or facts.model,
        condition.firmware or facts.firmware,
    )


def _start_clocks(condition: Condition, at_ms: int) -> Condition:
    """Never before it opened; and what has started later stays so."""
    marks = condition.marks or NO_MARKS
    at_ms = max(at_ms, condition.opened_at_ms, marks.clocks_from_ms or 0)
    return with_marks(condition, replace(marks, clocks_from_ms=at_ms))

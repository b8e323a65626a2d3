"""What people say of a fault: who may say what, and what the classifier is told."""

from typing import Any

import pytest
from msgspec.structs import replace

from services.dispatch import rulings
from services.dispatch.actions import NotAllowed
from services.dispatch.decision import Decision, Note
from services.dispatch.rulings import Held, Order, Word
from shared.documents.fault import GRADES, Fault, Grade
from tests.unit.dispatch_documents import make_fault
from tests.unit.test_dispatch_cases import opened

SYMPTOM = make_fault(2, cause_id=make_fault().fault_id, rule="same rack")


def held(fault: Fault | None = None, *others: Fault, last: Note | None = None) -> Held:
    fault = fault or make_fault()
    return Held(opened(), {found.fault_id: found for found in (fault, *others)}, last)


def regraded(
    grade: Grade, fault: Fault | None = None, *, last: Note | None = None, by: str = "Ada"
) -> Order:
    return rulings.regrade(held(fault, last=last), grade, by, "seen it")


def detached(fault: Fault, *, last: Note | None = None) -> Order:
    return rulings.detach(held(None, fault, last=last), fault, "Ada", "another rack")


@pytest.mark.parametrize("grade", ["B", "C", "D"])
def test_classifier_is_told_of_a_regrade_and_the_case_waits_for_it(grade: Grade) -> None:
    decision, words = regraded(grade)
    assert words == (Word(make_fault(), "regrade", grade),)
    assert (decision.case, decision.page) == (None, None)
    assert decision.notes == (Note("ruled", "Ada", f"regrade A to {grade}: seen it"),)


@pytest.mark.parametrize("grade", GRADES)
@pytest.mark.parametrize("now", GRADES)
def test_hazard_is_raised_and_never_lowered(now: Grade, grade: Grade) -> None:
    fault = make_fault(hazard=True, grade=now, kind="fire")
    if grade > now:
        with pytest.raises(NotAllowed, match=r"is a hazard \(fire\): .* never lowered"):
            regraded(grade, fault)
    else:
        assert bool(regraded(grade, fault).words) == (grade < now)


def test_grade_that_it_has_is_noted_and_nobody_is_told() -> None:
    decision, words = regraded("A")
    assert words == ()
    assert decision.notes == (Note("noted", "Ada", "grade A, as it is: seen it"),)


def test_grade_that_it_has_still_is_told_where_another_is_under_way() -> None:
    (note,) = regraded("C").decision.notes
    assert regraded("A", last=note, by="Bo").words == (Word(make_fault(), "regrade", "A"),)


@pytest.mark.parametrize("grade", ["A", "B"])
def test_regrade_that_is_sent_again_says_nothing_new(grade: Grade) -> None:
    (note,) = regraded(grade).decision.notes
    assert regraded(grade, last=note) == Order(Decision(outcome="repeated"))
    assert regraded(grade, last=note, by="Bo").decision.notes, "another person's word is kept"


@pytest.mark.parametrize("state", ["cleared", "closed"])
def test_what_does_not_stand_is_not_regraded(state: str) -> None:
    with pytest.raises(NotAllowed, match="does not stand"):
        regraded("B", replace(make_fault(), state=state))


def test_case_without_a_fault_is_not_regraded() -> None:
    case = replace(opened(), fault_ids=(), fault_count=0)
    with pytest.raises(NotAllowed, match="does not stand"):
        rulings.regrade(Held(case, {}, None), "B", "Ada", "seen it")


def test_classifier_is_told_that_a_symptom_stands_for_itself() -> None:
    decision, words = detached(SYMPTOM)
    assert words == (Word(SYMPTOM, "detach"),)
    assert decision.case is None
    (note,) = decision.notes
    assert (note.what, note.who) == ("ruled", "Ada")
    assert note.detail == f"detach {SYMPTOM.fault_id} from {SYMPTOM.cause_id}: another rack"
    assert detached(SYMPTOM, last=note).words == ()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"cause_id": None}, "stands for itself; only a symptom can be detached"),
        ({"cause_id": "fother"}, "is a symptom of fault fother, which is not that of case"),
        ({"state": "cleared"}, "has cleared; only what stands is detached"),
    ],
)
def test_what_is_no_standing_symptom_of_the_case_is_not_detached(
    fields: dict[str, Any], why: str
) -> None:
    with pytest.raises(NotAllowed, match=why):
        detached(replace(SYMPTOM, **fields))

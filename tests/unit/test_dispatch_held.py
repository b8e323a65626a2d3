"""Faults that are recorded only, those that are let go, and what changes no state of a case."""

from typing import Any

import pytest
from msgspec.structs import replace

from services.dispatch import actions
from services.dispatch.decision import UNCHANGED, Page
from shared.documents.case import Case
from shared.documents.fault import Fault, FaultChange
from tests.unit.dispatch_documents import MINUTE, T0, make_fault
from tests.unit.test_dispatch_cases import (
    ALL_CLOCKS,
    FIRST,
    at,
    case_of,
    changed,
    judge,
    opened,
    page_of,
    running,
)


def held(**fields: Any) -> Fault:
    """A fault of an EMU in commissioning."""
    return replace(make_fault(), emu_state="commissioning", **fields)


def released(minutes: float, **fields: Any) -> Fault:
    return make_fault(
        revision=2, change="released", emu_state="in_service", clocks_from=at(minutes), **fields
    )


# Recorded only


@pytest.mark.parametrize("emu_state", ["commissioning", "retired"])
def test_emu_that_is_not_in_service_opens_no_case(emu_state: str) -> None:
    fault = replace(make_fault(), emu_state=emu_state)
    assert judge(None, None, fault) == UNCHANGED
    for change in ("repeated", "regraded", "stale", "reopened"):
        assert judge(None, fault, replace(fault, revision=2, change=change), 3) == UNCHANGED


@pytest.mark.parametrize("emu_state", ["commissioning", "retired", "in_service", "unknown"])
def test_hazard_opens_a_case_whatever_its_emu_is(emu_state: str) -> None:
    decision = judge(None, None, replace(make_fault(), hazard=True, emu_state=emu_state))
    assert page_of(decision) == Page(1, 1, FIRST, "opened")


def test_emu_of_which_nothing_is_known_is_dispatched_like_one_in_service() -> None:
    assert page_of(judge(None, None, replace(make_fault(), emu_state="unknown")))


def test_fault_that_stands_when_its_emu_is_put_into_service_opens_a_case_from_then_on() -> None:
    decision = judge(None, held(), released(60), minutes=61)
    case = case_of(decision)
    assert page_of(decision) == Page(1, 1, FIRST, "opened")
    assert (case.clocks["processing"].start, case.clocks["processing"].due) == (at(60), at(75))
    assert case.milestones.opened_at == at(60)
    assert running(case) == ALL_CLOCKS


def test_fault_that_had_cleared_before_its_emu_was_put_into_service_opens_nothing() -> None:
    cleared = held(revision=2, change="cleared", state="cleared", cleared_at=at(3))
    assert judge(None, held(), cleared, 4) == UNCHANGED
    closed = replace(cleared, revision=3, change="closed", state="closed", emu_state="in_service")
    assert judge(None, cleared, closed, 20) == UNCHANGED


def test_fault_that_was_released_and_has_cleared_before_that_was_seen_is_a_case_without_a_page() -> (
    None
):
    """As any that cleared while nobody served the partition."""
    cleared = released(5, state="cleared", cleared_at=at(7))
    decision = judge(None, held(), cleared, 60)
    assert (case_of(decision).state, decision.page) == ("resolved", None)


def test_fault_that_becomes_a_hazard_opens_a_case_and_is_not_late_for_the_time_before() -> None:
    hazard = held(revision=2, change="regraded", hazard=True)
    case = case_of(judge(None, held(), hazard, minutes=600))
    assert (case.clocks["response"].start, case.breached) == (at(600), ())


def test_symptom_that_is_detached_opens_a_case_from_then_on() -> None:
    symptom = replace(make_fault(), cause_id="f1")
    alone = make_fault(revision=2, change="detached", clocks_from=at(9))
    decision = judge(None, symptom, alone, minutes=9)
    assert page_of(decision).reason == "opened"
    assert case_of(decision).clocks["response"].due == at(14)


# A case that is there already


@pytest.mark.parametrize("emu_state", ["commissioning", "retired"])
def test_case_stays_as_it_is_when_its_emu_is_taken_out_of_service(emu_state: str) -> None:
    taken_out = make_fault(revision=2, change="repeated", emu_state=emu_state)
    assert judge(opened(), make_fault(), taken_out) == UNCHANGED
    cleared = replace(changed("cleared", "cleared", 3), revision=3, emu_state=emu_state)
    assert case_of(judge(opened(), taken_out, cleared)).state == "resolved"


def test_solved_case_is_opened_again_only_when_its_emu_is_in_service_again() -> None:
    resolved = case_of(judge(opened(), make_fault(), changed("cleared", "cleared", 3)))
    back = held(revision=3, change="reopened")
    assert judge(resolved, changed("cleared", "cleared", 3), back, 5) == UNCHANGED
    decision = judge(resolved, back, replace(released(7), revision=4), 7)
    assert (case_of(decision).state, page_of(decision).reason) == ("open", "reopened")


@pytest.mark.parametrize(
    "change", ["stale", "released", "detached", "attached", "suppressed", "repeated"]
)
@pytest.mark.parametrize("state", ["open", "acknowledged", "resolved", "closed"])
def test_revision_that_changes_no_state_changes_no_case(change: FaultChange, state: str) -> None:
    case: Case = opened()
    known = make_fault()
    if state == "acknowledged":
        case = case_of(actions.acknowledge(case, "Ada", None, T0 + MINUTE))
    if state in ("resolved", "closed"):
        case = case_of(actions.resolve(case, "Ada", "done", cleared=True, now_ms=T0 + MINUTE))
    if state == "closed":
        case = case_of(actions.close(case, "Ada", None, T0 + MINUTE))
    fields: dict[FaultChange, dict[str, Any]] = {
        "stale": {"stale": True},
        "attached": {"cause_id": "f1"},
        "suppressed": {"suppressed_by": "f1"},
        "released": {"emu_state": "in_service"},
    }
    fault = replace(known, revision=2, change=change, **fields.get(change, {}))
    assert judge(case, known, fault, minutes=2) == UNCHANGED


# Whose it is


def test_case_goes_to_its_faults_new_desk_and_no_clock_changes() -> None:
    case = opened()
    fault = make_fault(
        revision=2, change="repeated", customer_id="c-1", desk="north", policy="gold"
    )
    decision = judge(case, make_fault(), fault, minutes=2)
    after = case_of(decision)
    assert (after.customer_id, after.desk, after.policy) == ("c-1", "north", "gold")
    assert (after.change, after.clocks, decision.page) == ("readdressed", case.clocks, None)
    (note,) = decision.notes
    assert note.detail == "customer none to c-1, desk default to north, policy default to gold"


# Hazards and grades


@pytest.mark.parametrize("taken", [False, True])
def test_fault_that_becomes_a_hazard_at_an_equal_grade_pages_anew(taken: bool) -> None:
    case = opened()
    if taken:
        case = case_of(actions.acknowledge(case, "Ada", None, T0 + MINUTE))
    hazard = make_fault(revision=2, change="regraded", hazard=True, grade_reason="fire")
    decision = judge(case, make_fault(), hazard, minutes=2)
    assert page_of(decision).reason == "regraded"
    assert {name: case.clocks[name] for name in ("processing", "resolution")} == {
        name: case_of(decision).clocks[name] for name in ("processing", "resolution")
    }
    assert decision.notes[0].detail == "A to A (a hazard now): fire"
    again = replace(hazard, revision=3, change="repeated")
    assert judge(case_of(decision), hazard, again, minutes=3) == UNCHANGED


def test_log_says_that_a_lower_grade_makes_no_promise_longer() -> None:
    decision = judge(opened(), make_fault(), changed("regraded", "open", grade="C"), minutes=2)
    assert decision.notes[0].detail == "A to C: catalogue; what was promised stays promised"

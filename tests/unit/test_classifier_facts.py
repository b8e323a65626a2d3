"""What dispatch says of an EMU stands in its faults, and what stands is told anew with it."""

from typing import Any

import msgspec
import pytest

from services.classifier.state import MAX_UNITS, facts_of
from shared.catalogue import Catalogue
from shared.documents.emu import EmuRecord, Unit
from shared.documents.fault import Fault
from shared.documents.internal import decode_internal, encode_internal
from shared.times import MINUTE_MS, to_rfc3339
from tests.unit.alarms import HOLDS_MS, NOON_MS, Desk, changes, edge, fact, part, row, snapshot

LATER_MS = NOON_MS + 5 * MINUTE_MS


def told_of(fault: Fault) -> tuple[Any, ...]:
    facts = (fault.customer_id, fault.desk, fault.policy, fault.emu_state)
    return (*facts, fault.model, fault.firmware)


NOBODY_S = (None, "default", "default", "unknown", None, None)
ACME_S = ("acme", "north", "gold", "in_service", "mark-2", "7")


def test_a_fact_comes_out_of_kafka_as_it_went_in() -> None:
    sent = fact(units=(Unit(component="bms/rack-1", type="rack", rated_kwh=10.5),))
    assert decode_internal(encode_internal(sent)) == sent


def test_a_fault_has_the_facts_of_its_emu_and_what_the_report_says_goes_first() -> None:
    desk = Desk()
    desk.hear(edge(1), fact(), edge(2, code="other", firmware="8"))
    assert told_of(desk.published[0]) == NOBODY_S
    assert told_of(desk.published[-1]) == (*ACME_S[:-1], "8")


def test_what_stands_gets_one_revision_when_its_fact_comes_and_its_count_stays() -> None:
    desk = Desk()
    desk.hear(edge(1), edge(2, code="other"), edge(3, emu_id="e2"))
    told = desk.hear(fact(receipt_ms=LATER_MS))
    assert changes(told) == ["repeated", "repeated"]
    assert {told_of(fault) for fault in told} == {ACME_S}
    assert {(fault.revision, fault.count, fault.clocks_from) for fault in told} == {
        (2, 1, to_rfc3339(NOON_MS))
    }


def test_a_fact_that_changes_no_document_and_one_that_is_not_newer_tell_nothing() -> None:
    desk = Desk()
    desk.hear(fact(3), edge(1))
    assert desk.hear(fact(4, serial="1234")) == []
    assert desk.hear(fact(4, desk="south"), fact(2, desk="east")) == []
    desk.restart()
    assert desk.hear(fact(4, desk="south")) == []
    assert changes(desk.hear(fact(5, desk="south"))) == ["repeated"]


@pytest.mark.parametrize("before", ["commissioning", "retired"])
def test_what_stands_when_an_emu_is_put_into_service_is_released_with_clocks_from_then(
    before: str,
) -> None:
    desk = Desk()
    desk.hear(fact(1, state=before), edge(1))
    desk.restart()
    (released,) = desk.hear(fact(2, receipt_ms=LATER_MS))
    assert (released.change, released.emu_state) == ("released", "in_service")
    assert released.clocks_from == to_rfc3339(LATER_MS)
    assert released.opened_at == to_rfc3339(NOON_MS)
    desk.restart()
    (cleared,) = desk.hear(edge(2, raised=False, receipt_ms=LATER_MS + 1))
    assert cleared.clocks_from == to_rfc3339(LATER_MS)


def test_what_reopens_after_the_emu_was_put_into_service_has_clocks_from_then() -> None:
    desk = Desk()
    desk.hear(fact(1, state="commissioning"), edge(1), edge(2, raised=False))
    assert desk.hear(fact(2, receipt_ms=LATER_MS)) == []
    (reopened,) = desk.hear(edge(3, receipt_ms=LATER_MS + 1))
    assert (reopened.change, reopened.clocks_from) == ("reopened", to_rfc3339(LATER_MS))


def test_what_is_held_when_the_emu_is_put_into_service_opens_with_clocks_from_then() -> None:
    desk = Desk(hold_ms=HOLDS_MS)
    desk.hear(fact(1, state="commissioning"), edge(1))
    assert desk.hear(fact(2, receipt_ms=NOON_MS + 1000)) == []
    (opened,) = desk.hear(until_ms=LATER_MS)
    assert (opened.change, opened.emu_state) == ("opened", "in_service")
    assert opened.clocks_from == to_rfc3339(NOON_MS + 1000)


def test_a_hazard_was_never_held_back_so_its_clocks_stay() -> None:
    desk = Desk(Catalogue((row("fire", "A", hazard=True),), "test"))
    desk.hear(fact(1, state="commissioning"), edge(1, code="fire"))
    (told,) = desk.hear(fact(2, receipt_ms=LATER_MS))
    assert (told.change, told.clocks_from) == ("repeated", to_rfc3339(NOON_MS))


def test_an_emu_that_becomes_known_in_service_was_not_held_back() -> None:
    desk = Desk()
    desk.hear(edge(1))
    (told,) = desk.hear(fact(1, receipt_ms=LATER_MS))
    assert (told.change, told.clocks_from) == ("repeated", to_rfc3339(NOON_MS))


def test_a_retired_emu_that_still_sends_is_recorded_and_counted() -> None:
    desk = Desk()
    desk.hear(fact(1, state="retired"))
    batch = desk.partition.stage()
    batch.judge(edge(1))
    batch.judge(edge(2, emu_id="e2"))
    assert batch.retired == 1
    desk.commit(batch)
    assert [fault.emu_state for fault in desk.published] == ["retired", "unknown"]


def test_how_many_emus_are_known_in_which_state_is_the_same_after_a_restart() -> None:
    desk = Desk()
    desk.hear(fact(1, emu_id="e2"), fact(1, state="commissioning"), fact(2, state="retired"))
    for _ in range(2):
        known = desk.partition.emus_by_state
        assert {state: known[state] for state in ("commissioning", "in_service", "retired")} == {
            "commissioning": 0,
            "in_service": 1,
            "retired": 1,
        }
        desk.restart()


def test_an_emu_with_2000_standing_conditions_is_told_whole_and_once() -> None:
    desk = Desk()
    desk.hear(snapshot(1, part(None, *(f"c{number}" for number in range(2000)))))
    told = desk.hear(fact(1))
    assert len({fault.fault_id for fault in told}) == len(told) == 2000
    assert desk.hear(fact(1)) == []


def test_more_units_than_are_kept_are_units_that_are_not_known() -> None:
    units = tuple(Unit(component=f"u{number}", type="rack") for number in range(MAX_UNITS + 1))
    record = EmuRecord(emu_id="e1", site_id="s1", units=units)
    assert facts_of(record).units == ()
    assert facts_of(msgspec.structs.replace(record, units=units[1:])).units == units[1:]


def test_what_the_fleet_says_is_known_from_the_beginning_and_remembered() -> None:
    desk = Desk()
    desk.begin(fact(3).record)
    desk.hear_in_vain(edge(1))
    desk.hear(fact(2, desk="old"), edge(1))
    desk.restart()
    desk.hear(fact(3, desk="old"), edge(2, code="other"))
    assert {told_of(fault) for fault in desk.published} == {ACME_S}
    assert changes(desk.hear(fact(4, desk="new"))) == ["repeated", "repeated"]


def test_of_several_records_of_the_fleet_the_highest_revision_counts_and_a_tombstone_forgets() -> (
    None
):
    desk = Desk()
    desk.partition.seed("e2", fact(1, emu_id="e2").record)
    desk.partition.seed("e2", None)
    desk.begin(fact(3).record, fact(2, desk="old").record)
    desk.hear(edge(1), edge(2, emu_id="e2"))
    assert [fault.desk for fault in desk.published] == ["north", "default"]

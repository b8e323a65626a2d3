"""Where one rule meets another: presence, backlog, rulings and the order of reports, of an EMU that moves."""

from typing import Any

import pytest

from services.classifier.rules import Rules
from services.classifier.whereabouts import WAIT_MS
from shared.catalogue import Catalogue
from shared.documents.fault import Fault
from shared.documents.internal import Edge
from shared.times import DAY_MS, HOUR_MS, MINUTE_MS, to_rfc3339
from tests.unit.alarms import (
    HEARTBEAT,
    HOLDS_MS,
    NOON_MS,
    Desk,
    changes,
    edge,
    fact,
    part,
    presence,
    row,
    ruling,
    snapshot,
    tick,
)
from tests.unit.moving import Partitions, X, Y, Z, moved, standing

S = 1_000
OFFLINE = "bakvakt:emu_offline"
LONG_AGO_MS = NOON_MS - HOUR_MS

CATALOGUE = Catalogue([row("b", "B"), row("d", "D"), row("slow", "C", on_delay_s=600)], "test")


def said(offset: int, site_id: str = X, **fields: Any) -> Edge:
    return edge(offset, site_id=site_id, receipt_ms=NOON_MS + offset, **fields)


def of(faults: list[Fault], code: str) -> list[Fault]:
    return [fault for fault in faults if fault.code == code]


# ---- A backlog


@pytest.mark.parametrize("way", ["directly", "as a forward"])
def test_a_live_report_ends_the_backlog_of_an_emu_that_has_moved_whichever_way_it_comes(
    way: str,
) -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), *moved(2, Y, X))
    assert fleet.hear(said(1, Y, code="a", at_ms=LONG_AGO_MS)) == []
    (told, _) = fleet.hear(said(2, Y if way == "directly" else X, code="b"))
    assert (told.code, told.change, told.state) == ("a", "opened", "open")


def test_a_report_that_is_delivered_again_does_not_end_a_backlog() -> None:
    """What the next part of the backlog says has gone pages nobody."""
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), *moved(2, Y, X))
    live = said(1, Y, code="live")
    fleet.hear(live, said(2, Y, code="a", at_ms=LONG_AGO_MS))
    assert fleet.hear(live) == []
    fleet.hear(said(3, Y, code="a", at_ms=LONG_AGO_MS + 1, raised=False))
    fleet.wait(1, NOON_MS + 2 * MINUTE_MS)
    assert [(one.change, one.state) for one in of(fleet.published, "a")] == [("opened", "cleared")]


def test_what_waits_for_a_transfer_does_not_end_a_backlog_before_it_is_judged() -> None:
    """The next part of it waits as well, and comes first by the order in which they came."""
    fleet = Partitions()
    fleet.hear(said(1, Y, code="a", at_ms=LONG_AGO_MS))
    own, old = moved(1, Y, X, receipt_ms=NOON_MS + 2)
    gone = said(3, Y, code="a", at_ms=LONG_AGO_MS + 1, raised=False)
    fleet.hear(own, gone, said(4, Y, code="live"))
    assert of(fleet.published, "a") == []
    fleet.hear(old)
    assert [(one.change, one.state) for one in of(fleet.published, "a")] == [("opened", "cleared")]


def test_a_backlog_ends_with_the_move_and_what_has_gone_in_it_is_told_at_the_old_site() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1, code="a", at_ms=LONG_AGO_MS))
    fleet.hear(said(2, code="a", at_ms=LONG_AGO_MS + 1, raised=False))
    fleet.hear(said(3, code="b", at_ms=LONG_AGO_MS))
    told = fleet.hear(*moved(2, Y, X, receipt_ms=NOON_MS + 4))
    assert [(one.code, one.site_id, one.change, one.state) for one in told] == [
        ("a", X, "opened", "cleared"),
        ("b", X, "opened", "open"),
        ("a", X, "closed", "closed"),
        ("b", X, "moved", "closed"),
        ("b", Y, "opened", "open"),
    ]


# ---- Whether the EMU is there


def beat(at_s: int, site_id: str = X, **fields: Any) -> Any:
    return presence(at_s, site_id=site_id, receipt_ms=NOON_MS + at_s * S, **fields)


def listened(fleet: Partitions, number: int, from_s: int, to_s: int) -> list[Fault]:
    """Ingest's word every 5 s to one partition."""
    before = len(fleet.published)
    for at_s in range(from_s, to_s + 1, 5):
        fleet.tick(number, tick(NOON_MS + at_s * S))
    return fleet.published[before:]


def test_an_offline_emu_takes_its_fault_along_and_its_next_word_there_ends_it() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), beat(0), said(1), presence(2, "offline", site_id=X))
    told = fleet.hear(*moved(2, Y, X, receipt_ms=NOON_MS + 10))
    opened = {one.code: one for one in told if one.site_id == Y}
    assert opened.keys() == {OFFLINE, "unknown.code"}
    assert opened["unknown.code"].stale
    assert [state.offline for state in fleet.states] == [0, 1, 0]
    fleet.restart(1)
    (cleared,) = fleet.hear(beat(20, X))
    assert (cleared.code, cleared.site_id, cleared.change) == (OFFLINE, Y, "cleared")
    assert [state.offline for state in fleet.states] == [0, 0, 0]


def test_heartbeats_that_a_restart_forgot_before_the_move_are_no_silence_after_it() -> None:
    """What was written of them is old, and the new site's partition has listened all the time."""
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X))
    for at_s in range(0, 600, 30):
        fleet.hear(beat(at_s))
    listened(fleet, 1, 0, 600)
    fleet.restart(0)
    fleet.hear(*moved(2, Y, X, receipt_ms=NOON_MS + 601 * S))
    assert of(listened(fleet, 1, 605, 685), OFFLINE) == []
    (silent,) = of(listened(fleet, 1, 690, 900), OFFLINE)
    assert silent.site_id == Y


def test_heartbeats_that_wait_for_a_transfer_are_no_silence() -> None:
    """The old site's partition is not served for long, and this one is not read to its end meanwhile."""
    fleet = Partitions()
    fleet.hear(beat(0, Y))
    own, old = moved(1, Y, X, receipt_ms=NOON_MS + 2)
    fleet.hear(own)
    for at_s in range(5, 300, 5):
        fleet.hear(beat(at_s, Y))
        listened(fleet, 1, at_s, at_s)
    assert fleet.published == []
    fleet.hear(old)
    listened(fleet, 1, 300, 330)
    assert fleet.published == []
    assert of(listened(fleet, 1, 330, 500), OFFLINE)


def test_an_emu_that_was_offline_under_one_of_two_names_is_there_by_any_word() -> None:
    """Its reports put it to two sites while it was unknown: gone there, and alive here."""
    fleet = Partitions()
    fleet.hear(beat(0, Z), presence(1, "offline", site_id=Z), beat(2, Y))
    fleet.hear(*moved(1, Y, Z, receipt_ms=NOON_MS + 3 * S))
    assert (Y, OFFLINE) in standing(fleet.last().values())
    fleet.hear(edge(5, site_id=Y, code="a", receipt_ms=NOON_MS + 5 * S))
    assert standing(fleet.last().values()) == {(Y, "a")}
    assert [(state.listened, state.offline) for state in fleet.states] == [(0, 0), (1, 0), (0, 0)]


# ---- What is carried


def test_what_has_gone_at_the_second_site_is_not_told_at_the_third() -> None:
    """A numbered clear is remembered; of the fault that ended with it nothing goes along."""
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1, boot="b", seq=1), *moved(2, Y, X))
    fleet.hear(said(2, Y, boot="b", seq=2, raised=False))
    assert changes(fleet.hear(*moved(3, Z, Y))) == ["closed"]


def test_a_grade_of_a_person_ends_with_its_fault_though_a_raise_waits_to_reopen_it() -> None:
    fleet = Partitions(Rules(CATALOGUE, HOLDS_MS, HEARTBEAT))
    fleet.hear(fact(1, site_id=X), said(1, code="slow"))
    fleet.wait(0, NOON_MS + 700 * S)
    fleet.hear(ruling(site_id=X, code="slow", action="regrade", grade="A"))
    again_ms = NOON_MS + 720 * S
    fleet.hear(edge(2, site_id=X, code="slow", raised=False, receipt_ms=again_ms))
    fleet.hear(edge(3, site_id=X, code="slow", receipt_ms=again_ms + S))
    fleet.hear(*moved(2, Y, X, receipt_ms=again_ms + 2 * S))
    fleet.wait(1, again_ms + 900 * S)
    opened = fleet.published[-1]
    assert (opened.site_id, opened.change, opened.grade) == (Y, "opened", "C")
    assert "By the catalogue C" in opened.grade_reason


def test_age_lowers_no_fault_that_a_transfer_made_graver() -> None:
    """Standing under two names of an EMU that was unknown: a D there, a B here."""
    fleet = Partitions()
    fleet.hear(said(1, Z, level="fault", code="x"), said(2, Y, level="info", code="x"))
    fleet.hear(*moved(1, Y, Z, receipt_ms=NOON_MS + 3))
    fleet.wait(1, NOON_MS + 2 * DAY_MS)
    assert [one.grade for one in of(fleet.published, "x") if one.site_id == Y][-1] == "B"


def test_a_raise_under_another_name_that_is_newer_than_the_clear_here_stands() -> None:
    fleet = Partitions()
    fleet.hear(said(1, Y), said(2, Y, raised=False), said(3, Z))
    fleet.hear(*moved(1, Y, Z, receipt_ms=NOON_MS + 4))
    assert standing(fleet.last().values()) == {(Y, "unknown.code")}


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("way", ["a clear", "a raise and a clear", "a snapshot", "its scope"])
def test_what_did_not_wait_for_a_late_transfer_and_says_that_it_has_gone_holds(
    way: str, numbered: bool
) -> None:
    """However long the transfer is away: the clear itself is forgotten after 22.5 minutes."""
    numbers: list[dict[str, Any]] = [{"boot": "b", "seq": n} if numbered else {} for n in range(4)]
    fleet = Partitions()
    first, other = said(1, code="rack.a", **numbers[1]), said(2, code="rackety")
    fleet.hear(fact(1, site_id=X), first, other)
    own, old = moved(2, Y, X, receipt_ms=NOON_MS + 10)
    fleet.hear(own)
    fleet.wait(1, NOON_MS + HOUR_MS)
    fleet.wait(1, NOON_MS + HOUR_MS + WAIT_MS)
    if way == "a raise and a clear":
        fleet.hear(said(20, Y, code="rack.a"))
    if "clear" in way:
        fleet.hear(said(21, Y, code="rack.a", raised=False, **numbers[2]))
    else:
        parts = part("rack" if way == "its scope" else None, *([] if "its" in way else ["rackety"]))
        fleet.hear(snapshot(21, parts, site_id=Y, receipt_ms=NOON_MS + 21, **numbers[2]))
    fleet.wait(1, NOON_MS + 2 * HOUR_MS)
    fleet.restart(1)
    fleet.hear(old)
    assert standing(fleet.last().values()) == {(Y, "rackety")}
    assert {one.state for one in of(fleet.published, "rack.a") if one.site_id == Y} >= {"cleared"}


def test_a_past_clear_and_one_of_something_else_end_nothing_that_a_late_transfer_brings() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1, code="a"))
    own, old = moved(2, Y, X, receipt_ms=NOON_MS + 10)
    fleet.hear(own)
    fleet.wait(1, NOON_MS + HOUR_MS)
    fleet.wait(1, NOON_MS + HOUR_MS + WAIT_MS)
    fleet.hear(said(20, Y, code="a", raised=False, at_ms=LONG_AGO_MS))
    fleet.hear(said(21, Y, code="a.b", raised=False), said(22, Y, component="bms", raised=False))
    fleet.hear(old)
    assert standing(fleet.last().values()) == {(Y, "a")}
    fleet.hear(said(23, Y, code="a", raised=False))
    assert standing(fleet.last().values()) == set()


def test_a_counter_that_began_again_is_counted_on_after_a_late_transfer() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X))
    for number in range(200, 270):
        fleet.hear(said(number, boot="b", seq=number % 256, code="a"))
    own, old = moved(2, Y, X, receipt_ms=NOON_MS + 300)
    fleet.hear(own)
    fleet.wait(1, NOON_MS + HOUR_MS)
    fleet.wait(1, NOON_MS + HOUR_MS + WAIT_MS)
    late_ms = NOON_MS + HOUR_MS + MINUTE_MS
    fleet.hear(edge(301, site_id=Y, code="x", boot="b", seq=14, receipt_ms=late_ms))
    fleet.hear(old)
    fleet.hear(edge(302, site_id=Y, code="a", raised=False, boot="b", seq=15, receipt_ms=late_ms))
    assert standing(fleet.last().values()) == {(Y, "x")}


# ---- Within one partition


def test_what_still_comes_under_the_old_site_of_one_partition_is_of_the_new_one() -> None:
    """Nothing stood when it moved; ingest hears of it a moment later."""
    desk = Desk()
    desk.hear(fact(1, site_id="a"), edge(1, site_id="a"), edge(2, site_id="a", raised=False))
    desk.hear(until_ms=NOON_MS + HOUR_MS)
    own, old = moved(2, "b", "a", receipt_ms=NOON_MS + HOUR_MS)
    desk.hear(old, own)
    desk.restart()
    (opened,) = desk.hear(edge(3, site_id="a", receipt_ms=NOON_MS + HOUR_MS + 1))
    assert (opened.site_id, opened.change) == ("b", "opened")
    assert opened.opened_at == to_rfc3339(NOON_MS + HOUR_MS + 1)

"""What an EMU tells of the past makes history: nobody is paged for what has gone, and nothing is hidden."""

from typing import Any

import pytest

from services.classifier.batch import Batch
from shared.catalogue import Catalogue
from shared.documents.fault import Fault
from shared.documents.internal import Edge, Snapshot
from shared.times import HOUR_MS, MINUTE_MS, to_rfc3339
from tests.unit.alarms import (
    HOLDS_MS,
    NOON_MS,
    Desk,
    changes,
    edge,
    part,
    presence,
    row,
    ruling,
    snapshot,
)

CATALOGUE = Catalogue(
    [
        row("a", "A"),
        row("c", "C"),
        row("slow", "B", on_delay_s=60),
        row("sticky", "C", off_delay_s=30),
        row("fire", "B", hazard=True),
    ],
    "test",
    by_level={("c", "fire"): row("c", "C", level="fire", hazard=True)},
)
HOLDS = {"A": 0, "B": 3_000, "C": 10_000, "D": 30_000}


class Away(Desk):
    """An EMU that was away, and tells at noon what it has seen."""

    def __init__(self) -> None:
        super().__init__(CATALOGUE, hold_ms=HOLDS_MS)
        self.now_ms = NOON_MS
        self._offset = 0

    def then(self, code: str, ago_min: float, *, raised: bool = True, **fields: Any) -> list[Fault]:
        """What it saw so long before noon; a hundredth of a second of our time goes by."""
        self.now_ms += 10
        at_ms = NOON_MS - round(ago_min * MINUTE_MS)
        return self.say(code, raised=raised, at_ms=at_ms, **fields)

    def now(self, code: str, *, raised: bool = True, **fields: Any) -> list[Fault]:
        """What it says of now."""
        return self.say(code, raised=raised, at_ms=self.now_ms, **fields)

    def look(self, *codes: str, ago_ms: int = 0) -> list[Fault]:
        """A snapshot of the whole component."""
        self._offset += 1
        said = snapshot(
            self._offset, part(None, *codes), receipt_ms=self.now_ms, at_ms=self.now_ms - ago_ms
        )
        return self.hear(said)

    def tell(self, state: str, **fields: Any) -> list[Fault]:
        """What it says of its presence."""
        self._offset += 1
        return self.hear(presence(self._offset, state, receipt_ms=self.now_ms, **fields))

    def after(self, span_ms: int) -> list[Fault]:
        self.now_ms += span_ms
        return self.hear(until_ms=self.now_ms)

    def say(self, code: str, **fields: Any) -> list[Fault]:
        self._offset += 1
        return self.hear(edge(self._offset, code=code, receipt_ms=self.now_ms, **fields))


@pytest.fixture
def away() -> Away:
    return Away()


def test_what_was_cleared_inside_a_backlog_is_told_once_as_cleared(away: Away) -> None:
    assert away.then("a", 120) + away.then("a", 90, raised=False) == []
    away.restart()
    (told,) = away.after(2 * MINUTE_MS)
    assert (told.change, told.state, told.revision) == ("opened", "cleared", 1)
    assert told.raised_at == to_rfc3339(NOON_MS - 120 * MINUTE_MS)
    assert changes(away.after(HOUR_MS)) == ["closed"]


def test_what_still_stands_is_told_with_clocks_from_the_end_of_the_backlog(away: Away) -> None:
    away.then("a", 120)
    opened_ms = away.now_ms
    assert away.after(MINUTE_MS - 1) == []
    (told,) = away.after(1)
    assert (told.change, told.state, told.grade) == ("opened", "open", "A")
    assert told.opened_at == to_rfc3339(opened_ms)
    assert told.clocks_from == to_rfc3339(away.now_ms)
    (cleared,) = away.now("a", raised=False)
    assert cleared.clocks_from == told.clocks_from


def end_by_a_live_edge(away: Away) -> list[Fault]:
    return away.now("c", raised=False)


def end_by_a_live_snapshot(away: Away) -> list[Fault]:
    return away.look("a", "c")


@pytest.mark.parametrize("end", [end_by_a_live_edge, end_by_a_live_snapshot])
def test_the_first_live_report_ends_the_backlog(away: Away, end: Any) -> None:
    away.then("a", 120)
    (told,) = end(away) + away.after(1)
    assert (told.change, told.state) == ("opened", "open")


def test_what_stands_waits_for_the_hold_of_its_grade_from_the_end(away: Away) -> None:
    away.then("c", 120)
    assert away.now("a", raised=False) == []
    assert away.after(HOLDS["C"] - 1) == []
    assert changes(away.after(1)) == ["opened"]


def test_the_live_clear_that_ends_a_backlog_is_the_end_of_the_story(away: Away) -> None:
    away.then("c", 120)
    (told,) = away.now("c", raised=False)
    assert (told.change, told.state) == ("opened", "cleared")


def test_historical_is_the_past_however_new_it_is(away: Away) -> None:
    assert away.now("a", historical=True) == []
    away.now_ms += 1000
    assert away.now("a", raised=False, historical=True) == []
    (told,) = away.after(2 * MINUTE_MS)
    assert (told.change, told.state) == ("opened", "cleared")


def test_a_clock_that_nobody_trusts_makes_no_past(away: Away) -> None:
    """Ingest gives such a report the time of its receipt."""
    assert changes(away.now("a", trusted=False)) == ["opened"]


@pytest.mark.parametrize("ago_min", [10, -4])
def test_a_clock_that_is_a_little_wrong_makes_no_past(away: Away, ago_min: int) -> None:
    assert changes(away.say("a", raised=True, at_ms=away.now_ms - ago_min * MINUTE_MS)) == [
        "opened"
    ]


def test_an_endless_backlog_hides_no_hazard_for_longer_than_a_minute(away: Away) -> None:
    away.then("fire", 120)
    told: list[tuple[int, Fault]] = []
    began_ms = away.now_ms
    while away.now_ms < began_ms + 2 * MINUTE_MS:
        away.now_ms += 990
        told += [
            (away.now_ms - began_ms, one) for one in away.then("c", 60, emu_id="e1", raised=False)
        ]
    ((after_ms, fault),) = told
    assert (fault.change, fault.state, fault.hazard) == ("opened", "open", True)
    assert after_ms <= MINUTE_MS + 1000
    assert fault.clocks_from > fault.opened_at


def test_what_a_level_makes_a_hazard_in_a_backlog_is_told_within_a_minute(away: Away) -> None:
    away.then("c", 120)
    away.then("c", 110, level="fire")
    away.restart()
    assert changes(away.after(MINUTE_MS)) == ["opened"]


def test_a_slow_clock_hides_nothing_for_longer_than_five_minutes(away: Away) -> None:
    """All that such a device reports looks like a backlog."""
    told: list[Fault] = []
    for second in range(0, 400, 10):
        away.now_ms = NOON_MS + second * 1000
        at_ms = away.now_ms - 2 * HOUR_MS
        told += away.say("a" if second == 50 else "c", raised=second == 50, at_ms=at_ms)
    assert changes(told) == ["opened"]


def test_a_hazard_that_has_gone_within_the_backlog_pages_nobody(away: Away) -> None:
    away.then("fire", 120)
    away.then("fire", 90, raised=False)
    (told,) = away.after(2 * MINUTE_MS)
    assert (told.change, told.state) == ("opened", "cleared")


def test_a_clear_in_the_backlog_of_a_hazard_that_was_told_clears_it(away: Away) -> None:
    away.then("fire", 120)
    away.then("c", 110, raised=False)
    away.now_ms += MINUTE_MS
    assert changes(away.then("c", 100, raised=False)) == ["opened"]
    assert away.then("fire", 90, raised=False) == []
    (told,) = away.after(2 * MINUTE_MS)
    assert told.change == "cleared"


def test_a_past_clear_does_not_clear_what_was_raised_after_it(away: Away) -> None:
    away.now("a")
    assert away.then("a", 30, raised=False) == []
    assert away.after(10 * MINUTE_MS) == []
    assert ("bms/rack-1", "a") in away.standing()


def test_a_past_clear_does_not_clear_what_a_later_snapshot_has_shown(away: Away) -> None:
    away.now("a")
    away.after(HOUR_MS)
    away.look("a")
    assert (
        away.then("a", -30, raised=False) == []
    )  # half an hour after it rose, half before the look
    assert away.after(10 * MINUTE_MS) == []
    assert ("bms/rack-1", "a") in away.standing()


def test_a_clear_that_was_missed_while_the_emu_was_away_clears(away: Away) -> None:
    """Raised live, gone while it was away: it would stand for ever else."""
    away.now("a")
    away.after(2 * HOUR_MS)
    assert away.then("a", -30, raised=False) == []
    assert changes(away.after(2 * MINUTE_MS)) == ["cleared"]


def test_a_past_raise_of_what_stands_is_counted_and_no_more(away: Away) -> None:
    away.now("a")
    assert away.then("a", 60) == []
    (told,) = away.after(10 * MINUTE_MS)
    assert (told.change, told.count) == ("repeated", 2)


def test_a_past_raise_of_what_has_gone_since_raises_nothing(away: Away) -> None:
    away.now("a")
    away.now("a", raised=False)
    assert away.then("a", 60) == []
    assert changes(away.after(HOUR_MS)) == ["closed"]


def test_each_fault_of_a_long_backlog_is_told_as_cleared(away: Away) -> None:
    for ago_min in (300, 200, 100):
        away.then("c", ago_min)
        away.then("c", ago_min - 10, raised=False)
    away.after(2 * MINUTE_MS)
    assert changes(away.published) == ["opened", "closed", "opened", "closed", "opened"]
    assert {fault.state for fault in away.published} == {"cleared", "closed"}
    assert len({fault.fault_id for fault in away.published}) == 3
    assert away.published[-1].grade == "B"  # the third time within 24 h, by the device's clock


def test_what_came_and_went_within_the_reopen_window_is_one_fault(away: Away) -> None:
    for ago_min in (60, 50, 40):
        away.then("c", ago_min)
        away.then("c", ago_min - 2, raised=False)
    (told,) = away.after(2 * MINUTE_MS)
    assert (told.change, told.state, told.flaps, told.count) == ("opened", "cleared", 2, 3)


def test_delays_within_a_backlog_go_by_the_device_s_clock(away: Away) -> None:
    away.then("slow", 120)
    away.then("slow", 119.5, raised=False)
    assert away.after(2 * MINUTE_MS) == []
    away.then("slow", 100)
    away.then("slow", 98, raised=False)
    (told,) = away.after(2 * MINUTE_MS)
    assert (told.change, told.state) == ("opened", "cleared")
    away.then("slow", 60)
    assert changes(away.after(2 * MINUTE_MS)) == ["opened"]


def test_a_snapshot_of_the_past_is_part_of_the_backlog(away: Away) -> None:
    assert away.look("a", "c", ago_ms=2 * HOUR_MS) == []
    away.now_ms += 1000
    assert away.look("c", ago_ms=HOUR_MS) == []
    told = away.after(MINUTE_MS) + away.after(HOLDS["C"])
    assert [(one.code, one.change, one.state) for one in told] == [
        ("a", "opened", "cleared"),
        ("c", "opened", "open"),
    ]


def test_a_person_s_word_is_heard_within_a_backlog_too(away: Away) -> None:
    away.then("a", 120)
    (told,) = away.hear(ruling(code="a", receipt_ms=away.now_ms))
    assert (told.change, told.state) == ("opened", "cleared")
    assert away.after(5 * MINUTE_MS) == []


def test_another_emu_s_backlog_is_its_own(away: Away) -> None:
    away.then("a", 120)
    assert changes(away.now("a", emu_id="e2")) == ["opened"]
    assert changes(away.after(MINUTE_MS)) == ["opened"]


def test_a_long_backlog_makes_no_wake_ups_of_its_own() -> None:
    """However many records it has, and however often it is interrupted by a live one."""
    away = Away()
    batch = away.partition.stage()
    for number in range(20_000):
        records = [past(number)]
        if number % 1000 == 999:
            records.append(edge(30_000 + number, code="z", raised=False, receipt_ms=NOON_MS))
        for record in records:
            judge(batch, record)
    away.commit(batch)
    assert away.partition.wake_ups < 200
    assert len(away.published) < 100


def past(number: int) -> Edge:
    at_ms = NOON_MS - 3 * HOUR_MS + number * 100
    return edge(
        number, code=f"c{number % 7}", raised=number % 2 == 0, at_ms=at_ms, receipt_ms=NOON_MS
    )


def judge(batch: Batch, record: Edge | Snapshot) -> None:
    batch.follow_clock(record.receipt_ms)
    batch.judge(record)


def test_an_online_of_an_older_boot_does_not_end_a_backlog(away: Away) -> None:
    """It comes late: the device has begun anew since, and tells what it saw before that."""
    away.then("a", 60, boot="b1", seq=1)
    away.then("a", 55, boot="b2", seq=1, raised=False)
    away.then("c", 50, boot="b2", seq=2)
    assert away.tell("online", boot="b1") == []
    assert changes(away.tell("online", boot="b2")) == ["opened"]


def test_what_has_gone_in_a_backlog_is_not_stale(away: Away) -> None:
    """A raise that waits to reopen its fault when the EMU goes; the backlog says that it went as well."""
    away.now("slow")
    away.after(70_000)
    away.now("slow", raised=False)
    away.after(60_000)
    away.now("slow")
    away.tell("offline")
    away.now_ms += 30_000
    told = away.now("slow", raised=False, historical=True)
    told += away.after(HOUR_MS)
    assert [(one.change, one.stale) for one in told if one.code == "slow"] == [("closed", False)]


def test_online_ends_a_backlog_and_a_heartbeat_between_its_parts_does_not(away: Away) -> None:
    away.then("a", 120)
    assert away.tell("heartbeat") == []
    away.then("a", 90, raised=False)
    away.then("c", 80)
    told = away.tell("online")
    assert [(fault.code, fault.change, fault.state) for fault in told] == [
        ("a", "opened", "cleared")
    ]
    assert changes(away.after(HOLDS["C"])) == ["opened"]

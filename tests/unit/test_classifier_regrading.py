"""What rises often, or stands long, is graver; a person's word goes before both, and no hazard is lowered."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from services.classifier.known import touch
from services.classifier.raises import MAX_KEPT, ChangedRaises, Raises
from services.classifier.rules import Rules
from services.classifier.state import Marks, encode
from shared.catalogue import Catalogue
from shared.documents.fault import Fault, Grade
from shared.documents.internal import decode_internal
from shared.policy import GRADE_DEFINITIONS
from shared.times import HOUR_MS, MINUTE_MS, to_rfc3339
from tests.unit.alarms import HEARTBEAT, HOLDS_MS, NOON_MS, Desk, changes, edge, row, ruling

DAY_MS = 24 * HOUR_MS
BY_LEVEL = {
    ("b", "info"): row("b", "A", level="info"),
    ("b", "fault"): row("b", "B", level="fault"),
    ("c", "warning"): row("c", "B", level="warning"),
    ("c", "fire"): row("c", "C", level="fire", hazard=True),
}
CATALOGUE = Catalogue(
    [row("a", "A"), row("b", "B"), row("c", "C"), row("d", "D"), row("fire", "B", hazard=True)],
    "test",
    by_level=BY_LEVEL,
)


class Fleet(Desk):
    """One EMU whose conditions rise and go; nothing waits unless it is said."""

    def __init__(self, **waits: Any) -> None:
        super().__init__(CATALOGUE, **waits)
        self.now_ms = NOON_MS
        self._offset = 0

    def say(self, code: str, *, raised: bool = True, **fields: Any) -> list[Fault]:
        self._offset += 1
        return self.hear(
            edge(self._offset, code=code, raised=raised, receipt_ms=self.now_ms, **fields)
        )

    def after(self, span_ms: int) -> list[Fault]:
        self.now_ms += span_ms
        return self.hear(until_ms=self.now_ms)

    def rise_and_go(self, code: str, *, then_ms: int) -> list[Fault]:
        told = self.say(code)
        self.now_ms += MINUTE_MS
        return told + self.say(code, raised=False) + self.after(then_ms)

    def rule(self, code: str, action: Any, grade: Grade | None = None) -> list[Fault]:
        self._offset += 1
        source = ruling().source
        return self.hear(
            ruling(
                source=replace(source, offset=self._offset),
                code=code,
                action=action,
                grade=grade,
                receipt_ms=self.now_ms,
            )
        )


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.mark.parametrize("then_ms", [5 * MINUTE_MS, 8 * HOUR_MS])
def test_the_third_raise_within_24_hours_is_one_grade_graver(fleet: Fleet, then_ms: int) -> None:
    """Whether the same fault reopens, or each is a fault of its own; also after a restart."""
    for _ in range(2):
        assert {fault.grade for fault in fleet.rise_and_go("c", then_ms=then_ms)} == {"C"}
        fleet.restart()
    (third,) = fleet.say("c")
    assert third.change == ("reopened" if then_ms < 15 * MINUTE_MS else "opened")
    assert third.grade == "B"
    assert third.grade_reason == (
        f"c is C. Raised 3 times within 24 h, B instead of C: {GRADE_DEFINITIONS['B']}."
    )


def test_what_rises_less_often_is_as_grave_as_the_catalogue_says(fleet: Fleet) -> None:
    for _ in range(6):
        assert {fault.grade for fault in fleet.rise_and_go("c", then_ms=13 * HOUR_MS)} == {"C"}


def test_it_is_one_grade_up_however_often_it_rises_and_never_above_a(fleet: Fleet) -> None:
    told = [
        fault
        for code in ("a", "c")
        for _ in range(6)
        for fault in fleet.rise_and_go(code, then_ms=20 * MINUTE_MS)
        if fault.change == "opened"
    ]
    assert [fault.grade for fault in told] == list("AAAAAA" + "CCBBBB")
    assert "Raised" not in told[5].grade_reason


def test_a_fault_once_graver_stays_so_until_it_is_closed(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.rise_and_go("c", then_ms=MINUTE_MS)
    told = fleet.say("c") + fleet.after(3 * DAY_MS) + fleet.say("c", raised=False)
    assert {fault.grade for fault in told} == {"B"}
    fleet.after(HOUR_MS)
    (anew,) = fleet.say("c")
    assert (anew.change, anew.grade) == ("opened", "C")


def test_what_chatters_within_its_off_delay_is_one_raise() -> None:
    fleet = Fleet(hold_ms=HOLDS_MS)
    for _ in range(30):
        fleet.say("c")
        fleet.after(1_000)
        fleet.say("c", raised=False)
        fleet.after(1_000)
    fleet.after(5 * MINUTE_MS)
    assert {fault.grade for fault in fleet.published} == {"C"}


def test_the_third_raise_waits_for_the_hold_of_the_graver_grade() -> None:
    fleet = Fleet(hold_ms=HOLDS_MS)
    for _ in range(2):
        fleet.rise_and_go("c", then_ms=HOUR_MS)
    assert fleet.say("c") == []
    assert fleet.after(HOLDS_MS["B"] - 1) == []
    (told,) = fleet.after(1)
    assert (told.change, told.grade) == ("opened", "B")


def test_a_graver_level_of_what_rose_often_is_graver_by_one_too(fleet: Fleet) -> None:
    for _ in range(2):
        fleet.rise_and_go("c", then_ms=HOUR_MS)
    fleet.say("c")
    (told,) = fleet.say("c", level="warning")
    assert (told.change, told.grade) == ("regraded", "A")
    assert "A instead of B" in told.grade_reason


def test_a_d_that_is_open_for_24_hours_is_c(fleet: Fleet) -> None:
    fleet.say("d")
    assert fleet.after(DAY_MS - 1) == []
    fleet.restart()
    (told,) = fleet.after(1)
    assert (told.change, told.grade) == ("regraded", "C")
    assert told.grade_reason == f"d is D. Open for 24 h, C instead of D: {GRADE_DEFINITIONS['C']}."
    assert fleet.after(3 * DAY_MS) == []


def test_a_d_that_comes_back_after_24_hours_is_told_as_c_at_once(fleet: Fleet) -> None:
    fleet.say("d")
    fleet.after(DAY_MS - MINUTE_MS)
    fleet.say("d", raised=False)
    assert fleet.after(2 * MINUTE_MS) == []
    (told,) = fleet.say("d")
    assert (told.change, told.grade) == ("reopened", "C")


def test_a_d_that_stood_before_age_was_remembered_ages_all_the_same(fleet: Fleet) -> None:
    fleet.say("d")
    (condition,) = fleet.partition.conditions
    fields = [getattr(condition, name) for name in condition.__struct_fields__]
    (key,) = [key for key in fleet.changelog if key.startswith(b"c")]
    fleet.changelog[key] = encode(fields[: condition.__struct_fields__.index("marks")])
    fleet.restart()
    assert changes(fleet.after(DAY_MS)) == ["regraded"]


def test_a_person_s_grade_holds_until_the_fault_is_closed(fleet: Fleet) -> None:
    fleet.say("b")
    (told,) = fleet.rule("b", "regrade", "D")
    assert (told.change, told.grade, told.clocks_from) == ("regraded", "D", told.opened_at)
    assert told.grade_reason == (
        f"b is B. Ruled by Ada (sensor exchanged), D instead of B: {GRADE_DEFINITIONS['D']}."
    )
    later = fleet.after(3 * DAY_MS) + fleet.say("b") + fleet.say("b", raised=False)
    for _ in range(4):
        later += fleet.rise_and_go("b", then_ms=MINUTE_MS)
    later += fleet.say("b", level="fault") + fleet.say("b", raised=False) + fleet.after(HOUR_MS)
    assert {fault.grade for fault in later} == {"D"}
    assert later[-1].change == "closed"
    (anew,) = fleet.say("b")
    assert anew.grade == "A"  # by its repeats: the ruling was on the fault that is closed


def test_a_graver_level_than_the_person_knew_of_goes_before_the_person_s_grade(
    fleet: Fleet,
) -> None:
    fleet.say("b")
    fleet.rule("b", "regrade", "D")
    (told,) = fleet.say("b", level="info")
    assert (told.change, told.grade) == ("regraded", "A")
    assert "Ruled" not in told.grade_reason


def test_what_becomes_a_hazard_goes_before_the_person_s_grade(fleet: Fleet) -> None:
    fleet.say("c")
    fleet.rule("c", "regrade", "D")
    (told,) = fleet.say("c", level="fire")
    assert (told.change, told.grade, told.hazard) == ("regraded", "C", True)


def test_a_hazard_is_made_graver_by_a_person_and_never_lowered(fleet: Fleet) -> None:
    fleet.say("fire")
    batch = fleet.partition.stage()
    batch.judge(ruling(code="fire", action="regrade", grade="C"))
    assert batch.verdicts == {"hazard_not_lowered": 1}
    fleet.commit(batch)
    (told,) = fleet.rule("fire", "regrade", "A")
    assert (told.change, told.grade) == ("regraded", "A")
    assert fleet.rule("fire", "regrade", "B") == []


def test_a_fault_that_is_held_is_told_with_the_grade_that_a_person_gave_it() -> None:
    fleet = Fleet(hold_ms=HOLDS_MS)
    fleet.say("d")
    (told,) = fleet.rule("d", "regrade", "A")
    assert (told.change, told.grade, told.revision) == ("opened", "A", 1)


def attach(fleet: Fleet, code: str) -> None:
    """As correlation will."""
    (condition,) = [one for one in fleet.partition.conditions if one.code == code]
    marks = Marks(cause_id="f-cause", rule="r1")
    batch = fleet.partition.stage()
    batch.touched["e1"] = touch(fleet.partition.known.of("e1"))
    batch.touched["e1"].put(replace(condition, marks=marks))
    fleet.commit(batch)
    fleet.restart()


def test_a_symptom_that_a_person_detaches_stands_for_itself_from_then_on(fleet: Fleet) -> None:
    fleet.say("b")
    attach(fleet, "b")
    fleet.after(HOUR_MS)
    (told,) = fleet.rule("b", "detach")
    assert (told.change, told.cause_id, told.rule) == ("detached", None, None)
    assert told.clocks_from == to_rfc3339(fleet.now_ms) != told.opened_at
    fleet.restart()
    (condition,) = fleet.partition.conditions
    assert condition.marks is not None
    assert condition.marks.detached
    assert fleet.rule("b", "detach") == []
    (cleared,) = fleet.say("b", raised=False)
    assert cleared.clocks_from == told.clocks_from


def test_a_symptom_says_its_cause_and_the_rule(fleet: Fleet) -> None:
    fleet.say("b")
    attach(fleet, "b")
    (told,) = fleet.say("b", raised=False)
    assert (told.cause_id, told.rule) == ("f-cause", "r1")


@pytest.mark.parametrize("action", ["clear", "regrade", "detach"])
def test_a_ruling_on_what_nothing_is_known_of_says_nothing(fleet: Fleet, action: Any) -> None:
    batch = fleet.partition.stage()
    batch.judge(ruling(code="b", action=action, grade="A"))
    assert batch.verdicts == {"nothing": 1}
    assert not batch.touched["e1"].changed


def test_a_ruling_that_this_version_does_not_know_is_a_bad_record_and_no_bug() -> None:
    """So the task puts it with the dead letters and goes on."""
    unknown = encode(replace(ruling(), action="merge"))
    with pytest.raises(msgspec.DecodeError):
        decode_internal(unknown)


def test_a_ruling_without_its_grade_is_told_and_changes_nothing(fleet: Fleet) -> None:
    fleet.say("b")
    batch = fleet.partition.stage()
    without = ruling(code="b", action="regrade")
    with pytest.raises(ValueError, match="no grade"):
        batch.judge(without)
    batch.judge_plainly(without)
    fleet.commit(batch)
    assert fleet.standing() == {("bms/rack-1", "b")}


def test_raises_are_forgotten_when_they_count_no_more(fleet: Fleet) -> None:
    for number in range(50):
        fleet.rise_and_go(f"unknown.{number}", then_ms=HOUR_MS)
    fleet.after(DAY_MS + 11 * HOUR_MS)
    assert not fleet.partition.raises.by_key
    kept = [key for key, value in fleet.changelog.items() if value and key.startswith(b"r")]
    assert kept == []


def test_however_many_conditions_rise_only_so_many_are_remembered() -> None:
    base = Raises()
    for number in range(MAX_KEPT + 10):
        base.put(b"%d" % number, (NOON_MS,))
    staged = ChangedRaises(base)
    staged.forget(NOON_MS, Rules(CATALOGUE, {}, HEARTBEAT))
    staged.apply()
    assert len(base.by_key) == MAX_KEPT
    assert b"9" not in base.by_key
    assert b"10" in base.by_key


def test_a_raise_of_long_ago_that_is_told_late_does_not_hide_three_of_one_day(fleet: Fleet) -> None:
    fleet.rise_and_go("b", then_ms=HOUR_MS)
    fleet.rise_and_go("b", then_ms=HOUR_MS)
    long_ago_ms = fleet.now_ms - 25 * HOUR_MS - 30 * MINUTE_MS
    fleet.say("b", at_ms=long_ago_ms)
    fleet.say("b", raised=False, at_ms=long_ago_ms + MINUTE_MS)
    fleet.after(5 * MINUTE_MS)
    assert fleet.published[-1].grade == "B"
    assert fleet.say("b")[0].grade == "A"


def test_a_raise_that_its_clear_overtook_counts_with_those_of_earlier_faults(fleet: Fleet) -> None:
    fleet.rise_and_go("b", then_ms=HOUR_MS)
    fleet.say("b", raised=False, boot="b", seq=2)
    (late,) = fleet.say("b", boot="b", seq=1)
    assert (late.change, late.state, late.grade) == ("opened", "cleared", "B")
    fleet.after(HOUR_MS)
    assert fleet.say("b")[0].grade == "A"

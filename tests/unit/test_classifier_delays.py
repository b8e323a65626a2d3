"""Holds, on-delays, off-delays and chatter, told by what a partition publishes."""

from pathlib import Path
from typing import Any

import pytest

from services.classifier.config import load_configuration
from services.classifier.state import REOPEN_WINDOW_MS, Condition, decode_condition, encode
from shared.catalogue import Catalogue
from shared.documents.fault import Fault
from shared.errors import ConfigError
from shared.times import HOUR_MS, MINUTE_MS, to_rfc3339
from tests.unit.alarms import HOLDS_MS, NOON_MS, Desk, changes, edge, part, row, ruling, snapshot

ROWS = (
    row("a", "A"),
    row("b", "B"),
    row("c", "C"),
    row("d", "D"),
    row("smoke", "B", hazard=True),
    row("slow", "C", on_delay_s=60),
    row("lingers", "A", off_delay_s=60),
    row("as_long", "D", off_delay_s=30),
)


class Told(Desk):
    """A desk that hears by seconds after noon."""

    def __init__(self) -> None:
        super().__init__(Catalogue(ROWS, "test"), hold_ms=HOLDS_MS)
        self._offset = 0

    def at(self, second: float, code: str, *, raised: bool = True, **fields: Any) -> list[str]:
        """An edge, and what it makes known."""
        self._offset += 1
        told = self.hear(
            edge(self._offset, code=code, raised=raised, receipt_ms=ms(second), **fields)
        )
        return changes(told)

    def until(self, second: float) -> list[str]:
        return changes(self.hear(until_ms=ms(second)))

    @property
    def last(self) -> Fault:
        return self.published[-1]


def ms(second: float) -> int:
    return NOON_MS + int(second * 1000)


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_fault_that_is_to_be_told_and_cleared_at_the_same_moment_is_both(told: Told) -> None:
    """A raise and a clear in one list of reports, and a hold as long as the off-delay."""
    told.at(0, "as_long")
    told.at(0, "as_long", raised=False)
    assert told.until(60) == ["opened", "cleared"]


@pytest.mark.parametrize(("code", "hold_s"), [("b", 3), ("c", 10), ("d", 30)])
def test_a_fault_is_told_when_the_hold_of_its_grade_is_over(
    told: Told, code: str, hold_s: int
) -> None:
    assert told.at(0, code) == []
    assert told.partition.open_by_grade[code.upper()] == 0
    told.restart()
    assert told.until(hold_s - 0.001) == []
    assert told.until(hold_s) == ["opened"]
    assert told.last.opened_at == told.last.clocks_from == to_rfc3339(NOON_MS)
    assert told.partition.open_by_grade[code.upper()] == 1


def test_a_and_hazards_wait_for_nothing(told: Told) -> None:
    assert told.at(0, "a") == ["opened"]
    assert told.at(0, "smoke") == ["opened"]


def test_a_fault_that_clears_within_its_hold_is_told_with_its_end(told: Told) -> None:
    told.at(0, "d")
    told.at(5, "d")
    assert told.at(20, "d", raised=False) == ["opened"]
    assert (told.last.state, told.last.revision, told.last.count) == ("cleared", 1, 2)
    assert told.last.cleared_at == to_rfc3339(ms(20))
    assert told.until(20 + REOPEN_WINDOW_MS / 1000) == ["closed"]


def test_a_graver_level_has_the_hold_of_its_grade(told: Told) -> None:
    told.at(0, "unknown.code", level="info")
    assert told.at(1, "unknown.code", level="fault") == []
    assert told.until(3) == ["opened"]
    assert (told.last.grade, told.last.count) == ("B", 2)


def test_what_has_gone_before_its_on_delay_is_over_is_no_fault(told: Told) -> None:
    told.at(0, "slow")
    batch = told.partition.stage()
    batch.follow_clock(ms(59.999))
    batch.judge(edge(9, code="slow", raised=False, receipt_ms=ms(59.999)))
    assert (batch.too_short, batch.faults) == (1, [])
    assert told.at(59.999, "slow", raised=False) == []
    assert told.at(70, "slow") == []
    told.restart()
    assert told.until(129.999) == []
    assert told.until(130) == ["opened"]
    assert told.last.opened_at == told.last.clocks_from == to_rfc3339(ms(70))


def test_a_late_raise_after_one_that_was_too_short_does_not_stand(told: Told) -> None:
    told.at(0, "slow", boot="b", seq=5)
    told.at(10, "slow", raised=False, boot="b", seq=9)
    told.at(11, "slow", boot="b", seq=7)
    assert told.until(3600) == []
    assert told.standing() == set()


def test_a_fault_is_reopened_only_by_what_stands_for_its_on_delay(told: Told) -> None:
    told.at(0, "slow")
    assert told.at(60, "slow", raised=False) == ["opened", "cleared"]
    assert told.at(100, "slow") == []
    assert told.at(110, "slow", raised=False) == []
    assert told.at(200, "slow") == []
    assert told.until(260) == ["reopened"]
    assert (told.last.state, told.last.flaps, told.last.cleared_at) == ("open", 2, None)


def test_a_raise_that_waits_holds_the_end_of_the_reopen_window_back(told: Told) -> None:
    told.at(0, "slow")
    told.at(60, "slow", raised=False)
    window_s = REOPEN_WINDOW_MS / 1000
    told.at(60 + window_s - 10, "slow")
    told.at(60 + window_s + 20, "slow", raised=False)
    assert changes(told.published) == ["opened", "cleared"]
    assert told.until(60 + window_s + 21) == ["closed"]


def test_on_delays_are_as_long_while_catching_up(told: Told) -> None:
    told.at(3600, "a", emu_id="other")
    assert told.at(0, "slow") == []
    assert told.at(10, "slow", raised=False) == []
    # By its own receipts this one stood for long enough.
    assert told.at(20, "slow") == []
    assert told.at(80, "slow", raised=False) == ["opened"]
    assert told.last.state == "cleared"


def test_a_fault_is_cleared_when_it_has_been_gone_for_its_off_delay(told: Told) -> None:
    told.at(0, "lingers")
    assert told.at(10, "lingers", raised=False) == []
    told.restart()
    assert told.until(69.999) == []
    assert told.until(70) == ["cleared"]
    assert told.last.cleared_at == to_rfc3339(ms(10))
    assert told.until(10 + REOPEN_WINDOW_MS / 1000) == ["closed"]


def test_a_raise_within_the_off_delay_is_a_flap_and_no_clear(told: Told) -> None:
    told.at(0, "lingers")
    told.at(100, "lingers", raised=False)
    assert told.at(159, "lingers") == ["repeated"]
    assert (told.last.state, told.last.count, told.last.flaps) == ("open", 2, 1)
    assert "cleared" not in told.until(3600)


def test_what_is_raised_and_gone_by_snapshots_has_the_same_delays(told: Told) -> None:
    def shown(second: float, *codes: str) -> list[str]:
        record = snapshot(int(second * 1000), part(None, *codes), receipt_ms=ms(second))
        return changes(told.hear(record))

    assert shown(1, "lingers", "slow") == ["opened"]
    assert shown(2) == []
    assert shown(30) == []
    assert shown(61.5) == []
    assert shown(62) == ["cleared"]
    assert shown(63, "lingers") == ["reopened"]


def test_a_person_s_word_waits_for_no_delay(told: Told) -> None:
    told.at(0, "lingers")
    word = ruling(code="lingers", receipt_ms=ms(5))
    assert changes(told.hear(word)) == ["cleared"]
    assert told.last.cleared_at == to_rfc3339(ms(5))


def test_what_chatters_is_counted_as_flapping_until_it_has_been_quiet_for_a_minute() -> None:
    desk = Desk(Catalogue(ROWS, "test"), hold_ms=HOLDS_MS)
    desk.hear(edge(0, code="steady"))
    for second in range(1, 10):
        receipt_ms = NOON_MS + second * 1_000
        desk.hear(edge(second, code="swings", raised=second % 2 == 1, receipt_ms=receipt_ms))
        assert desk.partition.count_flapping() == (second >= 3)
    desk.hear(until_ms=NOON_MS + 68_999)
    assert desk.partition.count_flapping() == 1
    desk.hear(until_ms=NOON_MS + 69_000)
    assert desk.partition.count_flapping() == 0


def test_a_bit_that_chatters_at_1_hz_for_ten_minutes_is_one_open_fault(told: Told) -> None:
    for second in range(600):
        told.at(second, "a", raised=second % 2 == 0)
    # Once before it is known to chatter, and then it is held open.
    assert changes(told.published)[:3] == ["opened", "cleared", "reopened"]
    assert set(changes(told.published)[3:]) == {"repeated"}
    assert len(told.published) < 10
    assert told.until(658.999) == []
    assert told.until(659) == ["cleared"]
    assert (told.last.flaps, told.last.count) == (299, 300)
    assert told.last.cleared_at == to_rfc3339(ms(599))


def test_three_changes_in_more_than_a_minute_are_no_chatter(told: Told) -> None:
    told.at(0, "a")
    told.at(30, "a", raised=False)
    assert told.at(31, "a") == ["reopened"]
    assert told.at(91, "a", raised=False) == ["cleared"]


def test_state_of_before_there_were_delays_is_read_and_goes_on() -> None:
    desk = Desk()
    desk.hear(edge(1))
    (key,) = [key for key in desk.changelog if key.startswith(b"c")]
    (condition,) = desk.partition.conditions
    fields = [getattr(condition, name) for name in Condition.__struct_fields__]
    old = encode(fields[: Condition.__struct_fields__.index("ripe_at_ms")])
    assert decode_condition(old).changes == ()
    desk.changelog[key] = old
    desk.restart()
    assert changes(desk.hear(edge(2, raised=False, receipt_ms=NOON_MS + 1))) == ["cleared"]
    assert changes(desk.hear(edge(3, receipt_ms=NOON_MS + MINUTE_MS))) == ["reopened"]
    assert changes(desk.hear(until_ms=NOON_MS + HOUR_MS)) == []


def test_a_wrong_policy_and_a_wrong_setting_are_told_at_once(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[grade.B]\nhold_s = 4\n")
    with pytest.raises(ConfigError) as raised:
        load_configuration({"BAKVAKT_POLICY": str(policy), "BAKVAKT_PORT": "x"})
    said = "\n".join(raised.value.problems)
    assert "BAKVAKT_PORT" in said
    assert "line 2: grade.B.hold_s: 4 is longer than promised" in said

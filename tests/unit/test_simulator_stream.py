"""The stream of a fleet, as somebody reads it who knows nothing of how it is made."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.simulator import DEFAULT_EMUS, DEFAULT_RATE, DEFAULT_SEED
from deploy.simulator.emus import Record
from deploy.simulator.fleet import make_fleet
from deploy.simulator.incidents import load_incidents
from deploy.simulator.stream import Stream
from shared.catalogue import load_catalogue
from shared.documents.emu import EmuRecord
from shared.times import from_rfc3339
from tests.unit.simulated_reports import Reader, Statement, reports_in

START_MS = from_rfc3339("2026-11-22T10:00:00Z")
UNKNOWN = {
    code
    for incident in load_incidents()
    for each in incident.conditions
    if each.unknown
    for code in each.codes
}


def stream(
    *,
    seed: int = 1,
    emus: int = 36,
    rate: float = 50,
    alarms: int = 5_000,
    start_ms: int = START_MS,
) -> Iterator[Record]:
    made = Stream(make_fleet(seed, emus), seed=seed, rate=rate, start_ms=start_ms)
    while made.sent < alarms:
        yield made.next()


def without_times(record: Record) -> bytes:
    return re.sub(rb'"(at":"[^"]*"|boot":\d+)', b"", record.value)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), emus=st.integers(1, 200), rate=st.floats(0.01, 1e6))
def test_a_seed_has_one_stream_byte_for_byte(seed: int, emus: int, rate: float) -> None:
    first = list(stream(seed=seed, emus=emus, rate=rate, alarms=1_000))
    assert list(stream(seed=seed, emus=emus, rate=rate, alarms=1_000)) == first


def test_another_start_changes_the_times_and_nothing_else() -> None:
    first = list(stream())
    later = list(stream(start_ms=START_MS + 86_400_000))
    assert first != later
    assert list(map(without_times, first)) == list(map(without_times, later))


def test_another_seed_gives_another_stream() -> None:
    assert list(stream(seed=1)) != list(stream(seed=2))


@pytest.mark.parametrize("rate", [0.5, 7, 50_000])
def test_the_time_in_a_report_is_that_of_its_place_at_the_rate(rate: float) -> None:
    sent = 0
    for record in stream(rate=rate, alarms=2_000):
        assert {from_rfc3339(report["at"]) for report in reports_in(record.value)} == {
            START_MS + int(sent * 1000 / rate)
        }
        sent += record.alarms


def test_alarms_are_counted_as_reports_and_registers() -> None:
    for record in stream():
        reports = reports_in(record.value)
        assert record.alarms == sum(len(report.get("registers", "1")) for report in reports)
        assert {report["emu_id"] for report in reports} == {record.key}


@pytest.mark.parametrize("emus", [1, 36, 1_000])
def test_what_is_sent_is_in_the_catalogue_or_meant_to_be_unknown(emus: int) -> None:
    catalogue = load_catalogue()
    reader = Reader()
    for record in stream(emus=emus, alarms=20_000):
        for statement in reader.read(record.value):
            if statement.told != "quiet":
                assert statement.code in catalogue or statement.code in UNKNOWN


def test_registers_have_the_shape_of_the_contract() -> None:
    seen: set[tuple[str, str]] = set()
    for record in stream(alarms=20_000):
        for report in reports_in(record.value):
            for register in report.get("registers", []):
                assert list(register) == ["model", "point", "component", "bits"]
                assert isinstance(register["bits"], int)
                seen.add((register["model"], register["point"]))
    assert seen >= {
        ("701", "Alrm"),
        ("714", "Prt.DCAlrm"),
        ("802", "Evt1"),
        ("804", "Evt1"),
        ("804", "ConFail"),
        ("203", "Evt"),
        ("foxess", "fault1"),
        ("sigenergy", "PCS_ALARM_CODES"),
        ("goodwe", "BMS_ALARM_CODES"),
        ("victron", "vebus/VebusError"),
        ("victron", "battery/Alarms/LowVoltage"),
    }


def test_a_fleet_reports_in_all_three_shapes() -> None:
    reader = Reader()
    for record in stream(alarms=20_000):
        reader.read(record.value)
    # Dry contacts of an EMU that sends registers come as alarm reports.
    assert {frozenset(shapes) for shapes in reader.shapes.values()} >= {
        frozenset({"numbered"}),
        frozenset({"plain"}),
        frozenset({"registers"}),
    }


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), emus=st.integers(1, 100))
def test_every_raise_is_repeated_or_cleared(seed: int, emus: int) -> None:
    reader = Reader()
    open_raises: dict[tuple[str, str, str], int] = {}
    last = 0
    for last, record in enumerate(stream(seed=seed, emus=emus, rate=20, alarms=10_000)):
        for statement in reader.read(record.value):
            if statement.told == "raised":
                open_raises[statement[1:]] = last
            else:
                open_raises.pop(statement[1:], None)
    assert all(last - raised_at < 1_500 for raised_at in open_raises.values())


def test_numbers_go_up_by_one_within_a_boot_and_boots_go_up() -> None:
    newest: dict[str, tuple[int, int]] = {}
    reboots = 0
    for record in stream(emus=300, alarms=60_000):
        for report in reports_in(record.value):
            if "seq" in report:
                boot, seq = newest.get(report["emu_id"], (START_MS, 0))
                if report["boot"] != boot:
                    assert report["boot"] == boot + 1
                    reboots, boot, seq = reboots + 1, boot + 1, 0
                assert report["seq"] == seq + 1
                newest[report["emu_id"]] = (boot, seq + 1)
    assert reboots > 0


def test_most_of_what_is_sent_is_no_news() -> None:
    """As a fleet's is: repeats and quiet registers, a few changes, about as many clears as raises."""
    reader = Reader()
    told = Counter[str]()
    for record in stream(emus=200, alarms=40_000):
        told.update(statement.told for statement in reader.read(record.value))
    assert told["repeated"] + told["quiet"] > 0.85 * told.total()
    assert 0.8 < told["cleared"] / told["raised"] < 1.01


def first_minute() -> list[Statement]:
    fleet = make_fleet(DEFAULT_SEED, DEFAULT_EMUS)
    made = Stream(fleet, seed=DEFAULT_SEED, rate=DEFAULT_RATE, start_ms=START_MS)
    reader = Reader()
    said: list[Statement] = []
    while made.sent < 60 * DEFAULT_RATE:
        said += reader.read(made.next().value)
    return said


def test_within_a_minute_a_new_user_sees_faults_of_all_grades_and_clears() -> None:
    catalogue = load_catalogue()
    risen = [statement for statement in first_minute() if statement.told == "raised"]
    assert {catalogue.look_up(statement.code, None).grade for statement in risen} == set("ABCD")
    assert any(statement.told == "cleared" for statement in first_minute())


def test_within_a_minute_an_incident_begins_with_its_cause_and_is_over() -> None:
    (opening,) = [incident for incident in load_incidents() if incident.opens]
    cause = {code for each in opening.conditions if each.cause for code in each.codes}
    symptoms = {code for each in opening.conditions if not each.cause for code in each.codes}
    said = first_minute()
    (begin,) = [
        number for number, one in enumerate(said) if one.told == "raised" and one.code in cause
    ]
    emu_id = said[begin].emu_id
    of_it = [one for one in said if one.emu_id == emu_id and one.code in cause | symptoms]
    assert [one.code in cause for one in of_it if one.told == "raised"][:2] == [True, False]
    raised = Counter(one.code for one in of_it if one.told == "raised")
    assert raised == Counter(one.code for one in of_it if one.told == "cleared")


def test_a_fleet_that_is_none_of_ours_is_simulated_by_its_own_names() -> None:
    fleet = [
        EmuRecord(emu_id=f"plant-{number}", site_id=f"yard-{number % 3}", model="of another maker")
        for number in range(9)
    ]
    made = Stream(fleet, seed=1, rate=10, start_ms=START_MS)
    reader = Reader()
    while made.sent < 3_000:
        reader.read(made.next().value)
    assert set(reader.shapes) <= {record.emu_id for record in fleet}
    assert len(reader.shapes) > 3


def test_moving_the_start_moves_what_is_still_to_come() -> None:
    made = Stream(make_fleet(1, 5), seed=1, rate=1, start_ms=START_MS)
    made.next()
    made.start_ms += 3_600_000
    sent = made.sent
    (report,) = reports_in(made.next().value)
    assert from_rfc3339(report["at"]) == START_MS + 3_600_000 + sent * 1000


class Times(NamedTuple):
    """When conditions of one code rose and went."""

    raised: list[tuple[float, str]]
    cleared: list[tuple[float, str]]


@pytest.fixture(scope="module")
def times() -> dict[str, Times]:
    """By code, (time in s, EMU) of each change in 20 minutes of 200 EMUs."""
    found: dict[str, Times] = {}
    reader = Reader()
    sent = 0
    for record in stream(emus=200, alarms=60_000):
        for told, emu_id, _, code in reader.read(record.value):
            if told in ("raised", "cleared"):
                changes = found.setdefault(code, Times([], []))
                (changes.raised if told == "raised" else changes.cleared).append(
                    (sent / 50, emu_id)
                )
        sent += record.alarms
    return found


def test_the_low_battery_comes_20_s_before_the_lost_bms_and_stays_longer(
    times: dict[str, Times],
) -> None:
    low, lost = times["victron:battery/Alarms/LowVoltage"], times["victron:battery/Alarms/BmsCable"]
    assert lost.cleared
    for after_s, earlier, later in (
        (20, low.raised, lost.raised),
        (100, lost.raised, lost.cleared),
        (25, lost.cleared, low.cleared),
    ):
        for (first_s, first_emu), (then_s, then_emu) in zip(earlier, later, strict=False):
            assert first_emu == then_emu
            assert then_s - first_s == pytest.approx(after_s, abs=1)


def test_a_site_loses_its_grid_together(times: dict[str, Times]) -> None:
    fleet = {record.emu_id: record for record in make_fleet(1, 200)}
    together = 0
    for began_s, first in times["sunspec:701.Alrm.4"].raised:
        site = {each for each in fleet if fleet[each].site_id == fleet[first].site_id}
        near = {
            emu_id
            for at_s, emu_id in times["sunspec:701.Alrm.4"].raised
            if abs(at_s - began_s) < 2 and emu_id in site
        }
        assert near == site
        together += len(near) > 1
    assert together


@pytest.mark.parametrize(("emus", "rate"), [(1, 20), (10, 20), (200, 2_000)])
def test_an_emu_is_in_one_incident_at_most_and_few_are_in_any(emus: int, rate: float) -> None:
    fleet = make_fleet(1, emus)
    of_incidents = [
        set[str]().union(*({each.code or "", *each.codes} for each in incident.conditions))
        for incident in load_incidents()
    ]
    any_of_them = set[str]().union(*of_incidents)
    largest_group = max(Counter(record.area for record in fleet).values())
    reader = Reader()
    standing: dict[str, set[str]] = {}
    for record in stream(emus=emus, rate=rate, alarms=60_000):
        for told, emu_id, _, code in reader.read(record.value):
            if code in any_of_them and told == "raised":
                standing.setdefault(emu_id, set()).add(code)
                assert any(standing[emu_id] <= each for each in of_incidents)
            elif told == "cleared" and not reader.stands(emu_id, code):
                standing.get(emu_id, set[str]()).discard(code)
        assert sum(map(bool, standing.values())) <= emus / 10 + largest_group

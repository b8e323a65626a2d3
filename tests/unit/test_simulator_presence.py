"""Simulated EMUs that tell that they are there, go, and come back with what they have kept."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from deploy.simulator.emus import Record
from deploy.simulator.fleet import make_fleet
from deploy.simulator.presence import INTERVAL_S, PresentFleet
from deploy.simulator.stream import Stream
from services.ingest.reports import Arrival, read_arrival
from shared.catalogue import load_catalogue
from shared.documents.dead_letter import DeadLetter
from shared.times import from_rfc3339
from tests.unit.alarms import HOLDS_MS
from tests.unit.classifier_oracle import OFFLINE, Oracle
from tests.unit.simulated_reports import reports_in

START_MS = from_rfc3339("2026-11-22T10:00:00Z")
HOUR_ALARMS = 2 * 3_600
CATALOGUE = load_catalogue()


def stream(seed: int = 1, *, alarms: int = HOUR_ALARMS) -> Iterator[Record]:
    """An hour of the demonstration."""
    made = PresentFleet(make_fleet(seed, 36), seed=seed, rate=2, start_ms=START_MS)
    while made.sent < alarms:
        yield made.next()


def reports(records: Iterator[Record]) -> list[dict[str, Any]]:
    return [report for record in records for report in reports_in(record.value)]


def test_a_seed_has_one_stream_byte_for_byte() -> None:
    assert list(stream()) == list(stream())
    assert list(stream()) != list(stream(2))


def test_all_types_of_reports_come_and_none_is_a_dead_letter() -> None:
    types = Counter[str]()
    for offset, record in enumerate(stream()):
        arrival = Arrival(1, "emu.alarms", 0, offset, None, record.value, START_MS + 7_200_000)
        assert not [one for one in read_arrival(arrival, CATALOGUE) if isinstance(one, DeadLetter)]
        types.update(report["type"] for report in reports_in(record.value))
    assert types.keys() >= {"alarm", "registers", "snapshot", "heartbeat", "offline", "online"}


def test_its_alarms_are_those_of_the_stream_without_presence() -> None:
    """Later where they were kept; what was still away at the end is missing."""
    plain = Stream(make_fleet(1, 36), seed=1, rate=2, start_ms=START_MS)
    wanted = Counter[bytes]()
    while plain.sent < HOUR_ALARMS:
        wanted[plain.next().value] += 1
    came = Counter(
        record.value for record in stream() if b'"type":"alarm"' in record.value and record.alarms
    )
    assert not {value for value in came if b'"seq"' not in value} - wanted.keys()


def test_an_emu_beats_but_while_it_is_away() -> None:
    gaps = Counter[bool]()
    beats: dict[str, list[int]] = {}
    for report in reports(stream()):
        if report["type"] == "heartbeat":
            beats.setdefault(report["emu_id"], []).append(from_rfc3339(report["at"]))
    assert len(beats) == 36
    for times in beats.values():
        gaps.update(later - one > 2 * INTERVAL_S * 1000 for one, later in pairwise(times))
    assert 5 < gaps[True] < 60
    assert gaps[False] > 3_000


def test_who_is_away_says_nothing_and_tells_of_the_time_when_it_is_back() -> None:
    away: set[str] = set()
    late = 0
    newest_ms = START_MS
    for report in reports(stream()):
        emu_id = report["emu_id"]
        if report["type"] == "offline":
            away.add(emu_id)
        elif report["type"] == "online":
            away.discard(emu_id)
        assert emu_id not in away or report["type"] == "offline"
        newest_ms = max(newest_ms, from_rfc3339(report["at"]))
        late += newest_ms - from_rfc3339(report["at"]) > 60_000
    assert late > 20


def test_absences_become_faults_and_end() -> None:
    oracle = Oracle(CATALOGUE, HOLDS_MS)
    now_ms = START_MS
    for offset, record in enumerate(stream()):
        if not record.alarms:
            now_ms = max(now_ms, *(from_rfc3339(one["at"]) for one in reports_in(record.value)))
        for made in read_arrival(
            Arrival(1, "emu.alarms", 0, offset, None, record.value, now_ms), CATALOGUE
        ):
            assert not isinstance(made, DeadLetter)
            oracle.hear(made)
    told = [fault for fault in oracle.published if fault.code == OFFLINE[1]]
    assert {fault.change for fault in told} >= {"opened", "cleared"}

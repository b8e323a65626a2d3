"""EMUs that go and come back, and what stood at them meanwhile. Times are the real ones."""

from typing import Any

import pytest
from msgspec.structs import replace

from services.classifier.state import Emu, Meta, decode_emu, decode_meta, encode
from services.classifier.whereabouts import Here
from shared.documents.fault import Fault
from shared.documents.internal import Edge, Presence, Snapshot, Tick
from shared.times import HOUR_MS, from_rfc3339, to_rfc3339
from tests.unit.alarms import (
    HOLDS_MS,
    NOON_MS,
    Desk,
    changes,
    edge,
    fact,
    part,
    presence,
    ruling,
    snapshot,
    tick,
)

S = 1_000
OFFLINE = "bakvakt:emu_offline"


def of_offline(faults: list[Fault]) -> list[Fault]:
    return [fault for fault in faults if fault.code == OFFLINE]


def ticks(from_s: int, to_s: int, **fields: Any) -> list[Tick]:
    """Ingest's word every 5 s, in seconds from noon."""
    return [tick(NOON_MS + at_s * S, **fields) for at_s in range(from_s, to_s + 1, 5)]


def beats(from_s: int, to_s: int, *, interval_s: int = 30, **fields: Any) -> list[Presence]:
    """Heartbeats, in seconds from noon; each offset is its second."""
    return [
        presence(at_s, receipt_ms=NOON_MS + at_s * S, interval_s=float(interval_s), **fields)
        for at_s in range(from_s, to_s + 1, interval_s)
    ]


def woven(*streams: list[Any]) -> list[Any]:
    """In the order of their times; a tick comes behind what was said by then."""

    def time_of(record: Any) -> tuple[int, bool]:
        if isinstance(record, Tick):
            return (record.read_to_ms, True)
        return (record.receipt_ms, False)

    return sorted((record for stream in streams for record in stream), key=time_of)


# ---- The word of a broker


def test_an_offline_of_five_minutes_is_a_fault_of_grade_b() -> None:
    desk = Desk(hold_ms=HOLDS_MS)
    desk.hear(presence(1, "offline"))
    assert desk.hear(until_ms=NOON_MS + 299 * S) == []
    (fault,) = desk.hear(until_ms=NOON_MS + 301 * S)
    assert (fault.change, fault.grade, fault.kind) == ("opened", "B", "emu_offline")
    assert (fault.component, fault.code) == ("emu", OFFLINE)
    assert from_rfc3339(fault.clocks_from) == NOON_MS
    assert fault.source.offset == 1


def test_one_that_is_back_within_five_minutes_is_no_fault() -> None:
    desk = Desk(hold_ms=HOLDS_MS)
    desk.hear(presence(1, "offline"), presence(2, "online", receipt_ms=NOON_MS + 240 * S))
    assert desk.hear(until_ms=NOON_MS + 3_600 * S) == []


def test_a_second_offline_is_no_news() -> None:
    desk = Desk()
    (fault,) = desk.hear(presence(1, "offline"), presence(2, "offline"))
    assert fault.count == 1


def test_the_old_death_that_comes_after_the_new_birth_is_ignored() -> None:
    desk = Desk()
    desk.hear(presence(1, "online", boot="b1"), presence(2, "online", boot="b2"))
    assert desk.hear(presence(3, "offline", boot="b1")) == []
    assert changes(desk.hear(presence(4, "offline", boot="b2"))) == ["opened"]


def test_a_boot_of_which_only_an_alarm_told_is_newer_too() -> None:
    desk = Desk()
    desk.hear(presence(1, boot="b1"), edge(2, boot="b2"))
    desk.restart()
    assert desk.hear(presence(3, "offline", boot="b1")) == []


def test_a_word_about_the_past_says_nothing_of_now() -> None:
    desk = Desk()
    assert desk.hear(presence(1, "offline", historical=True)) == []
    desk.hear(presence(2, "offline"))
    assert desk.hear(presence(3, historical=True), edge(4, historical=True, raised=False)) == []


# ---- What stood becomes stale


def test_what_stood_is_stale_and_neither_raised_nor_cleared() -> None:
    desk = Desk()
    desk.hear(edge(1, code="a"), edge(2, code="b"), edge(3, code="b", raised=False))
    faults = desk.hear(presence(4, "offline"))
    assert [(f.change, f.code, f.stale, f.state) for f in faults] == [
        ("stale", "a", True, "open"),
        ("opened", OFFLINE, False, "open"),
    ]
    for _ in range(2):
        counted = (desk.partition.stale, desk.partition.offline, desk.partition.listened)
        assert counted == (1, 1, 1)
        desk.restart()
    (cleared,) = desk.hear(presence(5, "online"))
    assert (cleared.change, cleared.code) == ("cleared", OFFLINE)
    assert desk.partition.stale == 1


def test_a_raise_or_a_clear_speaks_of_it() -> None:
    desk = Desk()
    desk.hear(edge(1, code="a"), edge(2, code="b"), presence(3, "offline"))
    desk.hear(presence(4, "online"))
    faults = desk.hear(
        edge(5, code="a", receipt_ms=NOON_MS + 10 * S), edge(6, code="b", raised=False)
    )
    assert [(f.change, f.code, f.stale, f.count) for f in faults] == [
        ("repeated", "a", False, 2),
        ("cleared", "b", False, 1),
    ]
    assert desk.partition.stale == 0


def test_a_snapshot_speaks_of_what_it_names_and_of_all_in_its_scope() -> None:
    desk = Desk()
    desk.hear(*(edge(1 + n, code=code) for n, code in enumerate(("x.1", "x.2", "y", "z"))))
    desk.hear(presence(9, "offline"))
    named = snapshot(10, part("x", "x.1"), part((), "y"))
    faults = [fault for fault in desk.hear(named) if fault.code != OFFLINE]
    assert [(f.change, f.code, f.stale, f.count) for f in faults] == [
        ("cleared", "x.2", False, 1),
        ("repeated", "x.1", False, 1),
        ("repeated", "y", False, 1),
    ]
    assert desk.partition.stale == 1  # of z nothing was said
    assert desk.hear(snapshot(11, part("x", "x.1"), part((), "y"))) == []


def test_a_late_word_does_not_speak_of_now() -> None:
    desk = Desk()
    desk.hear(edge(1, boot="b", seq=5), presence(2, "offline", boot="b"))
    faults = desk.hear(edge(3, boot="b", seq=4))
    assert [fault.change for fault in faults if fault.code != OFFLINE] == []
    assert desk.partition.stale == 1


def test_what_was_not_told_yet_is_told_as_stale() -> None:
    desk = Desk(hold_ms=HOLDS_MS)
    desk.hear(edge(1), presence(2, "offline"))  # grade B: held for 3 s
    (opened,) = desk.hear(until_ms=NOON_MS + 4 * S)
    assert (opened.change, opened.stale, opened.revision) == ("opened", True, 1)


def test_what_a_person_clears_is_not_stale() -> None:
    desk = Desk()
    desk.hear(edge(1), presence(2, "offline"))
    (cleared,) = desk.hear(ruling())
    assert (cleared.change, cleared.stale) == ("cleared", False)


def test_nobody_is_paged_because_something_is_stale() -> None:
    desk = Desk(hold_ms=HOLDS_MS)
    desk.hear(edge(1), until_ms=NOON_MS + 10 * S)
    batch = desk.partition.stage()
    batch.judge(presence(2, "offline", receipt_ms=NOON_MS + 20 * S))
    assert [fault.change for fault in batch.faults] == ["stale"]
    assert not batch.urgent


# ---- Silence


def test_three_missed_heartbeats_are_silence_by_the_words_of_ingest() -> None:
    desk = Desk()
    desk.hear(edge(-1, code="a"))
    heard = desk.hear(*woven(beats(0, 300), ticks(0, 385)), until_ms=NOON_MS + 3_600 * S)
    assert of_offline(heard) == []  # whatever the clock says
    faults = desk.hear(*ticks(390, 390))
    assert [(fault.change, fault.code) for fault in faults] == [("stale", "a"), ("opened", OFFLINE)]
    assert from_rfc3339(faults[1].opened_at) == NOON_MS + 390 * S
    assert faults[1].source.offset == 300  # the last heartbeat
    assert desk.partition.offline == 1


@pytest.mark.parametrize(
    "life",
    [
        presence(900),
        presence(900, "online"),
        edge(900),
        edge(900, raised=False),
        snapshot(900, part("x")),
        snapshot(900),
    ],
)
def test_any_live_report_ends_it(life: Edge | Snapshot | Presence) -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 60), ticks(0, 300)))
    assert desk.partition.offline == 1
    desk.restart()
    (cleared,) = of_offline(desk.hear(life))
    assert cleared.change == "cleared"
    assert desk.partition.offline == 0


@pytest.mark.parametrize(
    "no_life",
    [
        presence(60),  # delivered again
        presence(900, boot="b1"),  # of an older boot
        edge(900, boot="b1", seq=3),  # counted before
        edge(900, historical=True),
        presence(900, "offline"),
        ruling(),
    ],
)
def test_what_is_no_sign_of_life_does_not(no_life: Any) -> None:
    desk = Desk()
    desk.hear(edge(1, boot="b1", seq=3, code="a"), presence(2, "online", boot="b2"))
    desk.hear(*woven(beats(30, 60, boot="b2"), ticks(0, 300)))
    assert of_offline(desk.hear(no_life)) == []
    assert desk.partition.offline == 1


def test_alarms_are_signs_of_life_between_heartbeats() -> None:
    desk = Desk()
    alarms = [edge(1000 + at, receipt_ms=NOON_MS + at * S) for at in range(60, 1200, 60)]
    assert of_offline(desk.hear(*woven(beats(0, 0), alarms, ticks(0, 1200)))) == []


def test_no_silence_is_shorter_than_30_s() -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 60, interval_s=1), ticks(0, 85)))
    assert desk.partition.offline == 0
    desk.hear(*ticks(90, 90))
    assert desk.partition.offline == 1


def test_a_changed_interval_holds_from_then_on() -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 0), beats(30, 630, interval_s=600), ticks(0, 630 + 1795)))
    assert desk.partition.offline == 0
    desk.hear(*woven(beats(2430, 2430), ticks(2430, 2520)))
    assert desk.partition.offline == 1


def test_a_counter_of_heartbeats_may_begin_anew() -> None:
    """Without a new boot; and it takes no number from an alarm."""
    desk = Desk()
    stream = [beats(at, at, boot="b", seq=at // 30 % 7)[0] for at in range(0, 3_000, 30)]
    alarm = edge(1000, boot="b", seq=3, receipt_ms=NOON_MS + 1000 * S)
    faults = desk.hear(*woven(stream, [alarm], ticks(0, 2_990)))
    assert [(fault.change, fault.code) for fault in faults] == [("opened", "unknown.code")]


def test_an_emu_without_heartbeats_is_never_silent() -> None:
    desk = Desk()
    heard = desk.hear(presence(1, "online"), edge(2), *ticks(0, 7_200))
    assert changes(heard) == ["opened"]


def test_a_healthy_heartbeat_writes_nothing() -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 0), ticks(0, 0)))
    written = dict(desk.changelog)
    batch = desk.partition.stage()
    for beat in beats(30, 3_600):
        batch.judge(beat)
    assert not batch.changes_state
    assert [key for key, _ in batch.changelog()] == [b"meta"]
    desk.commit(batch)
    assert {key: value for key, value in desk.changelog.items() if key != b"meta"} == {
        key: value for key, value in written.items() if key != b"meta"
    }


def test_a_hundred_thousand_healthy_emus_are_looked_at_once_in_three_heartbeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk, looks = Desk(), 0
    desk.hear(tick(NOON_MS))
    desk.hear(*(presence(n, emu_id=f"e{n}", receipt_ms=NOON_MS + n // 4) for n in range(100_000)))
    look = desk.partition.silences.take

    def count(until_ms: int) -> tuple[int, str] | None:
        nonlocal looks
        listed = look(until_ms)
        looks += listed is not None
        return listed

    monkeypatch.setattr(desk.partition.silences, "take", count)
    desk.hear(*ticks(5, 85))
    assert looks == 0
    for minute in range(2):
        at_s = 60 + 30 * minute
        desk.hear(
            *(
                presence(10**6 + at_s * 10**6 + n, emu_id=f"e{n}", receipt_ms=NOON_MS + at_s * S)
                for n in range(100_000)
            )
        )
    desk.hear(*ticks(90, 120))
    assert looks == 100_000
    assert len(desk.partition.silences) == 100_000


# ---- Outages of ours make no EMU offline


TEN_MINUTES_S = 600


def test_ten_minutes_without_ingest() -> None:
    """The heartbeats waited in the input; the partitions are caught up with one after the other."""
    desk = Desk()
    two: dict[str, Any] = {"inputs": (("emu.alarms", 2),)}
    before = woven(beats(0, 120), ticks(0, 120, **two), ticks(0, 120, partition=1, **two))
    late = beats(150, 720)
    caught_up = [tick(NOON_MS + 725 * S, receipt_ms=NOON_MS + 725 * S, **two)]
    stands = tick(NOON_MS + 120 * S, 1, receipt_ms=NOON_MS + 725 * S, **two)
    desk.hear(*before, *caught_up, stands, *late, tick(NOON_MS + 725 * S, 1, **two))
    assert desk.published == []
    assert desk.partition.offline == 0
    # Who has died meanwhile is found, three heartbeats later.
    desk.hear(*ticks(730, 900, **two), *ticks(730, 900, partition=1, **two))
    assert desk.partition.offline == 1


def test_ten_minutes_without_the_classifier() -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 120), ticks(0, 120)))
    desk.restart()
    assert desk.hear(*woven(beats(150, 720), ticks(125, 725))) == []
    desk.restart()  # and once more, after its last heartbeats were read and before a tick
    assert desk.hear(*woven(ticks(730, 810))) == []
    assert desk.partition.offline == 0


def test_ten_minutes_without_kafka() -> None:
    """No EMU could say anything. Ingest is at the end of the input at once when Kafka is back."""
    desk = Desk()
    desk.hear(*woven(beats(0, 120), ticks(0, 120)))
    desk.hear(*ticks(720, 740))
    assert desk.partition.offline == 0
    desk.hear(*woven(beats(745, 900), ticks(745, 905)))
    assert desk.published == []


def test_a_restart_forgets_heartbeats_and_makes_no_silence_of_it() -> None:
    """What was written is an hour old: of every heartbeat since only the memory knew."""
    desk = Desk()
    desk.hear(*woven(beats(0, 3_600), ticks(0, 3_600)))
    desk.restart()
    assert desk.hear(*ticks(3_605, 3_685)) == []
    desk.hear(*ticks(3_690, 3_720))
    assert desk.partition.offline == 1


def test_a_restart_raises_nothing_that_a_person_has_cleared() -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 60), ticks(0, 300)))
    (cleared,) = desk.hear(ruling(component="emu", code=OFFLINE, receipt_ms=NOON_MS + 400 * S))
    assert cleared.change == "cleared"
    desk.restart()
    assert changes(desk.hear(*ticks(405, 1_200))) == []


def test_an_emu_that_tells_of_its_presence_elsewhere_is_not_silent_here() -> None:
    desk = Desk()
    desk.partition.here = Here(0, {"s1": 0, "s2": 1}.__getitem__)
    desk.hear(*woven(beats(0, 60), ticks(0, 60)))
    moved = fact(1, receipt_ms=NOON_MS + 70 * S, site_id="s2")
    desk.hear(replace(moved, site_id="s1", from_sites=("s1",)))
    assert desk.hear(*ticks(65, 900)) == []
    assert (desk.partition.listened, desk.partition.offline) == (0, 0)


# ---- Which inputs have to have spoken


@pytest.mark.parametrize("silent", ["never spoke", "spoke last before", "lags behind"])
def test_an_input_partition_that_is_not_served_or_stands_still_stops_the_judging(
    silent: str,
) -> None:
    desk = Desk()
    two: dict[str, Any] = {"inputs": (("emu.alarms", 2),)}
    other: list[Tick] = []
    if silent == "spoke last before":
        other = [tick(NOON_MS, 1, **two)]
    elif silent == "lags behind":
        other = [tick(NOON_MS, 1, receipt_ms=NOON_MS + at * S, **two) for at in range(0, 7_200, 5)]
    desk.hear(*woven(beats(0, 60), ticks(0, 7_200, **two), other))
    assert desk.partition.offline == 0


def test_an_input_that_was_taken_out_of_the_configuration_holds_nothing_up() -> None:
    desk = Desk()
    both: dict[str, Any] = {"inputs": (("emu.alarms", 1), ("old", 1))}
    old = ticks(0, 60, topic="old", **both)
    desk.hear(*woven(beats(0, 600), ticks(0, 60, **both), old, ticks(65, 600)))
    desk.hear(*ticks(605, 700))
    assert desk.partition.offline == 1


def test_an_input_that_only_one_of_two_instances_still_reads_is_waited_for() -> None:
    """While a new configuration is rolled out they name different inputs."""
    desk = Desk()
    both: dict[str, Any] = {"inputs": (("emu.alarms", 1), ("old", 1))}
    stands = [
        tick(NOON_MS, topic="old", receipt_ms=NOON_MS + at * S, **both) for at in range(0, 900, 5)
    ]
    desk.hear(*woven(beats(0, 60), ticks(0, 900), stands))
    assert desk.partition.offline == 0


def test_a_new_generation_of_an_input_begins_anew_and_an_old_word_does_not_count() -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 60), ticks(0, 60), ticks(65, 100, generation=2)))
    desk.hear(tick(NOON_MS + 9_000 * S, generation=1))
    assert desk.partition.listening.heard_to_ms == NOON_MS + 100 * S


def test_the_late_word_of_a_stalled_ingest_takes_nothing_back() -> None:
    desk = Desk()
    desk.hear(*ticks(0, 100), tick(NOON_MS + 50 * S, receipt_ms=NOON_MS + 101 * S))
    assert desk.partition.listening.heard_to_ms == NOON_MS + 100 * S


# ---- Lost input


def test_what_stands_when_input_is_lost_is_stale_until_it_is_spoken_of() -> None:
    desk = Desk()
    desk.hear(edge(1, code="a"), edge(2, code="b", emu_id="e2"), edge(3, code="c"))
    desk.hear(edge(4, code="c", raised=False))
    faults = desk.lose_input()
    assert sorted((fault.change, fault.code, fault.stale) for fault in faults) == [
        ("stale", "a", True),
        ("stale", "b", True),
    ]
    assert desk.lose_input() == []
    (told,) = desk.hear(edge(5, code="a"))
    assert (told.change, told.stale) == ("repeated", False)


def test_very_much_that_stands_is_marked_batch_by_batch_and_also_after_a_restart() -> None:
    desk = Desk()
    desk.hear(*(edge(n, emu_id=f"e{n}") for n in range(12_000)))
    batch = desk.partition.stage()
    batch.lose_input()
    assert not batch.follow_clock(0)
    assert len(batch.faults) == 5_000
    desk.commit(batch)
    desk.restart()
    batch = desk.partition.stage()
    assert not batch.follow_clock(0)
    desk.commit(batch)
    desk.hear(until_ms=NOON_MS)
    assert desk.partition.stale == 12_000
    assert changes(desk.published[12_000:]) == ["stale"] * 12_000
    desk.restart()
    assert desk.hear(until_ms=NOON_MS) == []


def test_lost_heartbeats_are_no_silence() -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 60), ticks(0, 80)))
    desk.lose_input()
    assert desk.hear(*ticks(85, 170)) == []


def test_the_silence_of_a_retired_emu_is_recorded_and_released_with_it() -> None:
    desk = Desk()
    quiet = woven(beats(0, 60), ticks(0, 400))
    (silent,) = of_offline(desk.hear(fact(1, state="retired"), *quiet))
    assert (silent.change, silent.emu_state, silent.hazard) == ("opened", "retired", False)
    back_ms = NOON_MS + 2 * HOUR_MS
    (released,) = of_offline(desk.hear(fact(2, receipt_ms=back_ms)))
    assert (released.change, released.clocks_from) == ("released", to_rfc3339(back_ms))


# ---- The changelog of an older version


def test_a_changelog_from_before_presence_is_read() -> None:
    assert decode_meta(encode((7, 8))) == Meta(7, 8)
    assert decode_emu(encode(((), (), ()))) == Emu()


def test_an_emu_that_moved_is_silent_at_its_new_site() -> None:
    desk = Desk()
    desk.hear(*woven(beats(0, 60), ticks(0, 60)))
    moved = fact(1, receipt_ms=NOON_MS + 70 * S, site_id="s2")
    desk.hear(replace(moved, site_id="s1", from_sites=("s1",)))
    assert [fault.site_id for fault in of_offline(desk.hear(*ticks(65, 900)))] == ["s2"]

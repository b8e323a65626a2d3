"""An EMU that changes its site takes what stands along, and no word about it is lost or counts twice."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.classifier.whereabouts import WAIT_MS
from shared.documents.internal import Edge, Source, Transfer, decode_internal
from shared.times import DAY_MS, HOUR_MS, MINUTE_MS, to_rfc3339
from tests.unit.alarms import (
    CATALOGUE,
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
from tests.unit.moving import Partitions, X, Y, Z, moved, standing

LATER_MS = NOON_MS + HOUR_MS


def said(offset: int, site_id: str = X, **fields: Any) -> Edge:
    return edge(offset, site_id=site_id, receipt_ms=NOON_MS + offset, **fields)


def test_what_stands_is_closed_at_the_old_site_and_opened_at_the_new_one() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X, desk="old"), said(1), said(2), said(3, code="other"))
    before = fleet.last().values()
    told = fleet.hear(*moved(2, Y, X, receipt_ms=NOON_MS + 10, desk="new"))
    assert sorted(changes(told)) == ["moved", "moved", "opened", "opened"]
    old = {fault.code: fault for fault in told if fault.change == "moved"}
    new = {fault.code: fault for fault in told if fault.change == "opened"}
    for fault in before:
        ended, begun = old[fault.code], new[fault.code]
        assert (ended.fault_id, ended.state, ended.desk) == (fault.fault_id, "closed", "old")
        assert (begun.moved_from, begun.state, begun.desk) == (fault.fault_id, "open", "new")
        assert (begun.site_id, begun.revision) == (Y, 1)
        assert begun.opened_at == fault.opened_at == begun.clocks_from
        assert begun.source == fault.source
    assert new["unknown.code"].count == 2
    assert fleet.hear(*moved(2, Y, X), said(1)) == []


def test_within_one_partition_it_is_one_step_and_nothing_is_written_to_the_topic() -> None:
    desk = Desk()
    desk.hear(fact(1, site_id="a"), edge(1, site_id="a"))
    own, old = moved(2, "b", "a")
    told = desk.hear(old, own, edge(2, site_id="a"), edge(3, site_id="b", code="other"))
    assert changes(told) == ["moved", "opened", "opened"]
    assert told[1].moved_from == told[0].fault_id
    assert {fault.site_id for fault in told[1:]} == {"b"}
    desk.restart()
    (cleared,) = desk.hear(edge(4, site_id="a", raised=False))
    assert (cleared.site_id, cleared.count, cleared.change) == ("b", 2, "cleared")


def test_a_transfer_is_written_also_when_nothing_stands_and_once() -> None:
    fleet = Partitions()
    fleet.hear(*moved(2, Y, X), *moved(2, Y, X))
    transfers = [decode_internal(raw) for raw in fleet.logs[1] if b"transfer" in raw]
    assert len(transfers) == 1
    assert fleet.published == []


def test_a_move_is_forgotten_when_nothing_is_expected_of_it_any_more() -> None:
    """After the 7 days for which alarms are kept, and one more; what was heard is known all the same."""
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1), *moved(2, Y, X), said(2, code="other"))
    fleet.hear(said(3, Y, code="third"))
    for days, remembered in ((7.9, 1), (9.1, 0)):
        for number in (0, 1):
            fleet.wait(number, NOON_MS + round(days * DAY_MS))
        assert [len(state.moves) for state in fleet.states] == [remembered, remembered, 0]
    fleet.restart(0)
    fleet.restart(1)
    assert [len(state.moves) for state in fleet.states] == [0, 0, 0]
    assert (
        fleet.hear(*(said(n, Y, code=code) for n, code in ((1, "unknown.code"), (3, "third"))))
        == []
    )
    late_ms = NOON_MS + 10 * DAY_MS
    told = fleet.hear(replace(said(9, Y, code="new"), at_ms=late_ms, receipt_ms=late_ms))
    assert changes(told) == ["opened"]
    back = fleet.hear(*moved(3, X, Y, receipt_ms=late_ms))
    assert Counter(changes(back)) == {"moved": 4, "opened": 4}
    assert fleet.hear(said(9, Y, code="new"), said(9, X, code="new")) == []


def test_a_move_is_not_forgotten_while_words_wait_for_it() -> None:
    fleet = Partitions()
    fleet.write(*moved(2, Y, X), said(1, Y))
    fleet.step(1)
    batch = fleet.states[1].stage()
    batch.follow_clock(NOON_MS + 9 * DAY_MS)
    batch.end(1)
    assert batch.settled == 0


def test_what_still_reaches_the_old_partition_is_forwarded() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1), *moved(2, Y, X))
    told = fleet.hear(said(2, raised=False), said(3, code="other"))
    assert [(fault.change, fault.site_id) for fault in told] == [("cleared", Y), ("opened", Y)]
    fleet.restart(0)
    fleet.restart(1)
    (cleared,) = fleet.hear(ruling(site_id=X, code="other", receipt_ms=NOON_MS + 9))
    assert (cleared.change, cleared.site_id) == ("cleared", Y)


def test_what_is_said_before_the_transfer_has_come_is_newer_than_what_it_brings() -> None:
    """Clears, snapshots and repeats included."""
    fleet = Partitions()
    codes = ("a", "b", "c", "d.1")
    fleet.hear(fact(1, site_id=X), *(said(n, code=code) for n, code in enumerate(codes, 1)))
    own, old = moved(2, Y, X, receipt_ms=NOON_MS + 10)
    fleet.hear(own, said(11, Y, code="a", raised=False), said(12, Y, code="b"))
    fleet.hear(snapshot(13, part("d"), site_id=Y, receipt_ms=NOON_MS + 13))
    fleet.hear(said(14, Y, code="new"))
    assert fleet.states[1].moves.missing(NOON_MS) == 1
    fleet.restart(1)
    fleet.hear(old)
    assert fleet.states[1].moves.missing(NOON_MS) == 0
    last = {fault.code: fault for fault in fleet.last().values() if fault.site_id == Y}
    assert {code: fault.state for code, fault in last.items()} == {
        "a": "cleared", "b": "open", "c": "open", "d.1": "cleared", "new": "open",
    }  # fmt: skip
    assert fleet.counts() == {"a": 1, "b": 2, "c": 1, "d.1": 1, "new": 1}
    assert last["new"].moved_from is None


def test_a_transfer_that_is_there_before_the_fact_brings_it_along() -> None:
    fleet = Partitions()
    own, old = moved(2, Y, X, receipt_ms=NOON_MS + 10)
    fleet.hear(fact(1, site_id=X), said(1))
    told = fleet.hear(old, said(2, code="other"))
    assert sorted(changes(told)) == ["moved", "opened", "opened"]
    assert {fault.desk for fault in told} == {"north"}
    assert fleet.hear(own) == []


def test_after_ten_seconds_alarms_wait_no_longer_and_a_late_transfer_adds_what_is_not_known() -> (
    None
):
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1), said(2, code="other"))
    own, old = moved(2, Y, X, receipt_ms=NOON_MS + 10)
    fleet.hear(own, said(11, Y), said(12, Y, code="new"))
    begin_ms = NOON_MS + HOUR_MS
    fleet.wait(1, begin_ms)
    fleet.wait(1, begin_ms + WAIT_MS - 1)
    assert not standing(fleet.published) & {(Y, "new")}
    fleet.wait(1, begin_ms + WAIT_MS)
    assert standing(fleet.published) >= {(Y, "new"), (Y, "unknown.code")}
    assert fleet.states[1].moves.missing(begin_ms) == 1
    told = fleet.hear(old)
    assert sorted(changes(told)) == ["moved", "moved", "opened", "repeated"]
    merged = next(fault for fault in told if fault.change == "repeated")
    assert (merged.count, merged.opened_at) == (2, to_rfc3339(NOON_MS + 1))
    assert merged.moved_from is not None
    assert fleet.states[1].moves.missing(begin_ms) == 0


def test_who_was_silent_while_its_words_would_have_waited_is_offline_once_they_do_not() -> None:
    fleet = Partitions()
    fleet.hear(presence(1, site_id=Y, interval_s=30))
    own, _ = moved(1, Y, X, receipt_ms=NOON_MS)
    fleet.hear(own)
    for at_ms in range(0, 2 * MINUTE_MS, 5_000):
        fleet.tick(1, tick(NOON_MS + at_ms))
    assert fleet.published == []
    fleet.wait(1, NOON_MS + HOUR_MS)
    fleet.wait(1, NOON_MS + HOUR_MS + WAIT_MS)
    fleet.wait(1, NOON_MS + 2 * HOUR_MS)
    assert [(fault.change, fault.code) for fault in fleet.published] == [
        ("opened", "bakvakt:emu_offline")
    ]


def test_so_many_words_that_they_do_not_fit_into_a_record_wait_no_longer() -> None:
    fleet = Partitions()
    own, _ = moved(2, Y, X)
    text = "x" * 4_000
    fleet.hear(own, *(said(n, Y, code=f"c{n}", text=text) for n in range(200)))
    assert len(standing(fleet.published)) > 100


def test_what_is_cleared_is_closed_with_the_move_and_rises_as_another_fault() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1), said(2, raised=False))
    assert changes(fleet.hear(*moved(2, Y, X))) == ["closed"]
    (opened,) = fleet.hear(said(3, Y))
    assert (opened.change, opened.count, opened.moved_from) == ("opened", 1, None)


def test_a_raise_that_its_own_clear_overtook_is_known_as_late_after_the_move() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1, boot="b", seq=5, raised=False))
    fleet.hear(*moved(2, Y, X))
    (told,) = fleet.hear(said(2, Y, boot="b", seq=4))
    assert (told.change, told.state) == ("opened", "cleared")
    assert fleet.hear(said(3, Y, boot="b", seq=5)) == []


def test_what_is_held_by_its_grade_is_told_at_the_new_site_only() -> None:
    fleet = Partitions(Desk(CATALOGUE, hold_ms=HOLDS_MS).partition.rules)
    fleet.hear(fact(1, site_id=X), said(1))
    fleet.hear(*moved(2, Y, X, receipt_ms=NOON_MS + 2))
    assert fleet.published == []
    fleet.wait(0, LATER_MS)
    fleet.wait(1, LATER_MS)
    assert [(fault.change, fault.site_id) for fault in fleet.published] == [("opened", Y)]
    assert fleet.published[0].moved_from is None


def test_a_move_that_puts_an_emu_into_service_starts_the_clocks() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X, state="commissioning"), said(1))
    told = fleet.hear(*moved(2, Y, X, receipt_ms=LATER_MS))
    assert (told[-1].change, told[-1].clocks_from) == ("opened", to_rfc3339(LATER_MS))


def test_an_emu_that_was_unknown_brings_along_what_stood_wherever_its_reports_put_it() -> None:
    fleet = Partitions()
    unknown = "unknown:e1"
    fleet.hear(said(1, unknown, code="a"), said(2, Z, code="b"), said(3, unknown, code="c"))
    fleet.hear(*moved(1, Y, unknown, Z), said(4, unknown, code="d"), said(5, Z, code="b"))
    last = fleet.last().values()
    assert standing(last) == {(Y, "a"), (Y, "b"), (Y, "c"), (Y, "d")}
    assert fleet.counts() == {"a": 1, "b": 2, "c": 1, "d": 1}


@pytest.mark.parametrize("to", [X, Z])
def test_it_may_go_on_or_come_back_before_the_transfer_has_come(to: str) -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1))
    own, old = moved(2, Y, X)
    fleet.hear(own, said(2, Y, code="at y"))
    fleet.write(old, *moved(3, to, Y), said(3, to, code="after"))
    while fleet.step(2) or fleet.step(1) or fleet.step(0):
        pass
    expected = {(to, "unknown.code"), (to, "at y"), (to, "after")}
    assert standing(fleet.last().values()) == expected


def test_it_may_come_back_before_it_could_go_on() -> None:
    """To Y, on to Z and back to Y, while what stood at X is still on its way to Y."""
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1))
    own, old = moved(2, Y, X)
    fleet.hear(own)
    fleet.hear(*moved(3, Z, Y))
    fleet.hear(*moved(4, Y, Z))
    fleet.hear(old)
    assert standing(fleet.last().values()) == {(Y, "unknown.code")}
    assert {state.moves.missing(NOON_MS) for state in fleet.states} == {0}


def test_a_transfer_that_travels_behind_its_emu_is_taken_when_it_finds_it() -> None:
    """X to Y, back, and to Y again, while the first transfer is on its way."""
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1))
    fleet.write(*moved(2, Y, X), *moved(3, X, Y))
    fleet.step(0)
    fleet.hear(*moved(4, Y, X))
    assert standing(fleet.last().values()) == {(Y, "unknown.code")}


def test_more_than_a_record_can_hold_comes_in_several_transfers() -> None:
    fleet = Partitions()
    codes = [f"c{number}" for number in range(2_500)]
    fleet.hear(fact(1, site_id=X), snapshot(1, part(None, *codes), site_id=X), *moved(2, Y, X))
    assert len([raw for raw in fleet.logs[1] if b"transfer" in raw[:20]]) == 3
    assert len(standing(fleet.last().values())) == 2_500
    assert all(len(raw) < 900_000 for raw in fleet.logs[1])


def test_eight_days_after_it_left_whoever_reports_there_is_somebody_else() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1), *moved(2, Y, X))
    late = edge(9, site_id=X, code="other", receipt_ms=NOON_MS + 9 * DAY_MS)
    assert [(fault.site_id, fault.change) for fault in fleet.hear(late)] == [(X, "opened")]


def test_transfers_of_a_version_with_fewer_fields_are_read() -> None:
    fleet = Partitions()
    fleet.write(fact(1, site_id=X), said(1), *moved(2, Y, X))
    fleet.step(0)
    (transfer,) = [
        one for raw in fleet.logs[1] if isinstance(one := decode_internal(raw), Transfer)
    ]
    assert replace(transfer, rest=0) == transfer


class World:
    """Ingest, dispatch and three partitions, each at its own pace; one EMU and one input."""

    def __init__(self, words: list[Edge]) -> None:
        self.fleet = Partitions()
        self.fleet.write(fact(1, site_id=X))
        self.words = words
        self.next = self.committed = 0
        self.sites = [X]
        self.known = 0
        self.settled = True
        """Whether ingest has never gone back to what it knew before."""
        """How many moves ingest knows of."""
        self.unwritten: list[Any] = []

    def send(self) -> None:
        if self.next < len(self.words):
            self.fleet.write(replace(self.words[self.next], site_id=self.sites[self.known]))
            self.next += 1

    def commit(self) -> None:
        self.committed = self.next

    def crash(self) -> None:
        self.next = self.committed

    def learn(self) -> None:
        if not self.unwritten:
            self.known = len(self.sites) - 1

    def lag(self) -> None:
        """An instance of ingest goes on that does not know of the newest move yet."""
        if len(set(self.sites)) == len(self.sites):
            self.known = max(self.known - 1, 0)
            self.settled = False

    def learn_one(self) -> None:
        if not self.unwritten:
            self.known = min(self.known + 1, len(self.sites) - 1)

    def move(self, to: str, *, old_first: bool) -> None:
        """Once the copies of the move before are written; and, back to a site, once ingest knows of it."""
        last = self.sites[-1]
        knows = self.known == len(self.sites) - 1
        if to == last or self.unwritten or (to in self.sites and not (knows and self.settled)):
            return
        copies = moved(len(self.sites) + 1, to, last, receipt_ms=NOON_MS + self.next)
        self.unwritten = copies[::-1] if old_first else copies
        self.sites.append(to)

    def tell(self) -> None:
        """One copy of a fact reaches its partition."""
        if self.unwritten:
            self.fleet.write(self.unwritten.pop(0))

    def finish(self) -> None:
        while self.unwritten:
            self.tell()
        self.learn()
        while self.next < len(self.words):
            self.send()
        self.fleet.settle()


def play(world: World, data: st.DataObject) -> None:
    """Anything may come after anything."""
    fleet = world.fleet
    steps: list[Callable[[], object]] = [
        world.send, world.send, world.send, world.commit, world.crash,
        world.learn, world.learn_one, world.lag, world.tell, world.tell,
        *(lambda n=n: fleet.step(n, 2) for n in range(3)),
        *(lambda n=n: fleet.step(n, 2) for n in range(3)),
        *(lambda n=n: fleet.step(n, 3, aborted=True) for n in range(3)),
        *(lambda n=n: fleet.restart(n) for n in range(3)),
        *(lambda to=to: world.move(to, old_first=True) for to in (X, Y, Z)),
        *(lambda to=to: world.move(to, old_first=False) for to in (X, Y, Z)),
    ]  # fmt: skip
    for number in data.draw(st.lists(st.integers(0, len(steps) - 1), min_size=10, max_size=80)):
        steps[number]()
    world.finish()


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_each_raise_counts_once_whichever_way_it_comes(data: st.DataObject) -> None:
    """Unnumbered ones: nothing but their source tells a repetition."""
    codes = data.draw(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=12))
    world = World([said(n, code=code) for n, code in enumerate(codes)])
    play(world, data)
    last = world.fleet.last().values()
    assert standing(last) == {(world.sites[-1], code) for code in codes}
    for code in set(codes):
        (fault,) = [one for one in last if one.code == code and one.state == "open"]
        assert fault.opened_at in {
            to_rfc3339(NOON_MS + n) for n, other in enumerate(codes) if other == code
        }
    assert world.fleet.counts() == Counter(codes)


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_what_stands_is_what_the_newest_words_say_whichever_way_they_come(
    data: st.DataObject,
) -> None:
    said_of = st.tuples(st.sampled_from(["a", "b"]), st.booleans())
    words = data.draw(st.lists(said_of, min_size=1, max_size=12))
    world = World(
        [said(n, code=code, raised=up, boot="b", seq=n) for n, (code, up) in enumerate(words)]
    )
    play(world, data)
    newest = dict(words)
    assert standing(world.fleet.last().values()) == {
        (world.sites[-1], code) for code, up in newest.items() if up
    }


@pytest.mark.parametrize("first", ["direct", "forwarded"])
def test_a_record_that_comes_directly_and_as_a_forward_counts_once(first: str) -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(1), *moved(2, Y, X))
    ways = [said(2, Y, code="b"), said(2, X, code="b"), said(3, Y, code="c")]
    for record in ways if first == "direct" else [ways[1], ways[0], ways[2]]:
        fleet.hear(record)
    fleet.hear(said(4, Y, code="b"), said(1, X), said(3, Y, code="c"))
    assert fleet.counts() == {"unknown.code": 1, "b": 2, "c": 1}


def test_a_record_that_is_overtaken_by_a_later_one_on_its_way_is_not_lost() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), *moved(2, Y, X))
    fleet.hear(said(101, Y, code="b"))
    assert changes(fleet.hear(said(100, X, code="a"))) == ["opened"]


def test_sources_of_other_streams_do_not_concern_each_other() -> None:
    fleet = Partitions()
    fleet.hear(fact(1, site_id=X), said(5), *moved(2, Y, X))
    other = replace(said(3, Y, code="b"), source=Source(1, "emu.alarms", 1, 3, 0))
    assert changes(fleet.hear(other)) == ["opened"]

"""A fault that goes to another site with its EMU: its work goes on there, and nobody is paged for that."""

from itertools import count
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.dispatch import actions
from services.dispatch.actions import NotAllowed
from services.dispatch.batch import Batch, Event
from services.dispatch.cases import case_id_of
from services.dispatch.changes import Changes, PageRow, StoredFault
from services.dispatch.decision import Rules
from services.dispatch.roster import load_roster
from shared.documents.case import Case, decode_case
from shared.documents.deadline import Deadline
from shared.documents.fault import Fault
from shared.kafka.partition import partition_of
from shared.kafka.topics import Topics
from shared.policy import load_policy
from shared.times import to_rfc3339
from tests.unit.dispatch_documents import MINUTE, T0, make_deadline, make_fault
from tests.unit.test_dispatch_inbox import record

PARTITIONS = 4
RULES = Rules(load_policy(None), load_roster(None))
OLD_SITE, NEW_SITE = "site-1", "site-2"
_numbers = count()


class World:
    """Dispatch as its tables have it; each batch is a transaction of one partition."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.faults: dict[str, StoredFault] = {}
        self.seen: set[tuple[str, int]] = set()
        self.pages: list[PageRow] = []
        self.log: list[tuple[str, str]] = []
        self.sent: list[tuple[int, Case]] = []

    def take_in(self, *contents: Fault | Deadline, minutes: float = 0) -> None:
        site = contents[0].site_id
        changes = Changes(Topics("t"), partition_of(site, PARTITIONS), PARTITIONS, "http://here")
        batch = Batch(RULES, changes, dict(self.cases), dict(self.faults), set(self.seen))
        now_ms = T0 + int(minutes * MINUTE)
        events = [
            Event(record(b"", timestamp=now_ms, offset=next(_numbers)), content)
            for content in contents
        ]
        batch.judge(events, now_ms)
        assert not batch.refused
        self.cases, self.faults, self.seen = batch.cases, batch.faults, batch.seen
        self.pages += changes.pages
        self.log += [(row.case_id, row.what) for row in changes.log]
        self.sent += [
            (row.partition, decode_case(row.value or b""))
            for row in changes.outbox
            if row.topic == "t.cases"
        ]

    def case(self, fault: Fault) -> Case:
        return self.cases[case_id_of(fault.fault_id)]

    def reasons(self) -> list[str]:
        return [page.reason for page in self.pages]


def at(minutes: float) -> str:
    return to_rfc3339(T0 + int(minutes * MINUTE))


def gone(fault: Fault) -> Fault:
    """The last revision at the old site."""
    return replace(fault, revision=fault.revision + 1, change="moved", state="closed")


def arrived(fault: Fault, **fields: object) -> Fault:
    """The fault at the new site."""
    moved = replace(
        fault,
        fault_id="f" + fault.fault_id[1:-1] + "2",
        revision=1,
        change="opened",
        site_id=NEW_SITE,
        moved_from=fault.fault_id,
        desk="north",
        customer_id="c-2",
        policy="gold",
    )
    return replace(moved, **fields)


FAULT = make_fault()
ORDERS = ("the old one first", "the new one first")


def move(world: World, old: Fault, new: Fault, order: str, minutes: float = 2) -> None:
    revisions = [gone(old), new]
    for revision in revisions if order == ORDERS[0] else reversed(revisions):
        world.take_in(revision, minutes=minutes)


@pytest.mark.parametrize("order", ORDERS)
def test_work_goes_on_in_a_case_of_the_new_site_and_nobody_is_paged(order: str) -> None:
    world = World()
    world.take_in(FAULT)
    before = world.case(FAULT)
    new = arrived(FAULT)
    move(world, FAULT, new, order)
    old_case, case = world.case(FAULT), world.case(new)
    assert world.reasons() == ["opened"]
    assert (old_case.state, old_case.change, old_case.merged_into) == (
        "closed",
        "moved",
        case.case_id,
    )
    assert old_case.milestones.resolved_at is None
    assert all(clock.stopped_at for clock in old_case.clocks.values())
    assert (case.revision, case.change, case.state) == (1, "opened", "open")
    assert (case.site_id, case.desk, case.customer_id, case.policy) == (
        NEW_SITE,
        "north",
        "c-2",
        "gold",
    )
    assert case.clocks == before.clocks
    assert case.milestones == before.milestones
    assert (case.step, case.level, case.fault_ids) == (1, 1, (new.fault_id,))
    assert "resolved" not in [what for _, what in world.log]
    assert {what for id_, what in world.log if id_ == case.case_id} == {"moved"}
    assert {partition_of(case.site_id, PARTITIONS) for _, case in world.sent} == {
        partition for partition, _ in world.sent
    }
    for partition, sent in world.sent:
        assert partition == partition_of(sent.site_id, PARTITIONS)


@pytest.mark.parametrize("order", ORDERS)
def test_the_next_step_goes_on_with_its_number_and_the_old_clocks_mean_nothing(order: str) -> None:
    world = World()
    world.take_in(FAULT)
    late = make_deadline(world.case(FAULT), "step")
    new = arrived(FAULT)
    move(world, FAULT, new, order)
    world.take_in(late, minutes=5)
    assert world.reasons() == ["opened"]
    world.take_in(make_deadline(world.case(new), "step"), minutes=5)
    assert [(page.reason, page.step, page.level) for page in world.pages] == [
        ("opened", 1, 1),
        ("escalated", 2, 2),
    ]
    assert len({page.message_id for page in world.pages}) == 2


@pytest.mark.parametrize("order", ORDERS)
def test_what_has_fired_stays_fired(order: str) -> None:
    world = World()
    world.take_in(FAULT)
    old = world.case(FAULT)
    fired = [make_deadline(old, "response", share) for share in ("0.5", "1")]
    world.take_in(*fired, minutes=5)
    new = arrived(FAULT)
    move(world, FAULT, new, order, minutes=6)
    assert world.case(new).breached == ("response",)
    noted = len(world.log)
    world.take_in(
        *(make_deadline(world.case(new), "response", share) for share in ("0.5", "1")), minutes=6
    )
    assert len(world.log) == noted, "the timer tells them again under the new case's name"
    world.take_in(make_deadline(world.case(new), "response", "0.8"), minutes=6)
    assert world.log[-1] == (world.case(new).case_id, "warning"), "this one had not fired"


@pytest.mark.parametrize("order", ORDERS)
def test_whoever_has_the_case_keeps_it(order: str) -> None:
    world = World()
    world.take_in(FAULT)
    taken = actions.acknowledge(world.case(FAULT), "Ada", None, T0 + MINUTE).case
    assert taken is not None
    world.cases[taken.case_id] = taken
    new = arrived(FAULT)
    move(world, FAULT, new, order)
    case = world.case(new)
    assert (case.state, case.assignee) == ("acknowledged", "Ada")
    assert case.clocks == taken.clocks
    with pytest.raises(NotAllowed, match=f"goes on as case {case.case_id}"):
        actions.acknowledge(world.case(FAULT), "Bo", None, T0)


def test_whoever_comes_between_the_two_is_told_to_wait_for_the_new_case() -> None:
    world = World()
    world.take_in(FAULT)
    world.take_in(gone(FAULT))
    with pytest.raises(NotAllowed, match="opens in a moment"):
        actions.acknowledge(world.case(FAULT), "Ada", None, T0)
    with pytest.raises(NotAllowed, match="opens in a moment"):
        actions.resolve(world.case(FAULT), "Ada", "done", cleared=True, now_ms=T0)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("back", [False, True])
def test_case_that_was_resolved_stays_so_until_its_fault_is_back(order: str, back: bool) -> None:
    cleared = replace(FAULT, revision=2, change="cleared", state="cleared", cleared_at=at(1))
    world = World()
    world.take_in(FAULT)
    world.take_in(cleared, minutes=1)
    new = arrived(cleared)
    move(world, cleared, new, order)
    case = world.case(new)
    assert (case.state, case.milestones.resolved_at, case.milestones.closed_at) == (
        "resolved",
        at(1),
        None,
    )
    if back:
        reopened = replace(new, revision=2, change="reopened", state="open", cleared_at=None)
        world.take_in(reopened, minutes=3)
        assert world.case(new).state == "open"
    assert world.reasons() == ["opened", "reopened"][: 1 + back]


@pytest.mark.parametrize("order", ORDERS)
def test_case_ruled_gone_stays_resolved_while_the_ruling_follows_its_emu(order: str) -> None:
    world = World()
    world.take_in(FAULT)
    ruled = actions.resolve(world.case(FAULT), "Ada", "cooled", cleared=True, now_ms=T0).case
    assert ruled is not None
    world.cases[ruled.case_id] = ruled
    new = arrived(FAULT)
    move(world, FAULT, new, order)
    assert world.case(new).state == "resolved"
    assert world.reasons() == ["opened"]


@pytest.mark.parametrize("order", ORDERS)
def test_what_happened_on_the_way_is_acted_on_once(order: str) -> None:
    """A regrade upward just before the move: told by the old fault, and by what the new one is."""
    fault = make_fault(grade="C")
    graver = replace(fault, revision=2, change="regraded", grade="A", grade_reason="level")
    world = World()
    world.take_in(fault)
    new = arrived(graver)
    if order == ORDERS[0]:
        world.take_in(graver, gone(graver), minutes=1)
        world.take_in(new, minutes=1)
    else:
        world.take_in(new, minutes=1)
        world.take_in(graver, gone(graver), minutes=1)
    assert world.reasons() == ["opened", "regraded"]
    assert world.case(new).grade == "A"


def test_news_of_the_old_site_that_come_late_change_nothing_and_page_nobody() -> None:
    cleared = replace(FAULT, revision=2, change="cleared", state="cleared", cleared_at=at(1))
    back = replace(FAULT, revision=3, change="reopened")
    graver = replace(FAULT, revision=4, change="regraded", hazard=True)
    world = World()
    world.take_in(FAULT)
    world.take_in(arrived(graver), minutes=2)
    pages, case = len(world.pages), world.case(FAULT)
    for late in (cleared, back, graver, gone(graver)):
        world.take_in(late, minutes=3)
        assert world.case(FAULT) == case
    assert len(world.pages) == pages


def test_fault_that_dispatch_had_not_seen_at_its_old_site_is_paged_at_the_new_one_only() -> None:
    world = World()
    new = arrived(FAULT)
    world.take_in(new)
    world.take_in(FAULT, gone(FAULT), minutes=1)
    assert list(world.cases) == [case_id_of(new.fault_id)]
    assert world.reasons() == ["opened"]
    assert world.faults[FAULT.fault_id].case_id is None


def test_fault_of_which_only_the_last_revision_is_left_at_the_old_site_is_paged_at_the_new_one() -> (
    None
):
    world = World()
    world.take_in(gone(FAULT))
    assert world.cases == {}
    world.take_in(arrived(FAULT))
    assert world.reasons() == ["opened"]


@pytest.mark.parametrize("order", ORDERS)
def test_case_in_work_goes_along_although_its_emu_is_taken_out_of_service(order: str) -> None:
    world = World()
    world.take_in(FAULT)
    new = arrived(FAULT, emu_state="commissioning")
    move(world, FAULT, new, order)
    assert (world.case(new).state, world.reasons()) == ("open", ["opened"])


@pytest.mark.parametrize("order", ORDERS)
def test_fault_of_a_move_from_commissioning_into_service_is_paged_like_any(order: str) -> None:
    held = replace(FAULT, emu_state="commissioning")
    world = World()
    world.take_in(held)
    new = arrived(held, emu_state="in_service", clocks_from=at(2))
    move(world, held, new, order)
    assert world.reasons() == ["opened"]
    assert world.case(new).clocks["processing"].due == at(17)


def test_three_sites_are_a_chain() -> None:
    world = World()
    world.take_in(FAULT)
    second = arrived(FAULT)
    third = replace(
        arrived(second), fault_id=FAULT.fault_id[:-1] + "3", site_id="site-3", desk="south"
    )
    for revision in (gone(FAULT), second, gone(second), third):
        world.take_in(revision)
    assert [world.case(fault).merged_into for fault in (FAULT, second, third)] == [
        case_id_of(second.fault_id),
        case_id_of(third.fault_id),
        None,
    ]
    assert (world.case(third).state, world.reasons()) == ("open", ["opened"])


@pytest.mark.parametrize("order", ORDERS)
def test_fault_that_was_heard_at_both_sites_is_one_case_with_the_earlier_promises(
    order: str,
) -> None:
    """Its EMU reported at the new site before it was known to be there: each site had paged."""
    here = replace(
        arrived(FAULT), moved_from=None, opened_at=at(3), clocks_from=at(3), last_at=at(3)
    )
    world = World()
    world.take_in(FAULT)
    taken = actions.acknowledge(world.case(FAULT), "Ada", None, T0 + MINUTE).case
    assert taken is not None
    world.cases[taken.case_id] = taken
    world.take_in(here, minutes=3)
    joined = replace(here, revision=2, change="repeated", moved_from=FAULT.fault_id)
    move(world, FAULT, joined, order, minutes=4)
    case = world.case(here)
    assert world.reasons() == ["opened", "opened"], "and not for the move"
    assert world.case(FAULT).merged_into == case.case_id
    assert (case.revision, case.change, case.state, case.assignee) == (
        2,
        "joined",
        "acknowledged",
        "Ada",
    )
    assert case.clocks["processing"].due == at(15)
    assert {name for name, clock in case.clocks.items() if clock.stopped_at is None} == {
        "processing",
        "resolution",
    }
    assert (case.milestones.opened_at, case.milestones.acknowledged_at) == (at(0), at(1))


@pytest.mark.parametrize("order", ORDERS)
def test_fault_that_was_heard_at_both_sites_and_is_open_at_both_goes_on_at_the_new_one(
    order: str,
) -> None:
    fault = make_fault(hazard=True)
    here = replace(arrived(FAULT), moved_from=None, grade="C", clocks_from=at(3))
    world = World()
    world.take_in(fault)
    world.take_in(here, minutes=3)
    joined = replace(
        here, revision=2, change="regraded", grade="A", hazard=True, moved_from=FAULT.fault_id
    )
    move(world, fault, joined, order, minutes=4)
    case = world.case(here)
    assert (case.state, case.grade, case.grade_worst, case.severity) == ("open", "A", "A", "major")
    assert {name for name, clock in case.clocks.items() if clock.stopped_at is None} == set(
        case.clocks
    )
    assert case.clocks["processing"].due == at(15)
    assert world.reasons() == ["opened", "opened"], "somebody was paged for an A already"
    world.take_in(replace(joined, revision=3, change="repeated", count=9), minutes=5)
    assert world.case(here) == case, "they are joined once"


def test_batch_with_both_faults_moves_the_case_as_well() -> None:
    world = World()
    new = arrived(FAULT, site_id=OLD_SITE)
    world.take_in(FAULT, gone(FAULT), new)
    assert world.reasons() == ["opened"]
    assert (world.case(FAULT).merged_into, world.case(new).state) == (
        world.case(new).case_id,
        "open",
    )


# The invariant

EVENTS = (
    "repeat", "graver", "lighter", "hazard", "clear", "back", "commission", "serve", "symptom", "alone",
    "move",
)  # fmt: skip


def tell(history: list[str]) -> list[Fault]:
    """The revisions of one condition as the classifier tells them, at all its sites."""
    fault, site = FAULT, 1
    told = [fault]
    for minutes, what in enumerate(history, 1):
        if what == "move":
            site += 1
            last = gone(fault)
            fault = replace(
                fault,
                fault_id=f"f{'a' * 14}{site}",
                revision=1,
                change="opened",
                site_id=f"site-{site}",
                moved_from=fault.fault_id,
            )
            told += [last, fault]
            continue
        fields: dict[str, dict[str, object]] = {
            "repeat": {"change": "repeated", "count": fault.count + 1},
            "graver": {"change": "regraded", "grade": "A"},
            "lighter": {"change": "regraded", "grade": "C"},
            "hazard": {"change": "regraded", "hazard": True},
            "clear": {"change": "cleared", "state": "cleared", "cleared_at": at(minutes)},
            "back": {"change": "reopened", "state": "open", "cleared_at": None},
            "commission": {"change": "repeated", "emu_state": "commissioning"},
            "serve": {
                "change": "released",
                "emu_state": "in_service",
                "clocks_from": at(minutes) if fault.emu_state == "commissioning" else fault.clocks_from,
            },
            "symptom": {"change": "attached", "cause_id": "fcause"},
            "alone": {
                "change": "detached",
                "cause_id": None,
                "clocks_from": at(minutes) if fault.cause_id else fault.clocks_from,
            },
        }  # fmt: skip
        fault = replace(fault, revision=fault.revision + 1, **fields[what])
        told.append(fault)
    return told


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(EVENTS), max_size=14).filter(lambda told: told.count("move") <= 1),
    st.randoms(use_true_random=False),
)
def test_each_fault_is_in_one_case_or_recorded_only_whatever_comes_in_which_order(
    history: list[str], random: Random
) -> None:
    """The revisions of a site come in their order; those of two sites however they like."""
    told = tell(history)
    streams = [[fault for fault in told if fault.site_id == site] for site in ("site-1", "site-2")]
    world = World()
    minutes = 0
    while any(streams):
        stream = random.choice([stream for stream in streams if stream])
        minutes += 1
        world.take_in(stream.pop(0), minutes=minutes)
    for fault_id, stored in world.faults.items():
        holding = [case.case_id for case in world.cases.values() if fault_id in case.fault_ids]
        assert holding == ([] if stored.case_id is None else [stored.case_id])
    messages = [page.message_id for page in world.pages]
    assert len(set(messages)) == len(messages)
    assert world.reasons().count("opened") <= 1
    last = told[-1]
    stands_alone = last.cause_id is None and (last.emu_state != "commissioning" or last.hazard)
    if last.state == "open" and stands_alone:
        in_work = [case for case in world.cases.values() if case.state in ("open", "acknowledged")]
        assert [case.fault_ids for case in in_work] == [(last.fault_id,)]
        assert world.reasons(), "somebody was told"

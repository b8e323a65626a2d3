"""A plan as the bytes of its entry."""

from datetime import UTC
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.timer.entry import Names, pack, pack_draft, unpack
from services.timer.plan import EPOCH, MS, Draft, Event, Moment, Plan, PlannedCase, make_plan
from tests.bench.loads import three_clocks

DAY_MS = 86_400_000
NOW_MS = 1_795_342_500_000
LISTPACK_VALUE_BYTES = 64  # Redis' hash-max-listpack-value


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    times = st.integers(-(2**52), 2**52) | st.integers(NOW_MS - DAY_MS, NOW_MS + 30 * DAY_MS)
    names = st.text("aö:\x1f\0", max_size=3)
    moments: list[Moment] = []
    for clock in draw(st.sets(names, max_size=5)):
        due = draw(times)
        event: Event = "breach" if draw(st.booleans()) else "due"
        moments.append(Moment(due, clock, "1", event, due))
        moments += [
            Moment(draw(times), clock, share, "warning", due)
            for share in draw(st.sets(st.sampled_from(["0.5", "0.8"])))
        ]
    moments.sort(key=lambda moment: (moment.at_ms, moment.clock, moment.share))
    gone = draw(st.lists(st.tuples(names, st.sampled_from(["0.5", "1"]), times), max_size=3))
    fired = [moment.identity for moment in moments if draw(st.booleans())]
    return Plan(
        draw(st.integers(0, 2**40)),
        draw(times),
        draw(st.sampled_from(["A", "B", "C", "D"])),
        draw(names),
        draw(names),
        tuple(moments),
        tuple(dict.fromkeys([*gone, *fired])),
    )


@given(st.lists(plans(), max_size=5))
def test_what_is_unpacked_is_what_was_packed(given: list[Plan]) -> None:
    places, names = Names(), Names()
    entries = [pack(plan, places, names) for plan in given]
    # As the next owner has them.
    places, names = Names(places.fresh()), Names(names.fresh())
    for plan, entry in zip(given, entries, strict=True):
        found = unpack(entry, places, names)
        assert found.moments == plan.moments
        assert set(found.fired) == set(plan.fired)
        for name in ("revision", "written_ms", "grade", "site_id", "desk"):
            assert getattr(found, name) == getattr(plan, name)


@st.composite
def planned_clocks(draw: st.DrawFn) -> dict[str, Any]:
    near = st.integers(NOW_MS - DAY_MS, NOW_MS + 30 * DAY_MS)
    near_times = near.map(lambda at_ms: EPOCH + at_ms * MS)
    times = near_times | near_times | st.datetimes(timezones=st.just(UTC))
    shares = st.sampled_from(["0.5", "0.8", "1"])
    return {
        "due": draw(times),
        "event": draw(st.sampled_from(["breach", "due"])),
        "warn": [{"share": share, "at": draw(times)} for share in draw(st.lists(shares, max_size=3))],
        "stopped_at": draw(st.sampled_from([None, None, None, "2026-11-22T10:15:00.000Z"])),
    }  # fmt: skip


@given(
    st.dictionaries(st.text("aö:\0", max_size=3), planned_clocks(), max_size=5),
    st.sampled_from([1, 2, 70_000, 2**40]),
    st.integers(NOW_MS - 3 * DAY_MS, NOW_MS) | st.sampled_from([-1, 0]),
    st.sampled_from([0, 3, 200]),
)
def test_a_draft_becomes_the_entry_of_its_plan(
    clocks: dict[str, Any], revision: int, written_ms: int, names_before: int
) -> None:
    case = {"case_id": "c1", "revision": revision, "state": "open", "grade": "B", "site_id": "s1"}
    draft = Draft(msgspec.convert(case | {"clocks": clocks}, PlannedCase), written_ms)
    plan = make_plan(*draft)
    places, names = Names(), Names()
    for number in range(names_before):
        names[str(number), "1", "due"]
    packed = pack_draft(draft, places, names)
    assert packed.plan == plan
    assert (packed.first_ms, packed.standing) == plan.outlook()


@pytest.mark.parametrize("length_ms", [900_000, 30 * DAY_MS])
def test_three_clocks_with_their_warnings_are_one_piece_of_a_listpack(length_ms: int) -> None:
    ends = {clock: NOW_MS + length_ms + number for number, clock in enumerate(three_clocks(0, 1))}
    moments = tuple(
        Moment(int(due - length_ms * (1 - float(share))), clock, share, "warning", due)
        for clock, due in ends.items()
        for share in ("0.5", "0.8", "1")
    )
    plan = Plan(70_000, NOW_MS, "C", "site-1", "north", moments, (moments[0].identity,))
    assert len(pack(plan, Names(), Names())) <= LISTPACK_VALUE_BYTES


def test_many_names_cost_room_and_nothing_else() -> None:
    places, names = Names(), Names()
    for number in range(300):
        end = Moment(5, f"clock {number}", "1", "due", 5)
        plan = Plan(1, 0, "D", f"site {number}", "north", (end,), (end.identity,))
        assert unpack(pack(plan, places, names), places, names) == plan

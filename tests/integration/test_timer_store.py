"""The scripts on a real Redis against a plain oracle, under replays, stale owners, crashes, lost writes."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from services.timer.firing import fire
from services.timer.plan import Moment, Plan
from services.timer.records import Change
from services.timer.store import RedisServer, RedisStore, StoreError
from shared.errors import ConfigError, FencedError, OwnershipError

T = TypeVar("T")

CASES: tuple[str, ...] = ("c1", "c2", "c3")
CLOCKS = ("response", "step")
SHARES = ("0.5", "0.8")
LAST_MS = 1_000
"""All times of the test lie between 0 and this."""


def connect(url: str) -> Any:
    """A plain client; redis-py leaves most of its types unknown."""
    return Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType] - untyped keywords


@dataclass
class StoredCase:
    revision: int
    moments: tuple[Moment, ...]
    fired: set[str] = field(default_factory=set[str])

    def waiting(self) -> list[Moment]:
        return [moment for moment in self.moments if moment.identity not in self.fired]

    def first_ms(self) -> int | None:
        return min((moment.at_ms for moment in self.waiting()), default=None)


@dataclass
class Oracle:
    """What a shard is, in the plainest words."""

    cases: dict[str, StoredCase] = field(default_factory=dict[str, StoredCase])
    next_offset: int | None = None

    def apply(self, change: Change) -> None:
        case_id, revision, plan = change
        stored = self.cases.get(case_id)
        if stored is not None and revision is not None and revision <= stored.revision:
            return
        if plan is None:
            self.cases.pop(case_id, None)
        else:
            fired = set[str]() if stored is None else stored.fired
            self.cases[case_id] = StoredCase(plan.revision, plan.moments, fired)

    def firsts(self) -> list[tuple[int, str]]:
        """(first moment, case), as they come due."""
        return sorted(
            (first, case_id)
            for case_id, case in self.cases.items()
            if (first := case.first_ms()) is not None
        )

    def standing(self) -> int:
        return sum(moment.share == "1" for case in self.cases.values() for moment in case.waiting())


@st.composite
def moments_of_a_case(draw: st.DrawFn) -> tuple[Moment, ...]:
    moments: list[Moment] = []
    for clock in CLOCKS:
        if draw(st.booleans()):
            due = draw(st.sampled_from((100, LAST_MS)))
            for share in (*draw(st.sets(st.sampled_from(SHARES))), "1"):
                at_ms = int(due * float(share))
                moments.append(
                    Moment(at_ms, clock, share, "breach" if share == "1" else "warning", due)
                )
    moments.sort(key=lambda moment: (moment.at_ms, moment.clock))
    return tuple(moments)


class Writing(NamedTuple):
    """A record of the cases' topic; "older" has a revision that was there before, and other clocks."""

    case_id: str
    what: Literal["newer", "older", "closed", "tombstone"]
    moments: tuple[Moment, ...]


def writings() -> st.SearchStrategy[Writing]:
    kinds = st.sampled_from(("newer", "newer", "newer", "older", "closed", "tombstone"))
    return st.builds(Writing, st.sampled_from(CASES), kinds, moments_of_a_case())


class ShardMachine(RuleBasedStateMachine):
    """One shard in Redis, its oracle, and everything that happens to timers at night."""

    def __init__(self, redis_url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        prefix = f"t{uuid4().hex[:12]}"
        self.redis = connect(redis_url)
        self.server = RedisServer(redis_url, prefix, timeout_s=5, shards=1)
        self.keys = [f"{{{prefix}:t0}}:{part}" for part in ("meta", "due", "plan")]
        self.log: list[Change] = []
        self.revisions = dict.fromkeys(CASES, 0)
        self.oracle = Oracle()
        self.now_ms = 0
        self.former: list[RedisStore] = []
        self.snapshot: tuple[Oracle, list[bytes | None]] | None = None

    def teardown(self) -> None:
        async def close() -> None:
            await self.redis.delete(*self.keys)
            await self.redis.aclose()
            await self.server.close()

        self.run(close())
        self.runner.close()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    def apply(self, changes: list[Change], next_offset: int) -> None:
        standing = self.run(self.store.apply(changes, next_offset))
        for change in changes:
            self.oracle.apply(change)
        self.oracle.next_offset = next_offset
        assert standing == self.oracle.standing()

    @initialize()
    def first_owner(self) -> None:
        self.store = self.server.store(0)
        taken = self.run(self.store.take_over())
        assert (taken.next_offset, taken.standing) == (None, 0)

    @rule()
    def new_owner(self) -> None:
        """Also what follows a crash at any point: nothing of the old owner's memory is needed."""
        self.former.append(self.store)
        self.store = self.server.store(0)
        taken = self.run(self.store.take_over())
        assert taken.next_offset == self.oracle.next_offset
        assert taken.standing == self.oracle.standing()

    @rule(written=st.lists(writings(), min_size=1, max_size=4))
    def owner_reads_what_is_written(self, written: list[Writing]) -> None:
        for case_id, what, moments in written:
            last = {change.case_id: change for change in self.log}.get(case_id)
            if what == "older" and (last is None or last.plan is None):
                continue  # a compacted log says nothing older behind a removal
            self.revisions[case_id] += what != "older"
            revision = self.revisions[case_id]
            plan = Plan(revision, 0, "A", "s1", "north", moments)
            if what == "tombstone":
                self.log.append(Change(case_id, None, None))
            else:
                self.log.append(Change(case_id, revision, None if what == "closed" else plan))
        self.apply(self.log[self.oracle.next_offset or 0 :], len(self.log))

    @rule(step_ms=st.sampled_from((0, 1, 49, 50, 500)), limit=st.integers(1, 4), dies=st.booleans())
    def owner_fires(self, step_ms: int, limit: int, *, dies: bool) -> None:
        """Claims, publishes, and acknowledges unless it dies before."""
        self.now_ms += step_ms
        claimed = self.run(self.store.claim(limit, now_ms=self.now_ms))
        firsts = self.oracle.firsts()
        assert claimed.first_due_ms == (firsts[0][0] if firsts else None)
        due = [case_id for first, case_id in firsts if first <= self.now_ms]
        assert [case_id for case_id, _ in claimed.cases] == due[:limit]
        peeked = self.run(self.server.store(0).peek())
        assert (peeked and peeked[0]) == (firsts[0][1] if firsts else None)

        fired: list[tuple[str, tuple[str, ...]]] = []
        for case_id, plan in claimed.cases:
            case = self.oracle.cases[case_id]
            assert (plan.revision, plan.moments) == (case.revision, case.moments)
            assert set(plan.fired) == case.fired
            firing = fire(plan, self.now_ms)
            assert all(moment.at_ms <= self.now_ms for moment in firing.publish)
            assert firing.identities, (
                "a case is due of which nothing fires: it would be claimed for ever"
            )
            assert case.fired.isdisjoint(firing.identities)
            fired.append((case_id, firing.identities))
        if dies:
            return
        standing = self.run(self.store.acknowledge(fired))
        for case_id, identities in fired:
            self.oracle.cases[case_id].fired.update(identities)
        assert standing == self.oracle.standing()

    @precondition(lambda self: self.former)
    @rule(data=st.data())
    def stale_owner_wakes(self, data: st.DataObject) -> None:
        store = data.draw(st.sampled_from(self.former))
        for step in (
            store.claim(5, now_ms=LAST_MS),
            store.acknowledge([("c1", ["response:1:500"])]),
            store.apply([Change("c1", None, None)], 10_000),
        ):
            with pytest.raises(FencedError):
                self.run(step)

    @rule()
    def redis_loses_the_take_over(self) -> None:
        """A failover: the newest epoch is adopted from the owner's next script."""

        async def lose() -> None:
            await self.redis.hset(self.keys[0], "epoch", "1")

        self.run(lose())
        self.run(self.store.claim(1, now_ms=0))

    @rule()
    def redis_is_saved(self) -> None:
        async def dump() -> list[bytes | None]:
            return [await self.redis.dump(key) for key in self.keys]

        self.snapshot = deepcopy(self.oracle), self.run(dump())

    @precondition(lambda self: self.snapshot is not None)
    @rule(emptied=st.booleans())
    def redis_goes_back_in_time(self, *, emptied: bool) -> None:
        """Noticed if an offset was lost; the next owner reads the log again from the one that is left."""
        assert self.snapshot is not None
        oracle, dumped = self.snapshot
        if emptied:
            oracle, dumped = Oracle(), [None] * 3

        async def restore() -> None:
            await self.redis.delete(*self.keys)
            for key, value in zip(self.keys, dumped, strict=True):
                if value is not None:
                    await self.redis.restore(key, 0, value)

        self.run(restore())
        if oracle.next_offset != self.oracle.next_offset:
            with pytest.raises(OwnershipError):
                self.run(self.store.claim(5, now_ms=self.now_ms))
        self.oracle = deepcopy(oracle)
        self.former.clear()  # nobody can tell a lost epoch from one that never was
        self.store = self.server.store(0)
        taken = self.run(self.store.take_over())
        assert taken.next_offset == oracle.next_offset
        self.apply(self.log[oracle.next_offset or 0 :], len(self.log))

    @invariant()
    def nothing_is_left_over(self) -> None:
        async def stored() -> tuple[set[str], list[tuple[int, str]]]:
            plans: Any = await self.redis.hkeys(self.keys[2])
            due: Any = await self.redis.zrange(self.keys[1], 0, -1, withscores=True)
            return (
                {case_id.decode() for case_id in plans},
                [(int(at_ms), case_id.decode()) for case_id, at_ms in due],
            )

        plans, due = self.run(stored())
        assert plans == set(self.oracle.cases)
        assert due == self.oracle.firsts()


def test_the_scripts_do_what_the_oracle_does(redis_url: str) -> None:
    class Here(ShardMachine):
        def __init__(self) -> None:
            super().__init__(redis_url)

    run_state_machine_as_test(
        Here, settings=settings(max_examples=100, stateful_step_count=40, deadline=None)
    )


@pytest.fixture
async def server(redis_url: str, prefix: str) -> AsyncIterator[RedisServer]:
    server = RedisServer(redis_url, prefix, timeout_s=5, shards=4)
    yield server
    await server.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with connect(redis_url) as client:
        yield client


def plan_due(at_ms: int, *, revision: int = 1) -> Plan:
    end = Moment(at_ms, "response", "1", "breach", at_ms)
    return Plan(revision, 0, "A", "s1", "north", (end,))


async def test_due_means_at_or_before_the_time_of_redis(server: RedisServer) -> None:
    store = server.store(0)
    now_ms = (await store.take_over()).now_ms
    far = Change("far", 1, plan_due(now_ms + 60_000))
    await store.apply([far, Change("past", 1, plan_due(now_ms))], 2)
    claimed = await store.claim(10)
    assert [case_id for case_id, _ in claimed.cases] == ["past"]
    assert now_ms <= claimed.now_ms < now_ms + 60_000
    await store.acknowledge([("past", [f"response:1:{now_ms}"])])
    assert (await store.claim(10)).first_due_ms == now_ms + 60_000


async def test_a_time_of_the_far_future_is_kept_exactly(server: RedisServer) -> None:
    store = server.store(0)
    await store.take_over()
    at_ms = 253_402_300_799_999  # the last of the year 9999
    await store.apply([Change("c1", 1, plan_due(at_ms))], 1)
    (case,) = (await store.claim(1, now_ms=at_ms)).cases
    assert case == ("c1", plan_due(at_ms))
    await store.acknowledge([("c1", [f"response:1:{at_ms}"])])
    assert (await store.claim(1, now_ms=at_ms)).first_due_ms is None


async def test_scripts_are_known_again_after_redis_forgot_them(
    server: RedisServer, redis: Any
) -> None:
    store = server.store(0)
    await store.take_over()
    await redis.script_flush()
    await store.apply([Change("c1", 1, plan_due(5))], 1)
    await redis.script_flush()
    assert len((await store.claim(10)).cases) == 1


async def test_shards_know_nothing_of_each_other(server: RedisServer) -> None:
    one, other = server.store(1), server.store(2)
    for store in (one, other):
        await store.take_over()
    await one.apply([Change("c1", 1, plan_due(5))], 1)
    assert (await other.claim(10)).cases == []


async def test_an_offset_never_moves_back(server: RedisServer) -> None:
    store = server.store(0)
    await store.take_over()
    await store.apply([], 7)
    with pytest.raises(OwnershipError):
        await store.apply([Change("c1", 1, plan_due(5))], 6)
    assert (await store.claim(10)).cases == []


async def test_a_due_entry_without_a_plan_is_dropped(
    server: RedisServer, redis: Any, prefix: str
) -> None:
    store = server.store(0)
    await store.take_over()
    await redis.zadd(f"{{{prefix}:t0}}:due", {"ghost": 1})
    assert (await store.claim(10)).cases == []
    assert (await store.claim(10)).first_due_ms is None


async def test_a_redis_that_evicts_is_refused(server: RedisServer, redis: Any) -> None:
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigError, match="noeviction"):
            await server.check()
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
    await server.check()


async def test_a_redis_that_is_not_there_is_told_as_such(prefix: str) -> None:
    server = RedisServer("redis://:hush@127.0.0.1:1/0", prefix, timeout_s=1, shards=1)
    assert server.address == "127.0.0.1:1"
    with pytest.raises(StoreError):
        await server.check()
    with pytest.raises(StoreError):
        await server.store(0).take_over()

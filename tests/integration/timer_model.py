"""One shard in Redis, what it must be, and everything that happens to timers at night."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeVar
from uuid import uuid4

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from services.timer import redis_client
from services.timer.firing import fire
from services.timer.plan import EPOCH, MS, Draft, Identity, Moment, Plan, PlannedCase
from services.timer.records import Change
from services.timer.store import Store, StoreError
from shared.errors import FencedError, OwnershipError

T = TypeVar("T")

CASES = tuple(f"c{number}" for number in range(1, 9))
CLOCKS = ("response", "processing", "resolution", "step")
SHARES = ("0.5", "0.8")
# At once, in the first window, in later ones, and farther away than 32 bits of ms.
DUE_MS = (100, 1_000_000, 3_000_000, 20_000_000, 6_000_000_000)
STEPS_MS = (0, 1, 50, 60_000, 1_000_000, 5_000_000, 3_000_000_000)


def connect(url: str) -> Any:
    """A client of one server or of a cluster; redis-py leaves most of its types unknown."""
    return redis_client.connect(
        redis_client.read_url(url), redis_client.NO_FILES, timeout_s=5, connections=10
    )


class PeekedStore(Store, Protocol):
    """A store that can be looked into."""

    async def peek(self) -> tuple[str, Plan] | None: ...


MakeStore = Callable[[Redis, str, int], PeekedStore]


@dataclass
class StoredCase:
    revision: int
    moments: tuple[Moment, ...]
    fired: set[Identity] = field(default_factory=set[Identity])

    def waiting(self) -> list[Moment]:
        return [moment for moment in self.moments if moment.identity not in self.fired]

    def first_ms(self) -> int | None:
        return min((moment.at_ms for moment in self.waiting()), default=None)


@dataclass
class Oracle:
    """What a shard is."""

    cases: dict[str, StoredCase] = field(default_factory=dict[str, StoredCase])
    next_case: int | None = None
    next_deadline: int | None = None

    def apply(self, change: Change) -> None:
        case_id, revision, plan = change.case_id, change.revision, change.plan
        stored = self.cases.get(case_id)
        if stored is not None and revision is not None and revision <= stored.revision:
            return
        if plan is None:
            self.cases.pop(case_id, None)
        else:
            fired = set[Identity]() if stored is None else stored.fired
            self.cases[case_id] = StoredCase(plan.revision, plan.moments, fired)

    def acknowledge(self, case_id: str, identities: tuple[Identity, ...]) -> None:
        if case_id in self.cases:
            self.cases[case_id].fired.update(identities)

    def firsts(self) -> dict[str, int]:
        """Case -> its first moment, of those that have one."""
        return {
            case_id: first
            for case_id, case in self.cases.items()
            if (first := case.first_ms()) is not None
        }

    def standing(self) -> int:
        return sum(moment.share == "1" for case in self.cases.values() for moment in case.waiting())


class MortalRedis:
    """A client whose owner dies at a call, before or after Redis has done it."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis
        self.calls_left: int | None = None
        self.done = False

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            if self.calls_left is None:
                return await getattr(self._redis, name)(*args)
            self.calls_left -= 1
            answer: Any = None
            if self.calls_left >= 0 or self.done:
                answer = await getattr(self._redis, name)(*args)
            if self.calls_left < 0:
                raise RedisConnectionError("the owner has died")
            return answer

        return call


@st.composite
def moments_of_a_case(draw: st.DrawFn) -> tuple[Moment, ...]:
    moments: list[Moment] = []
    for clock in CLOCKS:
        if draw(st.booleans()):
            due = draw(st.sampled_from(DUE_MS))
            for share in (*draw(st.sets(st.sampled_from(SHARES))), "1"):
                at_ms = int(due * float(share))
                moments.append(
                    Moment(at_ms, clock, share, "breach" if share == "1" else "warning", due)
                )
    moments.sort(key=lambda moment: (moment.at_ms, moment.clock))
    return tuple(moments)


def draft_of(case_id: str, revision: int, site_id: str, moments: Iterable[Moment]) -> Draft:
    """What is read of a case with these moments."""
    clocks: dict[str, dict[str, Any]] = {}
    for at_ms, clock, share, event, version in map(msgspec.structs.astuple, moments):
        found = clocks.setdefault(clock, {"due": EPOCH + version * MS, "warn": []})
        found["warn"].append({"share": share, "at": EPOCH + at_ms * MS})
        if share == "1":
            found["event"] = event
    case = {"case_id": case_id, "revision": revision, "state": "open", "grade": "A",
            "site_id": site_id, "desk": "north", "clocks": clocks}  # fmt: skip
    return Draft(msgspec.convert(case, PlannedCase), 0)


class Writing(NamedTuple):
    """A record of the cases' topic; "older" has a revision that was there before, and other clocks."""

    case: str
    what: Literal["newer", "older", "closed", "tombstone"]
    moments: tuple[Moment, ...]


def writings() -> st.SearchStrategy[list[Writing]]:
    kinds = st.sampled_from(("newer", "newer", "newer", "older", "closed", "tombstone"))
    one = st.builds(Writing, st.sampled_from(CASES), kinds, moments_of_a_case())
    return st.lists(one, min_size=1, max_size=6)


class ShardMachine(RuleBasedStateMachine):
    """A shard, its owners, and the two logs that outlive them."""

    def __init__(self, redis_url: str, make_store: MakeStore) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.prefix = f"t{uuid4().hex[:12]}"
        self.redis = connect(redis_url)
        self.make_store = make_store
        self.log: list[Change] = []
        self.deadlines: list[tuple[str, Identity]] = []
        self.revisions: dict[str, int] = {}
        self.lives: dict[str, int] = {case: 0 for case in CASES}
        self.oracle = Oracle()
        self.now_ms = 0
        self.former: list[PeekedStore] = []
        self.snapshot: tuple[Oracle, dict[bytes, bytes]] | None = None

    def teardown(self) -> None:
        async def close() -> None:
            await self.forget()
            await self.redis.aclose()

        self.run(close())
        self.runner.close()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    async def keys(self) -> list[bytes]:
        # On a cluster KEYS asks one server, SCAN all; it may tell of a key twice.
        pattern = f"{{{self.prefix}:t0}}:*"
        return sorted({key async for key in self.redis.scan_iter(match=pattern, count=10_000)})

    async def forget(self) -> None:
        if keys := await self.keys():
            await self.redis.delete(*keys)

    # ---- what an owner does ----

    @initialize()
    def first_owner(self) -> None:
        self._own()

    def _own(self) -> None:
        """As a task does: take over, read both logs to their ends."""
        self.mortal = MortalRedis(self.redis)
        self.store = self.make_store(self.mortal, self.prefix, 0)  # type: ignore[arg-type]
        taken = self.run(self.store.take_over())
        assert (taken.next_case, taken.next_deadline) == (
            self.oracle.next_case,
            self.oracle.next_deadline,
        )
        self._apply(len(self.log))
        self._acknowledge_log()

    def _apply(self, next_case: int) -> None:
        changes = self.log[self.oracle.next_case or 0 : next_case]
        before = self.oracle.firsts()
        standing, first_ms = self.run(self.store.apply(self._prepared(changes), next_case))
        for change in changes:
            self.oracle.apply(change)
        self.oracle.next_case = next_case
        assert standing == self.oracle.standing()
        after = self.oracle.firsts()
        earlier = [at_ms for case_id, at_ms in after.items() if at_ms != before.get(case_id)]
        # So whoever sleeps is awake in time.
        assert not earlier or (first_ms is not None and first_ms <= min(earlier))

    def _prepared(self, changes: Iterable[Change]) -> list[Change]:
        return [self.store.prepare(change) for change in changes]

    def _acknowledge_log(self) -> None:
        unknown = self.deadlines[self.oracle.next_deadline or 0 :]
        fired = [(case_id, (identity,)) for case_id, identity in unknown]
        standing = self.run(self.store.acknowledge(fired, len(self.deadlines)))
        for case_id, identities in fired:
            self.oracle.acknowledge(case_id, identities)
        self.oracle.next_deadline = len(self.deadlines)
        assert standing == self.oracle.standing()

    @rule()
    def new_owner(self) -> None:
        """Also what follows a crash at any point: nothing of the old owner's memory is needed."""
        self.former.append(self.store)
        self._own()

    @rule(written=writings())
    def owner_reads_what_is_written(self, written: list[Writing]) -> None:
        self._write(written)
        self._apply(len(self.log))

    def _write(self, written: list[Writing]) -> None:
        for case, what, moments in written:
            case_id = f"{case}-{self.lives[case]:013}"
            if what != "newer" and case_id not in self.revisions:
                continue
            self.revisions.setdefault(case_id, 0)
            self.revisions[case_id] += what != "older"
            revision = self.revisions[case_id]
            draft = draft_of(case_id, revision, f"site of {case}", moments)
            if what == "tombstone":
                self.log.append(Change(case_id, None, None))
            else:
                self.log.append(Change(case_id, revision, None if what == "closed" else draft))
            if what in ("tombstone", "closed"):  # such a case is done: another one comes
                self.lives[case] += 1

    @rule(
        step_ms=st.sampled_from(STEPS_MS),
        limit=st.integers(1, 4),
        owned_for_ms=st.none() | st.sampled_from(STEPS_MS),
        dies=st.booleans(),
    )
    def owner_fires(
        self, step_ms: int, limit: int, owned_for_ms: int | None, *, dies: bool
    ) -> None:
        """Claims, publishes, acknowledges, until nothing is due; or dies before it has acknowledged.

        First what came due since it owns the shard, then what is older; None: all at once.
        """
        self.now_ms += step_ms
        since_ms = None if owned_for_ms is None else self.now_ms - owned_for_ms
        for bounds in [(since_ms, None), (None, since_ms)]:
            while self._fire_some(limit, *bounds, dies=dies):
                if dies:
                    self.new_owner()
                    dies = False
        assert all(first > self.now_ms for first in self.oracle.firsts().values())

    def _fire_some(self, limit: int, from_ms: int | None, to_ms: int | None, *, dies: bool) -> bool:
        """One turn; False: nothing of that range is due before some time to come."""
        claimed = self.run(
            self.store.claim(limit, from_ms=from_ms, to_ms=to_ms, now_ms=self.now_ms)
        )
        firsts = self.oracle.firsts()
        wanted = sorted(
            first_ms
            for first_ms in firsts.values()
            if (from_ms is None or first_ms >= from_ms) and (to_ms is None or first_ms < to_ms)
        )
        assert (claimed.first_ms is None) == (not firsts)
        if claimed.first_ms is not None:
            assert claimed.first_ms <= min(firsts.values())
        if wanted:
            assert claimed.next_ms is not None
            assert claimed.next_ms <= max(self.now_ms, wanted[0])
        assert len(claimed.cases) <= limit
        assert [firsts[case_id] for case_id, _ in claimed.cases] == wanted[: len(claimed.cases)]
        fired: list[tuple[str, tuple[Identity, ...]]] = []
        for case_id, plan in claimed.cases:
            case = self.oracle.cases[case_id]
            assert (plan.revision, plan.moments) == (case.revision, case.moments)
            assert (plan.grade, plan.site_id, plan.desk) == (
                "A",
                f"site of {case_id[:2]}",
                "north",
            )
            assert set(plan.fired) == case.fired
            firing = fire(plan, self.now_ms)
            assert all(moment.at_ms <= self.now_ms for moment in firing.publish), "early"
            assert firing.identities, "due, but nothing fires: it would be claimed for ever"
            fired.append((case_id, firing.identities))
            for moment in firing.publish:
                assert (case_id, moment.identity) not in self.deadlines, "fired twice"
                self.deadlines.append((case_id, moment.identity))
        if not dies:
            standing = self.run(self.store.acknowledge(fired, len(self.deadlines)))
            for case_id, identities in fired:
                self.oracle.acknowledge(case_id, identities)
            self.oracle.next_deadline = len(self.deadlines)
            assert standing == self.oracle.standing()
        return claimed.next_ms is not None and claimed.next_ms <= self.now_ms

    @rule(step_ms=st.sampled_from(STEPS_MS))
    def owner_is_called_away_behind_a_claim(self, step_ms: int) -> None:
        """So a window may be open by half, while the rest of it is revised."""
        self.now_ms += step_ms
        claimed = self.run(self.store.claim(1, now_ms=self.now_ms))
        firsts = self.oracle.firsts()
        assert all(firsts[case_id] <= self.now_ms for case_id, _ in claimed.cases), "early"

    @precondition(lambda self: self.oracle.firsts())
    @rule()
    def time_comes_to_the_last_moment_before_one(self) -> None:
        first_ms = min(self.oracle.firsts().values())
        if first_ms <= self.now_ms:
            return
        self.now_ms = first_ms - 1
        claimed = self.run(self.store.claim(8, now_ms=self.now_ms))
        while claimed.next_ms is not None and claimed.next_ms <= self.now_ms:
            assert claimed.cases == [], "early"
            claimed = self.run(self.store.claim(8, now_ms=self.now_ms))
        assert claimed.cases == [], "early"

    @rule(written=writings(), calls=st.integers(0, 4), done=st.booleans())
    def owner_dies_while_it_applies(
        self, written: list[Writing], calls: int, *, done: bool
    ) -> None:
        """At any of its calls: the next owner comes to the same end."""
        self._write(written)
        self.mortal.calls_left, self.mortal.done = calls, done
        changes = self.log[self.oracle.next_case or 0 :]
        try:
            self.run(self.store.apply(self._prepared(changes), len(self.log)))
        except StoreError:
            self._new_owner_after_a_death()
        else:
            self._settle(len(self.log), self.oracle.next_deadline)
            self.mortal.calls_left = None

    @rule(step_ms=st.sampled_from(STEPS_MS), calls=st.integers(0, 4), done=st.booleans())
    def owner_dies_while_it_acknowledges(self, step_ms: int, calls: int, *, done: bool) -> None:
        self.now_ms += step_ms
        claimed = self.run(self.store.claim(8, now_ms=self.now_ms))
        firings = [(case_id, fire(plan, self.now_ms)) for case_id, plan in claimed.cases]
        for case_id, firing in firings:
            assert all(moment.at_ms <= self.now_ms for moment in firing.publish), "early"
            fresh = [(case_id, moment.identity) for moment in firing.publish]
            assert not set(fresh).intersection(self.deadlines), "fired twice"
            self.deadlines += fresh
        fired = [(case_id, firing.identities) for case_id, firing in firings]
        self.mortal.calls_left, self.mortal.done = calls, done
        try:
            self.run(self.store.acknowledge(fired, len(self.deadlines)))
        except StoreError:
            self._new_owner_after_a_death(fired)
        else:
            for case_id, identities in fired:
                self.oracle.acknowledge(case_id, identities)
            self.oracle.next_deadline = len(self.deadlines)
            self.mortal.calls_left = None

    def _new_owner_after_a_death(
        self, fired: list[tuple[str, tuple[Identity, ...]]] | None = None
    ) -> None:
        """What was folded and not acknowledged is folded once more: both ends are right for it."""
        self.former.append(self.store)
        self.mortal = MortalRedis(self.redis)
        self.store = self.make_store(self.mortal, self.prefix, 0)  # type: ignore[arg-type]
        taken = self.run(self.store.take_over())
        self._settle_to(taken.next_case, taken.next_deadline)
        changes = self._prepared(self.log[taken.next_case or 0 :])
        self.run(self.store.apply(changes, len(self.log)))
        unknown = self.deadlines[taken.next_deadline or 0 :]
        again = [(case_id, (identity,)) for case_id, identity in unknown]
        self.run(self.store.acknowledge([*again, *(fired or [])], len(self.deadlines)))
        self._settle(len(self.log), len(self.deadlines))
        for case_id, identities in fired or []:
            self.oracle.acknowledge(case_id, identities)

    def _settle_to(self, next_case: int | None, next_deadline: int | None) -> None:
        """The offsets are those of before the death or those of after it."""
        assert next_case in (self.oracle.next_case, len(self.log))
        assert next_deadline in (self.oracle.next_deadline, len(self.deadlines))

    def _settle(self, next_case: int, next_deadline: int | None) -> None:
        for change in self.log[self.oracle.next_case or 0 : next_case]:
            self.oracle.apply(change)
        for case_id, identity in self.deadlines[self.oracle.next_deadline or 0 : next_deadline]:
            self.oracle.acknowledge(case_id, (identity,))
        self.oracle.next_case, self.oracle.next_deadline = next_case, next_deadline

    # ---- what happens to it ----

    @precondition(lambda self: self.former)
    @rule(data=st.data())
    def stale_owner_wakes(self, data: st.DataObject) -> None:
        store = data.draw(st.sampled_from(self.former))
        store = self._revive(store)
        case_id = next(iter(self.oracle.cases), "c1")
        for step in (
            store.claim(5, now_ms=DUE_MS[-1]),
            store.acknowledge([(case_id, [("response", "1", 100)])], 10_000),
            store.apply([Change(case_id, None, None)], 10_000),
        ):
            with pytest.raises(FencedError):
                self.run(step)

    def _revive(self, store: PeekedStore) -> PeekedStore:
        """Its client works again."""
        store.__dict__["_redis"] = self.redis
        return store

    @rule()
    def redis_loses_the_take_over(self) -> None:
        """A failover: the newest epoch is adopted from the owner's next script."""

        async def lose() -> None:
            await self.redis.hset(f"{{{self.prefix}:t0}}:meta", "epoch", "1")

        self.run(lose())
        self.run(self.store.claim(1, now_ms=0))

    @rule()
    def redis_is_saved(self) -> None:
        async def dump() -> dict[bytes, bytes]:
            return {key: await self.redis.dump(key) for key in await self.keys()}

        self.snapshot = deepcopy(self.oracle), self.run(dump())

    @precondition(lambda self: self.snapshot is not None)
    @rule(emptied=st.booleans())
    def redis_goes_back_in_time(self, *, emptied: bool) -> None:
        """Noticed if an offset was lost; the next owner reads the logs again from those that are left."""
        assert self.snapshot is not None
        oracle, dumped = self.snapshot
        if emptied:
            oracle, dumped = Oracle(), dict[bytes, bytes]()

        async def restore() -> None:
            await self.forget()
            for key, value in dumped.items():
                await self.redis.restore(key, 0, value)

        self.run(restore())
        lost = (oracle.next_case, oracle.next_deadline) != (
            self.oracle.next_case,
            self.oracle.next_deadline,
        )
        if lost:
            with pytest.raises(OwnershipError):
                self.run(self.store.claim(5, now_ms=self.now_ms))
        self.oracle = deepcopy(oracle)
        self.former.clear()  # nobody can tell a lost epoch from one that never was
        self._own()

    # ---- what must always hold ----

    @invariant()
    def who_looks_sees_what_comes_first(self) -> None:
        peeked = self.run(self.make_store(self.redis, self.prefix, 0).peek())
        firsts = self.oracle.firsts()
        if peeked is None:
            assert not firsts
        else:
            assert firsts[peeked[0]] == min(firsts.values())

    @invariant()
    def nothing_is_left_over(self) -> None:
        raise NotImplementedError

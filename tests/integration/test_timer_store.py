"""The wheel and the plainest store that does the same, on a real Redis, against an oracle.

Under replays, time jumps, stale owners, deaths between any two calls, and a Redis that loses what it had.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from services.timer import wheel
from services.timer.plan import Moment, Plan
from services.timer.records import Change
from services.timer.redis_server import RedisServer
from services.timer.store import Store, StoreError
from services.timer.wheel import WheelStore
from shared.errors import ConfigError, OwnershipError
from tests.integration.timer_model import MakeStore, PeekedStore, ShardMachine, connect
from tests.sorted_sets.store import SortedSetStore

WINDOW_MS = 1_048_576
PIECE_BYTES = 64


class WheelMachine(ShardMachine):
    """The keys of the wheel, read without its scripts."""

    @invariant()
    def nothing_is_left_over(self) -> None:
        async def stored() -> tuple[set[str], dict[str, int], int]:
            case_ids: set[str] = set()
            places: dict[str, int] = {}
            windows: set[int] = set()
            pieces_missing = 0
            for key in await self.keys():
                part, _, number = key.decode().partition("}:")[2].partition(":")
                if part == "case":
                    entries: dict[bytes, bytes] = await self.redis.hgetall(key)
                    first = {case_id for case_id in entries if b"\0" not in case_id}
                    case_ids |= {case_id.decode() for case_id in first}
                    for case_id in first:
                        pieces = [case_id, *sorted(
                            piece for piece in entries if piece.startswith(case_id + b"\0")
                        )]  # fmt: skip
                        assert all(len(entries[piece]) == PIECE_BYTES for piece in pieces[:-1])
                        pieces_missing -= len(pieces)
                    pieces_missing += len(entries)
                elif part == "far":
                    windows.add(int(number))
                    for case_id, after in (await self.redis.hgetall(key)).items():
                        assert case_id.decode() not in places
                        places[case_id.decode()] = int(number) * WINDOW_MS + int(after)
                elif part == "near":
                    for case_id, at_ms in await self.redis.zrange(key, 0, -1, withscores=True):
                        assert case_id.decode() not in places
                        places[case_id.decode()] = int(at_ms)
                else:
                    assert part in ("meta", "windows", "places", "names")
            named = await self.redis.zrange(f"{{{self.prefix}:t0}}:windows", 0, -1)
            assert {int(window) for window in named} == windows
            return case_ids, places, pieces_missing

        case_ids, places, pieces_missing = self.run(stored())
        assert case_ids == set(self.oracle.cases)
        assert places == self.oracle.firsts()
        assert pieces_missing == 0


class SortedSetMachine(ShardMachine):
    @invariant()
    def nothing_is_left_over(self) -> None:
        async def stored() -> tuple[set[str], dict[str, int]]:
            tag = f"{{{self.prefix}:t0}}"
            plans: Any = await self.redis.hkeys(f"{tag}:plan")
            due: Any = await self.redis.zrange(f"{tag}:due", 0, -1, withscores=True)
            return (
                {case_id.decode() for case_id in plans},
                {case_id.decode(): int(at_ms) for case_id, at_ms in due},
            )

        plans, due = self.run(stored())
        assert plans == set(self.oracle.cases)
        assert due == self.oracle.firsts()


@pytest.mark.parametrize(
    ("machine", "store", "examples"),
    [(WheelMachine, WheelStore, 40), (SortedSetMachine, SortedSetStore, 10)],
)
def test_the_scripts_do_what_the_oracle_does(
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    machine: type[ShardMachine],
    store: MakeStore,
    examples: int,
) -> None:
    # So that a few cases are more than one call takes.
    for limit in ("READ_LIMIT", "WRITE_LIMIT", "CLAIM_LIMIT"):
        monkeypatch.setattr(wheel, limit, 2)

    class Here(machine):
        def __init__(self) -> None:
            super().__init__(redis_url, store)

    run_state_machine_as_test(
        Here, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[RedisServer]:
    server = RedisServer(redis_url, timeout_s=5, shards=4)
    yield server
    await server.close()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    async with connect(redis_url) as client:
        yield client


Shard = Callable[[int], PeekedStore]


@pytest.fixture(params=[WheelStore, SortedSetStore])
def shard(request: pytest.FixtureRequest, server: RedisServer, prefix: str) -> Shard:
    return lambda number: request.param(server.redis, prefix, number)


def plan_due(at_ms: int, *, revision: int = 1) -> Plan:
    end = Moment(at_ms, "response", "1", "breach", at_ms)
    return Plan(revision, 0, "A", "s1", "north", (end,))


async def test_due_means_at_or_before_the_time_of_redis(shard: Shard) -> None:
    store = shard(0)
    now_ms = (await store.take_over()).now_ms
    far = Change("far", 1, plan_due(now_ms + 60_000))
    await store.apply([far, Change("past", 1, plan_due(now_ms))], 2)
    claimed = await store.claim(10)
    assert [case_id for case_id, _ in claimed.cases] == ["past"]
    assert now_ms <= claimed.now_ms < now_ms + 60_000
    await store.acknowledge([("past", [("response", "1", now_ms)])])
    next_ms = (await store.claim(10)).next_ms
    assert next_ms is not None
    assert now_ms < next_ms <= now_ms + 60_000


async def claim_all(store: Store, limit: int, now_ms: int) -> list[int]:
    """When they were due, in the order in which they are claimed."""
    found: list[int] = []
    while True:
        claimed = await store.claim(limit, now_ms=now_ms)
        for case_id, plan in claimed.cases:
            found.append(plan.moments[0].at_ms)
            await store.acknowledge([(case_id, [plan.moments[0].identity])])
        if claimed.next_ms is None:
            return found


async def test_the_oldest_come_first_also_of_a_window_that_is_opened_in_parts(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel, "CLAIM_LIMIT", 3)
    store = shard(0)
    await store.take_over()
    due_ms = [number * 7 % 40 for number in range(40)]
    await store.apply([Change(f"c{at_ms}", 1, plan_due(at_ms)) for at_ms in due_ms], 1)
    assert await claim_all(store, 5, WINDOW_MS) == sorted(due_ms)


async def test_a_range_is_claimed_without_what_is_older(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while most of that is still in windows which are not opened."""
    monkeypatch.setattr(wheel, "CLAIM_LIMIT", 3)
    store = shard(0)
    await store.take_over()
    owned_ms = 20 * WINDOW_MS + 5
    older = [Change(f"o{at_ms}", 1, plan_due(at_ms)) for at_ms in range(1, owned_ms, WINDOW_MS)]
    newer = [Change("n1", 1, plan_due(owned_ms)), Change("n2", 1, plan_due(owned_ms + 9))]
    await store.apply([*older, *newer], 1)
    claimed = await store.claim(5, from_ms=owned_ms, now_ms=owned_ms + 8)
    assert [case_id for case_id, _ in claimed.cases] == ["n1"]
    assert claimed.first_ms is not None
    assert claimed.first_ms <= 1
    claimed = await store.claim(5, to_ms=owned_ms, now_ms=owned_ms + 8)
    assert [case_id for case_id, _ in claimed.cases][:3] == [change.case_id for change in older[:3]]


async def test_a_time_of_the_far_future_is_kept_exactly(shard: Shard) -> None:
    store = shard(0)
    await store.take_over()
    at_ms = 253_402_300_799_999  # the last of the year 9999
    await store.apply([Change("c1", 1, plan_due(at_ms))], 1)
    assert await store.peek() == ("c1", plan_due(at_ms))
    assert (await store.claim(1, now_ms=at_ms - 1)).cases == []
    (case,) = (await store.claim(1, now_ms=at_ms)).cases
    assert case == ("c1", plan_due(at_ms))
    await store.acknowledge([("c1", [("response", "1", at_ms)])])
    assert (await store.claim(1, now_ms=at_ms)).next_ms is None


@pytest.mark.parametrize("case_id", ["c", "", "ein Fall: ö/1", "x" * 200, "c1\x1f2"])
async def test_ids_that_are_not_ours_work_as_well(shard: Shard, case_id: str) -> None:
    store = shard(0)
    await store.take_over()
    await store.apply([Change(case_id, 1, plan_due(5)), Change("other", 1, plan_due(6))], 2)
    claimed = await store.claim(1, now_ms=5)
    assert claimed.cases == [(case_id, plan_due(5))]
    await store.acknowledge([(case_id, [("response", "1", 5)])], 1)
    await store.apply([Change(case_id, None, None)], 3)
    assert (await store.claim(9, now_ms=9)).cases == [("other", plan_due(6))]


async def test_scripts_are_known_again_after_redis_forgot_them(shard: Shard, redis: Any) -> None:
    store = shard(0)
    await store.take_over()
    await redis.script_flush()
    await store.apply([Change("c1", 1, plan_due(5))], 1)
    await redis.script_flush()
    assert len((await store.claim(10)).cases) == 1


async def test_shards_know_nothing_of_each_other(shard: Shard) -> None:
    one, other = shard(1), shard(2)
    for store in (one, other):
        await store.take_over()
    await one.apply([Change("c1", 1, plan_due(5))], 1)
    assert (await other.claim(10)).cases == []


@pytest.mark.parametrize("emptied", [True, False])
async def test_no_part_of_a_batch_is_lost_unseen(
    server: RedisServer, redis: Any, prefix: str, monkeypatch: pytest.MonkeyPatch, *, emptied: bool
) -> None:
    """Between two writes of one batch Redis is emptied, or loses the first: no offset would tell."""
    monkeypatch.setattr(wheel, "WRITE_LIMIT", 1)
    store = WheelStore(server.redis, prefix, 0)
    await store.take_over()
    if not emptied:
        await store.apply([], 1)
    key = f"{{{prefix}:t0}}:meta"
    before = await redis.dump(key)
    writes = wheel._WRITE.run  # pyright: ignore[reportPrivateUsage]
    written = 0

    async def run(*args: Any) -> Any:
        nonlocal written
        if written == 1:
            await redis.delete(*await redis.keys(f"{{{prefix}:t0}}:*"))
            if not emptied:
                await redis.restore(key, 0, before)
        written += 1
        return await writes(*args)

    changes = [Change(f"c{number}", 1, plan_due(5)) for number in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(wheel._WRITE, "run", run)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(OwnershipError):
            await store.apply(changes, 4)
    await store.take_over()
    assert (await store.apply(changes, 4)).standing == 3
    assert len((await store.claim(9)).cases) == 3


async def test_an_offset_never_moves_back(shard: Shard) -> None:
    store = shard(0)
    await store.take_over()
    await store.apply([], 7)
    with pytest.raises(OwnershipError):
        await store.apply([Change("c1", 1, plan_due(5))], 6)
    assert (await store.claim(10)).cases == []


async def test_what_starts_over_leaves_no_key_but_the_fence(
    server: RedisServer, redis: Any, prefix: str
) -> None:
    store = WheelStore(server.redis, prefix, 0)
    now_ms = (await store.take_over()).now_ms
    changes = [
        Change(f"c{number}", 1, plan_due(now_ms + number * WINDOW_MS)) for number in range(50)
    ]
    await store.apply(changes, 50)
    await store.claim(10)
    await store.start_over()
    assert await redis.keys(f"{{{prefix}:t0}}:*") == [f"{{{prefix}:t0}}:meta".encode()]
    assert (await store.apply(changes, 50)).standing == 50


async def test_a_script_that_dies_half_way_makes_the_shard_anew(
    server: RedisServer, redis: Any, prefix: str
) -> None:
    """Redis takes nothing of it back: the counter of clocks would be wrong for ever."""
    store = WheelStore(server.redis, prefix, 0)
    far_ms = (await store.take_over()).now_ms + 10 * WINDOW_MS
    await store.apply([Change("c1", 1, plan_due(far_ms))], 1)
    await store.claim(1)
    await redis.set(f"{{{prefix}:t0}}:near", "of another type")
    with pytest.raises(StoreError, match="WRONGTYPE"):
        await store.apply([Change("c2", 1, plan_due(far_ms)), Change("c3", 1, plan_due(5))], 3)

    again = WheelStore(server.redis, prefix, 0)
    taken = await again.take_over()
    assert (taken.next_case, taken.standing) == (None, 0)
    assert await redis.keys(f"{{{prefix}:t0}}:*") == [f"{{{prefix}:t0}}:meta".encode()]
    changes = [Change("c1", 1, plan_due(far_ms)), Change("c2", 1, plan_due(far_ms))]
    assert (await again.apply(changes, 3)).standing == 2


async def test_what_is_there_against_expectation_is_looked_at_and_kept(
    shard: Shard,
) -> None:
    """A first revision that comes again, and, while a shard is built anew, each further revision."""
    store = shard(0)
    await store.take_over()
    await store.apply([Change("c1", 1, plan_due(500)), Change("c2", 1, plan_due(600))], 2)
    await store.apply([Change("c2", 2, plan_due(700, revision=2))], 3)  # still being built
    await store.acknowledge([("c2", [("response", "1", 700)])])
    again = [Change("c2", 1, plan_due(600)), Change("c3", 1, plan_due(800))]
    assert (await store.apply(again, 5)).standing == 2
    claimed = await store.claim(9, now_ms=900)
    assert [case_id for case_id, _ in claimed.cases] == ["c1", "c3"]


async def test_a_place_without_an_entry_is_dropped(
    server: RedisServer, redis: Any, prefix: str
) -> None:
    store = WheelStore(server.redis, prefix, 0)
    await store.take_over()
    await redis.zadd(f"{{{prefix}:t0}}:near", {"ghost": 1})
    assert (await store.claim(10)).cases == []
    assert (await store.claim(10)).next_ms is None


async def test_a_shard_of_the_first_layout_is_built_anew(
    server: RedisServer, redis: Any, prefix: str
) -> None:
    """Both ways: an instance of the version before may own it in between."""
    wheel_store = WheelStore(server.redis, prefix, 0)
    await wheel_store.take_over()
    await wheel_store.apply([Change("c1", 1, plan_due(5))], 1)
    first = SortedSetStore(server.redis, prefix, 0)
    assert (await first.take_over()).next_case is None
    await first.apply([Change("c1", 1, plan_due(5)), Change("c2", 1, plan_due(5))], 2)
    with pytest.raises(OwnershipError):
        await first.apply([], 1)

    again = WheelStore(server.redis, prefix, 0)
    taken = await again.take_over()
    assert (taken.next_case, taken.next_deadline, taken.standing) == (None, None, 0)
    assert await redis.keys(f"{{{prefix}:t0}}:*") == [f"{{{prefix}:t0}}:meta".encode()]


async def test_a_redis_that_evicts_is_refused(server: RedisServer, redis: Any) -> None:
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigError, match="noeviction"):
            await server.check()
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
    await server.check()


async def test_a_redis_that_is_not_there_is_told_as_such(prefix: str) -> None:
    server = RedisServer("redis://:hush@127.0.0.1:1/0", timeout_s=1, shards=1)
    assert server.address == "127.0.0.1:1"
    with pytest.raises(StoreError):
        await server.check()
    with pytest.raises(StoreError):
        await WheelStore(server.redis, prefix, 0).take_over()

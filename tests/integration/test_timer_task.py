"""A shard's task and the whole timer on real Kafka and Redis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.timer import pace, publisher, task
from services.timer.main import TimerService, build
from services.timer.pace import CatchUp
from services.timer.records import Change, read_change
from services.timer.redis_server import RedisServer
from services.timer.store import Applied, Claimed, Fired, Store, StoreError
from services.timer.task import ShardTask
from services.timer.wheel import WheelStore
from shared.documents.case import Case, Clock, Warn, encode_case
from shared.documents.deadline import Deadline, decode_deadline
from shared.errors import FencedError, OwnershipError
from shared.http import serve_http
from shared.kafka.group import Membership, Ownership
from shared.kafka.partition import partition_of
from shared.kafka.producer import FencedProducer, Outgoing
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import Topics, apply_topics
from shared.times import from_rfc3339, now_ms, to_rfc3339
from tests import conditions
from tests.integration.timer_model import connect

PARTITIONS = 2
SITE = "site-1"
HOME = partition_of(SITE, PARTITIONS)
PATIENCE_S = 20


class ProvenOwnership(Ownership):
    """An ownership that the test decides about, not a group."""

    def __init__(self, topic: str) -> None:
        super().__init__(Membership(cast(AIOKafkaConsumer, None)), TopicPartition(topic, HOME))

    async def prove(self) -> None:
        return


class Shard:
    """One shard's topics seen from outside, and tasks that own it."""

    def __init__(self, kafka: str, server: RedisServer, prefix: str) -> None:
        self.kafka = kafka
        self.server = server
        self.topics = Topics(prefix)

    async def write(self, *records: tuple[str, Case | bytes | None]) -> None:
        """As dispatch does: in a transaction, whose marker is the last thing in the log."""
        async with FencedProducer(self.kafka, f"{self.topics.prefix}.test") as producer:
            await producer.commit(
                Outgoing(
                    self.topics.cases,
                    HOME,
                    key.encode(),
                    encode_case(value) if isinstance(value, Case) else value,
                )
                for key, value in records
            )

    async def read(self, topic: str, count: int) -> list[Record]:
        """The first `count` records that others see."""
        partition = TopicPartition(topic, HOME)
        found: list[Record] = []
        async with Reader(self.kafka, {partition: None}) as reader, asyncio.timeout(PATIENCE_S):
            while len(found) < count:
                found += await reader.read(timeout_ms=100)
        return found

    async def deadlines(self, count: int) -> list[Deadline]:
        records = await self.read(self.topics.deadlines, count)
        return [decode_deadline(record.value or b"") for record in records]

    def store(self) -> WheelStore:
        return WheelStore(self.server.redis, self.topics.prefix, HOME)

    def task(
        self,
        wrap: Callable[[Store], Store] = lambda store: store,
        *,
        catch_up: CatchUp | None = None,
    ) -> ShardTask:
        return ShardTask(
            self.kafka,
            self.topics,
            wrap(self.store()),
            partition=HOME,
            partitions=PARTITIONS,
            tick_ms=500,
            catch_up=catch_up or CatchUp(10_000),
        )

    @asynccontextmanager
    async def owner(self) -> AsyncGenerator[asyncio.Task[None]]:
        """A running task that is ready; ended when the context is left, if it has not ended."""
        ownership = ProvenOwnership(self.topics.cases)
        running = asyncio.create_task(self.task().run(ownership))
        await until(lambda: ownership.ready or running.done())
        try:
            yield running
        finally:
            ownership.end()
            await asyncio.wait([running])
        if not running.exception():
            assert ownership.processed is not None


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.01)


@pytest.fixture
async def shard(kafka: str, redis_url: str, prefix: str) -> AsyncIterator[Shard]:
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1)
    server = RedisServer(redis_url, timeout_s=5, shards=PARTITIONS)
    yield Shard(kafka, server, prefix)
    await server.close()


async def empty(redis_url: str, prefix: str) -> None:
    """The shard is gone from Redis."""
    async with connect(redis_url) as redis:
        await redis.delete(*await redis.keys(f"{{{prefix}:t{HOME}}}:*"))


def make_case(
    case_id: str, *, revision: int = 1, site_id: str = SITE, **clocks: tuple[int, int]
) -> Case:
    """Clocks given as (half of its time, all of it) in epoch ms."""
    return Case(
        case_id=case_id,
        revision=revision,
        change="opened",
        state="open",
        grade="A",
        grade_worst="A",
        site_id=site_id,
        clocks={
            name: Clock(
                start=to_rfc3339(0),
                due=to_rfc3339(due_ms),
                event="breach",
                warn=(Warn("0.5", to_rfc3339(half_ms)), Warn("1", to_rfc3339(due_ms))),
            )
            for name, (half_ms, due_ms) in clocks.items()
        },
    )


async def test_a_clock_fires_at_its_time_once(shard: Shard) -> None:
    async with shard.owner():
        start_ms = now_ms()
        case = make_case("c1", response=(start_ms + 500, start_ms + 1_500))
        await shard.write(("c1", case))
        warning, breach = await shard.deadlines(2)
        # Neither a revision with the same clock nor the same revision again fires anything anew.
        again = make_case("c1", revision=2, response=(start_ms + 500, start_ms + 1_500))
        other = make_case("c2", step=(start_ms, start_ms + 1_501))
        await shard.write(("c1", again), ("c1", case), ("c2", other))
        third = (await shard.deadlines(3))[2]
    assert (warning.deadline_id, warning.event) == ("c1:response:0.5", "warning")
    assert (breach.deadline_id, breach.event) == ("c1:response:1", "breach")
    assert breach.version == start_ms + 1_500
    assert breach.due_at == to_rfc3339(start_ms + 1_500)
    assert breach.fired_at == to_rfc3339(start_ms + 1_500 + breach.late_ms)
    for deadline in (warning, breach):
        assert deadline.late_ms >= 0
        assert not deadline.recovered
    assert third.deadline_id == "c2:step:1"  # its warning is folded into it


async def test_what_came_due_while_nobody_was_there_is_recovered(shard: Shard) -> None:
    async with shard.owner():
        pass
    late_ms = now_ms() - 5_000
    await shard.write(
        ("c1", make_case("c1", response=(late_ms, late_ms))),
        ("c2", make_case("c2", response=(late_ms, late_ms))),
        ("c2", None),  # a stop waits in the log, behind: it must be read first
        ("c3", make_case("c3", response=(late_ms + 1, late_ms + 1))),
    )
    async with shard.owner():
        found = await shard.deadlines(2)
    assert [deadline.deadline_id for deadline in found] == ["c1:response:1", "c3:response:1"]
    assert all(deadline.recovered and deadline.late_ms >= 5_000 for deadline in found)


async def test_the_oldest_are_caught_up_with_first_and_no_faster_than_set(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CLAIM_LIMIT", 10)
    start_ms = now_ms() - 60_000
    due_ms = [start_ms + number * 7 % 40 for number in range(40)]
    await shard.write(*((f"c{due}", make_case(f"c{due}", step=(due, due))) for due in due_ms))
    ownership = ProvenOwnership(shard.topics.cases)
    running = asyncio.create_task(shard.task(catch_up=CatchUp(20)).run(ownership))
    found = await shard.read(shard.topics.deadlines, 40)
    ownership.end()
    await running
    deadlines = [decode_deadline(record.value or b"") for record in found]
    assert [deadline.due_at for deadline in deadlines] == sorted(
        deadline.due_at for deadline in deadlines
    )
    assert all(deadline.recovered for deadline in deadlines)
    assert found[-1].timestamp - found[0].timestamp >= (40 - 10) / 20 * 1000 * 0.9


async def test_a_claim_that_fails_takes_nothing_from_what_the_other_shards_may(
    shard: Shard,
) -> None:
    catch_up = CatchUp(1)
    past_ms = now_ms() - 60_000
    await shard.write(("c1", make_case("c1", step=(past_ms, past_ms))))

    def failing(store: Store) -> Store:
        claim = store.claim

        async def claim_live_ones(
            limit: int, *, to_ms: int | None = None, **bounds: Any
        ) -> Claimed:
            if to_ms is not None:
                raise StoreError("Redis has gone")
            return await claim(limit, **bounds)

        store.claim = claim_live_ones
        return store

    with pytest.raises(StoreError):
        await shard.task(failing, catch_up=catch_up).run(ProvenOwnership(shard.topics.cases))
    assert catch_up.wait_s(asyncio.get_running_loop().time()) == pytest.approx(0, abs=0.01)


async def test_what_comes_due_meanwhile_does_not_wait_behind_what_is_caught_up_with(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "CLAIM_LIMIT", 10)
    past_ms = now_ms() - 3_600_000
    older = [(f"c{n}", make_case(f"c{n}", step=(past_ms + n, past_ms + n))) for n in range(60)]
    await shard.write(*older)
    ownership = ProvenOwnership(shard.topics.cases)
    running = asyncio.create_task(shard.task(catch_up=CatchUp(20)).run(ownership))
    await shard.deadlines(1)
    due_ms = now_ms() + 300
    await shard.write(("live", make_case("live", step=(due_ms, due_ms))))
    deadlines = await shard.deadlines(61)
    ownership.end()
    await running
    place = [deadline.case_id for deadline in deadlines].index("live")
    assert deadlines[place].late_ms < 300
    assert place <= 40, "the others have waited for the rate meanwhile"
    del deadlines[place]
    assert [deadline.case_id for deadline in deadlines] == [case_id for case_id, _ in older]


@pytest.mark.parametrize("ahead_ms", [60_000, -60_000])
async def test_nothing_fires_while_the_clocks_are_too_far_apart(
    shard: Shard, ahead_ms: int
) -> None:
    """The clock of a real Redis cannot be set, so its answers are moved."""
    apart_ms = [ahead_ms]

    def skewed(store: Store) -> Store:
        claim = store.claim

        async def claim_elsewhen(limit: int, **bounds: Any) -> Claimed:
            claimed = await claim(limit, **bounds)
            return claimed._replace(now_ms=claimed.now_ms + apart_ms[0])

        store.claim = claim_elsewhen
        return store

    due_ms = now_ms() - 1
    await shard.write(("c1", make_case("c1", response=(due_ms, due_ms))))
    ownership = ProvenOwnership(shard.topics.cases)
    running = asyncio.create_task(shard.task(skewed).run(ownership))

    def skew_s() -> float | None:
        return REGISTRY.get_sample_value("bakvakt_timer_skew_seconds")

    await until(lambda: skew_s() == pytest.approx(60, abs=5))
    await asyncio.sleep(1)  # two looks
    agreed_ms = now_ms()
    apart_ms[0] = 0
    (deadline,) = await shard.deadlines(1)
    assert skew_s() == 0
    ownership.end()
    await running
    assert from_rfc3339(deadline.fired_at) >= agreed_ms - 1


async def test_a_long_read_is_followed_by_a_short_one_and_by_serving(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking where the log ends now must not itself count as a long read."""
    monkeypatch.setattr(task, "SHORT_S", 0.5)

    def slow(store: Store) -> Store:
        apply = store.apply

        async def apply_slowly(changes: Sequence[Change], next_case: int) -> Applied:
            store.apply = apply
            await asyncio.sleep(1)
            return await apply(changes, next_case)

        store.apply = apply_slowly
        return store

    due_ms = now_ms()
    await shard.write(("c1", make_case("c1", step=(due_ms, due_ms))))
    ownership = ProvenOwnership(shard.topics.cases)
    running = asyncio.create_task(shard.task(slow).run(ownership))
    await until(lambda: ownership.ready)
    ownership.end()
    await running


async def test_a_stop_that_comes_while_deadlines_are_read_is_applied_before_the_first_claim(
    shard: Shard, redis_url: str, prefix: str
) -> None:
    """At a rebuild that takes minutes: what came meanwhile is more than is read at a time."""
    await shard.write(("c0", make_case("c0", step=(0, 0))))
    async with shard.owner():
        await shard.deadlines(1)
    await empty(redis_url, prefix)
    due_ms = now_ms() + 3_000
    await shard.write(("stopped", make_case("stopped", step=(due_ms, due_ms))))

    def slow(store: Store) -> Store:
        acknowledge = store.acknowledge

        async def acknowledge_slowly(fired: Any, next_deadline: int | None = None) -> int:
            store.acknowledge = acknowledge
            others = ((f"c{n}", make_case(f"c{n}")) for n in range(1, 3 * task.APPLY_LIMIT))
            await shard.write(*others, ("stopped", make_case("stopped", revision=2)))
            await asyncio.sleep(max(0, due_ms - now_ms()) / 1000)
            return await acknowledge(fired, next_deadline)

        store.acknowledge = acknowledge_slowly
        return store

    ownership = ProvenOwnership(shard.topics.cases)
    running = asyncio.create_task(shard.task(slow).run(ownership))
    await until(lambda: ownership.ready)
    late_ms = now_ms()
    await shard.write(("last", make_case("last", step=(late_ms, late_ms))))
    assert [deadline.case_id for deadline in await shard.deadlines(2)] == ["c0", "last"]
    ownership.end()
    await running


async def test_an_idle_owner_is_awake_when_the_next_comes(shard: Shard) -> None:
    """It looks every half second here; what comes between is not late for that."""
    async with shard.owner():
        for number in range(5):
            due_ms = now_ms() + 700
            await shard.write((f"c{number}", make_case(f"c{number}", step=(due_ms, due_ms))))
            deadline = (await shard.deadlines(number + 1))[number]
            assert 0 <= deadline.late_ms < 300


async def test_what_was_published_and_not_acknowledged_does_not_come_again(
    shard: Shard,
) -> None:
    class Dies(Exception):
        pass

    due_ms = now_ms() - 1
    await shard.write(("c1", make_case("c1", response=(due_ms, due_ms))))

    def dying(store: Store) -> Store:
        async def acknowledge(fired: Sequence[Fired], next_deadline: int | None = None) -> int:
            raise Dies(fired, next_deadline)

        store.acknowledge = acknowledge
        return store

    with pytest.raises(Dies):
        await shard.task(dying).run(ProvenOwnership(shard.topics.cases))
    async with shard.owner():
        await shard.write(("c2", make_case("c2", response=(due_ms, due_ms))))
        found = await shard.deadlines(2)
    assert [deadline.deadline_id for deadline in found] == ["c1:response:1", "c2:response:1"]


async def test_a_new_owner_fences_the_old_one(shard: Shard) -> None:
    async with shard.owner() as former:
        async with shard.owner() as newer:
            due_ms = now_ms()
            await shard.write(("c1", make_case("c1", response=(due_ms, due_ms))))
            await shard.deadlines(1)
            await until(former.done)
            assert not newer.done()
        assert isinstance(former.exception(), FencedError)


async def test_an_emptied_redis_is_built_anew_from_the_log(
    shard: Shard, redis_url: str, prefix: str
) -> None:
    far_ms = now_ms() + 3_600_000
    await shard.write(("c1", make_case("c1", response=(far_ms, far_ms))))
    async with shard.owner() as owner:
        await empty(redis_url, prefix)
        await until(owner.done)
    assert isinstance(owner.exception(), OwnershipError)
    async with shard.owner():
        pass
    store = shard.store()
    await store.take_over()
    found = await store.peek()
    assert found is not None
    assert found[1].outlook() == (far_ms, 1)


async def test_what_fired_before_redis_was_emptied_does_not_fire_again(
    shard: Shard, redis_url: str, prefix: str
) -> None:
    past_ms, far_ms = now_ms(), now_ms() + 3_600_000
    async with shard.owner() as owner:
        await shard.write(
            ("c1", make_case("c1", response=(past_ms, far_ms))),
            ("c2", make_case("c2", response=(past_ms, past_ms + 1))),
        )
        await shard.deadlines(2)
        await empty(redis_url, prefix)
        await until(owner.done)
    async with shard.owner():
        await shard.write(("c3", make_case("c3", response=(past_ms, past_ms))))
        found = await shard.deadlines(3)
    assert {deadline.deadline_id for deadline in found[:2]} == {"c1:response:0.5", "c2:response:1"}
    assert found[2].deadline_id == "c3:response:1"


async def test_an_offset_older_than_tombstones_are_kept_means_a_shard_made_anew(
    shard: Shard, redis_url: str, prefix: str
) -> None:
    """The tombstone of c1 may be gone from the log, so only what is there counts."""
    far_ms = now_ms() + 3_600_000
    store = shard.store()
    await store.take_over()
    gone = read_change(
        b"c1",
        encode_case(make_case("c1", response=(far_ms, far_ms))),
        written_ms=0,
        partition=HOME,
        partitions=PARTITIONS,
    )
    await store.apply([gone], 0)
    week_ms = 7 * 24 * 3_600_000
    async with connect(redis_url) as redis:
        await redis.hset(f"{{{prefix}:t{HOME}}}:meta", "written", str(now_ms() - week_ms - 1_000))
    await shard.write(("c2", make_case("c2", response=(far_ms, far_ms + 1))))

    with pytest.raises(OwnershipError, match="tombstones"):
        await shard.task().run(ProvenOwnership(shard.topics.cases))
    async with shard.owner():
        pass
    assert (await shard.store().take_over()).standing == 1


async def test_a_redis_that_is_ahead_of_a_new_log_is_made_anew_from_it(shard: Shard) -> None:
    """Kafka was made anew, Redis was kept: its cases are of a log that is no more."""
    store = shard.store()
    await store.take_over()
    await store.apply([], 500)
    at_ms = now_ms()
    await shard.write(("c1", make_case("c1", step=(at_ms, at_ms + 1))))

    with pytest.raises(OwnershipError, match="the log ends at"):
        await shard.task().run(ProvenOwnership(shard.topics.cases))
    async with shard.owner():
        (deadline,) = await shard.deadlines(1)
    assert deadline.case_id == "c1"


async def test_bad_records_are_dead_letters_and_the_stream_goes_on(shard: Shard) -> None:
    due_ms = now_ms()
    elsewhere = next(
        site
        for site in (f"site-{number}" for number in range(100))
        if partition_of(site, PARTITIONS) != HOME
    )
    await shard.write(
        ("c0", b"not json"),
        ("c1", make_case("c1", site_id=elsewhere, response=(due_ms, due_ms))),
        ("c2", make_case("c2", response=(due_ms, due_ms))),
    )
    with capture_logs() as logs:
        async with shard.owner():
            (deadline,) = await shard.deadlines(1)
            letters = await shard.read(shard.topics.dead_letters, 2)
    assert deadline.case_id == "c2"
    told = [
        (line["reason"], line["topic"], line["partition"], line["offset"])
        for line in logs
        if line["event"] == "dead letter"
    ]
    assert told == [
        ("not_json", shard.topics.cases, HOME, 0),
        ("wrong_partition", shard.topics.cases, HOME, 1),
    ]
    assert [dict(letter.headers)["reason"] for letter in letters] == [
        b"not_json",
        b"wrong_partition",
    ]
    assert (letters[0].key, letters[0].value) == (b"c0", b"not json")


def environ_of(kafka: str, redis_url: str, prefix: str) -> dict[str, str]:
    return {
        "BAKVAKT_KAFKA": kafka,
        "BAKVAKT_REDIS": redis_url,
        "BAKVAKT_PREFIX": prefix,
        "BAKVAKT_PARTITIONS": str(PARTITIONS),
        "BAKVAKT_REPLICATION": "1",
        "BAKVAKT_SESSION_TIMEOUT_MS": "6000",
    }


@asynccontextmanager
async def serve(service: TimerService) -> AsyncGenerator[str]:
    """Its HTTP side alone; gives the URL."""
    async with serve_http(
        "127.0.0.1", 0, not_ready=service.not_ready, routes=service.routes()
    ) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def running(service: TimerService) -> AsyncGenerator[None]:
    stopping = asyncio.Event()
    task = asyncio.create_task(service.run(stopping))
    try:
        await until(lambda: not service.not_ready() or task.done())
        yield
    finally:
        stopping.set()
        await task


async def test_whoever_looks_is_told_what_fires_next_and_nothing_is_changed(
    shard: Shard, kafka: str, redis_url: str, prefix: str
) -> None:
    service = build(environ_of(kafka, redis_url, prefix))
    soon_ms, later_ms = now_ms() + 60_000, now_ms() + 120_000
    async with running(service), serve(service) as url, aiohttp.ClientSession() as session:

        async def told() -> Any:
            async with session.get(f"{url}/v1/clocks/next") as answer:
                assert answer.status == 200
                return (await answer.json())["next"]

        assert await told() is None
        await shard.write(
            ("c1", make_case("c1", response=(later_ms, later_ms))),
            ("c2", make_case("c2", processing=(soon_ms, later_ms))),
        )
        assert await conditions.until(told) == {
            "case_id": "c2",
            "clock": "processing",
            "share": "0.5",
            "event": "warning",
            "due_at": to_rfc3339(soon_ms),
            "grade": "A",
            "site_id": SITE,
        }


async def test_an_idle_owner_ends_at_once(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it would look no earlier than in ten seconds."""

    def ten_seconds(*_: object) -> float:
        return 10.0

    monkeypatch.setattr(pace.Watch, "pause_s", ten_seconds)
    ownership = ProvenOwnership(shard.topics.cases)
    running = asyncio.create_task(shard.task().run(ownership))
    await until(lambda: ownership.ready)
    await asyncio.sleep(0.2)  # it waits for Kafka
    began_s = asyncio.get_running_loop().time()
    ownership.end()
    await running
    assert asyncio.get_running_loop().time() - began_s < 3


async def test_however_many_look_no_owner_is_left_without_a_connection(
    shard: Shard, kafka: str, redis_url: str, prefix: str
) -> None:
    """Redis waits, so that all who look hold what they have."""

    def epochs(body: Any) -> list[int]:
        return [found["epoch"] for found in body["shards"]]

    service = build(environ_of(kafka, redis_url, prefix))
    async with running(service), serve(service) as url, aiohttp.ClientSession() as session:

        async def look(path: str) -> Any:
            async with session.get(url + path) as answer:
                return await answer.json()

        before = epochs(await look("/v1/shards"))
        async with connect(redis_url) as redis:
            await redis.execute_command("CLIENT", "PAUSE", "2500", "ALL")
        await asyncio.gather(*(look("/v1/clocks/coming") for _ in range(60)))
        assert service.not_ready() == []
        assert epochs(await look("/v1/shards")) == before


async def test_two_instances_share_the_shards_and_a_case_fires_once(
    shard: Shard, kafka: str, redis_url: str, prefix: str
) -> None:
    environ = environ_of(kafka, redis_url, prefix)
    one, other = build(environ), build(environ)
    assert one.not_ready() == ["Redis: not reached yet"]
    async with running(one):
        due_ms = now_ms() + 300
        far_ms = now_ms() + 3_600_000
        await shard.write(
            ("c1", make_case("c1", response=(due_ms, due_ms))),
            ("c2", make_case("c2", response=(far_ms, far_ms), processing=(far_ms, far_ms))),
        )
        await shard.deadlines(1)
        async with running(other):
            await until(
                lambda: REGISTRY.get_sample_value("bakvakt_timer_clocks_standing") == 2,
            )
            await shard.write(("c3", make_case("c3", response=(due_ms, due_ms))))
            found = await shard.deadlines(2)
    assert [deadline.deadline_id for deadline in found] == ["c1:response:1", "c3:response:1"]
    assert REGISTRY.get_sample_value("bakvakt_timer_clocks_standing") == 0

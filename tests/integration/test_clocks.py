"""What people see of the clocks, and a shard that is built anew while the timer runs."""

import asyncio
import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiokafka import TopicPartition
from prometheus_client import REGISTRY

from deploy.local.state import ROOT
from services.timer.api import ClockApi
from services.timer.main import TimerService, build
from services.timer.plan import Moment, Plan
from services.timer.records import Change
from services.timer.redis_server import RedisServer
from services.timer.stand import SERVING
from services.timer.store import Applied, Store
from services.timer.view import PAGE_CASES, Coming, ShardView, first_cases
from services.timer.wheel import WheelStore
from shared.documents.case import Case, encode_case
from shared.documents.deadline import Deadline, decode_deadline
from shared.http import serve_http
from shared.kafka.partition import partition_of
from shared.kafka.producer import FencedProducer, Outgoing
from shared.kafka.reader import Reader
from shared.kafka.topics import Topics, apply_topics
from shared.times import from_rfc3339, now_ms
from tests.conditions import until
from tests.integration.test_timer_task import (
    PARTITIONS,
    ProvenOwnership,
    Shard,
    environ_of,
    make_case,
    running,
    serve,
)

HOUR_MS = 3_600_000
WINDOW_MS = 1_048_576
SITES = [
    next(
        site
        for site in (f"site-{number}" for number in range(100))
        if partition_of(site, PARTITIONS) == partition
    )
    for partition in range(PARTITIONS)
]
FIRST, SECOND = "cfvnce4l4id2czoc", "c4nhp6d6aaaabbbb"


@pytest.fixture
async def server(redis_url: str) -> AsyncIterator[RedisServer]:
    made = RedisServer(redis_url, timeout_s=5, shards=PARTITIONS)
    yield made
    await made.close()


@pytest.fixture
async def topics(kafka: str, prefix: str) -> Topics:
    await apply_topics(kafka, prefix, partitions=PARTITIONS, replication=1)
    return Topics(prefix)


def plan_of(*ends_ms: int, desk: str = "north", site_id: str = "site-1") -> Plan:
    moments = sorted(
        (
            Moment(at_ms, f"clock-{number}", "1", "breach", at_ms)
            for number, at_ms in enumerate(ends_ms)
        ),
        key=lambda moment: moment.at_ms,
    )
    return Plan(1, min(ends_ms, default=0), "B", site_id, desk, tuple(moments))


async def stores(server: RedisServer, prefix: str, count: int) -> list[WheelStore]:
    made = [WheelStore(server.redis, prefix, partition) for partition in range(count)]
    for store in made:
        await store.take_over()
    return made


class World:
    """A timer, and what dispatch would tell it."""

    def __init__(
        self, kafka: str, url: str, topics: Topics, session: aiohttp.ClientSession
    ) -> None:
        self._kafka = kafka
        self._topics = topics
        self._session = session
        self.url = url

    async def write(self, *cases: Case | str) -> None:
        """Cases, in one transaction; of one that is gone, the id: its site is the first."""
        async with FencedProducer(self._kafka, f"{self._topics.prefix}.test") as producer:
            await producer.commit(self._record(case) for case in cases)

    def _record(self, case: Case | str) -> Outgoing:
        if isinstance(case, str):
            partition = partition_of(SITES[0], PARTITIONS)
            return Outgoing(self._topics.cases, partition, case.encode(), None)
        partition = partition_of(case.site_id, PARTITIONS)
        return Outgoing(self._topics.cases, partition, case.case_id.encode(), encode_case(case))

    async def get(self, path: str, status: int = 200) -> Any:
        async with self._session.get(self.url + path) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def post(self, path: str, status: int = 200) -> Any:
        async with self._session.post(self.url + path) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json()

    async def deadlines(self, *last: str) -> list[Deadline]:
        """All that are published, up to those of the last cases."""
        found: list[Deadline] = []
        places = {TopicPartition(self._topics.deadlines, at): None for at in range(PARTITIONS)}
        async with Reader(self._kafka, places) as reader, asyncio.timeout(30):
            while not set(last) <= {deadline.case_id for deadline in found}:
                records = await reader.read(timeout_ms=100)
                found += [decode_deadline(record.value or b"") for record in records]
        return found

    async def rebuild(self, shard: int) -> None:
        """Have a shard built anew, and wait until it is served again."""
        begun = await self.post(f"/v1/shards/{shard}/rebuild")

        async def served() -> bool:
            (found,) = (await self.get(f"/v1/shards?shard={shard}"))["shards"]
            return found["epoch"] > begun["epoch"] and found["doing"] == "serving"

        await until(served, what=f"shard {shard} is served again")


@asynccontextmanager
async def answering(server: RedisServer, prefix: str) -> AsyncGenerator[str]:
    """The timer's answers alone, of shards that nobody here owns; gives the URL."""
    views = [ShardView(server.redis, prefix, number) for number in range(PARTITIONS)]
    api = ClockApi(tuple, views, "cases")
    async with serve_http("127.0.0.1", 0, not_ready=list, routes=api.routes()) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def world(service: TimerService, kafka: str, topics: Topics) -> AsyncGenerator[World]:
    async with running(service), serve(service) as url, aiohttp.ClientSession() as session:
        yield World(kafka, url, topics, session)


async def clocks(*arguments: str, url: str) -> "subprocess.CompletedProcess[str]":
    """`bakvakt clocks` in a process of its own; there is no dispatch."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("BAKVAKT_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", "-m", "deploy.cli", "clocks", *arguments],
        env={
            **own,
            "PYTHONPATH": str(ROOT),
            "BAKVAKT_TIMER_URL": url,
            "BAKVAKT_URL": "http://127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("limit", [1, 7, 60, 500])
async def test_what_comes_first_is_found_wherever_it_stands(
    server: RedisServer, prefix: str, limit: int
) -> None:
    """In open windows, in later ones, in one that is half open, in several shards."""
    dice = random.Random(limit)  # noqa: S311 - no secret
    now = now_ms()
    spans_ms = (60_000, HOUR_MS, 24 * HOUR_MS, 30 * 24 * HOUR_MS)
    due: list[tuple[int, str]] = []
    for number, store in enumerate(await stores(server, prefix, 3)):
        changes = list[Change]()
        for case in range(100):
            at_ms = now + 1_000 + dice.randrange(dice.choice(spans_ms))
            due.append((at_ms, f"c{number}-{case}"))
            changes.append(Change(f"c{number}-{case}", 1, plan_of(at_ms)))
        await store.apply(changes, 1)
        if number > 0:
            await store.claim(1, now_ms=now)  # opens the first windows
    views = [ShardView(server.redis, prefix, number) for number in range(3)]
    found = await first_cases(views, limit)
    assert [(case.at_ms, case.case_id) for case in found] == sorted(due)[:limit]


@pytest.mark.parametrize("limit", [1, 300])
async def test_what_comes_first_of_a_window_of_very_many_is_found_a_page_at_a_time(
    server: RedisServer, prefix: str, limit: int
) -> None:
    dice = random.Random(limit)  # noqa: S311 - no secret
    begins_ms = (now_ms() // WINDOW_MS + 100) * WINDOW_MS
    due = [(begins_ms + dice.randrange(WINDOW_MS), f"c{number}") for number in range(5_000)]
    (store,) = await stores(server, prefix, 1)
    await store.apply([Change(case_id, 1, plan_of(at_ms)) for at_ms, case_id in due], 1)
    pages: list[int] = []

    class Paged(ShardView):
        async def window(self, *where: Any, **bound: Any) -> tuple[list[Coming], int]:
            cases, cursor = await super().window(*where, **bound)
            pages.append(len(cases))
            return cases, cursor

    found = await first_cases([Paged(server.redis, prefix, 0)], limit)
    assert [(case.at_ms, case.case_id) for case in found] == sorted(due)[:limit]
    assert len(pages) > 5_000 / PAGE_CASES / 2
    assert max(pages) < 2 * PAGE_CASES
    assert sum(pages) < 2_500, "what comes too late stays in Redis"


async def test_a_shard_is_looked_through_once_whatever_its_entries_are(
    server: RedisServer, prefix: str
) -> None:
    """Also those that are stored in several pieces, and those that have nothing to wait for."""
    now = now_ms()
    plans = {f"c{number}": plan_of(*range(now, now + number % 30)) for number in range(1_000)}
    (store,) = await stores(server, prefix, 1)
    await store.apply([Change(case_id, 1, plan) for case_id, plan in plans.items()], 1)
    view = ShardView(server.redis, prefix, 0)
    found: list[tuple[str, Plan]] = []
    at: int | None = 0
    while at is not None:
        page, at = await view.page(at)
        assert len(page) < 300
        found += page.items()
    assert len(found) == len(plans)
    assert dict(found) == plans
    assert await view.plans(["c7", "nobody"]) == {"c7": plans["c7"]}


async def test_clocks_are_listed_and_shown_from_every_shard(
    kafka: str, redis_url: str, prefix: str, topics: Topics
) -> None:
    now = now_ms()
    service = build(environ_of(kafka, redis_url, prefix))
    async with world(service, kafka, topics) as timer:
        await timer.write(
            make_case(FIRST, site_id=SITES[0], response=(now, now + HOUR_MS)),
            make_case(
                SECOND,
                site_id=SITES[1],
                response=(now + 60_000, now + 120_000),
                processing=(now + 90_000, now + 2 * HOUR_MS),
            ),
        )
        await until(lambda: _has_fired(timer, FIRST), what="the first warning")

        coming = await timer.get("/v1/clocks/coming?limit=3")
        assert [
            (found["case_id"], found["clock"], found["share"]) for found in coming["moments"]
        ] == [
            (SECOND, "response", "0.5"),
            (SECOND, "processing", "0.5"),
            (SECOND, "response", "1"),
        ]
        assert coming["not_served"] == []
        assert {found["shard"] for found in coming["moments"]} == {1}

        listed = await timer.get("/v1/clocks")
        assert {(found["case_id"], found["clock"]) for found in listed["clocks"]} == {
            (FIRST, "response"),
            (SECOND, "response"),
            (SECOND, "processing"),
        }
        assert listed["next"] is None
        assert listed["looked_at"] == 2
        for query, count in (
            (f"site_id={SITES[1]}", 2),
            (f"site_id={SITES[1]}&clock=response", 1),
            ("shard=0", 1),
            ("desk=nowhere", 0),
            ("grade=A", 3),
            ("grade=B", 0),
        ):
            found = await timer.get(f"/v1/clocks?{query}")
            assert len(found["clocks"]) == count, query
        for query in ("shard=2", "limit=0", "grade=E", "after=x", "after=9.0", "nonsense=1"):
            refused = await timer.get(f"/v1/clocks?{query}", 404 if query == "shard=2" else 400)
            assert refused["detail"]

        shown = await timer.get(f"/v1/cases/{FIRST}/clocks")
        assert (shown["shard"], shown["revision"], shown["doing"]) == (0, 1, "serving")
        assert shown["topic"] == topics.cases
        assert [(found["share"], found["fired"]) for found in shown["moments"]] == [
            ("0.5", True),
            ("1", False),
        ]
        # The clock is moved: what has fired stays, and is told as of another end.
        await timer.write(
            make_case(FIRST, revision=2, site_id=SITES[0], response=(now + 1, now + 3 * HOUR_MS))
        )

        async def moved() -> Any:
            shown = await timer.get(f"/v1/cases/{FIRST}/clocks")
            return shown if shown["revision"] == 2 else None

        shown = await until(moved)
        assert shown["moments"][0]["due_at"] is None
        assert shown["moments"][0]["version"] == now + HOUR_MS
        assert shown["moments"][0]["fired"]

        unknown = await timer.get("/v1/cases/cnobody/clocks", 404)
        assert "cnobody" in unknown["detail"]


async def _has_fired(timer: World, case_id: str) -> bool:
    if not await _is_known(timer, case_id):
        return False
    shown = await timer.get(f"/v1/cases/{case_id}/clocks")
    return any(moment["fired"] for moment in shown["moments"])


async def test_the_commands_tell_what_the_timer_keeps(
    kafka: str, redis_url: str, prefix: str, topics: Topics
) -> None:
    now = now_ms()
    service = build(environ_of(kafka, redis_url, prefix))
    async with world(service, kafka, topics) as timer:
        await timer.write(
            make_case(
                FIRST,
                site_id=SITES[0],
                response=(now + HOUR_MS, now + 2 * HOUR_MS),
                processing=(now + 30 * HOUR_MS, now + 60 * HOUR_MS),
            )
        )
        await until(lambda: _is_known(timer, FIRST))
        listed, counted, following, shown, rebuilt, unknown, elsewhere = await asyncio.gather(
            clocks("list", "--site", SITES[0], url=timer.url),
            clocks("list", "--json", "-n", "1", "--shard", "0", url=timer.url),
            clocks("next", "--json", url=timer.url),
            clocks("show", FIRST, url=timer.url),
            clocks("rebuild", "--shard", "1", url=timer.url),
            clocks("show", "caaaabbbbccccddd", url=timer.url),
            clocks("list", url="http://127.0.0.1:1"),
        )
    assert re.search(
        rf"^in 1 h 59 min .*{FIRST[:8]} +A +response +warning at 50 % in 59 min",
        listed.stdout,
        re.MULTILINE,
    )
    found = json.loads(counted.stdout)
    assert ([clock["clock"] for clock in found["clocks"]], found["more"]) == (["response"], True)
    assert "next" not in found, "it would lead past those that are not given"
    moments = json.loads(following.stdout)["moments"]
    assert [moment["share"] for moment in moments] == ["0.5", "1"] * 2
    assert "which is served" in shown.stdout
    assert re.search(r"response +warning at 50 % +in 59 min", shown.stdout)
    assert "No dispatch answers" in shown.stdout
    assert re.fullmatch(r"shard 1: built anew in [\d.]+ s, 0 clocks stand\n", rebuilt.stdout)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "No shard has clocks of the case caaaabbbbccccddd" in unknown.stderr
    assert elsewhere.returncode == 1
    assert "No timer answers at http://127.0.0.1:1" in elsewhere.stderr
    assert "Traceback" not in unknown.stderr + elsewhere.stderr


async def _is_known(timer: World, case_id: str) -> bool:
    listed = await timer.get("/v1/clocks")
    return any(found["case_id"] == case_id for found in listed["clocks"])


async def test_where_redis_is_away_that_is_said(prefix: str) -> None:
    server = RedisServer("redis://127.0.0.1:1/0", timeout_s=1, shards=1)
    async with answering(server, prefix) as url:
        said = await clocks("next", url=url)
    assert said.returncode == 1
    assert "The timer's Redis does not answer" in said.stderr


class Load:
    """Clocks that are set, moved and stopped, and come to their ends."""

    def __init__(self) -> None:
        self._dice = random.Random(6)  # noqa: S311 - no secret
        self.due: set[tuple[str, int]] = set()
        """(deadline_id, version) of all that must be published."""

    def batch(self, number: int) -> list[Case | str]:
        far_ms = now_ms() + HOUR_MS
        cases: list[Case | str] = []
        for at in range(20):
            case_id, site = f"c{number}-{at}", SITES[at % PARTITIONS]
            end_ms = now_ms() + self._dice.randrange(50, 2_500)
            if at == 0:  # stopped long before its end
                cases += [make_case(case_id, site_id=site, step=(far_ms, far_ms)), case_id]
                continue
            if at == 1:  # moved before its end
                cases.append(make_case(case_id, site_id=site, step=(far_ms, far_ms)))
            cases.append(make_case(case_id, revision=2, site_id=site, step=(end_ms, end_ms)))
            self.due.add((f"{case_id}:step:1", end_ms))
        return cases


async def test_a_shard_is_built_anew_under_load_and_nothing_is_lost_early_or_twice(
    kafka: str, redis_url: str, prefix: str, topics: Topics
) -> None:
    load = Load()
    service = build(environ_of(kafka, redis_url, prefix))
    async with world(service, kafka, topics) as timer:

        async def write() -> None:
            for number in itertools.count():
                if rebuilt.is_set():
                    return
                await timer.write(*load.batch(number))

        rebuilt = asyncio.Event()
        writing = asyncio.create_task(write())
        for number in range(6):
            await timer.rebuild(number % PARTITIONS)
        rebuilt.set()
        await writing
        last_ms = now_ms() + 3_500
        last = [f"last-{partition}" for partition in range(PARTITIONS)]
        ends = zip(last, SITES, strict=True)
        await timer.write(
            *(make_case(case_id, site_id=site, step=(last_ms, last_ms)) for case_id, site in ends)
        )
        found = await timer.deadlines(*last)
        shards = (await timer.get("/v1/shards"))["shards"]
    found = [deadline for deadline in found if deadline.case_id not in last]
    assert sorted((one.deadline_id, one.version) for one in found) == sorted(load.due)
    assert all(from_rfc3339(one.fired_at) >= one.version for one in found)
    assert [shard["standing"] for shard in shards] == [0, 0]


async def test_a_shard_that_nobody_serves_is_not_emptied(server: RedisServer, prefix: str) -> None:
    store = WheelStore(server.redis, prefix, 0)
    await store.take_over()
    await store.apply([Change("c1", 1, plan_of(now_ms() + HOUR_MS))], 1)
    async with answering(server, prefix) as url, aiohttp.ClientSession() as session:
        for shard, status in (("0", 409), ("1", 409), ("2", 404), ("x", 404)):
            async with session.post(f"{url}/v1/shards/{shard}/rebuild") as answer:
                assert answer.status == status
        await store.tell(SERVING)
        assert (
            await store.take_over()
        ).standing == 1  # by the next owner, who has not said that it serves
        async with session.post(f"{url}/v1/shards/0/rebuild") as answer:
            assert answer.status == 409
    view = ShardView(server.redis, prefix, 0)
    assert set(await view.plans(["c1"])) == {"c1"}


async def test_a_shard_that_is_being_built_anew_is_told_with_how_far_it_is(
    kafka: str, server: RedisServer, prefix: str, topics: Topics
) -> None:
    """To /readyz, and to whoever looks; from its second page on, too."""
    shard = Shard(kafka, server, prefix)
    far_ms = now_ms() + HOUR_MS
    await shard.write(("c1", make_case("c1", response=(far_ms, far_ms))))
    reached, go_on = asyncio.Event(), asyncio.Event()

    def waiting(store: Store) -> Store:
        acknowledge, apply = store.acknowledge, store.apply

        async def slow(changes: Sequence[Change], next_case: int) -> Applied:
            applied = await apply(changes, next_case)
            reached.set()
            await go_on.wait()
            return applied

        store.apply, store.acknowledge = slow, acknowledge
        return store

    ownership = ProvenOwnership(topics.cases)
    view = ShardView(server.redis, prefix, ownership.partition)
    before = REGISTRY.get_sample_value("bakvakt_timer_rebuild_seconds_count") or 0
    task = asyncio.create_task(shard.task(waiting).run(ownership))
    await reached.wait()
    assert re.fullmatch(
        r"being built anew: cases, (read up to offset \d+, )?to be read up to 2", ownership.doing
    )
    stand = await view.stand()
    assert stand.doing is not None
    assert (stand.doing.word, stand.doing.reading, stand.doing.until) == ("rebuilding", "cases", 2)
    assert (REGISTRY.get_sample_value("bakvakt_timer_rebuild_oldest_seconds") or 0) > 0
    go_on.set()
    await until(lambda: ownership.ready)
    assert (await view.stand()).doing == SERVING
    assert REGISTRY.get_sample_value("bakvakt_timer_rebuild_oldest_seconds") == 0
    assert REGISTRY.get_sample_value("bakvakt_timer_rebuild_seconds_count") == before + 1
    ownership.end()
    await task

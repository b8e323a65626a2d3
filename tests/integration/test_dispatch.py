"""Dispatch on real Kafka and PostgreSQL: faults and deadlines become cases and pages, once."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from services.dispatch.bell import Belfry
from services.dispatch.database import make_engine, parse_url
from services.dispatch.decision import Rules
from services.dispatch.main import build
from services.dispatch.migrations import migrate
from services.dispatch.relay import Relay
from services.dispatch.roster import load_roster
from services.dispatch.tables import metadata
from services.dispatch.task import Context, DispatchTask
from services.dispatch.webhook import LogOnly
from shared.errors import FencedError, OwnershipError
from shared.kafka.producer import FencedProducer, Outgoing
from shared.policy import load_policy
from tests.conditions import until
from tests.integration.dispatch_stage import (
    PARTITIONS,
    SITE_PARTITION,
    Stage,
    case_id,
    fault_now,
    next_revision,
    staged,
)
from tests.unit.dispatch_documents import make_deadline


@pytest.fixture
async def stage(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    async with staged(kafka, postgres_url, prefix) as made:
        yield made


async def test_fault_becomes_a_case_a_page_and_a_document(stage: Stage) -> None:
    fault = fault_now()
    async with stage.dispatch():
        await stage.publish(fault)
        await stage.paged(fault)
        case = await stage.newest(case_id(fault), "opened")
    assert (case.revision, case.state, case.fault_ids) == (1, "open", (fault.fault_id,))
    assert set(case.clocks) == {"response", "processing", "resolution", "step"}
    (page,) = stage.receiver.pages
    assert (page["case_id"], page["person"], page["grade"]) == (
        case.case_id,
        "Engineer on call",
        "A",
    )


async def test_deadlines_escalate_and_are_noted_once(stage: Stage) -> None:
    fault = fault_now()
    async with stage.dispatch():
        await stage.publish(fault)
        case = await stage.newest(case_id(fault), "opened")
        warning = make_deadline(case, "processing", "0.5")
        breach = make_deadline(case, "processing")
        step = make_deadline(case, "step")
        await stage.publish(warning, warning, breach, breach, step, step)
        await stage.paged(fault, 2)
        escalated = await stage.newest(case.case_id, "escalated")
        await stage.settled()
    assert (escalated.revision, escalated.breached, escalated.level) == (3, ("processing",), 2)
    assert [page["person"] for page in stage.receiver.pages] == [
        "Engineer on call",
        "Second engineer",
    ]
    log = await stage.rows("SELECT what FROM case_log ORDER BY id")
    assert [what for (what,) in log] == ["opened", "paged", "warning", "breached", "paged"]


async def test_replay_of_the_same_offsets_changes_nothing(stage: Stage) -> None:
    fault, other = fault_now(1), fault_now(2)
    cleared = next_revision(fault, "cleared", state="cleared", cleared_at=fault.last_at)
    tables = "SELECT doc::text FROM cases UNION ALL SELECT doc::text FROM faults"
    counts = "SELECT (SELECT count(*) FROM pages), (SELECT count(*) FROM case_log)"
    async with stage.dispatch():
        await stage.publish(fault, cleared, other)
        await stage.paged(other)
        await stage.settled()
    before = [sorted(await stage.rows(tables)), await stage.rows(counts), len(await stage.cases())]
    await stage.rows("UPDATE inputs SET next = 0")
    async with stage.dispatch():
        await until(lambda: stage.rows("SELECT 1 FROM inputs WHERE next >= 3"))
        await stage.settled()
    assert before == [
        sorted(await stage.rows(tables)),
        await stage.rows(counts),
        len(await stage.cases()),
    ]
    assert len(stage.receiver.pages) == 2


async def test_what_cannot_be_used_is_a_dead_letter_and_the_stream_goes_on(stage: Stage) -> None:
    fault = fault_now()
    misplaced = msgspec.structs.replace(fault_now(3), site_id="site-2")
    async with stage.dispatch():
        await stage.write(
            [
                Outgoing(stage.topics.faults, SITE_PARTITION, b"f1", b"no fault"),
                Outgoing(stage.topics.faults, SITE_PARTITION, b"f2", None),
            ]
        )
        await stage.publish(misplaced, fault)
        await stage.paged(fault)
        await stage.settled()
        letters = await stage.read(stage.topics.dead_letters)
    reasons = [dict(letter.headers)["reason"] for letter in letters]
    assert reasons == [b"not_json", b"wrong_partition"]
    assert (letters[0].key, letters[0].value) == (b"f1", b"no fault")
    assert dict(letters[0].headers)["topic"] == stage.topics.faults.encode()


async def test_rules_that_fail_too_often_stop_the_partition_before_anything_is_lost(
    stage: Stage,
) -> None:
    bad = [fault_now(number, clocks_from="9999-12-31T23:59:59.999Z") for number in range(101)]
    good = fault_now(200)

    async def stopped_again() -> bool:
        group = f"{stage.topics.prefix}.dispatch"
        series = f'bakvakt_task_restarts_total{{group="{group}",reason="rule_failed"}} '
        _, _, count = (await stage.metrics(url)).partition(series)
        return bool(count) and float(count.partition("\n")[0]) >= 2

    async with stage.dispatch() as url, aiohttp.ClientSession(url) as session:
        await stage.publish(*bad[:100])
        await until(lambda: stage.rows("SELECT 1 FROM inputs WHERE next >= 100"))
        await stage.settled()
        await stage.publish(bad[100], good)
        await until(stopped_again)
        async with session.get("/readyz") as response:
            assert response.status == 503
        letters = await stage.read(stage.topics.dead_letters)
    assert {dict(letter.headers)["reason"] for letter in letters} == {b"rule_failed"}
    assert len(letters) == 100
    assert await stage.rows("SELECT 1 FROM cases") == []
    async with stage.dispatch():  # as with a version that can judge them: these few pass
        await stage.paged(good)


async def test_failing_receiver_gets_the_same_page_again(stage: Stage) -> None:
    fault = fault_now()
    stage.receiver.answer = lambda _: 503 if len(stage.receiver.pages) == 1 else 204
    async with stage.dispatch():
        await stage.publish(fault)
        await stage.paged(fault)
    first, second = stage.receiver.pages
    assert first == second
    assert await stage.rows("SELECT attempts, last_error FROM pages") == [(2, None)]


async def test_slow_receiver_delays_no_other_fault(stage: Stage) -> None:
    slow, others = fault_now(1), [fault_now(number) for number in range(2, 8)]
    stage.receiver.hold = lambda page: page["emu_id"] == slow.emu_id
    async with stage.dispatch():
        await stage.publish(slow)
        await until(lambda: stage.receiver.steps(slow.emu_id))
        await stage.publish(*others)
        for fault in others:
            await stage.paged(fault)
            await stage.newest(case_id(fault), "opened")
        assert await stage.rows("SELECT count(*) FROM pages WHERE sent_ms IS NULL") == [(1,)]
        stage.receiver.release.set()
        await stage.paged(slow)


async def test_urgent_page_does_not_wait_for_a_flood_of_others(stage: Stage) -> None:
    others = [fault_now(number, grade="D") for number in range(20)]
    urgent = fault_now(20, grade="A")
    stage.receiver.hold = lambda page: page["grade"] == "D"
    async with stage.dispatch():
        await stage.publish(*others)
        await until(lambda: len(stage.receiver.pages) >= 6)
        await stage.publish(urgent)
        # The others are held until they have taken longer than a page may take, 5 s.
        await until(lambda: stage.receiver.steps(urgent.emu_id), timeout_s=3.0)
        assert [page["grade"] for page in stage.receiver.pages] == ["D"] * 6 + ["A"]
        stage.receiver.release.set()


async def test_gravest_page_goes_before_those_that_wait_longer(stage: Stage) -> None:
    others = [fault_now(number, grade="B") for number in range(30)]
    gravest = fault_now(30, grade="A")
    stage.receiver.hold = lambda _: True
    async with stage.dispatch():
        await stage.publish(*others)
        await until(lambda: len(stage.receiver.pages) == 8)
        await stage.publish(gravest)
        await until(lambda: stage.rows("SELECT 1 FROM pages WHERE grade = 'A'"))
        stage.receiver.release.set()
        await stage.settled()
    came = [page["grade"] for page in stage.receiver.pages]
    assert len(came) == 31
    assert came.index("A") < 16  # among the first that found a place


async def test_connections_that_are_cut_lose_nothing_and_page_nobody_twice(stage: Stage) -> None:
    first, second = fault_now(1), fault_now(2)
    stage.receiver.hold = lambda page: page["emu_id"] == first.emu_id
    async with stage.dispatch():
        await stage.publish(first)
        await until(lambda: stage.receiver.steps(first.emu_id))
        await stage.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await stage.publish(second)
        await stage.paged(second)
        await stage.newest(case_id(second), "opened")
        stage.receiver.release.set()
        await stage.paged(first)
    assert stage.receiver.steps(first.emu_id) == [1]


async def test_absent_server_is_waited_for(stage: Stage) -> None:
    absent = {**stage.environ, "BAKVAKT_POSTGRES": "postgresql://postgres@127.0.0.1:1/none"}
    service = build(absent)
    stopping = asyncio.Event()
    work = asyncio.create_task(service.run(stopping))
    await asyncio.sleep(0)
    assert service.not_ready() == ["PostgreSQL: not reached yet"]
    stopping.set()
    await work


async def test_former_owner_changes_nothing(stage: Stage) -> None:
    """Two tasks of one partition: whoever comes second with the same inputs writes nothing at all."""
    fault = fault_now()
    await stage.publish(fault)
    records = await stage.read(stage.topics.faults)
    engine = make_engine(parse_url(stage.postgres), "test")
    try:
        await migrate(engine)
        owner, zombie = (
            DispatchTask(context(stage, engine), SITE_PARTITION),
            DispatchTask(context(stage, engine), SITE_PARTITION),
        )
        await owner.open_inputs()
        await zombie.open_inputs()
        done = await asyncio.gather(
            owner.apply(records), zombie.apply(records), return_exceptions=True
        )
        assert [type(result) for result in done if result is not None] == [OwnershipError]
        counts = await stage.rows(
            "SELECT (SELECT count(*) FROM pages), (SELECT count(*) FROM case_log),"
            " (SELECT count(*) FROM outbox), (SELECT revision FROM cases)"
        )
        assert counts == [(1, 2, 1, 1)]
        await expect_fenced_relay(stage, engine)
    finally:
        await engine.dispose()


async def expect_fenced_relay(stage: Stage, engine: Any) -> None:
    transactional_id = f"{stage.topics.prefix}.dispatch.{stage.topics.faults}.{SITE_PARTITION}"

    def relay(producer: FencedProducer) -> Relay:
        return Relay(
            engine,
            stage.kafka,
            producer,
            topics=stage.topics,
            partition=SITE_PARTITION,
            bells=Belfry(),
        )

    async with (
        FencedProducer(stage.kafka, transactional_id) as former,
        FencedProducer(stage.kafka, transactional_id) as owner,
    ):
        with pytest.raises(FencedError):
            await relay(former).relay_some()
        assert await stage.cases() == []
        assert await relay(owner).relay_some() == 1
        assert await relay(owner).relay_some() == 0
    assert len(await stage.cases()) == 1


async def test_schema_of_the_migrations_is_that_of_the_tables(stage: Stage) -> None:
    engine = make_engine(parse_url(stage.postgres), "test")

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [
            difference
            for difference in compare_metadata(context, metadata)
            if "alembic_version" not in str(difference)
        ]

    try:
        await asyncio.gather(migrate(engine), migrate(engine))  # two instances start together
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await engine.dispose()


def context(stage: Stage, engine: Any) -> Context:
    return Context(
        kafka=stage.kafka,
        topics=stage.topics,
        partitions=PARTITIONS,
        engine=engine,
        rules=Rules(load_policy(None), load_roster(None)),
        delivery=LogOnly(),
        bells=Belfry(),
        url="http://here",
    )

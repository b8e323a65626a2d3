"""Deadlines on real Kafka and PostgreSQL: those that wait for their case, and those that are forgotten."""

from collections.abc import AsyncGenerator

import pytest
from msgspec.structs import replace

from services.dispatch.cases import judge_fault
from services.dispatch.database import make_engine, parse_url
from services.dispatch.decision import Rules
from services.dispatch.migrations import migrate
from services.dispatch.retention import KEPT_MS, Forgetting
from services.dispatch.roster import load_roster
from shared.documents.case import Case
from shared.documents.deadline import encode_deadline
from shared.documents.fault import Fault
from shared.policy import load_policy
from shared.times import DAY_MS, now_ms, to_rfc3339
from tests.conditions import until
from tests.integration.dispatch_stage import (
    SITE_PARTITION,
    Stage,
    case_id,
    fault_now,
    next_revision,
    staged,
)
from tests.unit.dispatch_documents import make_deadline

LOG = "SELECT what FROM case_log WHERE case_id = %s ORDER BY id"


@pytest.fixture
async def stage(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    async with staged(kafka, postgres_url, prefix) as made:
        yield made


def case_of(fault: Fault) -> Case:
    """The case that dispatch will open; its promises are those of the fault's own times."""
    rules = Rules(load_policy(None), load_roster(None))
    case = judge_fault(None, None, fault, rules, published_ms=now_ms(), now_ms=now_ms()).case
    assert case is not None
    return case


async def test_deadline_that_is_ahead_of_its_case_acts_once_when_the_case_is_written(
    stage: Stage,
) -> None:
    fault, other = fault_now(1), fault_now(2)
    warning = make_deadline(case_of(fault), "processing", "0.5")
    breach = make_deadline(case_of(fault), "processing")
    stale = replace(breach, version=breach.version + 1)
    async with stage.dispatch() as url:
        await stage.publish(warning, breach, breach, stale)
        await until(
            lambda: stage.rows("SELECT 1 FROM inputs WHERE topic LIKE '%%deadlines' AND next >= 4")
        )
        assert "bakvakt_dispatch_deadlines_parked 3.0" in await stage.metrics(url)
    async with stage.dispatch() as url:  # they wait in no process
        await stage.publish(other)
        await stage.paged(other)
        assert await stage.rows("SELECT count(*) FROM deadlines_parked") == [(3,)]
        await stage.publish(fault)
        case = await stage.newest(case_id(fault), "breached")
        assert (case.revision, case.breached) == (2, ("processing",))
        assert await stage.rows("SELECT 1 FROM deadlines_parked") == []
        await stage.publish(warning, breach)
        await until(
            lambda: stage.rows("SELECT 1 FROM inputs WHERE topic LIKE '%%deadlines' AND next >= 6")
        )
        await stage.settled()
        assert (await stage.newest(case_id(fault), "breached")).revision == 2
    noted = [what for (what,) in await stage.rows(LOG, case_id(fault))]
    assert noted == ["opened", "paged", "warning", "breached"]


async def test_parked_deadline_is_told_by_its_id_and_version_not_by_its_place(stage: Stage) -> None:
    """A topic that was made anew beside an old database gives the same places again."""
    other, fault = fault_now(1), fault_now(2)
    former = make_deadline(case_of(other), "processing")
    breach = make_deadline(case_of(fault), "processing")
    async with stage.dispatch():
        await stage.publish(former)
        await until(lambda: stage.rows("SELECT 1 FROM deadlines_parked"))
    await stage.rows("UPDATE inputs SET next = 0 WHERE topic LIKE '%%deadlines'")
    await stage.rows(
        "UPDATE deadlines_parked SET case_id = 'c1', deadline_id = 'c1:processing:1',"
        " version = version + 1, parked_ms = 7"
    )
    async with stage.dispatch():
        await stage.publish(breach)  # at the place behind
        await until(lambda: stage.rows("SELECT 1 FROM deadlines_parked HAVING count(*) = 3"))
        # It came again; and a revision of its fault that opens no case.
        await stage.rows("UPDATE deadlines_parked SET parked_ms = 8 WHERE parked_ms > 7")
        held = replace(
            fault, suppressed_by="maintenance", clocks_from=to_rfc3339(now_ms() - DAY_MS)
        )
        await stage.publish(former, breach, held)
        await stage.heard(fault)
        await until(
            lambda: stage.rows("SELECT 1 FROM inputs WHERE topic LIKE '%%deadlines' AND next >= 6")
        )
        assert await stage.rows("SELECT parked_ms FROM deadlines_parked ORDER BY 1") == [
            (7,),
            (8,),
            (8,),
        ]
        await stage.publish(next_revision(fault, "released"))  # with the times of its own
        case = await stage.newest(case_id(fault), "breached")
        assert case.breached == ("processing",)
        left = await stage.rows("SELECT case_id FROM deadlines_parked ORDER BY parked_ms")
        assert left == [("c1",), (case_id(other),)]


async def test_case_whose_newest_revisions_the_database_has_lost_goes_on_above_them(
    stage: Stage,
) -> None:
    """Or the timer would keep the lost one's clocks for ever, and nobody would be paged any more."""
    fault = fault_now()
    async with stage.dispatch():
        await stage.publish(fault)
        opened = await stage.newest(case_id(fault), "opened")
        lost = replace(make_deadline(opened, "step"), version=1, case_revision=7)
        await stage.publish(lost, lost)
        told = await until(lambda: newest_if(stage, opened.case_id, 8), what="revision 8")
        assert told == replace(opened, revision=8)
        await stage.publish(replace(make_deadline(told, "step"), case_revision=8))
        assert (await stage.newest(opened.case_id, "escalated")).revision == 9
    noted = [what for (what,) in await stage.rows(LOG, opened.case_id)]
    assert noted == ["opened", "paged", "restored", "paged"]


async def newest_if(stage: Stage, case_id: str, revision: int) -> Case | None:
    newest = [case for case in await stage.cases() if case.case_id == case_id][-1]
    return newest if newest.revision >= revision else None


async def test_deadlines_that_are_parked_stay_so_when_the_schema_changes(stage: Stage) -> None:
    one, other = (make_deadline(case_of(fault_now(number)), "processing") for number in (1, 2))
    engine = make_engine(parse_url(stage.postgres), "test")
    try:
        await migrate(engine, "0006")
        for offset, deadline in enumerate((one, other, one, one)):
            await stage.rows(
                'INSERT INTO deadlines_parked (partition, "offset", case_id, value, published_ms, parked_ms)'
                " VALUES (%s, %s, %s, %s, %s, %s)",
                SITE_PARTITION,
                offset,
                deadline.case_id,
                encode_deadline(deadline),
                1_000,
                2_000 - offset // 3,  # the last was first
            )
        await migrate(engine)
    finally:
        await engine.dispose()
    left = await stage.rows(
        'SELECT deadline_id, version, "offset", parked_ms FROM deadlines_parked ORDER BY "offset"'
    )
    assert left == [
        (other.deadline_id, other.version, 1, 2_000),
        (one.deadline_id, one.version, 3, 1_999),
    ]


async def test_only_what_can_never_act_again_is_forgotten(stage: Stage) -> None:
    standing, done = fault_now(1), fault_now(2)
    cleared = next_revision(done, "cleared", state="cleared", cleared_at=to_rfc3339(now_ms()))
    unknown = make_deadline(case_of(fault_now(3)), "processing")
    async with stage.dispatch():
        await stage.publish(standing, done)
        cases = [await stage.newest(case_id(fault), "opened") for fault in (standing, done)]
        await stage.publish(*(make_deadline(case, "processing") for case in cases), unknown)
        for case in cases:
            await stage.newest(case.case_id, "breached")
        await stage.publish(cleared)
        await stage.newest(case_id(done), "resolved")
        await stage.settled()
    engine = make_engine(parse_url(stage.postgres), "test")
    try:
        forgetting = Forgetting(engine, SITE_PARTITION)
        closed_at = now_ms()
        # As if a person had closed it.
        await stage.rows(
            "UPDATE cases SET state = 'closed',"
            " doc = jsonb_set(doc, '{milestones,closed_at}', to_jsonb(%s::text)) WHERE case_id = %s",
            to_rfc3339(closed_at),
            case_id(done),
        )
        assert await forgetting.forget_some(closed_at + KEPT_MS - DAY_MS) == 0
        assert (
            await Forgetting(engine, 1 - SITE_PARTITION).forget_some(closed_at + 2 * KEPT_MS) == 0
        )
        assert await forgetting.forget_some(closed_at + 2 * KEPT_MS) == 2
        assert await forgetting.forget_some(closed_at + 2 * KEPT_MS) == 0
    finally:
        await engine.dispose()
    left = await stage.rows("SELECT split_part(deadline_id, ':', 1) FROM deadlines_seen")
    assert left == [(case_id(standing),)]
    assert await stage.rows("SELECT 1 FROM deadlines_parked") == []
    assert await stage.rows("SELECT count(*) FROM cases") == [(2,)]

"""A fault that goes to another site, on real PostgreSQL: its two partitions may be of two instances."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest
from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.actions import NotAllowed
from services.dispatch.database import make_engine, parse_url
from services.dispatch.migrations import migrate
from services.dispatch.orders import Orders
from services.dispatch.task import DispatchTask
from shared.documents.case import Case, decode_case
from shared.documents.deadline import encode_deadline
from shared.documents.fault import Fault, encode_fault
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing
from tests.integration.dispatch_stage import (
    PARTITIONS,
    SITE_PARTITION,
    Stage,
    case_id,
    fault_now,
    http,
    staged,
)
from tests.integration.test_dispatch import context
from tests.unit.dispatch_documents import make_deadline
from tests.unit.test_dispatch_inbox import record

OLD_SITE, NEW_SITE = "site-1", "site-2"
NEW_PARTITION = partition_of(NEW_SITE, PARTITIONS)


@pytest.fixture
async def stage(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    assert NEW_PARTITION != SITE_PARTITION
    async with staged(kafka, postgres_url, prefix) as made:
        yield made


def gone(fault: Fault) -> Fault:
    return replace(fault, revision=fault.revision + 1, change="moved", state="closed")


def arrived(fault: Fault, site: str = NEW_SITE) -> Fault:
    return replace(
        fault,
        fault_id=f"f{fault.fault_id[2:]}x",
        revision=1,
        change="opened",
        site_id=site,
        moved_from=fault.fault_id,
        desk="north",
    )


async def publish(stage: Stage, fault: Fault) -> None:
    place = partition_of(fault.site_id, PARTITIONS)
    await stage.write([Outgoing(stage.topics.faults, place, b"", encode_fault(fault))])


async def stored(stage: Stage, fault: Fault) -> Case:
    ((doc,),) = await stage.rows("SELECT doc::text FROM cases WHERE case_id = %s", case_id(fault))
    return decode_case(doc)


@pytest.mark.parametrize("order", ["the old one first", "the new one first"])
async def test_a_case_moves_with_its_emu_and_nobody_is_paged_for_that(
    stage: Stage, order: str
) -> None:
    fault = fault_now()
    new = arrived(fault)
    halves = [gone(fault), new]
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(fault)
        await stage.paged(fault)
        for half in halves if order == "the old one first" else reversed(halves):
            await publish(stage, half)
            await stage.heard(half)
        old_case, case = await stored(stage, fault), await stored(stage, new)
        assert (old_case.change, old_case.merged_into) == ("moved", case.case_id)
        assert (case.state, case.desk, case.step) == ("open", "north", 1)
        status, refused = await ask(
            "POST", f"/v1/cases/{old_case.case_id}/acknowledge", {"by": "Ada"}
        )
        assert (status, case.case_id in refused["detail"]) == (409, True)
        late, due = make_deadline(old_case, "step"), make_deadline(case, "step")
        for deadline, place in ((late, SITE_PARTITION), (due, NEW_PARTITION)):
            await stage.write(
                [Outgoing(stage.topics.deadlines, place, b"", encode_deadline(deadline))]
            )
        await stage.paged(new, 2)
        status, _ = await ask("POST", f"/v1/cases/{case.case_id}/acknowledge", {"by": "Ada"})
        assert status == 200
        await stage.settled()
        sent = [decode_case(found.value or b"") for found in await stage.read(stage.topics.cases)]
    assert [(page["reason"], page["step"]) for page in stage.receiver.pages] == [
        ("opened", 1),
        ("escalated", 2),
    ]
    assert len({page["message_id"] for page in stage.receiver.pages}) == 2
    assert {found.case_id for found in sent} == {old_case.case_id}, "each case in its partition"
    assert sent[-1].merged_into == case.case_id


class TwoInstances:
    """A task of each partition, each as it would be in an instance of its own."""

    def __init__(self, stage: Stage, engine: AsyncEngine) -> None:
        self._topic = stage.topics.faults
        self._tasks = {
            place: DispatchTask(context(stage, engine), place)
            for place in (SITE_PARTITION, NEW_PARTITION)
        }
        self._offsets = dict.fromkeys(self._tasks, 0)
        self.orders = Orders(context(stage, engine))

    async def open(self) -> None:
        for task in self._tasks.values():
            await task.open_inputs()

    async def take_in(self, place: int, faults: Sequence[Fault]) -> None:
        """One transaction."""
        records = [
            record(
                encode_fault(fault),
                topic=self._topic,
                partition=place,
                offset=self._offsets[place] + number,
            )
            for number, fault in enumerate(faults)
        ]
        self._offsets[place] += len(records)
        await self._tasks[place].apply(records)

    async def take_over(self, fault: Fault, by: str) -> bool:
        """Whether it was not too late for that."""
        try:
            await self.orders.acknowledge(case_id(fault), by, None)
        except NotAllowed:
            return False
        return True


@pytest.fixture
async def two(stage: Stage) -> AsyncGenerator[TwoInstances]:
    engine = make_engine(parse_url(stage.postgres), "test")
    try:
        await migrate(engine)
        instances = TwoInstances(stage, engine)
        await instances.open()
        yield instances
    finally:
        await engine.dispose()


def swap(number: int) -> tuple[list[Fault], list[Fault], list[Fault], list[Fault]]:
    """Three EMUs of either site that change places: those here and there, and what they become."""
    here = [fault_now(number + place) for place in range(3)]
    there = [fault_now(number + place, site_id=NEW_SITE) for place in range(3, 6)]
    return here, there, [arrived(it) for it in here], [arrived(it, OLD_SITE) for it in there]


async def test_two_instances_that_see_both_faults_for_the_first_time_at_once_page_once(
    stage: Stage, two: TwoInstances
) -> None:
    for number in range(0, 120, 6):
        here, there, goes, comes = swap(number)
        await asyncio.gather(
            two.take_in(SITE_PARTITION, [*here, *reversed(comes)]),
            two.take_in(NEW_PARTITION, [*goes, *reversed(there)]),
        )
        await asyncio.gather(
            two.take_in(SITE_PARTITION, [gone(fault) for fault in here]),
            two.take_in(NEW_PARTITION, [gone(fault) for fault in there]),
        )
    await expect_one_page_each(stage, faults=120)


async def test_two_instances_that_move_cases_at_once_never_deadlock_and_nobody_loses_a_case(
    stage: Stage, two: TwoInstances
) -> None:
    for number in range(0, 120, 6):
        here, there, goes, comes = swap(number)
        await two.take_in(SITE_PARTITION, here)
        await two.take_in(NEW_PARTITION, there)
        *_, first, second = await asyncio.gather(
            two.take_in(SITE_PARTITION, [*reversed(comes), *map(gone, here)]),
            two.take_in(NEW_PARTITION, [*map(gone, there), *goes]),
            two.take_over(here[0], "Ada"),
            two.take_over(there[2], "Ada"),
        )
        for taken, fault in ((first, goes[0]), (second, comes[2])):
            assert (await stored(stage, fault)).assignee == ("Ada" if taken else None)
    await expect_one_page_each(stage, faults=120)
    merged = "SELECT count(*) FROM cases WHERE state = 'closed' AND doc ? 'merged_into'"
    assert await stage.rows(f"{merged} AND doc ->> 'merged_into' IS NOT NULL") == [(120,)]


async def expect_one_page_each(stage: Stage, *, faults: int) -> None:
    """The first page, and no other; and one case that is in work, where the fault is now."""
    assert await stage.rows("SELECT reason, count(*) FROM pages GROUP BY reason") == [
        ("opened", faults)
    ]
    assert await stage.rows(
        "SELECT moved_from IS NOT NULL, count(*) FROM faults JOIN cases USING (case_id)"
        " WHERE cases.state <> 'closed' GROUP BY 1"
    ) == [(True, faults)]

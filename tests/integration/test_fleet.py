"""The fleet in dispatch, on real Kafka and PostgreSQL: files in and out, facts first, records after them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import aiohttp
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.dispatch.bell import Belfry
from services.dispatch.database import make_engine, parse_url
from services.dispatch.fleet import Fleet, read_file
from services.dispatch.migrations import migrate
from services.dispatch.relay import Relay
from services.dispatch.teller import Teller
from shared.documents.answers import FleetChange
from shared.documents.emu import EmuRecord, decode_emu_record
from shared.documents.internal import Fact, decode_internal
from shared.kafka.partition import partition_of
from shared.kafka.producer import FencedProducer
from shared.times import DAY_MS, now_ms
from tests.conditions import until
from tests.integration.dispatch_stage import PARTITIONS, Stage, fault_now, http, staged
from tests.kafka_log import Record, read_topic

JSON_LINES = {"content-type": "application/x-ndjson"}
CSV = {"content-type": "text/csv"}
HERE, THERE = (
    next(f"site-{n}" for n in range(99) if partition_of(f"site-{n}", PARTITIONS) == partition)
    for partition in range(PARTITIONS)
)


@pytest.fixture
async def stage(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    async with staged(kafka, postgres_url, prefix) as made:
        yield made


def emu(number: int = 1, site_id: str = HERE, **says: Any) -> dict[str, Any]:
    return {"emu_id": f"emu-{number}", "site_id": site_id, **says}


def lines(*emus: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in emus)


async def imported(ask: Callable[..., Any], *emus: dict[str, Any], **query: str) -> dict[str, Any]:
    status, answer = await ask(
        "POST", "/v1/fleet", data=lines(*emus), headers=JSON_LINES, params={"by": "Ada", **query}
    )
    assert status == 200, answer
    return answer


async def facts(stage: Stage) -> list[Fact]:
    found = [decode_internal(record.value or b"") for record in await alarms(stage)]
    return [fact for fact in found if isinstance(fact, Fact)]


async def alarms(stage: Stage) -> list[Record]:
    return await read_topic(stage.kafka, stage.topics.alarms)


async def fleet_log(stage: Stage) -> list[Record]:
    return await read_topic(stage.kafka, stage.topics.fleet)


async def records(stage: Stage) -> list[EmuRecord]:
    return [decode_emu_record(record.value) for record in await fleet_log(stage) if record.value]


async def all_told(stage: Stage) -> None:
    """Return once nothing of the fleet waits to be told."""

    async def look() -> bool:
        return not await stage.rows(
            "SELECT id::text FROM outbox UNION ALL"
            " SELECT emu_id FROM news WHERE changed_ms IS NOT NULL OR waiting <> 0"
        )

    await until(look, what="all news told")


async def test_what_is_imported_is_told_once_and_the_same_file_changes_nothing(
    stage: Stage,
) -> None:
    file = [
        emu(1, customer_id="c-1", customer_name="Aurora", desk="europe", model="M1"),
        emu(2, THERE, state="commissioning", units=[{"component": "pcs", "type": "pcs"}]),
    ]
    async with stage.dispatch() as url, http(url) as ask:
        would = await imported(ask, *file, dry_run="true")
        assert (would["dry_run"], would["added"]) == (True, 2)
        assert (await ask("GET", "/v1/emus"))[1]["emus"] == []
        done = await imported(ask, *file)
        assert (done["added"], done["changed"], done["unchanged"]) == (2, 0, 0)
        await all_told(stage)
        again = await imported(ask, *file)
        assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 2)
        assert again["changes"] == []
        await all_told(stage)
        _, shown = await ask("GET", "/v1/emus/emu-1")
    assert shown["told"] is True
    assert shown["customer_name"] == "Aurora"
    assert sorted((record.emu_id, record.revision) for record in await records(stage)) == [
        ("emu-1", 1),
        ("emu-2", 1),
    ]
    told = {
        fact.record.emu_id: fact for fact in await facts(stage) if fact.site_id in {HERE, THERE}
    }
    assert told["emu-1"].record.desk == "europe"
    assert told["emu-1"].from_sites == ("unknown:emu-1",)
    assert await stage.rows("SELECT who, lines, added, changed FROM imports") == [("Ada", 2, 2, 0)]


async def test_a_changed_emu_has_its_next_revision_and_others_are_left_alone(stage: Stage) -> None:
    async with stage.dispatch() as url, http(url) as ask:
        await imported(ask, *(emu(number, desk="europe", area="north") for number in range(3)))
        done = await imported(ask, emu(1, firmware="2.0"))
        assert (done["changed"], done["unchanged"]) == (1, 0)
        assert done["changes"] == [
            {"emu_id": "emu-1", "revision": 2, "fields": {"firmware": [None, "2.0"]}}
        ]
        # What a file says of a site concerns all that stand there.
        done = await imported(ask, emu(1, desk="americas"))
        assert (done["changed"], done["sites"]) == (3, 1)
        await all_told(stage)
    newest = {record.emu_id: record for record in await records(stage)}
    assert {emu_id: record.revision for emu_id, record in newest.items()} == {
        "emu-0": 2,
        "emu-1": 3,
        "emu-2": 2,
    }
    assert {(record.desk, record.area) for record in newest.values()} == {("americas", "north")}


async def test_a_file_with_anything_wrong_changes_nothing_and_each_line_is_told(
    stage: Stage,
) -> None:
    async with stage.dispatch() as url, http(url) as ask:
        body = lines(
            emu(1),
            emu(2, state="gone", modle="M1"),
            emu(1),
            emu(3, desk="a"),
            emu(4, desk="b"),
            {"emu_id": ""},
        )
        status, answer = await ask(
            "POST", "/v1/fleet", data=body, headers=JSON_LINES, params={"by": "Ada"}
        )
        assert status == 400
        assert answer["error"] == "bad_file"
        told = [(problem["line"], problem["detail"]) for problem in answer["problems"]]
        assert [line for line, _ in told] == [2, 2, 3, 5, 6, 6]
        everything = "\n".join(detail for _, detail in told)
        for part in (
            "commissioning, in_service or retired",
            "modle",
            "in line 1 already",
            "line 4",
        ):
            assert part in everything
        for wrong, says in (
            ({"params": {"by": ""}}, "by:"),
            ({"params": {"by": "A", "dry_run": "yes", "x": "1"}}, "dry_run:"),
            ({"params": {"by": "A"}, "headers": {"content-type": "text/plain"}}, "content-type"),
        ):
            options: dict[str, Any] = {"data": body, "headers": JSON_LINES, **wrong}
            status, answer = await ask("POST", "/v1/fleet", **options)
            assert status == 400
            assert says in answer["detail"]
        assert (await ask("GET", "/v1/emus"))[1]["emus"] == []
        assert (await ask("GET", "/v1/emus/emu-1"))[0] == 404
    assert await facts(stage) == []
    assert await stage.rows("SELECT 1 FROM sites UNION SELECT 1 FROM imports") == []


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
async def test_what_is_exported_changes_nothing_when_it_is_imported(
    stage: Stage, file_format: str
) -> None:
    headers = CSV if file_format == "csv" else JSON_LINES
    async with stage.dispatch() as url, http(url) as ask:
        await imported(
            ask,
            emu(1, site_name='The "old" mill, north', customer_id="c", customer_name="Öl; AG"),
            emu(2, THERE, time_zone="Europe/Berlin", area="a", serial="0123", state="retired"),
            emu(3, units=[{"component": "bms/rack-1", "type": "rack", "rated_kwh": 107.5}]),
        )
        status, body = await ask_for_text(url, f"/v1/fleet?format={file_format}")
        assert status == 200
        assert len(body.splitlines()) == 3 + (file_format == "csv")
        status, answer = await ask(
            "POST", "/v1/fleet", data=body.encode(), headers=headers, params={"by": "Ada"}
        )
        assert status == 200, answer
        counts = [answer[name] for name in ("added", "changed", "unchanged", "sites", "customers")]
        assert counts == [0, 0, 3, 0, 0]
        assert (await ask("GET", "/v1/fleet?format=xml"))[0] == 400


async def ask_for_text(url: str, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession(url) as session, session.get(path) as response:
        return response.status, await response.text()


async def test_emus_are_listed_by_site_page_by_page(stage: Stage) -> None:
    async with stage.dispatch() as url, http(url) as ask:
        await imported(
            ask, emu(3), emu(1, THERE), emu(2, state="retired"), emu(4, THERE, state="retired")
        )

        async def listed(query: str) -> list[str]:
            found: list[str] = []
            after = ""
            while True:
                _, page = await ask("GET", f"/v1/emus?limit=2&{query}{after}")
                found += [each["emu"]["emu_id"] for each in page["emus"]]
                if page["next"] is None:
                    return found
                after = f"&after={page['next']}"

        by_site = {HERE: ["emu-2", "emu-3"], THERE: ["emu-1", "emu-4"]}
        assert await listed("") == [emu_id for site in sorted(by_site) for emu_id in by_site[site]]
        assert await listed(f"site_id={HERE}") == ["emu-2", "emu-3"]
        assert sorted(await listed("state=retired")) == ["emu-2", "emu-4"]
        status, answer = await ask("GET", "/v1/emus?state=gone&limit=0&after=%00&x=1")
        assert status == 400
        for name in ("state:", "limit:", "after:", "x:"):
            assert name in answer["detail"]


class Parts:
    """The parts of dispatch that tell news, each moved by hand."""

    def __init__(self, stage: Stage, engine: AsyncEngine) -> None:
        self._stage = stage
        self._engine = engine
        self._bells = Belfry()

    async def change(self, *emus: dict[str, Any]) -> FleetChange:
        fleet = Fleet(self._engine, PARTITIONS, self._bells)
        file = await read_file(lines(*emus), "jsonl")
        assert not file.problems
        return await fleet.change(file, "Ada", dry_run=False)

    def teller(self, site_id: str) -> Teller:
        return Teller(
            self._engine,
            self._stage.topics,
            partition=partition_of(site_id, PARTITIONS),
            partitions=PARTITIONS,
            bells=self._bells,
            turn=asyncio.Lock(),
        )

    async def relay(self, *site_ids: str) -> None:
        """The outboxes of these sites' partitions, until they are empty."""
        for site_id in site_ids:
            partition = partition_of(site_id, PARTITIONS)
            name = f"{self._stage.topics.prefix}.{partition}"
            async with FencedProducer(self._stage.kafka, name) as producer:
                relay = Relay(
                    self._engine,
                    self._stage.kafka,
                    producer,
                    topics=self._stage.topics,
                    partition=partition,
                    bells=self._bells,
                )
                while await relay.relay_some():
                    pass

    async def tell(self, *site_ids: str, at_ms: int | None = None) -> None:
        """Tell all that is new of these sites."""
        for site_id in site_ids:
            await self.teller(site_id).tell_some(at_ms or now_ms())
        await self.relay(HERE, THERE)
        await self.relay(HERE, THERE)


@pytest.fixture
async def parts(stage: Stage) -> AsyncGenerator[Parts]:
    engine = make_engine(parse_url(stage.postgres), "test")
    await migrate(engine)
    yield Parts(stage, engine)
    await engine.dispose()


async def test_the_record_goes_out_only_once_the_facts_of_all_partitions_have(
    stage: Stage, parts: Parts
) -> None:
    await parts.change(emu())
    await parts.tell(HERE)
    await parts.change(emu(site_id=THERE))
    assert await parts.teller(HERE).tell_some(now_ms()) == 0  # it is THERE's to tell
    assert await parts.teller(THERE).tell_some(now_ms()) == 1
    await parts.relay(THERE, THERE)
    assert [record.site_id for record in await records(stage)] == [HERE]
    await parts.relay(HERE)  # the fact for the old site was the last one
    assert [record.site_id for record in await records(stage)] == [HERE]
    await parts.relay(THERE)
    assert {record.site_id for record in await records(stage)} == {HERE, THERE}
    moved = [fact for fact in await facts(stage) if fact.record.revision == 2]
    assert {fact.site_id: fact.from_sites for fact in moved} == {HERE: (HERE,), THERE: (HERE,)}
    for record in await alarms(stage):
        fact = decode_internal(record.value or b"")
        assert isinstance(fact, Fact)
        assert partition_of(fact.site_id, PARTITIONS) == record.partition == fact.source.partition


async def test_facts_of_a_partition_have_their_numbers_in_order_without_a_hole(
    stage: Stage, parts: Parts
) -> None:
    await parts.change(*(emu(number) for number in range(20)))
    await parts.tell(HERE)
    await parts.change(*(emu(number, THERE) for number in range(0, 20, 3)))
    await parts.change(*(emu(number, model="M") for number in range(1, 20, 3)))
    await parts.tell(HERE, THERE)
    for partition in range(PARTITIONS):
        seqs = [
            fact.source.offset for fact in await facts(stage) if fact.source.partition == partition
        ]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_an_emu_that_was_unknown_is_taken_from_every_site_under_which_it_has_faults(
    stage: Stage,
) -> None:
    fault = fault_now()
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(fault)
        await stage.paged(fault)
        elsewhere = next(site for site in (HERE, THERE) if site != fault.site_id)
        await imported(ask, {"emu_id": fault.emu_id, "site_id": elsewhere})
        await all_told(stage)
    before = tuple(sorted((fault.site_id, f"unknown:{fault.emu_id}")))
    told = await facts(stage)
    assert {fact.from_sites for fact in told} == {before}
    assert sorted(fact.site_id for fact in told) == sorted((*before, elsewhere))


async def test_a_change_that_comes_while_the_facts_are_on_their_way_goes_out_once(
    stage: Stage, parts: Parts
) -> None:
    await parts.change(emu())
    await parts.teller(HERE).tell_some(now_ms())
    await parts.change(emu(model="M"))
    await parts.relay(HERE, THERE)
    assert await records(stage) == []  # that one is out of date, and the next has its own facts
    await parts.tell(HERE)
    (record,) = await records(stage)
    assert (record.revision, record.model) == (2, "M")


async def test_what_is_cut_off_anywhere_is_done_again_and_in_order(
    stage: Stage, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when Kafka has the facts, before that is written down: they come again under their numbers."""

    async def killed(*_: object) -> set[int]:
        raise ConnectionError("killed")

    await parts.change(emu())
    await parts.teller(HERE).tell_some(now_ms())
    with monkeypatch.context() as patch:
        patch.setattr("services.dispatch.relay.settle", killed)
        with pytest.raises(BaseException, match="killed"):
            await parts.relay(HERE, THERE)
    assert await records(stage) == []
    await parts.relay(HERE, THERE)
    await parts.relay(HERE, THERE)
    (record,) = await fleet_log(stage)
    assert record.value is not None
    own = [fact.source for fact in await facts(stage) if fact.site_id == HERE]
    assert len(own) > len(set(own))


async def test_the_old_copy_gets_its_tombstone_a_day_after_the_new_one_was_written(
    stage: Stage, parts: Parts
) -> None:
    async def tombstones() -> Sequence[tuple[int, bytes | None]]:
        await parts.relay(HERE, THERE)
        return [
            (record.partition, record.key)
            for record in await fleet_log(stage)
            if record.value is None
        ]

    moved_ms = now_ms()
    await parts.change(emu())
    await parts.tell(HERE)
    await parts.change(emu(site_id=THERE))
    await parts.tell(THERE)
    teller = parts.teller(HERE)
    assert await teller.remove_some(moved_ms + DAY_MS - 1) == 0
    assert await tombstones() == []
    assert await teller.remove_some(now_ms() + DAY_MS) == 1
    assert await teller.remove_some(now_ms() + DAY_MS) == 0
    assert await parts.teller(THERE).remove_some(now_ms() + 9 * DAY_MS) == 0
    assert await tombstones() == [(partition_of(HERE, PARTITIONS), b"emu-1")]


async def test_an_emu_that_is_back_before_its_copy_was_removed_keeps_it(
    stage: Stage, parts: Parts
) -> None:
    for site_id in (HERE, THERE, HERE):
        await parts.change(emu(site_id=site_id))
        await parts.tell(site_id)
    later_ms = now_ms() + DAY_MS
    assert await parts.teller(HERE).remove_some(later_ms) == 0
    assert await parts.teller(THERE).remove_some(later_ms) == 1
    await parts.relay(HERE, THERE)
    newest = {(record.partition, record.key): record.value for record in await fleet_log(stage)}
    here, there = (partition_of(site_id, PARTITIONS) for site_id in (HERE, THERE))
    assert decode_emu_record(newest[here, b"emu-1"] or b"").revision == 3
    assert newest[there, b"emu-1"] is None


async def test_no_copy_is_removed_while_the_record_waits_to_be_written(
    stage: Stage, parts: Parts
) -> None:
    await parts.change(emu())
    await parts.tell(HERE)
    await parts.change(emu(site_id=THERE))
    await parts.teller(THERE).tell_some(now_ms())
    await parts.relay(THERE, HERE)  # the last fact is gone, so the record is in THERE's outbox
    later_ms = now_ms() + 2 * DAY_MS
    assert await parts.teller(HERE).remove_some(later_ms) == 0
    await parts.relay(THERE)
    assert await parts.teller(HERE).remove_some(later_ms) == 1

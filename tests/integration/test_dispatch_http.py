"""What people do with cases over HTTP, on real Kafka and PostgreSQL."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from yarl import URL

from shared.documents.internal import Ruling, decode_internal
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing
from tests.conditions import until
from tests.integration.dispatch_stage import (
    PARTITIONS,
    SITE_PARTITION,
    Stage,
    case_id,
    fault_now,
    http,
    next_revision,
    staged,
)


@pytest.fixture
async def stage(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    async with staged(kafka, postgres_url, prefix) as made:
        yield made


async def test_case_is_acknowledged_resolved_and_closed(stage: Stage) -> None:
    fault = fault_now()
    path = f"/v1/cases/{case_id(fault)}"
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(fault)
        await stage.paged(fault)

        status, case = await ask("POST", f"{path}/acknowledge", {"by": "Ada", "note": "coming"})
        assert (status, case["state"], case["assignee"]) == (200, "acknowledged", "Ada")
        status, again = await ask("POST", f"{path}/acknowledge", {"by": "Ada"})
        assert (status, again) == (200, case)

        status, error = await ask("POST", f"{path}/close", {"by": "Ada"})
        assert (status, error["error"]) == (409, "not_allowed")
        status, error = await ask("POST", f"{path}/resolve", {"by": "Ada", "reason": "cooled"})
        assert (status, error["error"]) == (409, "not_allowed")
        assert '"ruling": "clear"' in error["detail"]

        body = {"by": "Ada", "reason": "cooled", "ruling": "clear"}
        status, case = await ask("POST", f"{path}/resolve", body)
        assert (status, case["state"]) == (200, "resolved")
        assert all(clock["stopped_at"] for clock in case["clocks"].values())
        await stage.newest(case_id(fault), "resolved")
        (ruling,) = [
            decode_internal(record.value or b"") for record in await stage.read(stage.topics.alarms)
        ]
        assert isinstance(ruling, Ruling)
        assert (ruling.emu_id, ruling.code, ruling.action, ruling.by, ruling.reason) == (
            fault.emu_id,
            fault.code,
            "clear",
            "Ada",
            "cooled",
        )
        assert (ruling.source.topic, ruling.source.offset) == ("dispatch", 1)

        cleared = next_revision(fault, "cleared", state="cleared", cleared_at=fault.last_at)
        await stage.publish(cleared)
        status, case = await ask("POST", f"{path}/close", {"by": "Ada", "reason": "done"})
        assert (status, case["state"]) == (200, "closed")

        status, shown = await ask("GET", path)
        assert status == 200
        assert shown["case"] == case
        assert [fault["fault_id"] for fault in shown["faults"]] == [fault.fault_id]
        assert [(entry["what"], entry["who"]) for entry in shown["log"]] == [
            ("opened", None),
            ("paged", None),
            ("acknowledged", "Ada"),
            ("resolved", "Ada"),
            ("closed", "Ada"),
        ]
        assert [page["attempts"] for page in shown["pages"]] == [1]


async def test_ruling_on_a_grade_goes_to_the_classifier_once_and_the_case_follows(
    stage: Stage,
) -> None:
    fault = fault_now()
    path = f"/v1/cases/{case_id(fault)}"
    body = {"by": "Ada", "grade": "C", "reason": "one string only"}
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(fault)
        await stage.paged(fault)
        for _ in range(2):  # the answer to the first one was lost
            status, case = await ask("POST", f"{path}/regrade", body)
            assert (status, case["grade"], case["revision"]) == (200, "A", 1)
        await stage.settled()
        (ruling,) = await rulings(stage)
        assert (ruling.action, ruling.grade, ruling.by, ruling.reason) == (
            "regrade",
            "C",
            "Ada",
            "one string only",
        )
        assert (ruling.emu_id, ruling.component, ruling.code, ruling.site_id) == (
            fault.emu_id,
            fault.component,
            fault.code,
            fault.site_id,
        )
        assert (ruling.source.topic, ruling.source.offset) == ("dispatch", 1)
        lower = next_revision(fault, "regraded", grade="C", grade_reason="ruled by Ada")
        await stage.publish(lower)
        after = await stage.newest(case_id(fault), "regraded")
        assert (after.grade, after.grade_worst, after.clocks) == (
            "C",
            "A",
            (await stage.cases())[0].clocks,
        )
        status, case = await ask("POST", f"{path}/regrade", body)
        assert (status, case["grade"]) == (200, "C")
        status, error = await ask("POST", f"{path}/regrade", {**body, "grade": "E"})
        assert (status, "grade:" in error["detail"]) == (400, True)
        _, shown = await ask("GET", path)
        await stage.settled()
        assert len(await rulings(stage)) == 1
    assert [(entry["what"], entry["who"]) for entry in shown["log"]] == [
        ("opened", None),
        ("paged", None),
        ("ruled", "Ada"),
        ("regraded", None),
        ("noted", "Ada"),
    ]
    assert [page["reason"] for page in stage.receiver.pages] == ["opened"]


async def test_lowering_a_hazard_and_detaching_what_stands_for_itself_are_refused(
    stage: Stage,
) -> None:
    hazard = fault_now(1, hazard=True, kind="fire")
    symptom = fault_now(2, cause_id=hazard.fault_id, rule="same rack")
    path = f"/v1/cases/{case_id(hazard)}"
    why = {"by": "Ada", "reason": "no fire"}
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(hazard, symptom)
        await stage.paged(hazard)
        await stage.heard(symptom)
        status, error = await ask("POST", f"{path}/regrade", {**why, "grade": "B"})
        assert (status, error["error"]) == (409, "not_allowed")
        assert "is a hazard (fire)" in error["detail"]
        status, error = await ask("POST", f"{path}/detach", {**why, "fault_id": hazard.fault_id})
        assert (status, "stands for itself" in error["detail"]) == (409, True)
        status, error = await ask("POST", f"{path}/detach", {**why, "fault_id": "f0"})
        assert (status, error["detail"]) == (404, "there is no fault f0")
        assert (await ask("POST", f"{path}/detach", why))[0] == 400
        assert await rulings(stage) == []
        status, _ = await ask("POST", f"{path}/detach", {**why, "fault_id": symptom.fault_id})
        assert status == 200
        await stage.settled()
        (ruling,) = await rulings(stage)
        assert (ruling.action, ruling.emu_id, ruling.grade) == ("detach", symptom.emu_id, None)
        alone = next_revision(symptom, "detached", cause_id=None)
        await stage.publish(alone)
        await stage.paged(alone)


async def test_case_without_a_fault_can_be_worked_on(stage: Stage) -> None:
    fault = fault_now()
    path = f"/v1/cases/{case_id(fault)}"
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(fault)
        await stage.paged(fault)
        await stage.rows("UPDATE cases SET doc = jsonb_set(doc, '{fault_ids}', '[]')")
        await stage.rows("DELETE FROM faults")
        status, case = await ask("POST", f"{path}/acknowledge", {"by": "Ada"})
        assert (status, case["state"]) == (200, "acknowledged")
        status, case = await ask("POST", f"{path}/resolve", {"by": "Ada", "reason": "done"})
        assert (status, case["state"]) == (200, "resolved")
        status, _ = await ask(
            "POST", f"{path}/regrade", {"by": "Ada", "reason": "why", "grade": "B"}
        )
        assert status == 409


async def test_tombstone_of_a_fault_takes_nothing_away(stage: Stage) -> None:
    """The classifier writes one 30 days after closing; what people did stays."""
    first, second = fault_now(1), fault_now(2)
    tombstone = Outgoing(stage.topics.faults, SITE_PARTITION, first.fault_id.encode(), None)
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(first)
        await stage.paged(first)
        await stage.write([tombstone])
        await stage.publish(second)
        await stage.paged(second)
        status, shown = await ask("GET", f"/v1/cases/{case_id(first)}")
        assert (status, shown["faults"][0]["fault_id"]) == (200, first.fault_id)
        assert await stage.read(stage.topics.dead_letters) == []


async def rulings(stage: Stage) -> list[Ruling]:
    """Those that the classifier is told, in their order."""
    alarms = [
        decode_internal(found.value or b"") for found in await stage.read(stage.topics.alarms)
    ]
    return [alarm for alarm in alarms if isinstance(alarm, Ruling)]


async def test_cases_are_listed_newest_first_page_by_page(stage: Stage) -> None:
    faults = [fault_now(number, grade="A" if number % 2 else "B") for number in range(5)]
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(*faults)
        for fault in faults:
            await stage.paged(fault)
        found: list[str] = []
        after = ""
        while True:
            status, answer = await ask("GET", f"/v1/cases?limit=2{after}")
            assert status == 200
            found += [case["case_id"] for case in answer["cases"]]
            if answer["next"] is None:
                break
            after = f"&after={answer['next']}"
        opened = {case_id(fault): fault.opened_at for fault in faults}
        assert sorted(found) == sorted(opened)
        assert [opened[name] for name in found] == sorted(opened.values(), reverse=True)

        _, answer = await ask("GET", "/v1/cases?state=open&grade=B")
        assert {case["grade"] for case in answer["cases"]} == {"B"}
        assert len(answer["cases"]) == 3
        _, answer = await ask("GET", "/v1/cases?state=closed")
        assert answer == {"cases": [], "faults": [], "next": None}


async def test_cases_are_found_by_states_grades_site_and_the_beginning_of_their_ids(
    stage: Stage,
) -> None:
    # Some sites share the partition of site-1, which is the only one that is written to here.
    elsewhere = next(
        name
        for name in (f"site-{number}" for number in range(2, 100))
        if partition_of(name, PARTITIONS) == SITE_PARTITION
    )
    faults = [fault_now(number, grade="ABC"[number % 3]) for number in range(8)]
    faults.append(fault_now(8, site_id=elsewhere))
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(*faults)
        for fault in faults:
            await stage.paged(fault)
        await ask("POST", f"/v1/cases/{case_id(faults[0])}/acknowledge", {"by": "Ada"})

        async def found(query: str) -> set[str]:
            status, answer = await ask("GET", f"/v1/cases?{query}")
            assert status == 200
            shown = {fault["fault_id"] for fault in answer["faults"]}
            cases = {case["case_id"] for case in answer["cases"]}
            assert {"c" + fault_id[1:] for fault_id in shown} == cases
            return cases

        every = {case_id(fault) for fault in faults}
        assert await found("state=open,acknowledged") == every
        assert await found("state=acknowledged,closed") == {case_id(faults[0])}
        assert await found("grade=A,C&site_id=site-1") == {
            case_id(fault) for fault in faults[:8] if fault.grade != "B"
        }
        assert await found(f"site_id={elsewhere}") == {case_id(faults[8])}
        assert await found("site_id=site-0") == set()
        for length in (1, 2, 3, 15, 16):
            beginning = case_id(faults[0])[:length]
            begins_so = {name for name in every if name.startswith(beginning)}
            assert await found(f"id={beginning}") == begins_so
            _, answer = await ask("GET", f"/v1/faults?id=f{beginning[1:]}")
            assert {fault["fault_id"][1:] for fault in answer["faults"]} == {
                name[1:] for name in begins_so
            }


async def test_fault_is_shown_with_the_case_that_it_is_in(stage: Stage) -> None:
    fault = fault_now(1)
    symptom = fault_now(2, cause_id=fault.fault_id, rule="same rack")
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(symptom, fault)
        await stage.paged(fault)
        status, shown = await ask("GET", f"/v1/faults/{fault.fault_id}")
        assert (status, shown["case_id"]) == (200, case_id(fault))
        assert shown["fault"]["code"] == fault.code
        _, shown = await ask("GET", f"/v1/faults/{symptom.fault_id}")
        assert (shown["fault"]["cause_id"], shown["case_id"]) == (fault.fault_id, None)
        for wrong in ("f0", "a%00b", "x" * 129):
            status, error = await ask("GET", URL(f"/v1/faults/{wrong}", encoded=True))
            assert (status, error["error"]) == (404, "not_found"), wrong
        status, error = await ask("GET", "/v1/faults?limit=x&code=1")
        assert status == 400
        for name in ("id:", "limit:", "code:"):
            assert name in error["detail"]


async def test_wrong_requests_say_everything_that_is_wrong(stage: Stage) -> None:
    fault = fault_now()
    path = f"/v1/cases/{case_id(fault)}"
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(fault)
        await stage.paged(fault)
        status, error = await ask(
            "POST", f"{path}/resolve", {"by": 1, "ruling": "regrade", "grade": "A"}
        )
        assert (status, error["error"]) == (400, "bad_request")
        for name in ("by:", "reason:", "ruling:", "grade:"):
            assert name in error["detail"]
        wrong = "state=open,lost&grade=E&limit=0&order=x&id=%00&site_id=%00"
        status, error = await ask("GET", f"/v1/cases?{wrong}")
        assert status == 400
        for name in ("state:", "grade:", "limit:", "order:", "id:", "site_id:"):
            assert name in error["detail"]
        for bad in (
            "no json",
            "[]",
            '{"by": "a\\u0000b"}',
            '{"by": "a\\u001b[2J"}',
            '{"by": "a\\u0085"}',
            '{"by": "a\\ud800"}',
            '{"by": " "}',
        ):
            status, _ = await ask(
                "POST",
                f"{path}/acknowledge",
                data=bad,
                headers={"content-type": "application/json"},
            )
            assert status == 400, bad
        # What a web page of somebody else could send without being asked.
        status, error = await ask(
            "POST",
            f"{path}/acknowledge",
            data='{"by": "Eve"}',
            headers={"content-type": "text/plain"},
        )
        assert (status, "content-type" in error["detail"]) == (400, True)
        assert (await ask("GET", "/v1/cases?limit=" + "1" * 5000))[0] == 400
        for after in ("c0", "", "a%00b", "x" * 129):
            status, error = await ask("GET", URL(f"/v1/cases?after={after}", encoded=True))
            assert (status, "after:" in error["detail"]) == (400, True), after
        for wrong in ("c0", "a%00b", "%ED%A0%80", "x" * 129):
            ill_formed = URL(f"/v1/cases/{wrong}", encoded=True)
            assert (await ask("GET", ill_formed))[0] == 404, wrong
            status, _ = await ask("POST", ill_formed / "acknowledge", {"by": "Ada"})
            assert status == 404, wrong
        _, shown = await ask("GET", path)
        assert shown["case"]["state"] == "open"


async def test_words_of_all_languages_are_kept_as_they_were_written(stage: Stage) -> None:
    words = "\u0645\u06cc\u200c\u0622\u06cc\u0645\u00a0\U0001f468\u200d\U0001f692\r\n\ta line of its own"
    fault = fault_now()
    path = f"/v1/cases/{case_id(fault)}"
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(fault)
        await stage.paged(fault)
        status, _ = await ask("POST", f"{path}/acknowledge", {"by": "Ada", "note": words})
        assert status == 200
        _, shown = await ask("GET", path)
        assert shown["log"][-1]["detail"] == words


async def test_revisions_of_a_case_come_to_kafka_in_their_order(stage: Stage) -> None:
    fault = fault_now()
    async with (
        stage.dispatch() as url,
        http(url) as ask,
        stage.dispatch() as other,
        http(other) as ask_other,
    ):
        await stage.publish(fault)
        await stage.paged(fault)
        path = f"/v1/cases/{case_id(fault)}/acknowledge"
        answers = await asyncio.gather(
            *(
                (ask, ask_other)[number % 2]("POST", path, {"by": f"P{number}"})
                for number in range(40)
            )
        )
        assert {status for status, _ in answers} == {200}
        await stage.settled()
        cases = await until(stage.cases)
    assert [case.revision for case in cases] == list(range(1, 42))


async def test_metrics_count_the_cases_by_state(stage: Stage) -> None:
    faults = [fault_now(number) for number in range(3)]
    async with stage.dispatch() as url, http(url) as ask:
        await stage.publish(*faults)
        for fault in faults:
            await stage.paged(fault)
        await ask("POST", f"/v1/cases/{case_id(faults[0])}/acknowledge", {"by": "Ada"})
        metrics = await stage.metrics(url)
    assert 'bakvakt_dispatch_cases{state="open"} 2.0' in metrics
    assert 'bakvakt_dispatch_cases{state="acknowledged"} 1.0' in metrics
    assert "bakvakt_dispatch_pages_pending 0.0" in metrics

"""The main job, end to end: an alarm on Kafka becomes a paged case with its deadlines."""

import asyncio
import json
import re
import shlex
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.servers import RunningServers
from deploy.local.state import ROOT
from shared.times import from_rfc3339, now_ms, to_rfc3339
from tests.acceptance.stack import Stack, started
from tests.acceptance.terminal import CTRL_C, LEAVE_SCREEN
from tests.at_once import NO_HOLDS
from tests.conditions import until
from tests.kafka_log import documents, read_topic

# An A that nobody acknowledges, in seconds instead of minutes: the same code, another policy.
POLICY = """
[grade.A]
response_s = 2
processing_s = 4
resolution_s = 8
step_s = 2
"""
CODE_A = "sunspec:701.Alrm.0"


@pytest.fixture(scope="module")
def stack(servers: RunningServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("main-job")
    policy = directory / "policy.toml"
    policy.write_text(POLICY + NO_HOLDS)
    with started(
        directory / "state", servers, f"t{uuid4().hex[:8]}", {"BAKVAKT_POLICY": str(policy)}
    ) as running:
        yield running


def report(emu_id: str, **fields: object) -> dict[str, Any]:
    return {
        "emu_id": emu_id,
        "site_id": f"site-of-{emu_id}",
        "code": "sunspec:203.Evt.2",  # C: its clocks are long
        "state": "raised",
        "at": to_rfc3339(now_ms()),
        **fields,
    }


async def case_of(stack: Stack, emu_id: str) -> dict[str, Any] | None:
    """The case of the EMU's only fault, with all that dispatch has on it."""
    for case in await stack.cases():
        if case["site_id"] == f"site-of-{emu_id}":
            return await stack.case(case["case_id"])
    return None


async def faults_of(stack: Stack, emu_id: str) -> list[dict[str, Any]]:
    faults = documents(await read_topic(stack.kafka, stack.topics.faults))
    return [fault for fault in faults if fault["emu_id"] == emu_id]


def pages_of(stack: Stack, emu_id: str) -> list[dict[str, Any]]:
    return [page["page"] for page in stack.pages() if page["page"]["emu_id"] == emu_id]


async def test_an_a_report_is_a_fault_a_case_and_a_page_within_2_s(stack: Stack) -> None:
    stack.send(report("emu-warm-up"))
    await until(lambda: pages_of(stack, "emu-warm-up"))

    sent_s = time.monotonic()
    stack.send(report("emu-a", code=CODE_A))
    (page,) = await until(lambda: pages_of(stack, "emu-a"))
    assert time.monotonic() - sent_s < 2

    (fault,) = await faults_of(stack, "emu-a")
    found = await case_of(stack, "emu-a")
    assert found is not None
    assert (fault["grade"], page["grade"], found["case"]["grade"]) == ("A", "A", "A")
    assert found["case"]["severity"] == "major"
    assert found["case"]["fault_ids"] == [fault["fault_id"]]
    assert page["case_id"] == found["case"]["case_id"]
    status = await asyncio.to_thread(stack.bakvakt.status)
    assert status["faults"]["A"] == 1
    assert status["cases"]["open"] >= 1
    assert status["clocks"] >= 3


async def test_one_report_delivered_ten_times_counts_once_and_the_clear_ends_the_clocks(
    stack: Stack,
) -> None:
    same = report("emu-same", boot="b1", seq=7)
    stack.send(*[same] * 10)
    await until(lambda: case_of(stack, "emu-same"))
    stack.send(report("emu-same", boot="b1", seq=8, state="cleared"))

    async def cleared() -> bool:
        return (await faults_of(stack, "emu-same"))[-1]["state"] == "cleared"

    await until(cleared)
    assert [fault["count"] for fault in await faults_of(stack, "emu-same")] == [1, 1]

    async def resolved() -> dict[str, Any] | None:
        found = await case_of(stack, "emu-same")
        return found if found and found["case"]["state"] == "resolved" else None

    found = await until(resolved)
    assert found["case"]["clocks"]
    assert all(clock["stopped_at"] for clock in found["case"]["clocks"].values())


async def test_an_a_that_nobody_acknowledges_warns_breaches_and_goes_to_the_next_person(
    stack: Stack,
) -> None:
    stack.send(report("emu-alone", code=CODE_A))
    found = await until(lambda: case_of(stack, "emu-alone"))
    case_id = found["case"]["case_id"]

    async def deadlines() -> dict[str, dict[str, Any]] | None:
        records = documents(await read_topic(stack.kafka, stack.topics.deadlines))
        ours = {d["deadline_id"]: d for d in records if d["case_id"] == case_id}
        return ours if f"{case_id}:processing:1" in ours else None

    fired = await until(deadlines)
    for share, event in (("0.5", "warning"), ("0.8", "warning"), ("1", "breach")):
        deadline = fired[f"{case_id}:processing:{share}"]
        assert deadline["event"] == event
        due_ms = from_rfc3339(found["case"]["clocks"]["processing"]["from"]) + float(share) * 4000
        assert from_rfc3339(deadline["due_at"]) == due_ms
        assert from_rfc3339(deadline["fired_at"]) >= due_ms
        assert deadline["version"] == from_rfc3339(found["case"]["clocks"]["processing"]["due"])

    async def escalated() -> list[dict[str, Any]] | None:
        pages = pages_of(stack, "emu-alone")
        return pages if len({page["person"] for page in pages}) >= 2 else None

    first, second, *_ = await until(escalated)
    assert (first["reason"], second["reason"]) == ("opened", "escalated")

    async def breach_noted() -> bool:
        log = (await stack.case(case_id))["log"]
        return any("processing" in str(entry) and "breach" in str(entry) for entry in log)

    await until(breach_noted)

    status, _ = await stack.act(case_id, "acknowledge", by="Ada")
    assert status == 200
    assert (await stack.case(case_id))["case"]["assignee"] == "Ada"


async def test_acknowledge_and_resolve_reach_the_fault_and_the_case_topic(stack: Stack) -> None:
    stack.send(report("emu-work"))
    found = await until(lambda: case_of(stack, "emu-work"))
    case_id = found["case"]["case_id"]

    status, answer = await stack.act(case_id, "resolve", by="Ada", reason="fixed")
    assert status == 409, "the alarm still stands"
    assert "ruling" in answer["detail"]
    status, _ = await stack.act(case_id, "acknowledge", by="Ada")
    assert status == 200
    status, _ = await stack.act(case_id, "resolve", by="Ada", reason="fixed", ruling="clear")
    assert status == 200

    async def ruled() -> bool:
        return (await faults_of(stack, "emu-work"))[-1]["state"] == "cleared"

    await until(ruled)

    async def published() -> bool:
        cases = documents(await read_topic(stack.kafka, stack.topics.cases))
        states = [case["state"] for case in cases if case["case_id"] == case_id]
        return states[-1] == "resolved" and "acknowledged" in states

    await until(published)
    cases = documents(await read_topic(stack.kafka, stack.topics.cases))
    revisions = [case["revision"] for case in cases if case["case_id"] == case_id]
    assert revisions == list(range(1, len(revisions) + 1))


async def test_a_bit_of_a_register_is_paged_and_its_end_resolves_the_case(stack: Stack) -> None:
    """Of a register that no catalogue has: an unknown code is a B, and no bit is lost."""
    words = {
        "type": "registers",
        "emu_id": "emu-bits",
        "site_id": "site-of-emu-bits",
        "at": to_rfc3339(now_ms()),
    }
    register = {"model": "acme-4711", "point": "Evt", "component": "bms"}
    stack.send({**words, "registers": [{**register, "bits": 0b1000}]})
    (page,) = await until(lambda: pages_of(stack, "emu-bits"))
    assert page["grade"] == "B"
    (fault,) = await faults_of(stack, "emu-bits")
    assert (fault["code"], fault["kind"]) == ("acme-4711.Evt.3", "other_alarm")

    stack.send({**words, "registers": [{**register, "bits": 0}]})

    async def resolved() -> bool:
        found = await case_of(stack, "emu-bits")
        return found is not None and found["case"]["state"] == "resolved"

    await until(resolved)


async def test_a_case_is_found_taken_explained_and_solved_from_the_terminal(stack: Stack) -> None:
    bakvakt = stack.bakvakt
    stack.send(report("emu-terminal", code=CODE_A, value=38, component="pcs"))
    found = await until(lambda: case_of(stack, "emu-terminal"))
    case_id, fault_id = found["case"]["case_id"], found["faults"][0]["fault_id"]
    await until(lambda: pages_of(stack, "emu-terminal"))

    listed = bakvakt("cases", "--grade", "A", "--site", "site-of-emu-terminal")
    assert listed.returncode == 0, listed.stderr
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith(case_id[:8])]
    for fact in (" A ", "open", "GROUND_FAULT", "site-of-emu-terminal emu-terminal pcs", "nobody"):
        assert fact in line

    refused = bakvakt("cases", "resolve", case_id, "--reason", "dried it", "--by", "Ada")
    assert refused.returncode == 1
    assert "The alarm still stands: GROUND_FAULT" in refused.stderr
    allowed = f"cases resolve {case_id} --reason 'dried it' --by Ada --clear"
    assert allowed in refused.stderr

    taken = bakvakt("cases", "acknowledge", case_id[:10], "--by", "Ada", "--note", "on my way")
    assert f"Case {case_id} (A) is acknowledged; Ada has it. Entered as Ada." in taken.stdout

    (record,) = [
        record
        for record in await read_topic(stack.kafka, stack.input)
        if b"emu-terminal" in (record.value or b"")
    ]
    explained = json.loads(bakvakt("explain", fault_id, "--json").stdout)
    (story,) = explained["faults"]
    assert (story["report"]["topic"], story["report"]["partition"], story["report"]["offset"]) == (
        stack.input,
        record.partition,
        record.offset,
    )
    assert story["report"]["reports"] == [json.loads(record.value or b"")]
    assert story["catalogue"]["row"]["kind"] == story["fault"]["kind"]
    assert story["catalogue"]["differences"] == []
    assert "basic functions cannot be realised" in story["grade_definition"]
    assert story["history"]["revisions"][0]["change"] == "opened"
    assert explained["case"]["case"]["case_id"] == case_id
    assert explained["case"]["pages"][0]["sent_at"]

    solved = bakvakt(*shlex.split(allowed))
    assert f"Case {case_id} (A) is resolved" in solved.stdout, solved.stderr

    async def cleared() -> bool:
        return (await stack.case(case_id))["faults"][0]["state"] == "cleared"

    await until(cleared)
    text = bakvakt("explain", case_id[:8]).stdout
    for fact in (
        f"{stack.input}, partition {record.partition}, offset {record.offset}",
        "Insulation or ground fault",
        "2 of 2 still in",
        "on my way",
        "dried it",
    ):
        assert fact in text
    shown = bakvakt("cases", "show", case_id).stdout
    assert re.search(r"State +resolved", shown)
    assert f"bakvakt cases close {case_id[:8]}" in shown


async def test_the_screen_shows_from_outside_what_stands_and_ctrl_c_ends_it_alone(
    stack: Stack,
) -> None:
    stack.send(report("emu-seen", code=CODE_A))
    found = await until(lambda: case_of(stack, "emu-seen"))
    await until(lambda: pages_of(stack, "emu-seen"))
    await stack.act(found["case"]["case_id"], "acknowledge", by="Grace")
    title = found["faults"][0]["title"]
    with stack.bakvakt.on_terminal("status", "--watch", width=140, height=40) as terminal:

        def seen() -> bool:
            screen = terminal.screen()
            return f" {title} " in screen and "acknowledged by Grace" in screen

        terminal.until(seen)
        # The clocks of what the other tests have left open; and two looks tell a rate.
        terminal.until(lambda: " a second" in terminal.screen() and " next  " in terminal.screen())
        for expected in ("all ready", "acknowledged", "lag 0", stack.kafka, stack.url("dispatch")):
            assert expected in terminal.screen()
        terminal.type(CTRL_C)
        assert terminal.exit_status() == 0
        assert terminal.mode() == terminal.mode_before
        assert LEAVE_SCREEN in terminal.output
    assert await stack.ready("dispatch")


async def test_the_screen_for_programs_is_a_line_of_json_a_second(stack: Stack) -> None:
    stack.send(report("emu-line"))
    (page,) = await until(lambda: pages_of(stack, "emu-line"))
    watching = await asyncio.create_subprocess_exec(
        *(ROOT / "bakvakt", "status", "--watch", "--json"),
        env=stack.bakvakt.environment,
        stdout=asyncio.subprocess.PIPE,
    )
    assert watching.stdout is not None
    first, second = [json.loads(await watching.stdout.readline()) for _ in range(2)]
    watching.terminate()
    assert await watching.wait() == 0

    assert set(first) > set(await asyncio.to_thread(stack.bakvakt.status))
    assert from_rfc3339(second["at"]) > from_rfc3339(first["at"])
    assert (first["alarms_per_s"], second["running"]) == (None, True)
    assert second["clocks"] >= 3
    assert second["next_clock"]["case_id"]
    shown = {found["case_id"]: found for found in second["pages"]}[page["case_id"]]
    assert (shown["title"], shown["case_state"]) == (page["title"], "open")


async def test_bad_input_is_a_dead_letter_and_the_stream_goes_on(stack: Stack) -> None:
    stack.send('{"emu_id": ', report("emu-\x01"), {"type": "song"}, report("emu-good"))
    await until(lambda: case_of(stack, "emu-good"))
    letters = await read_topic(stack.kafka, stack.topics.dead_letters)
    reasons = {dict(letter.headers)["reason"].decode() for letter in letters}
    assert reasons == {"not_json", "invalid", "unknown_type"}

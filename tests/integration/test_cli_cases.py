"""The commands' side of dispatch's API, against a real dispatch."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from deploy.cli.dispatch_api import DEFAULT_URL, ApiError, DispatchApi, local_url, named_url
from deploy.local.process import ProcessIdentity, boot_id
from deploy.local.state import ROOT, ChildRecord, State, StateDirectory
from shared.http import serve_http
from tests.integration.dispatch_stage import Stage, case_id, fault_now, staged


@pytest.fixture
async def stage(kafka: str, postgres_url: str, prefix: str) -> AsyncGenerator[Stage]:
    async with staged(kafka, postgres_url, prefix) as made:
        yield made


@asynccontextmanager
async def asking(url: str) -> AsyncGenerator[DispatchApi]:
    async with aiohttp.ClientSession() as session:
        yield DispatchApi(url, session)


async def test_ids_may_be_shortened_as_long_as_only_one_begins_so(stage: Stage) -> None:
    faults = [
        fault_now(1, fault_id="faaaabbbbccccddd", title="Ground fault"),
        fault_now(2, fault_id="faaaabbbbccccdde"),
        fault_now(3, fault_id="faaazzzzzzzzzzzz"),
    ]
    async with stage.dispatch() as url, asking(url) as api:
        await stage.publish(*faults)
        for fault in faults:
            await stage.paged(fault)
        assert await api.find_case("caaaz") == case_id(faults[2])
        assert await api.find_fault("faaaz") == faults[2].fault_id
        assert await api.find_case(case_id(faults[0])) == case_id(faults[0])
        for find, text in ((api.find_case, "caaaabbbb"), (api.find_fault, "faaaabbbb")):
            with pytest.raises(ApiError) as ambiguous:
                await find(text)
            said = str(ambiguous.value)
            assert f"begins with {text}" in said
            for fault in faults[:2]:
                assert text[0] + fault.fault_id[1:] in said
            assert "Ground fault" in said
            assert "zzzz" not in said
        with pytest.raises(ApiError, match="No case's id begins with c222"):
            await api.find_case("c222")
        for wrong in ("caa", "", "caaa%2e", "../case", "c\x1b[2J"):
            with pytest.raises(ApiError, match=r"too short|letters and digits only"):
                await api.find_case(wrong)


async def test_long_lists_are_read_page_by_page(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.cli.dispatch_api.LONGEST_LIST", 2)
    faults = [fault_now(number) for number in range(5)]
    async with stage.dispatch() as url, asking(url) as api:
        await stage.publish(*faults)
        for fault in faults:
            await stage.paged(fault)
        found = await api.list_cases({"state": "open"}, 4)
        assert len({case.case_id for case in found.cases}) == 4
        assert {fault.fault_id for fault in found.faults} == {
            case.fault_ids[0] for case in found.cases
        }
        assert found.next is not None
        found = await api.list_cases({"state": "open"}, 100)
        assert {case.case_id for case in found.cases} == {case_id(fault) for fault in faults}
        assert found.next is None


async def test_refusals_are_a_sentence_with_what_to_do(stage: Stage) -> None:
    fault = fault_now()
    async with stage.dispatch() as url, asking(url) as api:
        await stage.publish(fault)
        await stage.paged(fault)
        with pytest.raises(ApiError, match=r"^There is no case c0+; see: bakvakt cases"):
            await api.case_file("c" + "0" * 15)
        with pytest.raises(ApiError, match=r"^There is no fault f0+$"):
            await api.fault_file("f" + "0" * 15)
        with pytest.raises(ApiError, match=r"^Case .* is open; resolve it before") as refused:
            await api.order(case_id(fault), "close", {"by": "Ada", "reason": None})
        assert refused.value.status == 409


async def test_the_command_that_would_be_allowed_asks_the_same_dispatch_in_the_same_form(
    stage: Stage,
) -> None:
    fault = fault_now()
    async with stage.dispatch() as url:
        await stage.publish(fault)
        await stage.paged(fault)
        resolve = ("resolve", case_id(fault), "--reason", "dried it", "--by", "Ada")
        refused = await cases(*resolve, "--url", url, "--json")
        assert refused.returncode == 1
        program, *allowed = shlex.split(refused.stderr.splitlines()[-1])
        assert (program, allowed[0]) == ("bakvakt", "cases")
        solved = await cases(*allowed[1:])
        assert solved.returncode == 0, solved.stderr
        assert json.loads(solved.stdout)["state"] == "resolved"


async def test_a_case_is_not_taken_from_a_colleague_unawares(stage: Stage) -> None:
    fault = fault_now()
    async with stage.dispatch() as url:
        await stage.publish(fault)
        await stage.paged(fault)
        take = ("acknowledge", case_id(fault), "--url", url, "--by")
        assert (await cases(*take, "Ada")).returncode == 0
        assert (await cases(*take, "Ada")).returncode == 0, "it is hers already"
        refused = await cases(*take, "Bob")
        assert refused.returncode == 1
        assert refused.stderr.startswith("Ada has it since ")
        async with asking(url) as api:
            assert (await api.case_file(case_id(fault))).case.assignee == "Ada"
        taken = await cases(*shlex.split(refused.stderr.splitlines()[-1])[2:])
        assert "Bob has it" in taken.stdout, taken.stderr
        assert "Taken over from Ada." in taken.stdout


async def test_a_grade_is_ruled_and_a_symptom_detached_from_the_terminal(stage: Stage) -> None:
    fault = fault_now(1)
    symptom = fault_now(2, cause_id=fault.fault_id)
    async with stage.dispatch() as url:
        await stage.publish(fault, symptom)
        await stage.paged(fault)
        await stage.heard(symptom)
        said = ("--by", "Ada", "--reason", "one string only", "--url", url)
        ruled = await cases("regrade", case_id(fault)[:8], "--grade", "b", *said)
        assert ruled.returncode == 0, ruled.stderr
        assert "Grade B is asked for; the case follows in a moment." in ruled.stdout
        wrong = await cases("regrade", case_id(fault), "--grade", "E", *said)
        assert (wrong.returncode, "there are A, B, C, D" in wrong.stderr) == (2, True)
        free = await cases("detach", case_id(fault), "--fault", symptom.fault_id[:8], *said)
        assert f"Fault {symptom.fault_id} is to stand for itself" in free.stdout, free.stderr
        refused = await cases("detach", case_id(fault), "--fault", fault.fault_id, *said)
        assert refused.returncode == 1
        assert f"Fault {fault.fault_id} stands for itself" in refused.stderr
        shown = await cases("show", case_id(fault), "--url", url)
        assert "regrade A to B: one string only" in shown.stdout


async def cases(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """`cases` in a process of its own, with no other settings; the dispatch of the test goes on."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("BAKVAKT_")}
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-P", "-m", "deploy.cli", "cases", *arguments],
        env={**own, "PYTHONPATH": str(ROOT), **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


async def test_whoever_does_not_answer_as_dispatch_does_is_named() -> None:
    async with asking("http://127.0.0.1:1") as api:
        with pytest.raises(
            ApiError, match=r"No dispatch answers at http://127\.0\.0\.1:1 .*refused"
        ):
            await api.list_cases({}, 1)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>", content_type="text/html")

    routes = [web.get("/v1/cases", answer)]
    async with (
        serve_http("127.0.0.1", 0, not_ready=list, routes=routes) as port,
        asking(f"http://127.0.0.1:{port}") as api,
    ):
        with pytest.raises(ApiError, match=r"not as this version's dispatch does \(200, text/html"):
            await api.list_cases({}, 1)
        with pytest.raises(ApiError, match=r"\(404, text/plain"):
            await api.fault_file("f" + "0" * 15)


async def test_an_order_without_an_answer_may_have_been_done() -> None:
    async def break_off(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    routes = [web.post("/v1/cases/{id}/close", break_off), web.get("/v1/cases", break_off)]
    async with (
        serve_http("127.0.0.1", 0, not_ready=list, routes=routes) as port,
        asking(f"http://127.0.0.1:{port}") as api,
    ):
        with pytest.raises(ApiError, match=r"not known whether .* cases show c123; doing it again"):
            await api.order("c123", "close", {"by": "Ada"})
        with pytest.raises(ApiError, match="No dispatch answers"):
            await api.list_cases({}, 1)
    async with asking("http://127.0.0.1:1") as api:
        with pytest.raises(ApiError, match="No dispatch answers"):
            await api.order("c123", "close", {"by": "Ada"})


def test_dispatch_is_where_it_is_named_else_where_up_has_started_it(tmp_path: Path) -> None:
    environ = {"BAKVAKT_STATE": str(tmp_path), "BAKVAKT_URL": "https://elsewhere/bakvakt/"}
    assert named_url("http://here:1/", environ) == "http://here:1"
    assert named_url(None, environ) == "https://elsewhere/bakvakt"
    assert named_url(None, {}) is None
    with pytest.raises(ApiError, match="write one such as"):
        named_url("here:8080", environ)

    assert local_url(environ) == DEFAULT_URL
    directory = StateDirectory(tmp_path)
    (tmp_path / "run").mkdir()
    directory.write(
        State(
            boot_id=boot_id(),
            supervisor=ProcessIdentity.own(),
            ready=True,
            kafka="",
            redis="",
            postgres="",
            children=[child("dispatch", None), child("dispatch-2", ProcessIdentity.own())],
        )
    )
    assert local_url(environ) == "http://127.0.0.1/dispatch-2", "the other one is not running"


def child(name: str, process: ProcessIdentity | None) -> ChildRecord:
    return ChildRecord(
        name=name,
        kind="service",
        service="dispatch",
        url=f"http://127.0.0.1/{name}",
        port=None,
        process=process,
        stop_signal=signal.SIGTERM,
    )

"""kill -9 of each service under load: nothing lost, nothing decided twice."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.servers import RunningServers
from shared.times import now_ms, to_rfc3339
from tests.acceptance.stack import Stack, started
from tests.conditions import until
from tests.kafka_log import documents, read_topic

ALARMS = 2000
SERVICES = ("ingest", "classifier", "dispatch", "timer")
# "each up again within 20 s"
BACK_WITHIN_S = 20
# The first trailing revision comes a minute after the fault was opened.
COUNTED_WITHIN_S = 70


@pytest.fixture
def stack(servers: RunningServers, tmp_path: Path) -> Iterator[Stack]:
    with started(tmp_path / "state", servers, f"t{uuid4().hex[:8]}", {}) as running:
        yield running


def reports(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {
            "emu_id": f"emu-{number}",
            "site_id": f"site-{number % 97}",
            "code": "sunspec:203.Evt.2",
            "state": "raised",
            "at": to_rfc3339(now_ms()),
            "boot": "b1",
            "seq": 1,
        }
        for number in range(first, first + count)
    ]


async def test_every_fault_has_its_one_case_and_every_case_its_page(stack: Stack) -> None:
    """And ten reports of one condition, sent before the kills, are one fault with `count` 10 after them."""
    ten = {"emu_id": "emu-ten", "site_id": "site-ten", "code": "unknown.code", "state": "raised"}
    began_s = time.monotonic()
    for second in range(10):
        stack.send({**ten, "at": to_rfc3339(now_ms() + second)})

    await kill_each_under_load(stack)
    await check_everything_is_there_once(stack)

    async def counted() -> bool:
        return [fault["count"] for fault in await faults_of(stack, "emu-ten")] == [1, 10]

    await until(counted, timeout_s=COUNTED_WITHIN_S - (time.monotonic() - began_s))
    assert len({fault["fault_id"] for fault in await faults_of(stack, "emu-ten")}) == 1
    assert len({page["message_id"] for page in pages_of(stack, "emu-ten")}) == 1


async def faults_of(stack: Stack, emu_id: str) -> list[dict[str, Any]]:
    faults = documents(await read_topic(stack.kafka, stack.topics.faults))
    return [fault for fault in faults if fault["emu_id"] == emu_id]


def pages_of(stack: Stack, emu_id: str) -> list[dict[str, Any]]:
    return [page for page in stack.pages() if page["page"]["emu_id"] == emu_id]


async def kill_each_under_load(stack: Stack) -> None:
    each = ALARMS // (2 * len(SERVICES))
    sent = 0
    for service in SERVICES:
        before = stack.pid(service)
        stack.send(*reports(sent, each))
        stack.kill(service)
        stack.send(*reports(sent + each, each))
        sent += 2 * each
        await until(
            lambda service=service, before=before: _is_back(stack, service, before),
            timeout_s=BACK_WITHIN_S,
            what=f"{service} is back",
        )


async def check_everything_is_there_once(stack: Stack) -> None:
    def pages() -> list[dict[str, Any]]:
        return [page for page in stack.pages() if page["page"]["emu_id"] != "emu-ten"]

    def all_paged() -> bool:
        return len({page["page"]["case_id"] for page in pages()}) == ALARMS

    await until(all_paged, timeout_s=60, what=f"a page for each of {ALARMS} cases")

    published = documents(await read_topic(stack.kafka, stack.topics.faults))
    faults = [fault for fault in published if fault["emu_id"] != "emu-ten"]
    assert Counter(fault["change"] for fault in faults) == {"opened": ALARMS}
    assert len({fault["fault_id"] for fault in faults}) == ALARMS

    cases = [case for case in await stack.cases() if case["site_id"] != "site-ten"]
    assert len(cases) == ALARMS
    assert Counter(fault_id for case in cases for fault_id in case["fault_ids"]) == Counter(
        fault["fault_id"] for fault in faults
    )

    # A page may come twice (a crash between the receiver's yes and our commit), with the same id.
    messages = {page["message_id"]: page["page"]["case_id"] for page in pages()}
    assert len(messages) == ALARMS
    assert set(messages.values()) == {case["case_id"] for case in cases}

    async def revisions_told() -> bool:
        documented = documents(await read_topic(stack.kafka, stack.topics.cases))
        told = [case for case in documented if case["site_id"] != "site-ten"]
        newest = {case["case_id"]: case["revision"] for case in told}
        assert Counter(case["case_id"] for case in told) == Counter(newest)
        return newest == {case["case_id"]: case["revision"] for case in cases}

    await until(revisions_told, what="each revision of each case on the topic, once")


async def _is_back(stack: Stack, service: str, before: int) -> bool:
    return stack.pid(service) not in (0, before) and await stack.ready(service)

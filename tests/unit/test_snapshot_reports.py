"""Reports of type `snapshot`, from the list of a device to its faults."""

from typing import Any

import msgspec

from services.ingest.reports import Arrival, read_arrival
from shared.documents.fault import Fault
from shared.documents.internal import Snapshot
from shared.times import MINUTE_MS, to_rfc3339
from tests.unit.alarms import CATALOGUE, NOON_MS, Desk, edge

RACK = "bms/rack-1"


def listed(
    offset: int,
    *codes: str | dict[str, Any],
    minute: int = 0,
    complete: bool = True,
    **fields: object,
) -> Snapshot:
    """A report that lists what stands at the rack, as ingest passes it on."""
    receipt_ms = NOON_MS + minute * MINUTE_MS
    active = [{"code": code} if isinstance(code, str) else code for code in codes]
    report = {
        "type": "snapshot", "emu_id": "e1", "site_id": "s1", "at": to_rfc3339(receipt_ms),
        "component": RACK, "complete": complete, "active": active, **fields,
    }  # fmt: skip
    arrival = Arrival(1, "emu.alarms", 0, offset, None, msgspec.json.encode(report), receipt_ms)
    (record,) = read_arrival(arrival, CATALOGUE)
    assert isinstance(record, Snapshot), record
    return record


def told(faults: list[Fault]) -> list[tuple[str, str, str]]:
    return [(fault.change, fault.component, fault.code) for fault in faults]


def test_what_a_complete_one_does_not_name_is_cleared_there_and_nothing_else_is() -> None:
    desk = Desk()
    desk.hear(edge(1, code="a"), edge(2, code="b"))
    desk.hear(
        *(edge(3 + n, component=c, code="a") for n, c in enumerate(("bms", f"{RACK}/cell-1")))
    )
    assert told(desk.hear(listed(9, "b"))) == [("cleared", RACK, "a")]
    assert desk.standing() == {(RACK, "b"), ("bms", "a"), (f"{RACK}/cell-1", "a")}


def test_an_empty_list_is_a_statement() -> None:
    desk = Desk()
    desk.hear(edge(1, code="a"), edge(2, code="b"))
    assert told(desk.hear(listed(3))) == [("cleared", RACK, "a"), ("cleared", RACK, "b")]


def test_an_incomplete_one_raises_and_clears_nothing() -> None:
    desk = Desk()
    desk.hear(edge(1, code="a"))
    assert told(desk.hear(listed(2, "b", complete=False))) == [("opened", RACK, "b")]
    assert desk.hear(listed(3, complete=False)) == []
    assert desk.standing() == {(RACK, "a"), (RACK, "b")}


def test_what_it_names_at_another_component_is_raised_there_and_nothing_is_cleared_there() -> None:
    desk = Desk()
    desk.hear(edge(1, code="a"), edge(2, component="bms", code="a"))
    faults = desk.hear(listed(3, {"code": "b", "component": "bms"}))
    assert told(faults) == [("cleared", RACK, "a"), ("opened", "bms", "b")]
    assert desk.standing() == {("bms", "a"), ("bms", "b")}


def test_the_same_again_is_no_repeat_and_a_code_named_twice_counts_once() -> None:
    desk = Desk()
    twice = [{"code": "a", "level": level} for level in ("info", "fault")]
    (opened,) = desk.hear(listed(1, *twice))
    assert (opened.grade, opened.count) == ("B", 1)
    assert desk.hear(*(listed(1 + minute, *twice, minute=minute) for minute in range(1, 20))) == []

"""Where an EMU stands, as ingest reads it: against the plainest account of what the partitions hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.ingest.fleet import Fleet
from shared.errors import RecordError
from tests.unit.alarms import edge as make_edge

SITES = {0: "north", 1: "south", 2: "east"}


def partition_of(site_id: str) -> int:
    return next((number for number, name in SITES.items() if name == site_id), 9)


def record(revision: int, partition: int, emu_id: str = "emu-1") -> bytes:
    return json.dumps(
        {"emu_id": emu_id, "revision": revision, "site_id": SITES[partition], "desk": "x"}
    ).encode()


def site_of(fleet: Fleet, emu_id: str = "emu-1") -> str | None:
    said = replace(make_edge(), emu_id=emu_id, site_id=f"unknown:{emu_id}")
    placed, how = fleet.place(said)
    return None if how == "unknown" else placed.site_id


@given(st.data())
def test_the_newest_record_holds_in_whatever_order_the_partitions_come(data: Any) -> None:
    """An EMU moves at each revision; a partition's old copy goes when the EMU has left it."""
    moves = data.draw(st.lists(st.sampled_from(sorted(SITES)), min_size=1, max_size=6))
    logs: dict[int, list[bytes | None]] = {number: [] for number in SITES}
    for revision, partition in enumerate(moves, start=1):
        logs[partition].append(record(revision, partition))
    for partition, log in logs.items():
        if log and partition != moves[-1] and data.draw(st.booleans()):
            log.append(None)
    fleet = Fleet(partition_of)
    while any(logs.values()):
        partition = data.draw(st.sampled_from([number for number in SITES if logs[number]]))
        fleet.take(partition, b"emu-1", logs[partition].pop(0))
    assert site_of(fleet) == SITES[moves[-1]]
    assert len(fleet) == 1


def test_a_tombstone_removes_only_what_came_by_its_own_partition() -> None:
    fleet = Fleet(partition_of)
    fleet.take(0, b"emu-1", record(1, 0))
    fleet.take(1, b"emu-1", None)
    assert site_of(fleet) == "north"
    fleet.take(0, b"emu-1", None)
    assert site_of(fleet) is None


@pytest.mark.parametrize(
    ("said", "site_id", "how"),
    [
        ("north", "north", "agreed"),
        ("unknown:emu-1", "north", "found"),
        ("elsewhere", "north", "contradicted"),
    ],
)
def test_the_record_says_where_the_emu_stands_whatever_the_report_says(
    said: str, site_id: str, how: str
) -> None:
    fleet = Fleet(partition_of)
    fleet.take(0, b"emu-1", record(1, 0))
    edge = replace(make_edge(), emu_id="emu-1", site_id=said)
    assert fleet.place(edge) == (replace(edge, site_id=site_id), how)
    stranger = replace(edge, emu_id="emu-2")
    assert fleet.place(stranger) == (stranger, "unknown")


@pytest.mark.parametrize(
    ("partition", "value", "reason"),
    [
        (0, b"no json", "invalid"),
        (0, b"{}", "invalid"),
        (0, b"\xff", "invalid"),
        (0, b"[" * 10_000, "invalid"),
        (1, record(2, 0), "wrong_partition"),
    ],
)
def test_what_is_no_record_is_refused_and_changes_nothing(
    partition: int, value: bytes, reason: str
) -> None:
    fleet = Fleet(partition_of)
    fleet.take(0, b"emu-1", record(1, 0))
    with pytest.raises(RecordError) as refused:
        fleet.take(partition, b"emu-1", value)
    assert refused.value.reason == reason
    assert site_of(fleet) == "north"

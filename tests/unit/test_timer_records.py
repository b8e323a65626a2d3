"""A record of the cases' topic: what it does to its shard, or why it does nothing."""

from typing import Any

import msgspec
import pytest

from services.timer.records import Change, read_change
from shared.errors import RecordError
from shared.kafka.partition import partition_of

PARTITIONS = 8
SITE = "site-1"
HOME = partition_of(SITE, PARTITIONS)

OPEN: dict[str, Any] = {
    "case_id": "c1",
    "revision": 2,
    "change": "opened",
    "state": "open",
    "grade": "B",
    "grade_worst": "B",
    "site_id": SITE,
    "clocks": {"response": {"from": "", "due": "2026-11-22T10:15:00.000Z", "event": "breach"}},
}


def read(value: bytes | None, *, key: bytes | None = b"c1", partition: int = HOME) -> Change:
    return read_change(key, value, written_ms=5, partition=partition, partitions=PARTITIONS)


def encode(**changed: object) -> bytes:
    return msgspec.json.encode(OPEN | changed)


def test_an_open_case_brings_its_plan() -> None:
    change = read(encode())
    assert (change.case_id, change.revision) == ("c1", 2)
    assert change.plan is not None
    assert (change.plan.written_ms, len(change.plan.moments)) == (5, 1)


def test_a_closed_case_leaves_at_its_revision() -> None:
    assert read(encode(state="closed")) == Change("c1", 2, None)


def test_a_tombstone_leaves_whatever_the_revision() -> None:
    assert read(None) == Change("c1", None, None)


def test_a_case_without_running_clocks_keeps_a_plan() -> None:
    change = read(encode(state="resolved", clocks={}))
    assert change.plan is not None
    assert change.plan.moments == ()


def test_fields_of_a_later_version_are_ignored() -> None:
    assert read(encode(colour="red")).plan is not None


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (None, encode(), "no_key"),
        (b"", None, "no_key"),
        (b"\xff", None, "invalid_key"),
        (b"c2", encode(), "wrong_key"),  # a tombstone under c2 would leave c1 behind
        (b"c1", b"", "not_json"),
        (b"c1", b"{", "not_json"),
        (b"c1", b'{"case_id": "\xff"}', "not_json"),
        (b"c1", b"[" * 100_000, "invalid_case"),
        (b"c1", b'{"x":' + b"[" * 100_000, "not_json"),  # too deep
        (b"c1", b"[]", "invalid_case"),
        (b"c1", encode(grade="E"), "invalid_case"),
        (b"c1", encode(revision="2"), "invalid_case"),
        (b"c1", b'{"case_id": "c1"}', "invalid_case"),
        (
            b"c1",
            encode(clocks={"a": {"from": "", "due": "x", "event": "breach"}}),
            "invalid_case",
        ),
    ],
)
def test_what_is_no_case_says_why(key: bytes | None, value: bytes | None, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        read(value, key=key)
    assert caught.value.reason == reason


def test_a_case_of_another_partition_is_refused() -> None:
    with pytest.raises(RecordError, match=f"belongs to partition {HOME}") as caught:
        read(encode(), partition=(HOME + 1) % PARTITIONS)
    assert caught.value.reason == "wrong_partition"

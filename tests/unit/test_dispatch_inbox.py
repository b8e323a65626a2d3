"""What dispatch reads, what it refuses, and what it writes for the batch; pages and their signature."""

import base64
from collections import Counter
from itertools import permutations
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from msgspec.structs import replace

from services.dispatch.batch import Batch, Event
from services.dispatch.changes import Changes, ParkedRow
from services.dispatch.decision import Rules
from services.dispatch.inbox import read_record
from services.dispatch.pager import backoff_ms
from services.dispatch.roster import load_roster
from services.dispatch.webhook import sign, signing_key
from shared.documents.case import decode_case
from shared.documents.deadline import Deadline, encode_deadline
from shared.documents.fault import Fault, FaultSource, encode_fault
from shared.errors import RecordError
from shared.failures import RULE_FAILED
from shared.kafka.partition import partition_of
from shared.kafka.reader import Record
from shared.kafka.topics import Topics
from shared.policy import load_policy
from shared.times import to_rfc3339
from tests.unit.dispatch_documents import MINUTE, T0, make_deadline, make_fault

TOPICS = Topics("t")
PARTITIONS = 4
OURS = partition_of("site-1", PARTITIONS)
RULES = Rules(load_policy(None), load_roster(None))


def record(
    value: bytes | None,
    *,
    topic: str = TOPICS.faults,
    partition: int = OURS,
    offset: int = 7,
    timestamp: int = T0,
) -> Record:
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=timestamp,
        timestamp_type=0,
        key=b"key",
        value=value,
        checksum=None,
        serialized_key_size=3,
        serialized_value_size=len(value or b""),
        headers=(),
    )


def batch() -> Batch:
    return Batch(RULES, Changes(TOPICS, OURS, PARTITIONS, "http://here"), {}, {}, set())


def event(content: Fault | Deadline | RecordError, value: bytes | None = b"") -> Event:
    return Event(record(value), content)


def test_documents_are_read_and_tombstones_skipped() -> None:
    fault = make_fault()
    assert read_record(record(encode_fault(fault)), TOPICS, PARTITIONS) == fault
    assert read_record(record(None), TOPICS, PARTITIONS) is None
    made = batch()
    made.judge([event(fault)], T0)
    deadline = make_deadline(next(iter(made.cases.values())), "step")
    as_record = record(encode_deadline(deadline), topic=TOPICS.deadlines)
    assert read_record(as_record, TOPICS, PARTITIONS) == deadline


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[]", "invalid"),
        (b'{"fault_id": "f1"}', "invalid"),
        (encode_fault(replace(make_fault(), clocks_from="yesterday")), "invalid"),
        (encode_fault(replace(make_fault(), opened_at="2026-11-22T10:00:00")), "invalid"),
        (encode_fault(replace(make_fault(), title="a\0b")), "invalid"),
        (encode_fault(replace(make_fault(), revision=2**63)), "invalid"),
        (encode_fault(make_fault()).replace(b"Cell", b"\\ud800"), "not_json"),
        (encode_fault(replace(make_fault(), source=FaultSource("a\0b", 0, 1))), "invalid"),
        *(
            (encode_fault(replace(make_fault(), **{name: wrong})), "invalid")
            for name in ("fault_id", "emu_id")
            for wrong in ("", "x" * 129, "a\nb")
        ),
        (encode_fault(replace(make_fault(), site_id="x" * 137)), "invalid"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(value: bytes, reason: str) -> None:
    with pytest.raises(RecordError) as raised:
        read_record(record(value), TOPICS, PARTITIONS)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (name, wrong)
        for name, longest in (("deadline_id", 300), ("case_id", 128), ("site_id", 136))
        for wrong in ("", "x" * (longest + 1), "a\nb", "a\0b")
    ],
)
def test_deadline_with_an_id_that_cannot_be_kept_is_refused(name: str, wrong: str) -> None:
    made = batch()
    made.judge([event(make_fault())], T0)
    deadline = replace(make_deadline(next(iter(made.cases.values())), "step"), **{name: wrong})
    as_record = record(encode_deadline(deadline), topic=TOPICS.deadlines)
    with pytest.raises(RecordError) as raised:
        read_record(as_record, TOPICS, PARTITIONS)
    assert raised.value.reason == "invalid"


def test_longest_ids_are_taken() -> None:
    fault = replace(make_fault(), emu_id="\u00e9" * 128, site_id="unknown:" + "\u00e9" * 128)
    partition = partition_of(fault.site_id, PARTITIONS)
    as_record = record(encode_fault(fault), partition=partition)
    assert read_record(as_record, TOPICS, PARTITIONS) == fault


def test_backslash_before_u0000_is_no_nul() -> None:
    fault = replace(make_fault(), title="a\\u0000b")
    assert read_record(record(encode_fault(fault)), TOPICS, PARTITIONS) == fault


def test_record_in_the_wrong_partition_is_refused() -> None:
    other = (OURS + 1) % PARTITIONS
    with pytest.raises(RecordError, match=f"belongs to partition {OURS}") as raised:
        read_record(record(encode_fault(make_fault()), partition=other), TOPICS, PARTITIONS)
    assert raised.value.reason == "wrong_partition"


def test_refused_record_goes_to_the_dead_letters_as_it_came() -> None:
    made = batch()
    made.judge([event(RecordError("not_json", "why"), b"{")], T0)
    (row,) = made.changes.outbox
    assert (row.topic, row.key, row.value, row.partition) == (
        TOPICS.dead_letters,
        b"key",
        b"{",
        OURS,
    )
    assert dict(msgspec.json.decode(row.headers))["reason"] == "not_json"


def test_record_on_which_a_rule_fails_stops_nothing() -> None:
    end_of_time = replace(make_fault(1), clocks_from="9999-12-31T23:59:59.999Z")
    made = batch()
    made.judge([event(end_of_time, b"it"), event(make_fault(2))], T0)
    assert [(refused.value, error.reason) for refused, error in made.refused] == [
        (b"it", RULE_FAILED)
    ]
    assert [row.topic for row in made.changes.outbox] == [TOPICS.dead_letters, TOPICS.cases]
    assert list(made.changes.faults) == [make_fault(2).fault_id]


def test_batch_opens_one_case_whatever_is_repeated_in_it() -> None:
    fault = make_fault()
    made = batch()
    events = [fault, fault, replace(fault, revision=2, change="repeated", count=2), fault]
    made.judge([event(fault) for fault in events], T0)
    assert len(made.changes.cases) == len(made.changes.pages) == len(made.changes.outbox) == 1
    assert [row.revision for row in made.changes.faults.values()] == [2]


def test_every_revision_of_a_case_goes_out_in_order() -> None:
    fault = make_fault()
    cleared = replace(
        fault, revision=2, change="cleared", state="cleared", cleared_at=fault.last_at
    )
    reopened = replace(fault, revision=3, change="reopened")
    made = batch()
    made.judge([event(fault) for fault in (fault, cleared, reopened)], T0)
    sent = [decode_case(row.value or b"") for row in made.changes.outbox]
    assert [(case.revision, case.change) for case in sent] == [
        (1, "opened"),
        (2, "resolved"),
        (3, "reopened"),
    ]
    (row,) = made.changes.cases.values()
    assert decode_case(row.doc) == sent[-1]


def test_deadline_acts_once_for_its_id_and_version() -> None:
    made = batch()
    made.judge([event(make_fault())], T0)
    deadline = make_deadline(next(iter(made.cases.values())), "processing")
    made.judge([event(deadline), event(deadline)], T0)
    assert made.outcomes == Counter(acted=1, repeated=1)
    assert [row.version for row in made.changes.seen] == [deadline.version]


def test_deadline_whose_case_is_not_there_is_parked_as_it_came() -> None:
    opened = batch()
    opened.judge([event(make_fault())], T0)
    deadline = make_deadline(next(iter(opened.cases.values())), "step")
    made = batch()
    made.judge([event(deadline, b"as it came")], T0 + MINUTE)
    (row,) = made.changes.parked
    assert row == ParkedRow(
        deadline_id=deadline.deadline_id,
        version=deadline.version,
        case_id=deadline.case_id,
        partition=OURS,
        offset=7,
        key=b"key",
        value=b"as it came",
        published_ms=T0,
        parked_ms=T0 + MINUTE,
    )
    assert made.outcomes == Counter(parked=1)
    assert [*made.changes.seen, *made.changes.outbox, *made.changes.log] == []


def test_deadline_that_comes_beside_the_fault_that_opens_its_case_is_not_parked() -> None:
    opened = batch()
    opened.judge([event(make_fault())], T0)
    deadline = make_deadline(next(iter(opened.cases.values())), "step")
    made = batch()
    made.judge([event(deadline), event(make_fault())], T0)
    assert made.outcomes == Counter(acted=1)
    assert not made.changes.parked


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_clear_goes_before_the_deadlines_that_it_made_moot(order: tuple[int, ...]) -> None:
    fault = make_fault()
    made = batch()
    made.judge([event(fault)], T0)
    (case,) = made.cases.values()
    cleared_at = to_rfc3339(T0 + MINUTE)
    events = [
        event(replace(fault, revision=2, change="cleared", state="cleared", cleared_at=cleared_at)),
        *(event(make_deadline(case, clock)) for clock in ("response", "step", "processing")),
    ]
    made.judge([events[place] for place in order], T0 + 20 * MINUTE)
    (case,) = made.cases.values()
    assert (case.state, case.breached, len(made.changes.pages)) == ("resolved", (), 1)
    assert made.outcomes == Counter(stopped=3)


def test_page_says_who_what_where_and_until_when() -> None:
    made = batch()
    made.judge([event(make_fault())], T0)
    (row,) = made.changes.pages
    body: dict[str, Any] = msgspec.json.decode(row.body)
    case = next(iter(made.cases.values()))
    assert body["message_id"] == row.message_id
    assert (body["title"], body["emu_id"], body["person"]) == (
        "Cell over temperature",
        "emu-1",
        "Engineer on call",
    )
    assert body["due"] == {name: clock.due for name, clock in case.clocks.items()}
    assert body["url"] == f"http://here/v1/cases/{case.case_id}"


def test_signature_is_that_of_standard_webhooks() -> None:
    # The example of its specification.
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_secret_is_its_own_bytes_without_the_prefix() -> None:
    assert signing_key("correct horse") == b"correct horse"
    encoded = "whsec_" + base64.b64encode(b"correct horse").decode()
    assert signing_key(encoded) == b"correct horse"


def test_page_is_tried_again_after_growing_waits() -> None:
    assert [backoff_ms(attempts) for attempts in (1, 2, 3, 6, 7, 1000)] == [
        1_000,
        2_000,
        4_000,
        32_000,
        60_000,
        60_000,
    ]

"""Each report becomes one internal record, or one dead letter that a person understands."""

import msgspec
import pytest

from services.ingest.parts import MAX_STANDING, MAX_STANDING_OF_VALUE
from services.ingest.reports import (
    MAX_SNAPSHOT_BYTES,
    Arrival,
    Made,
    clamp_receipt,
    count_unknown_codes,
    count_unknown_registers,
    read_arrival,
)
from shared.catalogue import Catalogue, Register, load_catalogue
from shared.documents.dead_letter import DeadLetter
from shared.documents.internal import Active, Edge, Part, Snapshot, decode_internal, encode_internal
from shared.times import from_rfc3339

REGISTERS = {
    ("701", "Alrm"): Register(code="sunspec:701.Alrm", not_implemented=0xFFFFFFFF),
    ("acme", "pump"): Register(code="acme:pump", form="levels", levels={2: "alarm"}),
}
CATALOGUE = Catalogue(load_catalogue().rows, "test", REGISTERS)
RECEIPT = "2026-11-22T10:00:00.500Z"
RECEIPT_MS = from_rfc3339(RECEIPT)
GOOD = {"emu_id": "e1", "code": "c1", "state": "raised", "at": "2026-11-22T10:00:00.123Z"}
ALRM: dict[str, object] = {"model": 701, "point": "Alrm", "bits": 3}
WORDS = {
    "type": "registers",
    "emu_id": "e1",
    "at": "2026-11-22T10:00:00.123Z",
    "registers": [ALRM, {"model": "acme", "point": "x", "bits": 1, "component": "pump-1"}],
}

LIST: dict[str, object] = {
    "type": "snapshot",
    "emu_id": "e1",
    "at": "2026-11-22T10:00:00.123Z",
    "component": "bms/rack-1",
    "complete": True,
    "active": [{"code": "c1"}],
}


def arrival(value: bytes | None) -> Arrival:
    return Arrival(3, "emu.alarms", 2, 41, b"k", value, RECEIPT_MS)


def read(value: object) -> list[Made | DeadLetter]:
    raw = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return list(read_arrival(arrival(raw), CATALOGUE))


def edges(value: object) -> list[Edge]:
    results = read(value)
    assert all(isinstance(result, Edge) for result in results), results
    return [result for result in results if isinstance(result, Edge)]


@pytest.mark.parametrize(
    ("value", "reason", "says"),
    [
        (b"nope", "not_json", "not JSON"),
        (b"", "empty", "no value"),
        (b'{"emu_id": "e1"', "not_json", "truncated"),
        (b'{"emu_id": "\xff\xfe"}', "not_json", "not JSON"),
        (b"[1, 2", "not_json", "not JSON"),
        ({**GOOD, "emu_id": 7}, "invalid", "Expected `str`, got `int` - at `$.emu_id`"),
        ({**GOOD, "state": "on"}, "invalid", "`$.state`"),
        ({key: GOOD[key] for key in ("emu_id", "code", "state")}, "invalid", "`at`"),
        ({**GOOD, "at": "yesterday"}, "invalid", "`$.at`"),
        ({**GOOD, "at": None}, "invalid", "`$.at`"),
        ({**GOOD, "at": 1763805600}, "invalid", "`$.at`"),
        ({**GOOD, "emu_id": ""}, "invalid", "`$.emu_id`"),
        ({**GOOD, "emu_id": "e\x00"}, "invalid", "`$.emu_id`"),
        ({**GOOD, "component": "bms\n"}, "invalid", "`$.component`"),
        ({**GOOD, "boot": "a\tb"}, "invalid", "`$.boot`"),
        ({**GOOD, "code": "c" * 129}, "invalid", "128"),
        ({**GOOD, "text": "ü" * 2049}, "invalid", "4096 bytes"),
        ({**GOOD, "seq": -1}, "invalid", "`$.seq`"),
        ({**GOOD, "type": "telepathy"}, "unknown_type", "telepathy"),
        ({**GOOD, "type": 5}, "unknown_type", "`$.type`"),
        ({**GOOD, "type": "registers"}, "invalid", "`registers`"),
        ({**WORDS, "type": "alarm"}, "invalid", "`code`"),
        ({**WORDS, "registers": {}}, "invalid", "`$.registers`"),
        ({**WORDS, "registers": [ALRM] * 1001}, "invalid", "1000 - at `$.registers`"),
        ({**WORDS, "emu_id": "e\x00"}, "invalid", "`$.emu_id`"),
        ({**WORDS, "at": "10:00:00"}, "invalid", "`$.at`"),
        ({**LIST, "at": "soon"}, "invalid", "`$.at`"),
        ({**LIST, "active": None}, "invalid", "`$.active`"),
        ({**LIST, "complete": "yes"}, "invalid", "`$.complete`"),
        ({**LIST, "component": "a\tb"}, "invalid", "`$.component`"),
        ({**LIST, "active": [{"level": "fault"}]}, "invalid", "`code` - at `$.active[0]`"),
        ({**LIST, "active": ["c1"]}, "invalid", "`$.active[0]`"),
        ({**LIST, "active": [{"code": "c"}, {"code": "c\n"}]}, "invalid", "`$.active[1].code`"),
        ({**LIST, "active": [{"code": "c", "level": ""}]}, "invalid", "`$.active[0].level`"),
        ({**LIST, "active": [{"code": "c", "component": "a\tb"}]}, "invalid", "[0].component`"),
        ({key: LIST[key] for key in LIST if key != "active"}, "invalid", "`active`"),
        ({key: LIST[key] for key in LIST if key != "complete"}, "invalid", "`complete`"),
        (b'"a string"', "invalid", "Expected `object`"),
        (b" " * (1024 * 1024 + 1), "too_large", "1048577 bytes"),
        (b"[" + b",".join([b"1"] * 10_001) + b"]", "too_many", "10001 reports"),
        (b"[" * 5000, "not_json", "not JSON"),
    ],
)
def test_bad_input_is_a_dead_letter_with_its_reason(value: object, reason: str, says: str) -> None:
    (letter,) = read(value)

    assert isinstance(letter, DeadLetter)
    headers = dict(letter.headers)
    assert headers["reason"] == reason.encode()
    assert says in headers["detail"].decode()
    assert headers["topic"] == b"emu.alarms"
    assert (headers["partition"], headers["offset"], headers["index"]) == (b"2", b"41", b"0")
    assert letter.key == b"k"
    assert letter.value == (value if isinstance(value, bytes) else msgspec.json.encode(value))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"bits": -1}, "Expected `int` >= 0 - at `$.registers[1].bits`"),
        ({"bits": 2**64}, "Expected `int` < 2**64 - at `$.registers[1].bits`"),
        ({"bits": 10**400}, "`$.registers[1].bits`"),
        ({"bits": "3"}, "`$.registers[1].bits`"),
        ({"bits": True}, "`$.registers[1].bits`"),
        ({"bits": None}, "`$.registers[1].bits`"),
        ({"model": ""}, "`$.registers[1].model`"),
        ({"model": -1}, "`$.registers[1].model`"),
        ({"model": "m\x1f"}, "`$.registers[1].model`"),
        ({"point": "p\n"}, "`$.registers[1].point`"),
        ({"point": "p" * 129}, "`$.registers[1].point`"),
        ({"component": "a\tb"}, "`$.registers[1].component`"),
        ({"component": 7}, "`$.registers[1].component`"),
    ],
)
def test_one_bad_register_makes_the_whole_report_a_dead_letter(
    wrong: dict[str, object], says: str
) -> None:
    (letter,) = read({**WORDS, "registers": [ALRM, {**ALRM, **wrong}, ALRM]})
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.value is not None) == ("invalid", True)
    assert says in letter.detail


@pytest.mark.parametrize("model", ["m" * 124, "ü" * 124])
def test_model_and_point_together_leave_room_for_the_number_of_a_bit(model: str) -> None:
    report = {**WORDS, "registers": [ALRM, {"model": model, "point": "p", "bits": 1}]}
    (letter,) = read(report)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "invalid"
    assert "124 characters together, got 125 - at `$.registers[1]`" in letter.detail

    record = snapshot({**WORDS, "registers": [{"model": model[1:], "point": "p", "bits": 1 << 63}]})
    (active,) = record.parts[0].active
    assert len(active.code) == 128


def standing(codes: int) -> dict[str, object]:
    """A report by which so many codes stand, of registers that the catalogue does not have."""
    whole, left = divmod(codes, 64)
    words = [{"model": "m", "point": f"p{n}", "bits": 2**64 - 1} for n in range(whole)]
    return {**WORDS, "registers": [*words, {"model": "m", "point": "p", "bits": 2**left - 1}]}


def test_no_more_than_2000_codes_stand_by_one_report() -> None:
    assert sum(len(part.active) for part in snapshot(standing(2_000)).parts) == MAX_STANDING

    (letter,) = read(standing(2_001))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "too_many"
    assert "more than 2000 codes stand by these registers" in letter.detail


def active(codes: int) -> dict[str, object]:
    """A snapshot by which so many codes stand."""
    return {**LIST, "active": [{"code": f"c{number}"} for number in range(codes)]}


def test_no_more_than_2000_codes_stand_by_one_snapshot_and_20000_by_a_value() -> None:
    assert len(snapshot(active(2_000)).parts[0].active) == MAX_STANDING
    (letter,) = read(active(2_001))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "too_many"
    assert "more than 2000 codes stand by this snapshot" in letter.detail
    assert "`$.active`" in letter.detail

    *_taken, letter, empty = read([*[active(2_000)] * 10, active(1), active(0)])
    assert isinstance(letter, DeadLetter)
    assert "more than 20000 codes" in letter.detail
    assert isinstance(empty, Snapshot)


def test_a_snapshot_whose_codes_make_too_large_a_record_is_a_dead_letter() -> None:
    wide = [{"code": f"{'ü' * 120}{number}"} for number in range(1_500)]
    (letter,) = read({**LIST, "active": wide})
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "too_large"
    assert "`$.active`" in letter.detail


def test_words_that_say_nothing_do_not_count_as_codes_that_stand() -> None:
    silent = {**ALRM, "bits": 0xFFFFFFFF}
    assert snapshot({**WORDS, "registers": [silent] * 1000}).parts == ()


def test_no_more_than_20000_codes_stand_by_one_value_and_what_has_gone_is_taken_all_the_same() -> (
    None
):
    *taken, letter, gone = read([*[standing(2_000)] * 10, standing(1), standing(0)])
    assert all(isinstance(record, Snapshot) for record in (*taken, gone))
    assert len(taken) * MAX_STANDING == MAX_STANDING_OF_VALUE
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "too_many"
    assert "more than 20000 codes stand by the reports of one Kafka value" in letter.detail


def test_a_report_that_is_refused_takes_no_room_from_the_next() -> None:
    *letters, record = read([*[standing(2_001)] * 20, standing(2_000)])
    assert [letter.reason for letter in letters if isinstance(letter, DeadLetter)] == [
        "too_many"
    ] * 20
    assert isinstance(record, Snapshot)


def test_registers_whose_codes_make_too_large_a_record_are_a_dead_letter() -> None:
    words = [{"model": "ü" * 100, "point": f"p{n}", "bits": 2**64 - 1} for n in range(31)]
    (letter,) = read({**WORDS, "registers": words})
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "too_large"
    assert str(MAX_SNAPSHOT_BYTES) in letter.detail


def snapshot(value: object) -> Snapshot:
    (record,) = read(value)
    assert isinstance(record, Snapshot), record
    assert decode_internal(encode_internal(record)) == record
    return record


def test_a_report_of_registers_is_one_snapshot_with_a_part_for_each_word() -> None:
    record = snapshot(WORDS)
    assert record.parts == (
        Part(
            "emu",
            ("sunspec:701.Alrm", "701.Alrm"),
            (Active("sunspec:701.Alrm.0"), Active("sunspec:701.Alrm.1")),
        ),
        Part("pump-1", ("acme.x",), (Active("acme.x.0"),)),
    )


def test_the_model_of_a_register_may_be_a_number_or_its_text() -> None:
    text = snapshot({**WORDS, "registers": [{**ALRM, "model": "701"}]})
    assert text.parts == snapshot({**WORDS, "registers": [ALRM]}).parts


def test_a_level_is_passed_on() -> None:
    record = snapshot({**WORDS, "registers": [{"model": "acme", "point": "pump", "bits": 2}]})
    assert record.parts == (
        Part("emu", ("acme:pump", "acme.pump"), (Active("acme:pump", "alarm"),)),
    )


@pytest.mark.parametrize("words", [[], [{**ALRM, "bits": 0xFFFFFFFF}]])
def test_words_that_say_nothing_make_a_record_without_parts(words: list[object]) -> None:
    assert snapshot({**WORDS, "registers": words}).parts == ()


def test_the_widest_word_is_taken() -> None:
    record = snapshot({**WORDS, "registers": [{"model": "m", "point": "p", "bits": 2**64 - 1}]})
    assert len(record.parts[0].active) == 64


def test_a_complete_snapshot_says_all_of_its_component_and_an_incomplete_one_of_nothing() -> None:
    whole = snapshot(LIST)
    assert whole.parts == (Part("bms/rack-1", None, (Active("c1"),)),)
    assert snapshot({**LIST, "complete": False}).parts == (Part("bms/rack-1", (), (Active("c1"),)),)
    assert snapshot({**LIST, "active": []}).parts == (Part("bms/rack-1", None, ()),)
    without = {key: value for key, value in LIST.items() if key != "component"}
    assert [part.component for part in snapshot(without).parts] == ["emu"]


def test_what_a_snapshot_names_elsewhere_is_raised_there_and_nothing_is_cleared_there() -> None:
    named = [
        {"code": "c1", "level": "fault", "value": 7.5},
        {"code": "c2", "component": "bms/rack-2"},
        {"code": "c3", "component": "bms/rack-1"},
        {"code": "c4", "component": "bms"},
    ]
    assert snapshot({**LIST, "active": named}).parts == (
        Part("bms/rack-1", None, (Active("c1", "fault", 7.5), Active("c3"))),
        Part("bms/rack-2", (), (Active("c2"),)),
        Part("bms", (), (Active("c4"),)),
    )


def test_of_a_code_that_is_named_twice_the_gravest_level_stands() -> None:
    twice = [{"code": "x", "level": level} for level in ("info", "fault", "info")]
    (part,) = snapshot({**LIST, "active": [*twice, {"code": "y"}]}).parts
    assert part.active == (Active("x", "fault"), Active("y"))


@pytest.mark.parametrize("report", [WORDS, LIST])
def test_a_snapshot_carries_what_an_edge_does(report: dict[str, object]) -> None:
    said = {"boot": 17, "seq": 3, "model": "m", "firmware": "f", "historical": True}
    record = snapshot({**report, **said, "site_id": "s1", "at": "1970-01-01T00:00:00Z"})
    (plain,) = edges({**GOOD, **said, "site_id": "s1", "at": "1970-01-01T00:00:00Z"})
    for name in (
        "source", "emu_id", "site_id", "at_ms", "receipt_ms", "trusted",
        "boot", "seq", "model", "firmware", "historical",
    ):  # fmt: skip
        assert getattr(record, name) == getattr(plain, name), name
    assert snapshot(report).site_id == "unknown:e1"


def test_what_the_catalogue_does_not_know_is_counted() -> None:
    def unknown(record: Edge | Snapshot) -> tuple[int, int]:
        return count_unknown_codes(record, CATALOGUE), count_unknown_registers(record, CATALOGUE)

    (known,) = edges({**GOOD, "code": "sunspec:701.Alrm.0"})
    (strange,) = edges(GOOD)
    assert (unknown(known), unknown(strange)) == ((0, 0), (1, 0))
    assert unknown(snapshot(WORDS)) == (1, 1)
    wide = {**WORDS, "registers": [{**ALRM, "bits": 1 << 31 | 1}, {**ALRM, "model": 9, "bits": 0}]}
    assert unknown(snapshot(wide)) == (1, 1)


def test_a_missing_value_is_a_dead_letter() -> None:
    (letter,) = read_arrival(arrival(None), CATALOGUE)
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "empty"


def test_a_dead_letter_fits_its_topic_whatever_came() -> None:
    large = b"k" * 2_000_000
    huge = Arrival(1, "emu.alarms", 0, 1, large, b"v" * 9_000_000, RECEIPT_MS)
    (letter,) = read_arrival(huge, CATALOGUE)
    assert isinstance(letter, DeadLetter)
    assert letter.key is not None
    assert letter.value is not None
    assert len(letter.key) + len(letter.value) < 9 * 1024 * 1024
    headers = dict(letter.headers)
    assert (headers["truncated"], headers["key_truncated"]) == (b"9000000", b"2000000")


def test_one_bad_report_in_a_list_spares_the_others() -> None:
    first, letter, last = read([GOOD, {"emu_id": 1}, {**GOOD, "emu_id": "e3"}])

    assert isinstance(first, Edge)
    assert isinstance(last, Edge)
    assert (first.source.index, last.source.index) == (0, 2)
    assert isinstance(letter, DeadLetter)
    assert dict(letter.headers)["index"] == b"1"
    assert letter.value == b'{"emu_id":1}'


def test_an_edge_says_where_it_came_from() -> None:
    (edge,) = edges(GOOD)
    source = edge.source
    assert (source.generation, source.topic, source.partition, source.offset, source.index) == (
        3, "emu.alarms", 2, 41, 0,
    )  # fmt: skip


def test_defaults_of_what_a_report_leaves_out() -> None:
    (edge,) = edges(GOOD)
    assert edge.site_id == "unknown:e1"
    assert edge.component == "emu"
    assert edge.boot is None


def test_boot_is_text_inside_whatever_was_sent() -> None:
    (edge,) = edges({**GOOD, "boot": 17, "seq": 3})
    assert (edge.boot, edge.seq) == ("17", 3)


@pytest.mark.parametrize(
    ("at", "trusted"),
    [
        ("2026-11-22T10:00:00.123Z", True),
        ("2026-11-22T10:05:00.500Z", True),  # exactly 5 minutes ahead of the receipt
        ("2026-11-22T10:05:00.501Z", False),
        ("2020-01-01T00:00:00Z", True),
        ("2019-12-31T23:59:59.999Z", False),
        ("1970-01-01T00:00:07Z", False),
        ("0001-01-01T00:00:00+23:59", False),
        ("2026-11-22T12:00:00+02:00", True),
        ("2026-11-22T10:00:00", False),  # of which zone?
        ("0001-01-01T00:00:00", False),
    ],
)
def test_a_clock_that_cannot_be_right_is_replaced_by_the_receipt(at: str, trusted: bool) -> None:
    (edge,) = edges({**GOOD, "at": at})
    for record in (edge, snapshot({**WORDS, "at": at}), snapshot({**LIST, "at": at})):
        assert record.trusted is trusted
        assert record.at_ms == (from_rfc3339(at) if trusted else RECEIPT_MS)


@pytest.mark.parametrize(
    ("timestamp", "receipt"),
    [
        (-1, 900),  # the record has none
        (500, 500),
        (50, 100),  # before the moment at which all before it was read
        (1000, 900),  # in the future
    ],
)
def test_receipt_stays_within_what_can_be_true(timestamp: int, receipt: int) -> None:
    assert clamp_receipt(timestamp, read_to_ms=100, now_ms=900) == receipt

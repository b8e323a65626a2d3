"""Reports of registers, from the word of a device to its faults: each trap of real ones has a test."""

from typing import Any

import msgspec
import pytest

from services.classifier.scope import names_over
from services.ingest.reports import Arrival, read_arrival
from shared.catalogue import Catalogue, Register
from shared.documents.fault import Fault
from shared.documents.internal import Edge, Snapshot
from shared.times import MINUTE_MS, to_rfc3339
from tests.unit.alarms import CATALOGUE, NOON_MS, Desk, changes, edge, ruling

ALRM = Register(
    code="sunspec:701.Alrm", reserved=frozenset(range(17, 32)), not_implemented=0xFFFFFFFF
)
ERROR = Register(code="victron:battery/ErrorCode", form="enum", reserved=frozenset({30}))
# Not among the rows, whose grade does not depend on the level: an unknown code's does.
PUMP = Register(code="acme:pump", form="levels", levels={1: "info", 2: "fault"})
REGISTERS = {("701", "Alrm"): ALRM, ("battery", "ErrorCode"): ERROR, ("acme", "pump"): PUMP}
KNOWN = Catalogue(CATALOGUE.rows, "known", REGISTERS)
UNKNOWN = Catalogue(CATALOGUE.rows, "unknown")

Word = dict[str, Any]

# The real ones, by the names that reports may call them.
NAMES = {name: entry.register for entry in CATALOGUE.entries.values() for name in entry.names}


def alrm(bits: int, component: str = "pcs-1") -> Word:
    return {"model": 701, "point": "Alrm", "bits": bits, "component": component}


def error(value: int) -> Word:
    return {"model": "battery", "point": "ErrorCode", "bits": value}


def pump(level: int) -> Word:
    return {"model": "acme", "point": "pump", "bits": level}


def taken_in(
    offset: int, *words: Word, catalogue: Catalogue = KNOWN, minute: int = 0, **fields: object
) -> Snapshot:
    """A report of registers as ingest passes it on."""
    receipt_ms = NOON_MS + minute * MINUTE_MS
    report = {
        "type": "registers", "emu_id": "e1", "site_id": "s1", "at": to_rfc3339(receipt_ms),
        "registers": words, **fields,
    }  # fmt: skip
    arrival = Arrival(1, "emu.alarms", 0, offset, None, msgspec.json.encode(report), receipt_ms)
    (record,) = read_arrival(arrival, catalogue)
    assert isinstance(record, Snapshot), record
    return record


def told(faults: list[Fault]) -> list[tuple[str, str]]:
    return [(fault.change, fault.code) for fault in faults]


def test_each_set_bit_is_a_fault_graded_by_its_own_row() -> None:
    faults = Desk(KNOWN).hear(taken_in(1, alrm(0b10_0011)))
    assert [(fault.code, fault.grade, fault.component) for fault in faults] == [
        ("sunspec:701.Alrm.0", "A", "pcs-1"),
        ("sunspec:701.Alrm.1", "A", "pcs-1"),
        ("sunspec:701.Alrm.5", "D", "pcs-1"),
    ]
    assert len({fault.fault_id for fault in faults}) == 3


def test_a_bit_that_is_gone_is_a_clear_and_the_others_are_left_alone() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, alrm(0b11)))
    assert told(desk.hear(taken_in(2, alrm(0b10), minute=1))) == [("cleared", "sunspec:701.Alrm.0")]
    assert desk.standing() == {("pcs-1", "sunspec:701.Alrm.1")}


def test_a_word_that_says_the_same_again_is_no_repeat_and_changes_no_condition() -> None:
    desk = Desk(KNOWN)
    (opened,) = desk.hear(taken_in(1, alrm(1)))
    before = {key: value for key, value in desk.changelog.items() if key.startswith(b"c")}
    for minute in range(1, 200):
        desk.hear(taken_in(1 + minute, alrm(1), minute=minute))
    assert desk.published == [opened]
    assert {k: v for k, v in desk.changelog.items() if k.startswith(b"c")} == before


def test_the_first_snapshot_after_a_restart_of_the_device_says_what_stands_now() -> None:
    """Also where its numbers begin anew, and where what stood before was said by edges."""
    desk = Desk(KNOWN)
    desk.hear(
        edge(1, component="pcs-1", code="sunspec:701.Alrm.4", boot="b1", seq=900),
        edge(2, component="pcs-1", code="sunspec:701.Alrm.5", boot="b1", seq=901),
    )
    faults = desk.hear(taken_in(3, alrm(0b110_0000), boot="b2", seq=0))
    assert told(faults) == [("cleared", "sunspec:701.Alrm.4"), ("opened", "sunspec:701.Alrm.6")]


def test_after_a_restart_of_ours_the_same_word_says_nothing_new() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, alrm(0b11)))
    desk.restart()
    assert desk.hear(taken_in(2, alrm(0b11), minute=1)) == []


@pytest.mark.parametrize(
    "words",
    [
        (),  # nothing could be read
        (alrm(0xFFFFFFFF),),  # the device's word for "not implemented"
        (error(0),),  # another register
        (alrm(0, component="pcs-2"),),  # the same register of another device
    ],
)
def test_a_register_that_says_nothing_clears_nothing(words: tuple[Word, ...]) -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, alrm(1)))
    assert desk.hear(taken_in(2, *words, minute=1)) == []
    assert desk.standing() == {("pcs-1", "sunspec:701.Alrm.0")}


def test_a_report_without_a_statement_is_heard_all_the_same() -> None:
    desk = Desk(KNOWN)
    assert desk.hear(taken_in(1, boot="b", seq=1)) == []
    assert desk.hear(taken_in(2, alrm(1), boot="b", seq=1)) == [], "the same report"
    assert changes(desk.hear(taken_in(3, alrm(1), boot="b", seq=2))) == ["opened"]


def test_an_enum_that_changes_is_a_clear_and_a_raise_in_this_order() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, error(16)))
    faults = desk.hear(taken_in(2, error(15), minute=1))
    assert told(faults) == [
        ("cleared", "victron:battery/ErrorCode.16"),
        ("opened", "victron:battery/ErrorCode.15"),
    ]
    assert changes(desk.hear(taken_in(3, error(0), minute=2))) == ["cleared"]


def test_reserved_bits_and_values_mean_nothing() -> None:
    assert Desk(KNOWN).hear(taken_in(1, alrm(1 << 20), error(30))) == []


def test_an_enum_value_that_is_reserved_still_ends_the_one_before() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, error(16)))
    assert changes(desk.hear(taken_in(2, error(30), minute=1))) == ["cleared"]


@pytest.mark.parametrize("model", ["acme-9", 9])
def test_set_bits_that_the_catalogue_does_not_have_are_unknown_codes_graded_b(
    model: str | int,
) -> None:
    faults = Desk(KNOWN).hear(taken_in(1, {"model": model, "point": "Evt", "bits": 1 << 63 | 2}))
    assert [(fault.code, fault.kind, fault.grade) for fault in faults] == [
        (f"{model}.Evt.1", "other_alarm", "B"),
        (f"{model}.Evt.63", "other_alarm", "B"),
    ]


def test_a_level_that_rises_regrades_and_one_that_falls_takes_nothing_back() -> None:
    desk = Desk(KNOWN)
    steps = [(0, None), (1, ("opened", "D")), (1, None), (2, ("regraded", "B")), (2, None)]
    steps += [(1, None), (2, None), (0, ("cleared", "B")), (1, ("reopened", "B"))]
    for minute, (level, expected) in enumerate(steps):
        faults = desk.hear(taken_in(minute, pump(level), minute=minute))
        assert [(fault.change, fault.grade) for fault in faults] == ([expected] if expected else [])
    assert {fault.count for fault in desk.published} == {1, 2}


def test_a_level_is_remembered_over_a_restart() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, pump(1)), taken_in(2, pump(2), minute=1))
    desk.restart()
    assert desk.hear(taken_in(3, pump(2), minute=2)) == []
    (cleared,) = desk.hear(taken_in(4, pump(0), minute=3))
    (condition,) = desk.partition.conditions
    assert (cleared.grade, condition.level) == ("B", "fault")


def test_two_components_with_the_same_register_are_independent() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, alrm(1, "pcs-1"), alrm(1, "pcs-2")))
    desk.hear(taken_in(2, alrm(0, "pcs-2"), minute=1))
    assert desk.standing() == {("pcs-1", "sunspec:701.Alrm.0")}


def test_a_register_named_twice_in_one_report_hides_nothing() -> None:
    """A gateway that reads two devices and leaves the component out."""
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, alrm(0b01), alrm(0b10)))
    assert desk.hear(taken_in(2, alrm(0b10), alrm(0b01), minute=1)) == []
    assert len(desk.standing()) == 2
    assert changes(desk.hear(taken_in(3, pump(1), pump(2), minute=2))) == ["opened", "regraded"]


def test_a_register_that_the_catalogue_learns_replaces_what_stood_under_its_raw_name() -> None:
    desk = Desk(UNKNOWN)
    desk.hear(taken_in(1, alrm(1), catalogue=UNKNOWN))
    assert desk.standing() == {("pcs-1", "701.Alrm.0")}
    desk.restart(KNOWN)
    faults = desk.hear(taken_in(2, alrm(1), minute=1))
    assert told(faults) == [("cleared", "701.Alrm.0"), ("opened", "sunspec:701.Alrm.0")]


def test_a_register_whose_name_begins_like_another_s_is_another() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, {"model": "m", "point": "Alarm2", "bits": 1}))
    desk.hear(taken_in(2, {"model": "m", "point": "Alarm", "bits": 0}))
    assert desk.standing() == {("emu", "m.Alarm2.0")}


def test_a_late_snapshot_neither_clears_nor_raises_what_a_newer_one_spoke_of() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, alrm(0b01), error(16), boot="b", seq=5))
    desk.hear(taken_in(2, alrm(0b01), boot="b", seq=9))
    late = taken_in(3, alrm(0b10), error(15), boot="b", seq=7)
    # Of the enum it is the newest word, of the bits it is not.
    assert told(desk.hear(late)) == [
        ("cleared", "victron:battery/ErrorCode.16"),
        ("opened", "victron:battery/ErrorCode.15"),
    ]
    desk.restart()
    assert desk.hear(taken_in(4, alrm(0), error(0), boot="b", seq=6)) == []
    assert ("pcs-1", "sunspec:701.Alrm.0") in desk.standing()


def test_a_report_that_comes_twice_counts_once() -> None:
    desk = Desk(KNOWN)
    same = taken_in(1, alrm(1), boot="b", seq=1)
    again = taken_in(2, alrm(1), boot="b", seq=1)
    desk.hear(same, same, again)
    desk.hear(taken_in(3, alrm(0), boot="b", seq=2))
    desk.hear(same, again)
    assert changes(desk.published) == ["opened", "cleared"]


def rack(offset: int, *, raised: bool = True, **fields: Any) -> Edge:
    return edge(offset, component="pcs-1", code="sunspec:701.Alrm.0", raised=raised, **fields)


def test_edges_and_snapshots_speak_of_the_same_condition() -> None:
    desk = Desk(KNOWN)
    desk.hear(rack(1), taken_in(2, alrm(1)), rack(3))
    assert changes(desk.published) == ["opened"], "a repeat is told after a minute"
    assert changes(desk.hear(taken_in(4, alrm(0)))) == ["cleared"]
    assert changes(desk.hear(taken_in(5, alrm(1)))) == ["reopened"]
    assert changes(desk.hear(rack(6, raised=False))) == ["cleared"]
    # The device shows it still: its own word goes on to count.
    assert changes(desk.hear(taken_in(7, alrm(1)))) == ["reopened"]
    assert len({fault.fault_id for fault in desk.published}) == 1


def test_what_a_person_clears_stands_again_while_the_device_shows_it() -> None:
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, alrm(1)))
    word = ruling(component="pcs-1", code="sunspec:701.Alrm.0", receipt_ms=NOON_MS + 1)
    assert changes(desk.hear(word)) == ["cleared"]
    assert changes(desk.hear(taken_in(2, alrm(1), minute=1))) == ["reopened"]


@pytest.mark.parametrize("raised", [True, False])
def test_an_edge_that_is_older_than_a_snapshot_changes_nothing_that_stands(raised: bool) -> None:
    """The snapshot confirmed what it found, or found nothing: no condition remembers its number."""
    desk = Desk(KNOWN)
    if not raised:
        desk.hear(taken_in(1, alrm(1), boot="b", seq=1))
    desk.hear(taken_in(2, alrm(0 if raised else 1), boot="b", seq=5))
    # A raise leaves a trace, as a fault that has cleared; it does not stand.
    overtaken = desk.hear(rack(3, raised=raised, boot="b", seq=4))
    assert [(fault.change, fault.state) for fault in overtaken] == [("opened", "cleared")] * raised
    assert changes(desk.hear(rack(4, raised=raised, boot="b", seq=6))) != []


def test_a_snapshot_that_is_older_than_an_edge_changes_nothing() -> None:
    desk = Desk(KNOWN)
    desk.hear(rack(1, boot="b", seq=5))
    assert desk.hear(taken_in(2, alrm(0), boot="b", seq=4)) == []
    desk.hear(rack(3, raised=False, boot="b", seq=7))
    assert desk.hear(taken_in(4, alrm(1), boot="b", seq=6)) == []


def test_the_word_is_the_newest_also_after_the_reopen_window() -> None:
    """By then nothing is known of the condition any more, but of the register."""
    desk = Desk(KNOWN)
    desk.hear(taken_in(1, alrm(1), boot="b", seq=1), taken_in(2, alrm(0), boot="b", seq=9))
    desk.hear(until_ms=NOON_MS + 60 * MINUTE_MS)
    assert len(desk.partition.conditions) == 0
    assert desk.hear(taken_in(3, alrm(1), boot="b", seq=8, minute=61)) == []


def test_a_bit_that_comes_back_within_its_window_reopens_the_same_fault() -> None:
    desk = Desk(KNOWN)
    for minute, bits in enumerate((1, 0, 1)):
        desk.hear(taken_in(minute, alrm(bits), minute=minute))
    assert changes(desk.published) == ["opened", "cleared", "reopened"]
    assert desk.published[-1].flaps == 1
    desk.hear(taken_in(3, alrm(0), minute=10))
    assert changes(desk.hear(taken_in(4, alrm(1), minute=30))) == ["closed", "opened"]


def test_a_device_without_a_clock_is_dated_by_the_receipt() -> None:
    (fault,) = Desk(KNOWN).hear(taken_in(1, alrm(1), at="1970-01-01T00:00:07Z"))
    assert fault.raised_at == fault.opened_at == to_rfc3339(NOON_MS)


def test_a_fault_tells_the_emu_s_model_and_the_report_that_opened_it() -> None:
    (fault,) = Desk(KNOWN).hear(taken_in(7, alrm(1), model="EMU 3", firmware="1.2"))
    assert (fault.model, fault.firmware, fault.source.offset) == ("EMU 3", "1.2", 7)


# What the shipped catalogue says of real registers.


def word_of(register: Register, code: str) -> int:
    """The word that shows this code and no other."""
    number = code.removeprefix(register.code).removeprefix(".")
    if register.form == "levels":
        return max(register.levels)
    return 1 << int(number) if register.form == "bits" else int(number)


REAL = [
    (model, point, register, row)
    for (model, point), register in NAMES.items()
    for row in CATALOGUE.rows
    if row.code == register.code or row.code.rpartition(".")[0] == register.code
]


def test_every_catalogued_code_of_a_register_is_raised_and_cleared_by_its_word() -> None:
    assert len({row.code for *_, row in REAL}) > 300
    desk = Desk()
    for number, (model, point, register, row) in enumerate(REAL):
        word = {"model": model, "point": point, "component": f"c{number}"}
        bits = word_of(register, row.code)
        (opened,) = desk.hear(taken_in(2 * number, {**word, "bits": bits}, catalogue=CATALOGUE))
        assert (opened.code, opened.grade, opened.hazard) == (row.code, row.grade, row.hazard)
        nothing = taken_in(2 * number + 1, {**word, "bits": 0}, catalogue=CATALOGUE)
        assert changes(desk.hear(nothing)) == ["cleared"]


def test_no_register_of_the_catalogue_is_within_another_s_scope() -> None:
    """Else the word of the one would clear what stands by the other."""
    names = {register.code for register in NAMES.values()}
    names |= {f"{model}.{point}" for model, point in NAMES}
    inside = {name for name in names for over in names_over(name) if over != name and over in names}
    assert not inside


def real(offset: int, model: str | int, point: str, bits: int) -> Snapshot:
    word = {"model": model, "point": point, "bits": bits}
    return taken_in(offset, word, catalogue=CATALOGUE, minute=offset)


def test_levels_of_victron_grade_the_fault_up_and_never_down() -> None:
    desk = Desk()
    told_of: list[tuple[str, str, bool]] = []
    for minute, level in enumerate((0, 1, 1, 2, 1, 0, 1)):
        faults = desk.hear(real(minute, "victron:vebus", "Alarms/HighTemperature", level))
        told_of += [(fault.change, fault.grade, fault.hazard) for fault in faults]
    assert told_of == [
        ("opened", "B", False),
        ("regraded", "A", True),
        ("cleared", "A", True),
        ("reopened", "A", True),
    ]


@pytest.mark.parametrize(
    ("model", "point", "bits", "codes"),
    [
        (802, "Evt1", 1 << 27, []),  # reserved in SunSpec
        (804, "Evt1", 1 << 24 | 1 << 27, []),
        (203, "Evt", 0xFF << 8, []),
        (2, "Evt", 1 << 2, []),
        (714, "PrtAlrms", 0b11, []),  # says only which ports have alarms
        (701, "Alrm", 0xFFFFFFFF, []),  # not implemented
        (701, "Alrm", 1 << 31, ["sunspec:701.Alrm.31"]),  # of no meaning in the standard: unknown
        (802, "EvtVnd1", 1 << 3, ["sunspec:802.EvtVnd1.3"]),  # the vendor's own: unknown
        ("foxess", "fault1", 1 << 7, ["foxess:fault1.7"]),
        ("goodwe", "diagnose_result", 1 << 0, []),
    ],
)
def test_bits_that_have_no_row_are_reserved_or_unknown(
    model: str | int, point: str, bits: int, codes: list[str]
) -> None:
    faults = Desk().hear(real(1, model, point, bits))
    assert [fault.code for fault in faults] == codes
    assert all((fault.kind, fault.grade) == ("other_alarm", "B") for fault in faults)

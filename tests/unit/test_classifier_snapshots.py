"""What a snapshot says of conditions, and what it leaves alone; against plain oracles."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.batch import MAX_FAULTS
from services.classifier.order import MAX_NAMES
from services.classifier.scope import names_over
from services.classifier.state import Emu, decode_emu, encode
from shared.catalogue import Register
from shared.documents.internal import (
    Active,
    Edge,
    InternalRecord,
    Part,
    decode_internal,
    encode_internal,
)
from shared.times import MINUTE_MS
from tests.unit.alarms import NOON_MS, Desk, changes, edge, part, snapshot

RACK = "bms/rack-1"


def test_a_complete_snapshot_of_a_component_clears_what_it_does_not_name_there() -> None:
    desk = Desk()
    desk.hear(edge(1, code="x"), edge(2, code="y.1"), edge(3, code="z", component="bms/rack-2"))
    faults = desk.hear(snapshot(4, part(None, "y.1", "new")))
    assert [(fault.change, fault.code) for fault in faults] == [("cleared", "x"), ("opened", "new")]
    assert desk.standing() == {(RACK, "y.1"), (RACK, "new"), ("bms/rack-2", "z")}


def test_an_incomplete_snapshot_clears_nothing() -> None:
    desk = Desk()
    desk.hear(edge(1, code="x"))
    assert changes(desk.hear(snapshot(2, part((), "y")))) == ["opened"]
    assert desk.standing() == {(RACK, "x"), (RACK, "y")}


def test_an_empty_list_and_a_missing_one_differ() -> None:
    desk = Desk()
    desk.hear(edge(1, code="x"))
    assert desk.hear(snapshot(2)) == []
    assert changes(desk.hear(snapshot(3, part(None)))) == ["cleared"]


def test_what_any_part_names_stands() -> None:
    desk = Desk()
    desk.hear(edge(1, code="x.1"))
    assert desk.hear(snapshot(2, part(None), part((), "x.1"))) == []
    assert desk.hear(snapshot(3, part("x", "x.1"), part("x"))) == []


def test_clears_come_by_name_and_raises_as_they_were_named() -> None:
    """In any order of the conditions: after a restart they are found in another one."""
    desk = Desk()
    desk.hear(*(edge(offset, code=f"r.{n}") for offset, n in enumerate((3, 1, 2))))
    desk.changelog = dict(sorted(desk.changelog.items(), reverse=True))
    desk.restart()
    faults = desk.hear(snapshot(4, part("r", "r.9", "r.8")))
    assert [fault.code for fault in faults] == ["r.1", "r.2", "r.3", "r.9", "r.8"]


def test_a_value_and_a_level_are_passed_on() -> None:
    record = snapshot(1, part("r", Active("r", "info", 7)))
    assert decode_internal(encode_internal(record)) == record
    (fault,) = Desk().hear(record)
    assert fault.grade == "D"


def test_other_emus_are_left_alone() -> None:
    desk = Desk()
    desk.hear(edge(1, code="x", emu_id="other"))
    assert desk.hear(snapshot(2, part(None))) == []


def test_changes_of_the_same_batch_are_seen() -> None:
    desk = Desk()
    faults = desk.hear(
        edge(1, code="r.1"),
        snapshot(2, part("r", "r.2")),
        snapshot(3, part("r", "r.2")),
        snapshot(4, part("r", "r.1")),
    )
    assert [(fault.change, fault.code) for fault in faults] == [
        ("opened", "r.1"),
        ("cleared", "r.1"),
        ("opened", "r.2"),
        ("cleared", "r.2"),
        ("reopened", "r.1"),
    ]


def test_what_an_aborted_batch_said_is_not_known() -> None:
    desk = Desk()
    desk.hear_in_vain(snapshot(1, part("r", "r.1"), boot="b", seq=1))
    assert changes(desk.hear(snapshot(1, part("r", "r.1"), boot="b", seq=1))) == ["opened"]


def test_very_many_faults_of_snapshots_are_spread_over_batches() -> None:
    desk = Desk()
    codes = [f"r.{n}" for n in range(MAX_FAULTS)]
    batch = desk.partition.stage()
    batch.judge(snapshot(1, part("r", *codes)))
    assert not batch.follow_clock(NOON_MS)
    desk.partition.apply(batch)
    assert desk.partition.stage().follow_clock(NOON_MS)


def test_a_raise_that_a_snapshot_without_it_overtook_is_a_fault_that_has_cleared() -> None:
    desk = Desk()
    assert desk.hear(snapshot(1, part(None), boot="b", seq=11)) == []
    (fault,) = desk.hear(edge(2, boot="b", seq=10, receipt_ms=NOON_MS + 1000))
    assert (fault.change, fault.state, fault.revision) == ("opened", "cleared", 1)
    assert desk.standing() == set()
    later = edge(3, boot="b", seq=12, receipt_ms=NOON_MS + 2000)
    assert changes(desk.hear(later)) == ["reopened"]


def test_state_of_before_there_were_snapshots_is_read() -> None:
    assert decode_emu(encode([[], []])) == Emu()


def test_names_over_a_code_are_its_beginnings() -> None:
    assert list(names_over("a:b.c.1")) == ["", "a:b", "a:b.c", "a:b.c.1"]


def test_an_emu_that_makes_names_up_takes_no_more_than_its_room() -> None:
    desk = Desk()
    for seq in range(2 * MAX_NAMES // 10):
        parts = [part(f"r{seq}-{n}") for n in range(10)]
        desk.hear(snapshot(seq, *parts, boot="b", seq=seq))
    emu = desk.partition.known.of("e1").emu
    assert sum(len(spoken.names) for spoken in emu.spoken) <= MAX_NAMES


def test_registers_that_are_reported_each_by_itself_or_together_are_told_apart() -> None:
    desk = Desk()
    desk.hear(snapshot(1, part("r"), part("q"), boot="b", seq=5))
    desk.hear(snapshot(2, part("r"), boot="b", seq=8))
    assert desk.hear(snapshot(3, part("q", "q.1"), boot="b", seq=4)) == []
    # Newer than the last word on q, older than that on r.
    assert changes(desk.hear(snapshot(4, part("q", "q.1"), boot="b", seq=7))) == ["opened"]
    assert desk.hear(snapshot(5, part("r", "r.1"), boot="b", seq=6)) == []


def test_what_comes_after_a_snapshot_without_a_number_is_newer() -> None:
    desk = Desk()
    desk.hear(snapshot(1, part("r"), boot="b", seq=9), snapshot(2, part("r")))
    assert changes(desk.hear(snapshot(3, part("r", "r.1"), boot="b", seq=8))) == ["opened"]


# Two registers of bits, an enum and one of levels; the first of them also at another component.
REGISTERS = (
    Register(code="p.bits", reserved=frozenset({2}), not_implemented=7),
    Register(code="p.bits2"),
    Register(code="p.enum", form="enum", reserved=frozenset({5})),
    Register(code="p.level", form="levels", levels={1: "info", 2: "fault"}),
)
PLACES = (("emu", 0), ("emu", 1), ("emu", 2), ("emu", 3), (RACK, 0))


class Reading(NamedTuple):
    """A register of a component, and the word that it holds."""

    component: str
    register: Register
    word: int

    def standing(self) -> set[tuple[str, str]] | None:
        read = self.register.read(self.word)
        return None if read is None else {(self.component, active.code) for active in read}

    def speaks_of(self, component: str, code: str) -> bool:
        ours = code == self.register.code or code.startswith(self.register.code + ".")
        return component == self.component and ours

    def part(self) -> Part | None:
        read = self.register.read(self.word)
        if read is None:
            return None
        return Part(self.component, (self.register.code,), tuple(Active(*one) for one in read))


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    places = draw(st.lists(st.sampled_from(PLACES), unique=True, max_size=4))
    return [Reading(at, REGISTERS[n], draw(st.integers(0, 7))) for at, n in places]


@st.composite
def codes(draw: st.DrawFn) -> tuple[str, str]:
    component, number = draw(st.sampled_from(PLACES))
    register = REGISTERS[number]
    if register.form == "levels":
        return component, register.code
    return component, f"{register.code}.{draw(st.integers(0, 7))}"


Said = list[Reading] | tuple[tuple[str, str], bool]
SAID = st.one_of(readings(), st.tuples(codes(), st.booleans()))


def record_of(said: Said, offset: int, *, seq: int | None, receipt_ms: int) -> InternalRecord:
    boot = None if seq is None else "b"
    if isinstance(said, list):
        parts = [found for reading in said if (found := reading.part()) is not None]
        return snapshot(offset, *parts, boot=boot, seq=seq, receipt_ms=receipt_ms)
    (component, code), raised = said
    return edge(
        offset, component=component, code=code, raised=raised,
        boot=boot, seq=seq, receipt_ms=receipt_ms,
    )  # fmt: skip


def hear_oracle(stands: set[tuple[str, str]], said: Said) -> None:
    """What stands is what the last word says, of each register and of each code by itself."""
    if not isinstance(said, list):
        name, raised = said
        (stands.add if raised else stands.discard)(name)
        return
    for reading in said:
        now = reading.standing()
        if now is not None:
            stands -= {name for name in stands if reading.speaks_of(*name)}
            stands |= now


@settings(max_examples=200, deadline=None)
@given(st.lists(SAID, max_size=20), st.booleans(), st.data())
def test_what_stands_is_what_the_last_words_say(
    stream: list[Said], numbered: bool, data: st.DataObject
) -> None:
    """In order, whatever the breaks between them, and whether we restart or not."""
    desk = Desk()
    stands = set[tuple[str, str]]()
    receipt_ms = NOON_MS
    for offset, said in enumerate(stream):
        receipt_ms += data.draw(st.sampled_from([0, 1_000, 20 * MINUTE_MS]))
        record = record_of(said, offset, seq=offset if numbered else None, receipt_ms=receipt_ms)
        desk.hear(record)
        hear_oracle(stands, said)
        assert desk.standing() == stands
        if data.draw(st.booleans()):
            desk.restart()
            assert desk.hear(record) == []
    desk.hear(until_ms=receipt_ms + 2 * MINUTE_MS)  # what chatters is held open for a minute
    newest = {fault.fault_id: fault.state for fault in desk.published}
    assert list(newest.values()).count("open") == len(stands)


@settings(max_examples=200, deadline=None)
@given(st.lists(SAID, max_size=12), st.booleans(), st.data())
def test_in_whatever_order_numbered_words_come_the_newest_holds(
    stream: list[Said], slow: bool, data: st.DataObject
) -> None:
    """But for a clear by an edge that overtakes its raise by more than the reopen window."""
    if slow:
        stream = [said for said in stream if isinstance(said, list) or said[1]]
    stands = set[tuple[str, str]]()
    for said in stream:
        hear_oracle(stands, said)
    desk = Desk()
    receipt_ms = NOON_MS
    for offset, seq in enumerate(data.draw(st.permutations(range(len(stream))))):
        receipt_ms += data.draw(st.sampled_from([0, 20 * MINUTE_MS if slow else MINUTE_MS]))
        desk.hear(record_of(stream[seq], offset, seq=seq, receipt_ms=receipt_ms))
        if data.draw(st.booleans()):
            desk.restart()
    assert desk.standing() == stands
    for emu in (known.emu for known in desk.partition.known.by_id.values()):
        numbers = [number for spoken in emu.spoken for number in spoken.names]
        assert len(numbers) == len(set(numbers))


def test_the_oracle_itself_knows_a_trap() -> None:
    """`p.bits` and `p.bits2` begin alike."""
    stands = {("emu", "p.bits2.1"), ("emu", "p.bits.1")}
    hear_oracle(stands, [Reading("emu", REGISTERS[0], 0)])
    assert stands == {("emu", "p.bits2.1")}


def test_a_record_of_each_sort_survives_its_encoding() -> None:
    for record in (edge(1), snapshot(2, part(None, "a"), part((), "b"), part(("c", "d")))):
        assert decode_internal(encode_internal(record)) == record
        assert isinstance(record, Edge) or record.parts[0].scope is None

"""What stands in the Fault document beside what its condition's life says."""

import msgspec

from services.classifier.fault import make_fault
from services.classifier.state import (
    NO_FACTS,
    NO_MARKS,
    Condition,
    Marks,
    decode_condition,
    encode,
    with_marks,
)
from shared.times import HOUR_MS, to_rfc3339
from tests.unit.alarms import CATALOGUE, NOON_MS, condition_of, edge


def test_clocks_run_from_the_opening_and_nothing_is_stale_unless_it_is_marked() -> None:
    condition = condition_of(edge(1))
    fault = make_fault("opened", condition, NO_FACTS, CATALOGUE)
    assert (fault.stale, fault.clocks_from) == (False, fault.opened_at)

    held_back = with_marks(condition, Marks(stale=True, clocks_from_ms=NOON_MS + HOUR_MS))
    fault = make_fault("released", held_back, NO_FACTS, CATALOGUE)
    assert (fault.stale, fault.clocks_from) == (True, to_rfc3339(NOON_MS + HOUR_MS))
    assert fault.opened_at == to_rfc3339(NOON_MS)


def test_marks_are_kept_in_the_changelog_and_none_at_all_is_as_before() -> None:
    condition = condition_of(edge(1))
    marked = with_marks(condition, Marks(stale=True))
    assert decode_condition(encode(marked)) == marked
    assert with_marks(marked, NO_MARKS) == condition


def test_a_condition_that_was_written_before_there_were_marks_is_read() -> None:
    condition = condition_of(edge(1))
    known_then = Condition.__struct_fields__.index("marks")
    fields = msgspec.structs.astuple(condition)[:known_then]
    assert decode_condition(encode(fields)) == condition

"""Instants on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.times import from_rfc3339, to_rfc3339


@given(st.integers(0, 4_102_444_800_000))
def test_an_instant_survives_the_wire(epoch_ms: int) -> None:
    assert from_rfc3339(to_rfc3339(epoch_ms)) == epoch_ms


def test_the_form_on_the_wire() -> None:
    assert to_rfc3339(1_795_341_600_123) == "2026-11-22T10:00:00.123Z"


@pytest.mark.parametrize("text", ["2026-11-22T10:00:00", "soon", ""])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        from_rfc3339(text)

"""Ids are the letters that base32 (RFC 4648) has for a digest of their parts."""

from base64 import b32encode
from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from shared.documents.ids import make_id


@given(st.lists(st.text(st.characters(codec="utf-8")) | st.integers()))
def test_an_id_is_a_letter_and_fifteen_of_base32(parts: list[str | int]) -> None:
    joined = "\x1f".join(str(part) for part in parts).encode()
    digest = blake2b(joined, digest_size=10).digest()
    assert make_id("f", *parts) == "f" + b32encode(digest).decode().lower()[:15]

"""Ids made from what they name, so that a replay makes the same id."""

from hashlib import blake2b
from itertools import product

# The three letters of base32 for each 15 bits: base64.b32encode takes six times as long for what is so short.
_LETTERS = tuple(map("".join, product("abcdefghijklmnopqrstuvwxyz234567", repeat=3)))


def make_id(letter: str, *parts: str | int) -> str:
    """A 16-letter id that depends on all `parts` and on nothing else.

    One letter tells the sort; 16 bytes are what the timer's entries are sized for. 75 bits: among 10^9 ids
    the chance that any two are equal is about 10^-5.
    """
    joined = "\x1f".join(map(str, parts)).encode()
    bits = int.from_bytes(blake2b(joined, digest_size=10).digest()) >> 5
    return (
        f"{letter}{_LETTERS[bits >> 60]}{_LETTERS[bits >> 45 & 32767]}{_LETTERS[bits >> 30 & 32767]}"
        f"{_LETTERS[bits >> 15 & 32767]}{_LETTERS[bits & 32767]}"
    )

"""Ids made from what they name, so that a replay makes the same id."""

import base64
from hashlib import blake2b

# 1 letter that tells the sort + 15 base32 letters = 16 bytes, what the timer's entries are sized for.
# 75 bits: among 10^9 ids the chance that any two are equal is about 10^-5.
_LETTERS = 15


def make_id(letter: str, *parts: str | int) -> str:
    """A 16-letter id that depends on all `parts` and on nothing else."""
    joined = "\x1f".join(str(part) for part in parts).encode()
    return (
        letter
        + base64.b32encode(blake2b(joined, digest_size=10).digest())[:_LETTERS].decode().lower()
    )

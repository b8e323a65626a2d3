"""Ids made from what they name, so that a replay makes the same id."""

from hashlib import blake2b

# 1 letter that tells the sort + 15 base32 letters = 16 bytes, what the timer's entries are sized for.
# 75 bits: among 10^9 ids the chance that any two are equal is about 10^-5.
_LETTERS = 15
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
# Two letters of base32 for each 10 bits: base64.b32encode takes five times as long for what is so short.
_PAIRS = tuple(one + other for one in _ALPHABET for other in _ALPHABET)


def make_id(letter: str, *parts: str | int) -> str:
    """A 16-letter id that depends on all `parts` and on nothing else."""
    joined = "\x1f".join(map(str, parts)).encode()
    number = int.from_bytes(blake2b(joined, digest_size=10).digest())
    letters = "".join([_PAIRS[number >> shift & 1023] for shift in range(70, -1, -10)])
    return letter + letters[:_LETTERS]

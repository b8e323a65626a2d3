"""Numbers in vendor files: bits and values of words."""

import re
from collections.abc import Iterator

from shared.catalogue.keys import LevelsKeys
from shared.catalogue.registers import RegisterForm, Reserved
from shared.catalogue.words import Level
from shared.toml import Table

NUMBER = "0|[1-9][0-9]*"
RANGE = re.compile(f"(?P<first>{NUMBER})(?:-(?P<last>{NUMBER}))?")


def read_number(
    text: str, form: RegisterForm, word_bits: int, table: Table, *, key: str | None = None
) -> int | None:
    """The bit or value that a text names; None: told why it is none. The text is a key, or within `key`."""
    last = word_bits - 1 if form == "bits" else 2**word_bits - 1
    what = "bit" if form == "bits" else "value"
    is_number = len(text) <= len(str(last)) and re.fullmatch(NUMBER, text)
    number = int(text) if is_number else -1
    if number == 0 and form != "bits":
        table.tell("0 always says that nothing stands; leave it out", key or text)
    elif not 0 <= number <= last:
        said = f"{text} is" if key else "is"
        told = f"{said} no {what} of a word of {word_bits} bits; write a number up to {last}"
        table.tell(told, key or text)
    else:
        return number
    return None


def read_levels(group: LevelsKeys, values: Table) -> Iterator[tuple[int, Level]]:
    """The level of each value; what is no value is told."""
    for key, level in group.values.items():
        number = read_number(key, "enum", group.word_bits, values)
        if number is not None:
            yield number, level


def read_reserved(table: Table, form: RegisterForm, word_bits: int) -> Reserved:
    """`27 = "why"`, or `"8-15" = "why"`; what is neither, and what is said twice, is told."""
    found: dict[str, tuple[range, str]] = {}
    for key, why in table.values.items():
        if not isinstance(why, str) or not why:
            table.tell_wrong(key, 'why it means nothing, such as "reserved by the standard"')
            continue
        numbers = _read_range(key, form, word_bits, table)
        if numbers is None:
            continue
        for other, (there, _why) in found.items():
            if numbers.start < there.stop and there.start < numbers.stop:
                told = f"is in part in {other} of {table.place(other)} already; write each once"
                table.tell(told, key)
        found[key] = (numbers, why)
    return Reserved(tuple(found.values()))


def check_word(table: Table, word: int | None, word_bits: int) -> None:
    """Tells where `not_implemented` is no such word."""
    if word is not None and word >= 2**word_bits:
        table.tell_wrong("not_implemented", f"a word of {word_bits} bits, as `word_bits` says")


def _read_range(key: str, form: RegisterForm, word_bits: int, table: Table) -> range | None:
    parts = RANGE.fullmatch(key)
    if parts is None:
        table.tell('is neither a number nor a range; write it such as 27, or "8-15"', key)
        return None
    first = read_number(parts["first"], form, word_bits, table, key=key)
    if parts["last"] is None or first is None:
        return None if first is None else range(first, first + 1)
    last = read_number(parts["last"], form, word_bits, table, key=key)
    if last is not None and last <= first:
        table.tell("is no range; write the smaller number first", key)
        return None
    return None if last is None else range(first, last + 1)

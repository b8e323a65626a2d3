"""What was said to have gone when nobody waited any longer for a transfer that had not come. Pure.

The transfer may still come, and its conditions are older than these words. They are kept until then, or until
nothing more is expected of the move: however late the transfer is, nothing stands by it that has gone since.
"""

import msgspec

from services.classifier.order import is_past
from services.classifier.scope import names_over, names_spoken_of
from services.classifier.state import ConditionName
from shared.documents.internal import Edge, Snapshot, Word

# Of more the oldest are forgotten: one word may speak of 1,000 registers.
MAX_GONE = 2_000


class Gone(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A name of a component, and a receipt at which nothing stood that it names."""

    component: str
    name: str
    alone: bool
    """Whether it is one code; else a scope, and all codes that it is over."""
    receipt_ms: int


def note_gone(known: tuple[Gone, ...], word: Word) -> tuple[Gone, ...]:
    """With this word. One of the past says nothing of now."""
    if not isinstance(word, Edge | Snapshot) or is_past(word):
        return known
    if isinstance(word, Edge):
        names = set[tuple[str, str]]() if word.raised else {(word.component, word.code)}
    else:
        names = names_spoken_of(word)
    alone = isinstance(word, Edge)
    said = tuple(Gone(*name, alone, word.receipt_ms) for name in sorted(names))
    kept = (one for one in known if one.alone != alone or (one.component, one.name) not in names)
    return (*kept, *said)[-MAX_GONE:]


def gone_at_ms(known: tuple[Gone, ...], name: ConditionName) -> int | None:
    """Receipt of the newest word by which the condition has gone; None: there was none."""
    component, code = name
    over = {*names_over(code)}
    receipts_ms = (
        one.receipt_ms
        for one in known
        if one.component == component and (one.name == code if one.alone else one.name in over)
    )
    return max(receipts_ms, default=None)

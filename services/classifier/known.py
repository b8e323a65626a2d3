"""All that is remembered of one EMU, and what a batch makes of it. No I/O."""

from collections.abc import Iterable
from sys import intern

import msgspec

from services.classifier.state import NEW_EMU, NO_FACTS, Condition, ConditionName, Emu, Facts
from services.classifier.whereabouts import Move


class Known(msgspec.Struct, gc=False):
    """What was heard from it, what its record says, its conditions, and where it went.

    The conditions stand, or their reopen window is not over yet.
    """

    emu: Emu = NEW_EMU
    facts: Facts = NO_FACTS
    conditions: dict[ConditionName, Condition] = {}
    move: Move | None = None
    """None: it has never moved."""

    @property
    def revision(self) -> int:
        """The newest of its record."""
        return max(self.facts.revision, self.move.revision if self.move else 0)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered."""
        heard = self.emu is not NEW_EMU or self.facts.revision
        return not heard and not self.conditions and self.move is None


class Touched(Known, gc=False):
    """The same with changes that are not yet true: what is true stays as it is."""

    changed: dict[ConditionName, Condition | None] = {}
    """The conditions that were changed, as they were before; None: not there."""
    is_judged: bool = False
    """Whether one of them was more than counted."""
    is_heard: bool = False
    """Whether what was heard is to be written, and so on."""
    is_learned: bool = False
    is_moved: bool = False

    def put(self, condition: Condition) -> Condition | None:
        """Add it, or replace the one of its name; returns what was there."""
        name = (condition.component, condition.code)
        before = self.conditions.get(name)
        self.changed.setdefault(name, before)
        self.conditions[name] = condition
        self.is_judged = True
        return before

    def count(self, name: ConditionName, before: Condition, after: Condition) -> None:
        """Replace the one of that name by itself with one repeat more."""
        self.changed.setdefault(name, before)
        self.conditions[name] = after

    def remove(self, name: ConditionName) -> None:
        """Forget it."""
        self.changed.setdefault(name, self.conditions.pop(name, None))
        self.is_judged = True


NOTHING = Known()
"""Of an EMU that was never heard of. Not to be changed."""


def touch(known: Known) -> Touched:
    """`known`, to be changed."""
    return Touched(known.emu, known.facts, known.conditions.copy(), known.move)


class KnownEmus:
    """Those of one partition."""

    def __init__(self) -> None:
        self.by_id: dict[str, Known] = {}
        self.conditions = 0
        """How many all of them have."""

    def of(self, emu_id: str) -> Known:
        """What is remembered of it, if anything."""
        return self.by_id.get(emu_id, NOTHING)

    def add(self, emu_id: str) -> Known:
        """The same, to be filled."""
        known = self.by_id.get(emu_id)
        if known is None:
            known = self.by_id[intern(emu_id)] = Known()
        return known

    def tidy(self) -> None:
        """All is restored."""
        for emu_id in [emu_id for emu_id, known in self.by_id.items() if known.is_empty]:
            del self.by_id[emu_id]
        self.conditions = sum(len(known.conditions) for known in self.by_id.values())

    def put(self, emu_id: str, touched: Touched) -> None:
        """The changes are true now."""
        known = self.by_id.get(emu_id) or self.add(emu_id)
        self.conditions += len(touched.conditions) - len(known.conditions)
        known.emu, known.facts = touched.emu, touched.facts
        known.conditions, known.move = touched.conditions, touched.move
        if not known.conditions and known.is_empty:
            del self.by_id[emu_id]

    def forget(self, emu_ids: Iterable[str]) -> None:
        """What was heard from these; nothing is left of one of which nothing else is known."""
        for emu_id in emu_ids:
            known = self.by_id[emu_id]
            known.emu = NEW_EMU
            if known.is_empty:
                del self.by_id[emu_id]

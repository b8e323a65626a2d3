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

    def get(self, name: ConditionName) -> Condition | None:
        """The condition of that name; None: there is none."""
        return self.conditions.get(name)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is remembered."""
        heard = self.emu is not NEW_EMU or self.facts.revision
        return not heard and not self.conditions and self.move is None


NOTHING = Known()
"""Of an EMU that was never heard of. Not to be changed."""


class Touched(msgspec.Struct, gc=False):
    """The same with changes that are not yet true: what is true stays as it is."""

    emu: Emu
    facts: Facts
    move: Move | None
    stood: dict[ConditionName, Condition]
    """The conditions that are true. Not to be changed."""
    changed: dict[ConditionName, Condition | None] = {}
    """Those of them that are otherwise by now; None: not there any more."""
    is_judged: bool = False
    """Whether one of them was more than counted."""
    is_heard: bool = False
    """Whether what was heard is to be written, and so on."""
    is_learned: bool = False
    is_moved: bool = False

    @property
    def conditions(self) -> dict[ConditionName, Condition]:
        """All of them by now. To be asked where all are wanted: they are put together each time."""
        if not self.changed:
            return self.stood
        both = {**self.stood, **self.changed}
        return {name: condition for name, condition in both.items() if condition is not None}

    @property
    def known(self) -> Known:
        """All of it by now, not to be changed."""
        return Known(self.emu, self.facts, self.conditions, self.move)

    def get(self, name: ConditionName) -> Condition | None:
        """The condition of that name by now; None: there is none."""
        return self.changed[name] if name in self.changed else self.stood.get(name)

    def put(self, condition: Condition) -> Condition | None:
        """Add it, or replace the one of its name; returns what was there."""
        name = (condition.component, condition.code)
        before = self.get(name)
        self.changed[name] = condition
        self.is_judged = True
        return before

    def remove(self, name: ConditionName) -> None:
        """Forget it."""
        self.changed[name] = None
        self.is_judged = True


def touch(known: Known) -> Touched:
    """`known`, to be changed."""
    return Touched(known.emu, known.facts, known.move, known.conditions)


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
        known.emu, known.facts, known.move = touched.emu, touched.facts, touched.move
        self.conditions -= len(known.conditions)
        for name, condition in touched.changed.items():
            if condition is None:
                known.conditions.pop(name, None)
            else:
                known.conditions[name] = condition
        self.conditions += len(known.conditions)
        if not known.conditions and known.is_empty:
            del self.by_id[emu_id]

    def forget(self, emu_ids: Iterable[str]) -> None:
        """What was heard from these; nothing is left of one of which nothing else is known."""
        for emu_id in emu_ids:
            known = self.by_id[emu_id]
            known.emu = NEW_EMU
            if known.is_empty:
                del self.by_id[emu_id]

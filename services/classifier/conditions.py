"""The conditions of one partition by their EMU, and what a batch makes of them. No I/O."""

from collections.abc import Iterator, Mapping

from services.classifier.state import Condition, ConditionKey, ConditionName

_NONE: Mapping[ConditionName, Condition] = {}


class Conditions:
    """Conditions that stand, or whose reopen window is not over yet.

    Those of one EMU are found without a look at the others'; an EMU without any takes no room.
    """

    def __init__(self) -> None:
        self._by_emu: dict[str, dict[ConditionName, Condition]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Condition]:
        for conditions in self._by_emu.values():
            yield from conditions.values()

    def of(self, emu_id: str) -> Mapping[ConditionName, Condition]:
        """All of one EMU."""
        return self._by_emu.get(emu_id, _NONE)

    def get(self, key: ConditionKey) -> Condition | None:
        """None: nothing is known of it."""
        emu_id, component, code = key
        return self._by_emu.get(emu_id, _NONE).get((component, code))

    def put(self, condition: Condition) -> None:
        """Add it, or replace the one of its key."""
        self.update(condition.emu_id, {condition.name: condition})

    def remove(self, key: ConditionKey) -> None:
        """Forget it, if it is there."""
        self.update(key[0], {key[1:]: None})

    def update(self, emu_id: str, changed: Mapping[ConditionName, Condition | None]) -> None:
        """Put these of one EMU; None: forget it, if it is there."""
        conditions = self._by_emu.setdefault(emu_id, {})
        before = len(conditions)
        for name, condition in changed.items():
            if condition is not None:
                conditions[name] = condition
            else:
                conditions.pop(name, None)
        self._count += len(conditions) - before
        if not conditions:
            del self._by_emu[emu_id]


class ChangedConditions:
    """Conditions with changes that are not yet true: these lie over the others, which stay as they are."""

    def __init__(self, base: Conditions) -> None:
        self._base = base
        self.changes: dict[str, dict[ConditionName, Condition | None]] = {}
        """By their EMU all that were changed; None: forgotten."""

    def of(self, emu_id: str) -> Mapping[ConditionName, Condition]:
        """All of one EMU."""
        before, changed = self._base.of(emu_id), self.changes.get(emu_id)
        if changed is None:
            return before
        both = {**before, **changed}
        return {name: condition for name, condition in both.items() if condition is not None}

    def get(self, key: ConditionKey) -> Condition | None:
        """None: nothing is known of it."""
        changed = self.changes.get(key[0])
        if changed is not None and (name := key[1:]) in changed:
            return changed[name]
        return self._base.get(key)

    def put(self, condition: Condition) -> Condition | None:
        """Add it, or replace the one of its key; returns what was there."""
        emu_id, name = condition.emu_id, (condition.component, condition.code)
        changed = self._changed_of(emu_id)
        before = changed[name] if name in changed else self._base.of(emu_id).get(name)
        changed[name] = condition
        return before

    def remove(self, key: ConditionKey) -> None:
        """Forget it."""
        self._changed_of(key[0])[key[1:]] = None

    def apply(self) -> None:
        """The changes are true now."""
        for emu_id, changed in self.changes.items():
            self._base.update(emu_id, changed)

    def _changed_of(self, emu_id: str) -> dict[ConditionName, Condition | None]:
        changed = self.changes.get(emu_id)
        if changed is None:
            changed = self.changes[emu_id] = {}
        return changed

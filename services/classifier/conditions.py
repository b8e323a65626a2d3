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
        return self.of(key[0]).get(key[1:])

    def put(self, condition: Condition) -> None:
        """Add it, or replace the one of its key."""
        conditions = self._by_emu.setdefault(condition.emu_id, {})
        self._count += condition.name not in conditions
        conditions[condition.name] = condition

    def remove(self, key: ConditionKey) -> None:
        """Forget it, if it is there."""
        conditions = self._by_emu.get(key[0], {})
        if conditions.pop(key[1:], None) is not None:
            self._count -= 1
        if not conditions:
            self._by_emu.pop(key[0], None)

    def replace(self, emu_id: str, conditions: dict[ConditionName, Condition]) -> None:
        """These are all of the EMU from now on."""
        self._count += len(conditions) - len(self.of(emu_id))
        if conditions:
            self._by_emu[emu_id] = conditions
        else:
            self._by_emu.pop(emu_id, None)


class ChangedConditions:
    """Conditions with changes that are not yet true: those of an EMU are copied at its first change."""

    def __init__(self, base: Conditions) -> None:
        self._base = base
        self._by_emu: dict[str, dict[ConditionName, Condition]] = {}
        self.changes: dict[ConditionKey, Condition | None] = {}
        """Each condition that was changed; None: forgotten."""

    def of(self, emu_id: str) -> Mapping[ConditionName, Condition]:
        """All of one EMU."""
        changed = self._by_emu.get(emu_id)
        return self._base.of(emu_id) if changed is None else changed

    def get(self, key: ConditionKey) -> Condition | None:
        """None: nothing is known of it."""
        return self.of(key[0]).get(key[1:])

    def put(self, condition: Condition) -> Condition | None:
        """Add it, or replace the one of its key; returns what was there."""
        conditions, name = self._copy_of(condition.emu_id), condition.name
        before = conditions.get(name)
        conditions[name] = condition
        self.changes[(condition.emu_id, *name)] = condition
        return before

    def remove(self, key: ConditionKey) -> None:
        """Forget it."""
        self._copy_of(key[0]).pop(key[1:], None)
        self.changes[key] = None

    def apply(self) -> None:
        """The changes are true now."""
        for emu_id, conditions in self._by_emu.items():
            self._base.replace(emu_id, conditions)

    def _copy_of(self, emu_id: str) -> dict[ConditionName, Condition]:
        changed = self._by_emu.get(emu_id)
        if changed is None:
            changed = self._by_emu[emu_id] = dict(self._base.of(emu_id))
        return changed

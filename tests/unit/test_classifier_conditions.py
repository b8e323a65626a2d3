"""Conditions by their EMU are what one plain dict of them would be."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.classifier.conditions import ChangedConditions, Conditions
from services.classifier.state import Condition, ConditionKey
from tests.unit.alarms import condition_of, edge

POOL = tuple(
    condition_of(edge(emu_id=emu_id, component=component, code=code))
    for emu_id in ("e1", "e2")
    for component in ("a", "b")
    for code in ("x", "y")
)
# Of a batch: the place in POOL of what is put (True) or forgotten, and whether the batch is committed.
BATCHES = st.lists(
    st.tuples(st.lists(st.tuples(st.sampled_from(range(len(POOL))), st.booleans())), st.booleans())
)

Plain = dict[ConditionKey, Condition]


def agree(found: Conditions | ChangedConditions, plain: Plain) -> None:
    for condition in POOL:
        assert found.get(condition.key) is plain.get(condition.key)
    for emu_id in ("e1", "e2", "nobody"):
        mine = {c.name: c for c in plain.values() if c.emu_id == emu_id}
        assert dict(found.of(emu_id)) == mine


@settings(max_examples=150, deadline=None)
@given(BATCHES, st.booleans())
def test_conditions_are_what_was_put_and_not_removed(
    batches: list[tuple[list[tuple[int, bool]], bool]], directly: bool
) -> None:
    base, plain = Conditions(), Plain()
    for steps, committed in batches:
        changed, after = ChangedConditions(base), dict(plain)
        target = base if directly else changed
        for number, put in steps:
            condition = POOL[number]
            if put:
                target.put(condition)
                after[condition.key] = condition
            else:
                target.remove(condition.key)
                after.pop(condition.key, None)
            agree(target, after)
        if directly or committed:
            changed.apply()
            plain = after
        agree(base, plain)
        assert len(base) == len(plain) == len(list(base))
        touched = {POOL[number].key for number, _ in steps}
        changes = {
            (emu_id, *name): condition
            for emu_id, of_emu in changed.changes.items()
            for name, condition in of_emu.items()
        }
        assert directly or {key: after.get(key) for key in touched} == changes

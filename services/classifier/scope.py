"""How far a snapshot's silence goes: of which codes it says all. Pure."""

from collections.abc import Iterator

from services.classifier.state import ConditionName
from shared.documents.internal import Snapshot

# Over every code of a component; no identifier is empty.
_ALL = ""


def names_over(code: str) -> Iterator[str]:
    """The names by which a scope may hold `code`: each beginning that a full stop follows, and itself."""
    yield _ALL
    end = code.find(".")
    while end >= 0:
        yield code[:end]
        end = code.find(".", end + 1)
    yield code


def names_spoken_of(snapshot: Snapshot) -> set[tuple[str, str]]:
    """(component, name) of all that the snapshot says all of; look codes up by `is_spoken_of`."""
    return {
        (part.component, name)
        for part in snapshot.parts
        for name in ((_ALL,) if part.scope is None else part.scope)
    }


def is_spoken_of(name: ConditionName, spoken: set[tuple[str, str]]) -> bool:
    """Whether silence on that condition means that it does not stand."""
    component, code = name
    return any((component, over) in spoken for over in names_over(code))

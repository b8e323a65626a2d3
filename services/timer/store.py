"""What a shard's owner asks of the store that keeps its plans."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from services.timer.plan import Identity, Plan
from services.timer.records import Change
from services.timer.stand import Doing
from shared.errors import BakvaktError

Fired = tuple[str, Sequence[Identity]]
"""A case, and moments of it that have fired."""


class StoreError(BakvaktError):
    """Redis did not do what it was asked, or nobody knows whether it did."""

    reason = "redis"


class TakenOver(NamedTuple):
    """A shard as its new owner finds it."""

    next_case: int | None
    """Offset of the first case record that is not applied yet; None: nothing is stored."""
    next_deadline: int | None
    """Offset of the first deadline that may be published and not acknowledged; None: any may be."""
    standing: int
    now_ms: int
    written_ms: int | None = None
    """When the shard was last written to; None: never."""


class Applied(NamedTuple):
    """A shard behind changes."""

    standing: int
    first_ms: int | None
    """The earliest moment to come of the cases that have changed; None: they have none."""


class Claimed(NamedTuple):
    """What is due in a shard."""

    now_ms: int
    first_ms: int | None
    """Before this time nothing comes. None: nothing is to come."""
    next_ms: int | None
    """The same of the range that was asked for; it has come itself where something of that is due."""
    cases: list[tuple[str, Plan]]


class Store(Protocol):
    """One owner's hold on one shard; `take_over` comes first. Times are the store's, not the host's.

    Raises FencedError once a newer owner has taken over, OwnershipError when the shard is not what this
    owner left, StoreError when the store did not answer. After any error the hold is of no further use.
    """

    async def take_over(self) -> TakenOver:
        """Fence every earlier owner."""
        ...

    async def start_over(self) -> None:
        """Forget all but the fence: the shard is to be built anew from the log."""
        ...

    def prepare(self, change: Change) -> Change:
        """The same change, to be applied next, in less memory where it may be: a batch of decoded documents
        does not fit into the processor's cache."""
        ...

    async def apply(self, changes: Sequence[Change], next_case: int) -> Applied:
        """Make the changes and remember the offset behind them, both or neither.

        A revision that is not above the stored one changes nothing; what has fired stays fired.
        """
        ...

    async def claim(
        self,
        limit: int,
        *,
        from_ms: int | None = None,
        to_ms: int | None = None,
        now_ms: int | None = None,
    ) -> Claimed:
        """At most `limit` cases whose next moment has come, the earliest first; never one that has not.

        Only those whose moment lies at `from_ms` or later, and before `to_ms`. None: no bound.
        They are due until acknowledged, so a claim may be repeated, by whoever owns the shard then: nothing
        else recovers what a former owner has claimed. `now_ms` is for tests.
        """
        ...

    async def acknowledge(self, fired: Sequence[Fired], next_deadline: int | None = None) -> int:
        """Mark moments as fired, for good; clocks standing then. What is not in the shard is left out.

        `next_deadline` is the offset behind their deadlines; None: it stays as it was.
        """
        ...

    async def tell(self, doing: Doing) -> None:
        """Say, for whoever looks, what this owner does."""
        ...

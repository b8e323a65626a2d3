"""All revisions in order, with restarts and doubles, or the last of each case alone: one and the same wheel.

The topic of the cases is compacted, so a shard that is built anew sees less than the owner that lived
through it all.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.timer import wheel
from services.timer.firing import fire
from services.timer.plan import Identity, Moment, Plan
from services.timer.records import Change
from services.timer.view import ShardView
from services.timer.wheel import WheelStore
from tests.integration.timer_model import CASES, DUE_MS, STEPS_MS, connect, moments_of_a_case

Published = tuple[str, Identity]


class Step(NamedTuple):
    """Something happens to the log, or to its owner."""

    what: str
    case: str
    moments: tuple[Moment, ...]
    passes_ms: int


def steps() -> st.SearchStrategy[list[Step]]:
    whats = st.sampled_from(
        ("write", "write", "write", "same", "close", "tombstone", "read", "restart", "fire")
    )
    times = st.sampled_from(STEPS_MS)
    one = st.builds(Step, whats, st.sampled_from(CASES[:4]), moments_of_a_case(), times)
    return st.lists(one, min_size=5, max_size=25)


class Log:
    """What the two topics hold."""

    def __init__(self) -> None:
        self.cases: list[Change] = []
        self.deadlines: list[Published] = []
        self._lives = dict.fromkeys(CASES, 0)

    def write(self, step: Step) -> None:
        """A revision; one that ends the case, whose number has another case then; or the newest again."""
        case_id = f"{step.case}-{self._lives[step.case]}"
        newest = next((one for one in reversed(self.cases) if one.case_id == case_id), None)
        if step.what == "same":
            self.cases += [newest] if newest else []
            return
        revision = (newest.revision or 0) + 1 if newest else 1
        plan = Plan(revision, 0, "A", f"site of {step.case}", "north", step.moments)
        if step.what == "write":
            self.cases.append(Change(case_id, revision, plan))
            return
        self._lives[step.case] += 1
        ending = None if step.what == "tombstone" else revision
        self.cases.append(Change(case_id, ending, None))

    def compacted(self) -> list[Change]:
        """The last record of each case, in their order."""
        last = {change.case_id: place for place, change in enumerate(self.cases)}
        return [self.cases[place] for place in sorted(last.values())]


class Owner:
    """Of one shard; a restart is a new one of the same."""

    def __init__(self, redis: Any, prefix: str, partition: int, log: Log) -> None:
        self._make = lambda: WheelStore(redis, prefix, partition)
        self.view = ShardView(redis, prefix, partition)
        self._log = log

    async def start(self, cases: Sequence[Change] | None = None) -> None:
        """As a task does. With `cases` these are all that the log still has."""
        self._store = self._make()
        taken = await self._store.take_over()
        self._next = taken.next_case or 0
        await self.read(cases)
        known = self._log.deadlines[taken.next_deadline or 0 :]
        fired = [(case_id, (identity,)) for case_id, identity in known]
        await self._store.acknowledge(fired, len(self._log.deadlines))

    async def read(self, cases: Sequence[Change] | None = None) -> None:
        changes = self._log.cases[self._next :] if cases is None else cases
        self._next = len(self._log.cases)
        prepared = [self._store.prepare(change) for change in changes]
        await self._store.apply(prepared, self._next)

    async def fire(self, now_ms: int, *, last: bool = False) -> list[Published]:
        """All that is due, and note it; the `last` time it is not in the log."""
        found: list[Published] = []
        while True:
            claimed = await self._store.claim(3, now_ms=now_ms)
            firings = [(case_id, fire(plan, now_ms)) for case_id, plan in claimed.cases]
            some = [(one, moment.identity) for one, firing in firings for moment in firing.publish]
            found += some
            self._log.deadlines += [] if last else some
            await self._store.acknowledge(
                [(one, firing.identities) for one, firing in firings], len(self._log.deadlines)
            )
            if claimed.next_ms is None or claimed.next_ms > now_ms:
                return found

    async def wheel(self) -> tuple[dict[str, Any], dict[str, int], int]:
        """Every case and what waits of it, where each of them is, how many clocks stand."""
        plans: dict[str, Plan] = {}
        start: int | None = 0
        while start is not None:
            page, start = await self.view.page(start)
            plans |= page
        first, windows = await self.view.first(1_000)
        coming = [
            *first,
            *[one for start_ms in windows for one in (await self.view.window(start_ms))[0]],
        ]
        cases = {
            case_id: (plan.revision, plan.site_id, plan.moments, plan.waiting())
            for case_id, plan in plans.items()
        }
        places = {one.case_id: one.at_ms for one in coming}
        return cases, places, (await self.view.stand()).standing


async def _live_and_load(redis_url: str, lived: list[Step]) -> None:
    prefix, log, now_ms = f"t{uuid4().hex[:12]}", Log(), 0
    async with connect(redis_url) as redis:
        old, new = (Owner(redis, prefix, partition, log) for partition in range(2))
        await old.start()
        for step in lived:
            now_ms += step.passes_ms if step.what == "fire" else 0
            if step.what == "read":
                await old.read()
            elif step.what == "restart":
                await old.start()
            elif step.what == "fire":
                await old.read()
                await old.fire(now_ms)
            else:
                log.write(step)
        await old.start()
        await new.start(log.compacted())
        for later_ms in (now_ms, *(now_ms + due_ms for due_ms in DUE_MS)):
            # Warnings that were folded are in no log: whoever has not seen them folds them now.
            fired = [sorted(await one.fire(later_ms, last=True)) for one in (old, new)]
            assert fired[0] == fired[1]
            assert await old.wheel() == await new.wheel()
        keys = [key async for key in redis.scan_iter(match=f"{{{prefix}:*", count=10_000)]
        await redis.delete(*keys)


def test_all_revisions_and_the_last_ones_alone_give_the_same_wheel(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a few cases are more than one call takes.
    for limit in ("READ_LIMIT", "WRITE_LIMIT", "CLAIM_LIMIT"):
        monkeypatch.setattr(wheel, limit, 2)

    @settings(max_examples=40, deadline=None)
    @given(steps())
    def same(lived: list[Step]) -> None:
        asyncio.run(_live_and_load(redis_url, lived))

    same()

"""Bounds hold for what does not end where it is cancelled, and a cancellation from inside is an error."""

import asyncio
import contextlib
import time

import pytest

from shared.waiting import (
    CancelledWithin,
    is_set_within,
    unless_cancelled_within,
    unless_set,
    within,
)


async def stubborn(released: asyncio.Event) -> str:
    """Takes one cancellation, and waits on: as aiokafka's `stop` does for an absent broker."""
    with contextlib.suppress(asyncio.CancelledError):
        await released.wait()
    await released.wait()
    return "late"


async def self_cancelled() -> None:
    """Awaits a task of its own that it has cancelled: as aiokafka's fetcher does when it is closed."""
    own = asyncio.create_task(asyncio.sleep(60))
    own.cancel()
    await own


async def test_bound_holds_for_what_swallows_its_cancellation() -> None:
    released = asyncio.Event()
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        await within(0.05, stubborn(released))
    assert time.monotonic() - began_s < 5
    released.set()


async def test_our_own_cancellation_does_not_wait_for_what_swallows_it() -> None:
    released = asyncio.Event()
    task = asyncio.create_task(within(60, stubborn(released)))
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=5)
    assert task in done
    assert task.cancelled()
    released.set()


async def test_nothing_is_waited_for_any_more_once_the_event_is_set() -> None:
    event, released = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, event.set)
    assert await within(5, unless_set(event, stubborn(released))) is None
    released.set()
    assert await unless_set(asyncio.Event(), asyncio.sleep(0, "result")) == "result"


async def test_results_and_errors_come_through() -> None:
    async def fail() -> None:
        raise KeyError("x")

    assert await within(5, asyncio.sleep(0, "result")) == "result"
    with pytest.raises(KeyError):
        await within(5, fail())


async def test_what_is_cancelled_from_inside_is_a_time_out_within_a_bound() -> None:
    with pytest.raises(TimeoutError):
        await within(5, self_cancelled())


async def test_cancellation_from_inside_ends_a_task_group_with_an_error() -> None:
    """A task group alone would take it for an end that was wanted, and go on without that task."""

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(unless_cancelled_within(self_cancelled()))
            group.create_task(asyncio.sleep(60))

    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(5):
            await together()
    assert caught.group_contains(CancelledWithin)


async def test_cancellation_from_outside_stays_one() -> None:
    task = asyncio.create_task(unless_cancelled_within(asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_event_is_waited_for_no_longer_than_the_time() -> None:
    event = asyncio.Event()
    assert not await is_set_within(event, 0.01)
    event.set()
    assert await is_set_within(event, 60)

"""Waiting, but not for ever, and for clients that do not end where they are cancelled.

In places aiokafka takes a cancellation and goes on waiting for an absent broker, so that `asyncio.timeout`
would wait with it; and it lets cancellations of its own tasks out to whoever called it. A task group takes
such a one for an end that was wanted, and nobody misses the task that it has ended.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_left_alone: set[asyncio.Future[Any]] = set()


class CancelledWithin(Exception):
    """Something was cancelled that nobody outside had cancelled."""


def in_slices(items: Iterable[T], seconds: float) -> Iterator[list[T]]:
    """The items in lists, each of some `seconds` of work at most: between them others can have a turn."""
    began_s = time.monotonic()
    made: list[T] = []
    for item in items:
        made.append(item)
        if time.monotonic() - began_s >= seconds:
            yield made
            began_s, made = time.monotonic(), []
    if made:
        yield made


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return once `event` is set (True), or after `seconds` (False)."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def within(seconds: float, awaitable: Awaitable[T]) -> T:
    """What `awaitable` gives. After `seconds` it is cancelled, and left alone with that.

    Raises TimeoutError after `seconds`, and where it was cancelled from inside.
    """
    work = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({work}, timeout=seconds)
    finally:
        if not work.done():
            _leave_alone(work)
    if not work.done():
        raise TimeoutError(f"no end within {seconds:g} s")
    if work.cancelled():
        raise TimeoutError("cancelled from inside")
    return work.result()


async def unless_set(event: asyncio.Event, awaitable: Awaitable[T]) -> T | None:
    """What `awaitable` gives; None where `event` is set first: it is cancelled then, and left alone."""
    work = asyncio.ensure_future(awaitable)
    setting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({work, setting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        setting.cancel()
        if not work.done():
            _leave_alone(work)
    return work.result() if work.done() else None


async def unless_cancelled_within(awaitable: Awaitable[T]) -> T:
    """What `awaitable` gives; CancelledWithin where it is cancelled although nobody has cancelled us."""
    try:
        return await awaitable
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise CancelledWithin(repr(awaitable)) from error


def _leave_alone(work: asyncio.Future[Any]) -> None:
    work.cancel()
    _left_alone.add(work)
    work.add_done_callback(_forget)


def _forget(work: asyncio.Future[Any]) -> None:
    _left_alone.discard(work)
    if not work.cancelled():
        work.exception()  # asyncio complains of an error that nobody has looked at

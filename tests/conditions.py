"""Waiting for what must come true, never for a time to pass."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

T = TypeVar("T")

POLL_INTERVAL_S = 0.02


@overload
async def until(
    look: Callable[[], Awaitable[T | None]], *, timeout_s: float = ..., what: str = ...
) -> T: ...
@overload
async def until(look: Callable[[], T | None], *, timeout_s: float = ..., what: str = ...) -> T: ...
async def until(
    look: Callable[[], T | Awaitable[T | None] | None], *, timeout_s: float = 15.0, what: str = ""
) -> T:
    """What `look` gives once that is true; fails after `timeout_s`, saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = look()
        result = cast("T", await found if inspect.isawaitable(found) else found)
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what or look} (last: {result!r})")
        await asyncio.sleep(POLL_INTERVAL_S)

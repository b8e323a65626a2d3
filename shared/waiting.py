"""Waiting for an event, but not for ever."""

import asyncio


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return once `event` is set (True), or after `seconds` (False)."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True

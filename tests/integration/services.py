"""Services run inside the test's own process, on real servers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from shared.lifecycle import Service
from tests.conditions import until


@asynccontextmanager
async def running(*services: Service) -> AsyncGenerator[None]:
    """All of them ready; ended as SIGTERM would end them."""
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(service.run(stopping)) for service in services]

    def ready() -> bool:
        for task in tasks:
            if task.done():
                task.result()
        return not any(service.not_ready() for service in services)

    try:
        await until(ready, what=str([service.not_ready() for service in services]))
        yield
    finally:
        stopping.set()
        await asyncio.gather(*tasks)

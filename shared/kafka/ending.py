"""The end of a client of aiokafka, whether Kafka is there or not."""

import asyncio
from types import CoroutineType
from typing import Any, cast

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from shared.waiting import within

log = structlog.get_logger()

# One cancellation ends one wait, and what is waited for in its place takes the next one.
MAX_CANCELLATIONS = 10
CANCELLED_WITHIN_S = 0.5

# The loop keeps only weak references to its tasks.
_ending: set[asyncio.Task[bool]] = set()


async def end_client(client: AIOKafkaConsumer | AIOKafkaProducer, timeout_s: float) -> bool:
    """Stop it, in `timeout_s` or less where Kafka answers. Nothing of it runs on in any case.

    Gives whether it stopped by itself.

    aiokafka waits for an absent broker without end, for batches that cannot be delivered or an answer; and
    where that wait is cut, it leaves tasks that ask for the broker again every few milliseconds.
    Whoever is cancelled here leaves at once; the client is ended all the same.
    """
    ending = asyncio.create_task(_end(client, timeout_s))
    _ending.add(ending)
    ending.add_done_callback(_ending.discard)
    return await asyncio.shield(ending)


async def _end(client: AIOKafkaConsumer | AIOKafkaProducer, timeout_s: float) -> bool:
    try:
        await within(timeout_s, client.stop())
    except (KafkaError, TimeoutError) as error:
        log.debug("a client did not stop by itself", client=repr(client), error=repr(error))
        await _cut_off(client)
        return False
    return True


async def _cut_off(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    parts: list[object] = [client, *vars(client).values()]
    for part in parts:
        if isinstance(part, AIOKafkaClient):
            try:
                await within(CANCELLED_WITHIN_S, part.close())
            except (KafkaError, TimeoutError) as error:
                log.debug("connections did not close", error=repr(error))
    for _ in range(MAX_CANCELLATIONS):
        tasks = _tasks_of(parts)
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=CANCELLED_WITHIN_S)
    log.warning("tasks of a client could not be ended", client=repr(client))


def _tasks_of(parts: list[object]) -> set[asyncio.Task[Any]]:
    """Those that run a method of one of them: aiokafka has no list."""
    known = {id(part) for part in parts if part is not None}
    return {task for task in asyncio.all_tasks() if id(_runs_for(task)) in known}


def _runs_for(task: asyncio.Task[Any]) -> object:
    """The object whose method the task began with, if it is one."""
    frame = cast("CoroutineType[Any, Any, Any]", task.get_coro()).cr_frame
    return frame.f_locals.get("self") if frame else None

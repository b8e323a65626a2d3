"""What an owner reads before it serves its shard: told to whoever looks, and counted."""

import asyncio
from typing import Literal

import structlog

from services.timer.metrics import (
    REBUILD_SECONDS,
    REPLAYED,
    tell_rebuilding,
    tell_rebuilt,
)
from services.timer.stand import SERVING, Doing
from services.timer.store import Store
from shared.kafka.group import Ownership

log = structlog.get_logger()


class Progress:
    """From the take-over of a shard until it is served."""

    def __init__(self, ownership: Ownership, store: Store, *, anew: bool) -> None:
        """`anew`: Redis holds nothing of the shard."""
        self._ownership = ownership
        self._store = store
        self._began_s = asyncio.get_running_loop().time()
        self._doing = SERVING
        # A task that ended amidst building it left some: it is the same building still.
        self._anew = tell_rebuilding(ownership.partition, anew=anew)

    async def reads(self, reading: Literal["cases", "deadlines"], until: int) -> None:
        """The owner reads these now, at least up to this offset."""
        self._doing = Doing("rebuilding" if self._anew else "catching_up", reading, until)
        await self._store.tell(self._doing)
        self.has_read(None)

    def has_read(self, next_offset: int | None) -> None:
        """It has read as far as this."""
        what = "being built anew" if self._anew else "being taken over"
        far = "" if next_offset is None else f"read up to offset {next_offset}, "
        _, reading, until = self._doing
        self._ownership.doing = f"{what}: {reading}, {far}to be read up to {until}"

    def count(self, records: int) -> None:
        """So many records of cases were applied."""
        REPLAYED.inc(records)

    async def done(self) -> None:
        """The shard is served from here on."""
        await self._store.tell(SERVING)
        self._ownership.ready = True
        if self._anew:
            tell_rebuilt(self._ownership.partition)
            took_s = asyncio.get_running_loop().time() - self._began_s
            REBUILD_SECONDS.observe(took_s)
            log.info(
                "shard was built anew", partition=self._ownership.partition, took_s=round(took_s, 3)
            )

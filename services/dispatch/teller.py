"""Tells the other services what is new of the EMUs of one partition's sites."""

import asyncio
from collections import Counter

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.dispatch import fleet_store, news, store
from services.dispatch.bell import Belfry
from services.dispatch.changes import OutboxRow
from services.dispatch.database import DatabaseError, transaction
from services.dispatch.facts import make_fact, sites_before
from services.dispatch.news import Told
from shared.documents.emu import EmuRecord
from shared.documents.internal import encode_internal
from shared.kafka.group import Ownership
from shared.kafka.partition import partition_of
from shared.kafka.topics import Topics
from shared.times import now_ms

log = structlog.get_logger()

# So many EMUs at once, and no more before the outbox has become as short as this: what else goes out does
# not wait for a whole fleet. Of the first facts of an EMU one goes to where it was unknown, so fewer at once
# make short work for the relays of all partitions: 200 cost half as much CPU again an EMU.
EMUS_AT_ONCE = 500
# Old copies are in nobody's way.
REMOVE_INTERVAL_MS = 60_000
RETRY_S = 1.0


class Teller:
    """Facts to the partitions of the site where an EMU stands and of those where it has stood, by the outbox.

    The record follows by the relay, which knows when Kafka has all the facts (`news.settle`): an alarm that
    is routed by a record is always behind its fact.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        topics: Topics,
        *,
        partition: int,
        partitions: int,
        bells: Belfry,
        turn: asyncio.Lock,
    ) -> None:
        """`turn`: one of a process at a time, so that a large import leaves it time for what is urgent."""
        self._engine = engine
        self._topics = topics
        self._partition = partition
        self._partitions = partitions
        self._bells = bells
        self._turn = turn
        self._removed_ms = 0

    async def run(self, ownership: Ownership) -> None:
        """No error of PostgreSQL ends this: pages of the partition are not to wait for news."""
        while not ownership.ended:
            try:
                async with self._turn:
                    told = await self._tell(now_ms())
            except DatabaseError as error:
                log.warning("news of EMUs wait", partition=self._partition, error=repr(error))
                await ownership.sleep(RETRY_S)
            else:
                if not told:
                    await self._bells[self._partition].teller.wait()

    async def _tell(self, at_ms: int) -> int:
        if at_ms - self._removed_ms >= REMOVE_INTERVAL_MS:
            await self.remove_some(at_ms)
            self._removed_ms = at_ms
        return await self.tell_some(at_ms)

    async def tell_some(self, at_ms: int) -> int:
        """Facts of some EMUs to the outbox; gives the number of EMUs."""
        async with transaction(self._engine) as connection:
            waiting = await news.outbox_rows(connection, self._partition, at_most=EMUS_AT_ONCE)
            if waiting >= EMUS_AT_ONCE:
                return 0
            changed = await news.lock_changed(connection, self._partition, limit=EMUS_AT_ONCE)
            if not changed:
                return 0
            records = await fleet_store.find_emus(connection, changed)
            first = [emu_id for emu_id, told_site in changed.items() if told_site is None]
            stood_at = await news.sites_of_faults(connection, first)
            before = {
                emu_id: sites_before(records[emu_id], told_site, stood_at.get(emu_id, ()))
                for emu_id, told_site in changed.items()
            }
            rows = await self._make_rows(connection, records, before, at_ms)
            await store.write_outbox(connection, rows)
            told = [
                Told(emu_id, records[emu_id].site_id, 1 + len(sites))
                for emu_id, sites in before.items()
            ]
            await news.note_told(connection, told)
        for partition in {row.partition for row in rows}:
            self._bells[partition].relay.ring()
        return len(told)

    async def _make_rows(
        self,
        connection: AsyncConnection,
        records: dict[str, EmuRecord],
        before: dict[str, tuple[str, ...]],
        at_ms: int,
    ) -> list[OutboxRow]:
        places = [
            (records[emu_id], site_id, partition_of(site_id, self._partitions))
            for emu_id, sites in before.items()
            for site_id in (records[emu_id].site_id, *sites)
        ]
        counts = Counter(partition for _, _, partition in places)
        last = {
            # In one order, as whoever else counts in several partitions.
            partition: await store.next_seq(connection, partition, counts[partition])
            for partition in sorted(counts)
        }
        seqs = {
            partition: iter(range(last[partition] - counts[partition] + 1, last[partition] + 1))
            for partition in counts
        }
        return [
            OutboxRow(
                partition=partition,
                topic=self._topics.alarms,
                key=record.emu_id.encode(),
                value=encode_internal(
                    make_fact(
                        record,
                        site_id,
                        before[record.emu_id],
                        partition=partition,
                        seq=next(seqs[partition]),
                        at_ms=at_ms,
                    )
                ),
                headers=b"[]",
                created_ms=at_ms,
                emu_id=record.emu_id,
            )
            for record, site_id, partition in places
        ]

    async def remove_some(self, at_ms: int) -> int:
        """Tombstones for old copies to the outbox; gives their number."""
        async with transaction(self._engine) as connection:
            removed = await news.remove_copies(
                connection, self._topics, self._partition, at_ms=at_ms, limit=EMUS_AT_ONCE
            )
        self._bells[self._partition].relay.ring()
        return removed

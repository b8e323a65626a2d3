"""Changes the fleet by what a file says: all of it in one transaction, or nothing."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.dispatch import fleet_store
from services.dispatch.bell import Belfry
from services.dispatch.database import transaction
from services.dispatch.fleet_file import EmuLine, FileFormat, FleetFile, read_rows
from services.dispatch.fleet_plan import Site, change_emu, change_site, differences
from services.dispatch.fleet_store import Customer
from shared.documents.answers import EmuChange, FleetChange
from shared.documents.emu import EmuRecord
from shared.kafka.partition import partition_of
from shared.times import now_ms
from shared.waiting import in_slices

log = structlog.get_logger()

T = TypeVar("T")

# Others of the event loop have their turn between two slices, or two chunks.
SLICE_S = 0.05
CHUNK_ROWS = 500
# 100,000 EMUs take half a minute. Nobody else waits for it: only imports write these tables.
TIMEOUT_S = 300.0
CHANGES_TOLD = 1_000


@dataclass
class _Counts:
    """What becomes of the EMUs, chunk by chunk."""

    added: int = 0
    unchanged: int = 0
    changes: list[EmuChange] = field(default_factory=list[EmuChange])
    """The first of them."""
    partitions: dict[str, int] = field(default_factory=dict[str, int])
    """Of each EMU that has a new revision."""


async def read_file(body: bytes, file_format: FileFormat) -> FleetFile:
    """What the file says, and all that is wrong with it."""
    file = FleetFile()
    for rows in in_slices(read_rows(body, file_format), SLICE_S):
        for row in rows:
            file.add(row)
        await asyncio.sleep(0)
    file.ended()
    return file


class Fleet:
    """The customers, sites and EMUs that dispatch owns."""

    def __init__(self, engine: AsyncEngine, partitions: int, bells: Belfry) -> None:
        self._engine = engine
        self._partitions = partitions
        self._bells = bells

    async def change(self, file: FleetFile, by: str, *, dry_run: bool) -> FleetChange:
        """Make the fleet as `file` says, which must have no problems; what differs gets a new revision.

        Raises DatabaseError: it is not known whether it was done; doing it again is safe.
        """
        at_ms = now_ms()
        counts = _Counts()
        async with transaction(self._engine, timeout_s=TIMEOUT_S) as connection:
            await fleet_store.lock_fleet(connection)
            customers = await _change_customers(connection, file)
            before = await fleet_store.find_sites(connection, file.sites)
            sites = {
                site_id: change_site(before.get(site_id), site_id, says)
                for site_id, says in file.sites.items()
            }
            changed_sites = [site for site in sites.values() if before.get(site.site_id) != site]
            if not dry_run:
                await fleet_store.write_customers(connection, customers)
                for some in _chunks(changed_sites):
                    await fleet_store.write_sites(connection, some)
            others = await _emus_told_of(connection, before, sites)
            for emu_ids in _chunks(sorted({*file.lines, *others})):
                changed = await self._change_emus(connection, emu_ids, file.lines, sites, counts)
                if not dry_run:
                    await fleet_store.write_emus(connection, changed)
            change = _tell(file, counts, len(changed_sites), len(customers), dry_run=dry_run)
            if not dry_run and (changed_sites or customers or counts.partitions):
                await fleet_store.note_import(
                    connection,
                    at_ms=at_ms,
                    who=by,
                    lines=change.lines,
                    added=change.added,
                    changed=change.changed,
                )
                for emu_ids in _chunks(sorted(counts.partitions)):
                    await fleet_store.write_news(connection, emu_ids, counts.partitions, at_ms)
        if not dry_run:
            log.info("fleet imported", by=by, lines=change.lines, changed=len(counts.partitions))
            for partition in set(counts.partitions.values()):
                self._bells[partition].teller.ring()
        return change

    async def _change_emus(
        self,
        connection: AsyncConnection,
        emu_ids: Sequence[str],
        lines: Mapping[str, EmuLine],
        sites: Mapping[str, Site],
        counts: _Counts,
    ) -> list[EmuRecord]:
        """Those of `emu_ids` that get a new revision."""
        known = await fleet_store.find_emus(connection, emu_ids)
        changed: list[EmuRecord] = []
        for emu_id in emu_ids:
            before, line = known.get(emu_id), lines.get(emu_id)
            site_id = line.site_id if line is not None else known[emu_id].site_id
            record = change_emu(before, line, sites[site_id])
            if record is before:
                counts.unchanged += 1
                continue
            changed.append(record)
            counts.added += before is None
            counts.partitions[emu_id] = partition_of(site_id, self._partitions)
            if len(counts.changes) < CHANGES_TOLD:
                fields = differences(before, record)
                counts.changes.append(
                    EmuChange(emu_id=emu_id, revision=record.revision, fields=fields)
                )
        return changed


async def _change_customers(connection: AsyncConnection, file: FleetFile) -> list[Customer]:
    """Those that are new, or have another name."""
    known = await fleet_store.find_customers(connection, file.customers)
    changed: list[Customer] = []
    for customer_id, says in file.customers.items():
        before = known.get(customer_id)
        name = says.get("customer_name", before.name if before else None)
        if before is None or before.name != name:
            changed.append(Customer(customer_id, name))
    return changed


async def _emus_told_of(
    connection: AsyncConnection, before: Mapping[str, Site], after: Mapping[str, Site]
) -> list[str]:
    """The EMUs of sites that change: what they have from their site is in their records."""
    changed = [site_id for site_id, site in before.items() if not site.is_told_as(after[site_id])]
    return await fleet_store.emus_at(connection, changed) if changed else []


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for begin in range(0, len(rows), CHUNK_ROWS):
        yield rows[begin : begin + CHUNK_ROWS]


def _tell(
    file: FleetFile, counts: _Counts, sites: int, customers: int, *, dry_run: bool
) -> FleetChange:
    return FleetChange(
        dry_run=dry_run,
        lines=len(file.lines),
        added=counts.added,
        changed=len(counts.partitions) - counts.added,
        unchanged=counts.unchanged,
        sites=sites,
        customers=customers,
        changes=counts.changes,
    )

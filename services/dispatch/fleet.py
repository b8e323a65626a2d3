"""Changes the fleet by what a file says: all of it in one transaction, or nothing."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.dispatch import fleet_store
from services.dispatch.bell import Belfry
from services.dispatch.database import transaction
from services.dispatch.fleet_file import FileFormat, FleetFile, read_rows
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
        async with transaction(self._engine, timeout_s=TIMEOUT_S) as connection:
            await fleet_store.lock_fleet(connection)
            work = _Import(connection, file, self._partitions, is_real=not dry_run)
            await work.change_customers()
            others = await work.change_sites()
            await work.change_emus({*file.lines, *others})
            change = work.result()
            if work.has_changed:
                await work.note(by, change, now_ms())
        if work.has_changed:
            log.info("fleet imported", by=by, added=change.added, changed=change.changed)
        for partition in set(work.new.values()):
            self._bells[partition].teller.ring()
        return change


@dataclass
class _Import:
    """One file on its way into the tables, in chunks: between two of them others have their turn."""

    connection: AsyncConnection
    file: FleetFile
    partitions: int
    is_real: bool
    """Else nothing is written."""
    customers: int = 0
    """How many are new or changed."""
    changed_sites: int = 0
    sites: dict[str, Site] = field(default_factory=dict[str, Site])
    """Those of the file, as they are after it."""
    added: int = 0
    unchanged: int = 0
    new: dict[str, int] = field(default_factory=dict[str, int])
    """Each EMU with a new revision, and the partition of its site."""
    changes: list[EmuChange] = field(default_factory=list[EmuChange])
    """The first of them."""

    @property
    def has_changed(self) -> bool:
        return self.is_real and bool(self.customers or self.changed_sites or self.new)

    async def change_customers(self) -> None:
        for customer_ids in _chunks(list(self.file.customers)):
            known = await fleet_store.find_customers(self.connection, customer_ids)
            changed: list[Customer] = []
            for customer_id in customer_ids:
                before, says = known.get(customer_id), self.file.customers[customer_id]
                name = says.get("customer_name", before.name if before else None)
                if before is None or before.name != name:
                    changed.append(Customer(customer_id, name))
            self.customers += len(changed)
            if self.is_real:
                await fleet_store.write_customers(self.connection, changed)

    async def change_sites(self) -> list[str]:
        """Gives the EMUs that stand at sites that have changed: their records say so too."""
        emu_ids: list[str] = []
        for site_ids in _chunks(list(self.file.sites)):
            known = await fleet_store.find_sites(self.connection, site_ids)
            for site_id in site_ids:
                says = self.file.sites[site_id]
                self.sites[site_id] = change_site(known.get(site_id), site_id, says)
            changed = [self.sites[each] for each in site_ids if known.get(each) != self.sites[each]]
            self.changed_sites += len(changed)
            told = [each for each, site in known.items() if not site.is_told_as(self.sites[each])]
            if told:
                emu_ids += await fleet_store.emus_at(self.connection, told)
            if self.is_real:
                await fleet_store.write_sites(self.connection, changed)
        return emu_ids

    async def change_emus(self, emu_ids: Iterable[str]) -> None:
        for chunk in _chunks(sorted(emu_ids)):
            known = await fleet_store.find_emus(self.connection, chunk)
            changed: list[EmuRecord] = []
            for emu_id in chunk:
                before, line = known.get(emu_id), self.file.lines.get(emu_id)
                site_id = line.site_id if line is not None else known[emu_id].site_id
                record = change_emu(before, line, self.sites[site_id])
                if record is before:
                    self.unchanged += 1
                else:
                    changed.append(record)
                    self._count(before, record)
            if self.is_real:
                await fleet_store.write_emus(self.connection, changed)

    def _count(self, before: EmuRecord | None, record: EmuRecord) -> None:
        self.added += before is None
        self.new[record.emu_id] = partition_of(record.site_id, self.partitions)
        if len(self.changes) < CHANGES_TOLD:
            fields = differences(before, record)
            change = EmuChange(emu_id=record.emu_id, revision=record.revision, fields=fields)
            self.changes.append(change)

    async def note(self, by: str, change: FleetChange, at_ms: int) -> None:
        """Who it was, and what is to be told."""
        await fleet_store.note_import(
            self.connection,
            at_ms=at_ms,
            who=by,
            lines=change.lines,
            added=change.added,
            changed=change.changed,
        )
        for emu_ids in _chunks(sorted(self.new)):
            await fleet_store.write_news(self.connection, emu_ids, self.new, at_ms)

    def result(self) -> FleetChange:
        return FleetChange(
            dry_run=not self.is_real,
            lines=len(self.file.lines),
            added=self.added,
            changed=len(self.new) - self.added,
            unchanged=self.unchanged,
            sites=self.changed_sites,
            customers=self.customers,
            changes=self.changes,
        )


def _chunks(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for begin in range(0, len(rows), CHUNK_ROWS):
        yield rows[begin : begin + CHUNK_ROWS]

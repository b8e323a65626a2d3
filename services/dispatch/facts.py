"""What the classifiers are told of an EMU: which of them, and in what words. Pure."""

from collections.abc import Collection

from services.dispatch.source import own_source
from shared.documents.emu import EmuRecord
from shared.documents.internal import Fact

UNKNOWN_SITE = "unknown:"


def sites_before(
    record: EmuRecord, told_site: str | None, stood_at: Collection[str]
) -> tuple[str, ...]:
    """The sites whose classifier has the EMU in its memory, and is to let it go.

    `told_site`: the one in the newest fact. Without one: where it was while nothing was known of it, which
    is a site of its own and those that its reports have named: it has faults there (`stood_at`).
    """
    before = {f"{UNKNOWN_SITE}{record.emu_id}", *stood_at} if told_site is None else {told_site}
    return tuple(sorted(before - {record.site_id}))


def make_fact(
    record: EmuRecord,
    site_id: str,
    from_sites: tuple[str, ...],
    *,
    partition: int,
    seq: int,
    at_ms: int,
) -> Fact:
    """The copy that goes to the partition of `site_id`."""
    return Fact(
        source=own_source(partition, seq),
        site_id=site_id,
        receipt_ms=at_ms,
        record=record,
        from_sites=from_sites,
    )

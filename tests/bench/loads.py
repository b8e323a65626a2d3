"""What the benches put in: reports, alarms and cases of a fleet that does not exist."""

import json
from collections.abc import Sequence

from shared.documents.case import Case, Clock, Warn, encode_case
from shared.documents.ids import make_id
from shared.documents.internal import Edge, Source, encode_internal
from shared.kafka.partition import partition_of
from shared.times import now_ms, to_rfc3339
from tests.acceptance.stack import PARTITIONS
from tests.bench.floors import KeyValue

CODE = "sunspec:203.Evt.2"  # C: its clocks are long
SITES = 997


def reports(count: int, *, conditions: int, fleet: str = "emu") -> list[KeyValue]:
    """Raises of so many conditions, each of an EMU of its own, said again and again in turn."""
    at = to_rfc3339(now_ms())  # some 110 bytes each
    return [(None, _report(f"{fleet}-{number % conditions}", at)) for number in range(count)]


def _report(emu_id: str, at: str) -> bytes:
    return json.dumps(
        {"emu_id": emu_id, "site_id": site_of(emu_id), "code": CODE, "state": "raised", "at": at}
    ).encode()


def site_of(emu_id: str) -> str:
    return f"site-{int(emu_id.rpartition('-')[2]) % SITES}"


def spread(records: Sequence[KeyValue]) -> dict[int, Sequence[KeyValue]]:
    """Over all partitions in turn, as any client does with records that have no key."""
    return {partition: records[partition::PARTITIONS] for partition in range(PARTITIONS)}


def alarms(count: int, *, conditions: int, clears: bool) -> dict[int, list[KeyValue]]:
    """The same as internal records, by partition; with `clears` every second round of them clears.

    Such rounds are more than a minute apart, or it were chatter.
    """
    now, rounds = now_ms(), count // conditions
    found: dict[int, list[KeyValue]] = {partition: [] for partition in range(PARTITIONS)}
    for number in range(count):
        emu_id = f"emu-{number % conditions}"
        said_ms = now - (rounds - number // conditions) * 61_000 if clears else now
        edge = Edge(
            source=Source(1, "reports", 0, number, 0),
            emu_id=emu_id,
            site_id=site_of(emu_id),
            component="emu",
            code=CODE,
            raised=not (clears and number // conditions % 2),
            at_ms=said_ms,
            receipt_ms=said_ms,
        )
        home = partition_of(edge.site_id, PARTITIONS)
        found[home].append((emu_id.encode(), encode_internal(edge)))
    return found


def cases(count: int, fleet: str, clocks: dict[str, Clock]) -> dict[int, list[KeyValue]]:
    """Open cases with the same clocks, by partition."""
    found: dict[int, list[KeyValue]] = {partition: [] for partition in range(PARTITIONS)}
    for number in range(count):
        case = Case(
            case_id=make_id("c", fleet, number),
            revision=1,
            change="opened",
            state="open",
            grade="C",
            grade_worst="C",
            site_id=f"site-{number % SITES}",
            fault_ids=(make_id("f", fleet, number),),
            fault_count=1,
            clocks=clocks,
        )
        home = partition_of(case.site_id, PARTITIONS)
        found[home].append((case.case_id.encode(), encode_case(case)))
    return found


def three_clocks(start_ms: int, length_ms: int) -> dict[str, Clock]:
    """As a new case has by default: each with two warnings and its end, nine moments in all."""
    due = to_rfc3339(start_ms + length_ms)
    half, most = (to_rfc3339(start_ms + int(share * length_ms)) for share in (0.5, 0.8))
    warn = (Warn("0.5", half), Warn("0.8", most), Warn("1", due))
    clock = Clock(to_rfc3339(start_ms), due, "breach", warn)
    return {"response": clock, "processing": clock, "resolution": clock}


def one_clock(start_ms: int, due_ms: int) -> dict[str, Clock]:
    """Only its end, as the wait for the next step of escalation."""
    due = to_rfc3339(due_ms)
    return {"step": Clock(to_rfc3339(start_ms), due, "due", (Warn("1", due),))}

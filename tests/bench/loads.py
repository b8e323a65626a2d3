"""What the benches put in: reports, alarms and cases of a fleet that does not exist."""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from services.classifier.order import remember_report, remember_source
from services.classifier.revisions import make_condition
from services.classifier.rules import Rules
from services.classifier.state import Emu, condition_key, emu_key, encode
from shared.documents.case import Case, Clock, Warn, encode_case
from shared.documents.ids import make_id
from shared.documents.internal import Edge, Source, encode_internal
from shared.kafka.partition import partition_of
from shared.times import HOUR_MS, now_ms, to_rfc3339
from tests.acceptance.stack import PARTITIONS
from tests.bench.floors import KeyValue

CODE = "sunspec:203.Evt.2"  # C: its clocks are long
SITES = 997
STANDING_AN_EMU = 10
STOOD_SINCE_MS = now_ms() - HOUR_MS


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


def standing(numbers: range, rules: Rules) -> dict[int, list[KeyValue]]:
    """The classifier's changelog, by partition, of conditions that stand, ten to an EMU, and of their EMUs.

    A number is always the same condition.
    """
    found: dict[int, list[KeyValue]] = {partition: [] for partition in range(PARTITIONS)}
    for number in numbers:
        edge = _standing_edge(number, Source(1, "reports", 0, number, 0), STOOD_SINCE_MS + number)
        condition = replace(
            make_condition(edge, rules), revision=1, published_ms=edge.receipt_ms + 10
        )
        home = found[partition_of(edge.site_id, PARTITIONS)]
        home.append((condition_key(condition.key), encode(condition)))
        if number % STANDING_AN_EMU == 0:
            emu = remember_report(remember_source(Emu(), edge.source, edge.receipt_ms), edge)
            home.append((emu_key(edge.emu_id), encode(emu)))
    return found


def repeats(count: int, *, conditions: int) -> dict[int, list[KeyValue]]:
    """Raises of the first so many of those that stand, again and again, by partition."""
    found: dict[int, list[KeyValue]] = {partition: [] for partition in range(PARTITIONS)}
    now = now_ms()
    for number in range(count):
        edge = _standing_edge(number % conditions, Source(2, "reports", 0, number, 0), now)
        home = partition_of(edge.site_id, PARTITIONS)
        found[home].append((edge.emu_id.encode(), encode_internal(edge)))
    return found


def _standing_edge(number: int, source: Source, at_ms: int) -> Edge:
    emu_number = number // STANDING_AN_EMU
    return Edge(
        source=source,
        emu_id=f"emu-{emu_number:07}",
        site_id=site_of(f"emu-{emu_number}"),
        component=f"bms/rack-{number % STANDING_AN_EMU}",
        code=CODE,
        raised=True,
        at_ms=at_ms,
        receipt_ms=at_ms,
        model="XR-2000",
        firmware="4.1.7",
    )


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

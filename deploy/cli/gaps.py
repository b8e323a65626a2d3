"""Unknown codes that were seen: read from the faults, with a report of each, ready to be catalogued."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec
from aiokafka import TopicPartition
from msgspec.structs import replace

from shared.catalogue import Catalogue
from shared.catalogue.catalogue import UNKNOWN_KIND
from shared.config import Settings
from shared.documents.fault import FaultSource
from shared.documents.report import split_value
from shared.errors import ConfigError, RecordError
from shared.kafka.clients import make_reader
from shared.kafka.reader import Reader
from shared.kafka.topics import Topics, count_partitions

UNKNOWN_VENDOR = "unknown"
MAX_SAMPLE_CHARACTERS = 600
SAMPLE_TIMEOUT_MS = 5_000


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a fault."""

    fault_id: str
    kind: str
    code: str
    title: str
    emu_id: str
    component: str
    model: str | None = None
    firmware: str | None = None
    count: int
    last_at: str
    source: FaultSource


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The newest fault of a gap, and the report that opened it while its topic still has it."""

    fault_id: str
    emu_id: str
    component: str
    source: FaultSource
    report: str | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """One unknown code, of one model and firmware."""

    vendor: str
    """What stands before the colon of the code; `unknown` without one."""
    code: str
    model: str | None
    firmware: str | None
    reports: int
    faults: int
    emus: int
    last_at: str
    sample: Sample


class _Said(msgspec.Struct):
    text: str | None = None


decode_seen = msgspec.json.Decoder(Seen).decode


async def read_gaps(settings: Settings, catalogue: Catalogue, *, samples: int) -> list[Gap]:
    """The codes of all faults that the catalogue does not know, the most frequent first.

    Raises ConfigError where there is no topic of faults, ReadError where Kafka does not answer.
    """
    topic = Topics(settings.prefix).faults
    partitions = (await count_partitions(settings.kafka, [topic])).get(topic)
    if partitions is None:
        raise ConfigError(
            [f"topic {topic} is not at {settings.kafka}: run `./bakvakt topics apply`"]
        )
    newest: dict[str, Seen] = {}
    everything = {TopicPartition(topic, number): None for number in range(partitions)}
    async with Reader(settings.kafka, everything) as reader:
        async for record in reader.records_to_end():
            # The newest revision of each; without a value it is forgotten.
            seen = decode_seen(record.value) if record.value else None
            if seen is not None and seen.kind == UNKNOWN_KIND and seen.code not in catalogue:
                newest[seen.fault_id] = seen
            elif record.key is not None:
                newest.pop(record.key.decode(), None)
    found = find_gaps(newest.values())
    wanted = [gap.sample.source for gap in found[:samples]]
    reports = await _read_at(settings.kafka, wanted)
    return [_with_report(gap, reports.get(gap.sample.source)) for gap in found]


def find_gaps(faults: Iterable[Seen]) -> list[Gap]:
    """By code, model and firmware; the most frequent first."""
    groups = defaultdict[tuple[str, str | None, str | None], list[Seen]](list)
    for seen in faults:
        groups[seen.code, seen.model, seen.firmware].append(seen)
    found = [_make_gap(*group, seen) for group, seen in groups.items()]
    return sorted(
        found, key=lambda gap: (-gap.reports, gap.code, str(gap.model), str(gap.firmware))
    )


def paste(gaps: Iterable[Gap]) -> str:
    """A vendor file for each vendor, in which only what `?` stands for is to be chosen."""
    by_vendor = defaultdict[str, dict[str, list[Gap]]](lambda: defaultdict(list))
    for gap in gaps:
        by_vendor[gap.vendor][gap.code].append(gap)
    return "\n".join(
        line for vendor, codes in by_vendor.items() for line in _vendor_lines(vendor, codes)
    )


def _vendor_lines(vendor: str, codes: Mapping[str, list[Gap]]) -> Iterator[str]:
    prefix = "" if vendor == UNKNOWN_VENDOR else f"{vendor}:"
    yield f"# ---- vendors/{vendor}.toml of your folder (BAKVAKT_CATALOGUE): put a word for each ?"
    yield f"vendor = {_quoted(vendor)}"
    yield "[sources.fleet]"
    yield 'name = "seen in our fleet"'
    yield 'licence = "own"'
    yield ""
    yield "[[codes]]"
    yield f"prefix = {_quoted(prefix)}"
    yield "[codes.rows]"
    for code, gaps in codes.items():
        for gap in gaps:
            yield f"# {gap.reports} reports of {gap.emus} EMUs, {_device(gap)}, last {gap.last_at}"
            yield f"#   {gap.sample.report or gap.sample.fault_id}"
        title = next((text for gap in gaps if (text := _text_of(gap.sample.report))), code)
        row = f'kind = "?", component = "?", title = {_quoted(title)}, meaning = "?"'
        yield f"{_quoted(code.removeprefix(prefix))} = {{ {row} }}"
    yield ""


def _device(gap: Gap) -> str:
    return f"model {gap.model or 'not said'}, firmware {gap.firmware or 'not said'}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _text_of(report: str | None) -> str | None:
    """What the device itself says of the code."""
    try:
        said = msgspec.json.decode(report or "{}", type=_Said)
    except msgspec.DecodeError:
        return None
    return said.text


def _make_gap(code: str, model: str | None, firmware: str | None, faults: list[Seen]) -> Gap:
    vendor, colon, _rest = code.partition(":")
    newest = max(faults, key=lambda seen: seen.last_at)
    return Gap(
        vendor=vendor if colon and vendor else UNKNOWN_VENDOR,
        code=code,
        model=model,
        firmware=firmware,
        reports=sum(seen.count for seen in faults),
        faults=len(faults),
        emus=len({seen.emu_id for seen in faults}),
        last_at=newest.last_at,
        sample=Sample(
            fault_id=newest.fault_id,
            emu_id=newest.emu_id,
            component=newest.component,
            source=newest.source,
        ),
    )


def _with_report(gap: Gap, value: bytes | None) -> Gap:
    if value is None:
        return gap
    report = pick_report(value, gap.sample.emu_id, gap.code)
    return replace(gap, sample=replace(gap.sample, report=report))


def pick_report(value: bytes, emu_id: str, code: str) -> str:
    """The report of a Kafka value that speaks of the EMU, if possible of the code; cut if it is long."""
    try:
        parts = split_value(value)
    except RecordError:
        parts = [value]
    texts = [part.decode(errors="replace") for part in parts]
    of_emu = [text for text in texts if emu_id in text] or texts
    chosen = next((text for text in of_emu if code in text), of_emu[0] if of_emu else "")
    line = " ".join(chosen.split())
    return line if len(line) <= MAX_SAMPLE_CHARACTERS else f"{line[:MAX_SAMPLE_CHARACTERS]}..."


async def _read_at(kafka: str, places: Collection[FaultSource]) -> dict[FaultSource, bytes]:
    """The values at these places, of those that are still there."""
    topics = await count_partitions(kafka, sorted({place.topic for place in places}))
    there = [place for place in places if place.partition < topics.get(place.topic, 0)]
    found: dict[FaultSource, bytes] = {}
    if not there:
        return found
    client = make_reader(kafka)
    await client.start()
    try:
        partitions = [_partition(place) for place in there]
        starts = await client.beginning_offsets(partitions)
        ends = await client.end_offsets(partitions)
        for place in there:
            partition = _partition(place)
            if not starts[partition] <= place.offset < ends[partition]:
                continue
            client.assign([partition])
            client.seek(partition, place.offset)
            read = await client.getmany(timeout_ms=SAMPLE_TIMEOUT_MS, max_records=1)
            for record in read.get(partition, ()):
                if record.offset == place.offset and record.value is not None:
                    found[place] = record.value
    finally:
        await client.stop()
    return found


def _partition(place: FaultSource) -> TopicPartition:
    return TopicPartition(place.topic, place.partition)

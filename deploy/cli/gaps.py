"""Unknown codes that were seen: counted, with a report of each, ready to be catalogued. Pure."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from deploy.cli.explanation import Report
from shared.catalogue import Catalogue
from shared.catalogue.catalogue import UNKNOWN_KIND
from shared.documents.fault import Fault

UNKNOWN_VENDOR = "unknown"
# A report of registers or a list may be long; `--json` has it whole.
LONGEST_REPORT = 600


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
    sample: Fault
    """The newest of its faults."""
    report: Report | None = None
    """What opened the sample, where it was read."""


def is_gap(fault: Fault, catalogue: Catalogue) -> bool:
    """Whether its code was unknown, and still is."""
    return fault.kind == UNKNOWN_KIND and fault.code not in catalogue


def find_gaps(faults: Iterable[Fault]) -> list[Gap]:
    """By code, model and firmware; the most frequent first."""
    groups = defaultdict[tuple[str, str | None, str | None], list[Fault]](list)
    for fault in faults:
        groups[fault.code, fault.model, fault.firmware].append(fault)
    found = [_make_gap(*group, alike) for group, alike in groups.items()]
    return sorted(
        found, key=lambda gap: (-gap.reports, gap.code, str(gap.model), str(gap.firmware))
    )


def with_reports(gaps: Iterable[Gap], reports: Mapping[str, Report]) -> list[Gap]:
    """The gaps with what was read of their samples, by fault_id."""
    return [replace(gap, report=reports.get(gap.sample.fault_id)) for gap in gaps]


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
            device = f"model {gap.model or 'not said'}, firmware {gap.firmware or 'not said'}"
            yield f"# reports {gap.reports}, EMUs {gap.emus}, {device}, last {gap.last_at}"
            yield f"#   {_sample(gap)}"
        title = next((text for gap in gaps if (text := _text_of(gap))), code)
        row = f'kind = "?", component = "?", title = {_quoted(title)}, meaning = "?"'
        yield f"{_quoted(code.removeprefix(prefix))} = {{ {row} }}"
    yield ""


def _sample(gap: Gap) -> str:
    """The report, else the fault that may be looked at."""
    if gap.report is None or not gap.report.reports:
        return f"fault {gap.sample.fault_id}"
    shown = msgspec.json.encode(gap.report.reports[0]).decode()
    return shown if len(shown) <= LONGEST_REPORT else f"{shown[:LONGEST_REPORT]}..."


def _text_of(gap: Gap) -> str | None:
    """What the device itself says of the code."""
    for report in gap.report.reports if gap.report else ():
        try:
            return msgspec.convert(report, _Said).text
        except msgspec.ValidationError:
            continue
    return None


class _Said(msgspec.Struct):
    text: str | None = None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _make_gap(code: str, model: str | None, firmware: str | None, faults: list[Fault]) -> Gap:
    vendor, colon, _rest = code.partition(":")
    newest = max(faults, key=lambda fault: fault.last_at)
    return Gap(
        vendor=vendor if colon and vendor else UNKNOWN_VENDOR,
        code=code,
        model=model,
        firmware=firmware,
        reports=sum(fault.count for fault in faults),
        faults=len(faults),
        emus=len({fault.emu_id for fault in faults}),
        last_at=newest.last_at,
        sample=newest,
    )

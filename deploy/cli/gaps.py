"""Unknown codes that were seen: counted, with a report of each, ready to be catalogued. Pure."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec.structs import replace

from deploy.cli.explanation import Report
from shared.catalogue import Catalogue, Register
from shared.catalogue.catalogue import UNKNOWN_KIND
from shared.catalogue.patterns import as_written
from shared.documents.fault import Fault

UNKNOWN_VENDOR = "unknown"
# A report of registers or a list may be long; `--json` has it whole.
LONGEST_REPORT = 600
WORD_BITS = (8, 16, 32, 64)
BIT = re.compile("[0-9]|[1-5][0-9]|6[0-3]")


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


def paste(gaps: Iterable[Gap], catalogue: Catalogue) -> str:
    """A vendor file for each vendor, in which only what `?` stands for is to be chosen.

    Bits of a register that the catalogue does not have become one [[bits]], where a report of it was read.
    """
    found = list(gaps)
    registers = _find_registers(found, catalogue)
    by_vendor = defaultdict[str, list[Gap]](list)
    for gap in found:
        by_vendor[_vendor_word(gap.vendor)].append(gap)
    return "\n".join(
        line for vendor, own in by_vendor.items() for line in _vendor_lines(vendor, own, registers)
    )


class _Word(msgspec.Struct):
    """A register as a report has it."""

    model: str | int
    point: str
    bits: int


class _Said(msgspec.Struct):
    """What is wanted of a report."""

    text: str | None = None
    registers: tuple[_Word, ...] = ()


Registers = dict[str, list[_Word]]
"""The words that were read of each unknown register, by what its codes begin with."""


def _find_registers(gaps: Iterable[Gap], catalogue: Catalogue) -> Registers:
    found = defaultdict[str, list[_Word]](list)
    for gap in gaps:
        for word in (word for said in _said(gap) for word in said.registers):
            name = f"{word.model}.{word.point}"
            if catalogue.registers.find(str(word.model), word.point) == Register(code=name):
                found[name].append(word)
    return found


def _vendor_word(vendor: str) -> str:
    """As the head of a vendor file may have it: `acme-corp` for `Acme Corp`."""
    return re.sub("[^a-z0-9_.-]+", "-", vendor.lower()).strip("_.-") or UNKNOWN_VENDOR


def _vendor_lines(vendor: str, gaps: list[Gap], registers: Registers) -> Iterator[str]:
    yield f"# ---- vendors/{vendor}.toml of your folder (BAKVAKT_CATALOGUE): put a word for each ?"
    yield f"vendor = {_quoted(vendor)}"
    yield "[sources.fleet]"
    yield 'name = "seen in our fleet"'
    yield 'licence = "own"'
    yield ""
    plain = defaultdict[str, dict[str, list[Gap]]](lambda: defaultdict(list))
    words = defaultdict[str, dict[str, list[Gap]]](lambda: defaultdict(list))
    for gap in gaps:
        register, _dot, bit = gap.code.rpartition(".")
        if register in registers and BIT.fullmatch(bit):
            words[register][bit].append(gap)
        else:
            prefix = gap.code[: gap.code.find(":") + 1]
            plain[prefix][gap.code.removeprefix(prefix)].append(gap)
    for prefix, rows in plain.items():
        yield "[[codes]]"
        yield f"prefix = {_escaped(prefix)}"
        yield from _row_lines("codes", rows)
    for register, rows in words.items():
        yield from _register_lines(register, rows, registers[register])
        yield from _row_lines("bits", rows)


def _register_lines(register: str, rows: Iterable[str], words: list[_Word]) -> Iterator[str]:
    names = dict.fromkeys((str(word.model), word.point) for word in words)
    shown = ", ".join(f"[{_quoted(model)}, {_quoted(point)}]" for model, point in names)
    seen = max(*(word.bits.bit_length() for word in words), *(int(bit) + 1 for bit in rows))
    word_bits = next(bits for bits in WORD_BITS if seen <= bits)
    yield "# Where its value is one number, and its bits are none of their own, write [[enum]]."
    yield "[[bits]]"
    yield 'prefix = ""'
    yield f"register = {_escaped(register)}"
    yield f"names = [{shown}]"
    yield f"word_bits = {word_bits} # at least, by what was seen"


def _row_lines(form: str, rows: Mapping[str, list[Gap]]) -> Iterator[str]:
    yield f"[{form}.rows]"
    for key, gaps in rows.items():
        for gap in gaps:
            device = f"model {gap.model or 'not said'}, firmware {gap.firmware or 'not said'}"
            yield f"# reports {gap.reports}, EMUs {gap.emus}, {device}, last {gap.last_at}"
            yield f"#   {_sample(gap)}"
        title = next((text for gap in gaps if (text := _text_of(gap))), gaps[0].code)
        row = f'kind = "?", component = "?", title = {_escaped(title)}, meaning = "?"'
        yield f"{_escaped(key)} = {{ {row} }}"
    yield ""


def _sample(gap: Gap) -> str:
    """The report, else the fault that may be looked at."""
    if gap.report is None or not gap.report.reports:
        return f"fault {gap.sample.fault_id}"
    shown = _printable(msgspec.json.encode(gap.report.reports[0]).decode())
    return shown if len(shown) <= LONGEST_REPORT else f"{shown[:LONGEST_REPORT]}..."


def _text_of(gap: Gap) -> str | None:
    """What the device itself says of the code."""
    return next((said.text for said in _said(gap) if said.text is not None), None)


def _said(gap: Gap) -> Iterator[_Said]:
    for report in gap.report.reports if gap.report else ():
        try:
            yield msgspec.convert(report, _Said)
        except msgspec.ValidationError:
            continue


def _escaped(text: str) -> str:
    """As codes and titles are written, whose braces stand for names."""
    return _quoted(as_written(text))


def _quoted(text: str) -> str:
    return json.dumps(_printable(text), ensure_ascii=False)


def _printable(text: str) -> str:
    """TOML has no control characters, nor what is no character at all."""
    return "".join(character if character.isprintable() else " " for character in text)


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

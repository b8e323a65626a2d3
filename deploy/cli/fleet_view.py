"""The fleet as people read it on a terminal. Pure: documents in, things to print out."""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deploy.cli.case_view import Facts, facts_table
from deploy.cli.wording import plain
from shared.documents.answers import EmuChange, EmuFile, FileRefusal, FleetChange
from shared.documents.emu import EmuRecord, Unit

# Enough to see whether it is what was meant; `--json` has more.
CHANGES_SHOWN = 20
PROBLEMS_SHOWN = 100
STATE_STYLES = {"commissioning": "yellow", "retired": "dim"}


def change_lines(change: FleetChange) -> Iterator[str]:
    """What an import has changed, or would change."""
    told = (
        f"{_count(change.added, 'EMU')} new, {change.changed} changed, {change.unchanged} as before; "
        f"{_count(change.sites, 'site')} and {_count(change.customers, 'customer')} new or changed"
    )
    if not change.added + change.changed + change.sites + change.customers:
        told = f"Nothing {'would change' if change.dry_run else 'has changed'}: {told}"
    elif change.dry_run:
        told = f"Would be: {told}"
    yield f"{told}."
    for each in change.changes[:CHANGES_SHOWN]:
        yield f"  {plain(each.emu_id)}  {_what_changed(each)}"
    more = change.added + change.changed - min(len(change.changes), CHANGES_SHOWN)
    if more:
        yield f"  ... and {more} more"


def problem_lines(file: str, refused: FileRefusal) -> Iterator[str]:
    """What is wrong with a file, in the order of its lines."""
    for problem in refused.problems[:PROBLEMS_SHOWN]:
        where = f"{file}, line {problem.line}" if problem.line else file
        yield f"{where}: {plain(problem.detail)}"
    more = refused.more + len(refused.problems) - PROBLEMS_SHOWN
    if more > 0:
        yield f"... and {more} more like these"


def emu_table(emus: Iterable[EmuFile[EmuRecord]]) -> Table:
    """One line an EMU."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("Site", "EMU", "State", "Model", "Firmware", "Customer", "Desk"):
        table.add_column(name, no_wrap=name in {"EMU", "State"})
    for file in emus:
        emu = file.emu
        table.add_row(
            Text(plain(emu.site_id)),
            Text(plain(emu.emu_id)),
            _state(emu),
            Text(plain(emu.model or "")),
            Text(plain(emu.firmware or "")),
            Text(plain(file.customer_name or emu.customer_id or "")),
            Text(plain(emu.desk)),
        )
    return table


def emu_page(file: EmuFile[EmuRecord]) -> RenderableType:
    """All that is known of one EMU."""
    emu = file.emu
    facts: Facts = [
        ("EMU", emu.emu_id),
        ("State", _state(emu)),
        ("Site", _named(emu.site_id, file.site_name)),
        ("Customer", _named(emu.customer_id or "not known", file.customer_name)),
        ("Desk", f"{emu.desk}, policy {emu.policy}"),
        ("Place", ", ".join(filter(None, (emu.area, emu.time_zone)))),
        ("Device", ", ".join(filter(None, (emu.model, emu.firmware, emu.serial))) or "not known"),
        ("Revision", f"{emu.revision}" + ("" if file.told else ", on its way to the others")),
    ]
    facts += [("Unit", _unit(unit)) for unit in emu.units]
    return Group(
        facts_table(
            [(name, plain(said) if isinstance(said, str) else said) for name, said in facts]
        )
    )


def _what_changed(change: EmuChange) -> str:
    if change.revision == 1:
        return f"new at {plain(str(change.fields['site_id'][1]))}"
    return ", ".join(
        f"{name}: {_value(before)} -> {_value(after)}"
        for name, (before, after) in change.fields.items()
    )


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, list):
        return f"{len(cast(list[object], value))} units"
    return plain(str(value))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _state(emu: EmuRecord) -> Text:
    return Text(emu.state, style=STATE_STYLES.get(emu.state, ""))


def _named(id_: str, name: str | None) -> str:
    return f"{id_} ({name})" if name else id_


def _unit(unit: Unit) -> str:
    ratings = [
        f"{rating:g} {unit_}"
        for rating, unit_ in ((unit.rated_kw, "kW"), (unit.rated_kwh, "kWh"))
        if rating is not None
    ]
    return ", ".join([f"{unit.component}: {unit.type}", *ratings])

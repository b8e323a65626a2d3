"""`catalogue`: is it right, what does a code mean, and which codes are not in it."""

import asyncio
import logging
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.cli.gaps import Gap, find_gaps, is_gap, paste, with_reports
from deploy.cli.kafka_lookup import NotThere, read_faults, read_reports
from deploy.cli.local_kafka import with_local_kafka
from deploy.cli.terminal import failure, print_out
from services.classifier.config import ClassifierSettings
from shared.catalogue import Catalogue, Row, load_catalogue
from shared.catalogue.catalogue import RegisterEntry
from shared.catalogue.words import SKILLS
from shared.config import load
from shared.errors import ConfigError
from shared.kafka.topics import Topics

catalogue = typer.Typer(
    help="The catalogue: what each code means. Your own files: BAKVAKT_CATALOGUE, a folder.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
COLOURS = {"A": "bold red", "B": "red", "C": "yellow", "D": "green"}


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a file."""

    file: str
    line: int


class RegisterAbout(msgspec.Struct, frozen=True, kw_only=True):
    """The register that tells a code."""

    code: str
    form: str
    word_bits: int
    number: int | None
    """The bit or value."""
    names: tuple[tuple[str, str], ...]
    """(model, point) as reports call it."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a code."""

    row: Row
    other_levels: list[Row]
    """What it is where its register tells another level."""
    pattern: str | None
    """The pattern that it is an instance of."""
    written: Written
    register: RegisterAbout | None
    kind_title: str
    kind_why: str
    kind_written: Written


@catalogue.command()
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(help="Your files; by default those that BAKVAKT_CATALOGUE names, if any."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say all that is wrong with the files, each with its line; exit status 1 if anything is.

    Examples:

    - `bakvakt catalogue check`

    - `bakvakt catalogue check my-catalogue`
    """
    try:
        folder = folder or _folder(_settings())
        checked = load_catalogue(folder)
    except ConfigError as error:
        if as_json:
            _print_json({"problems": error.problems})
            raise typer.Exit(1) from None
        raise failure(str(error)) from None
    if as_json:
        replaced = [
            {"what": one.what, "name": one.name, "ours": str(one.ours), "theirs": str(one.theirs)}
            for one in checked.replaced
        ]
        _print_json(
            {"problems": [], "version": checked.version, **_counts(checked), "replaced": replaced}
        )
    else:
        _show_checked(checked, folder)


@catalogue.command()
def show(
    code: Annotated[str, typer.Argument(help="A code as reports have it, or a pattern.")],
    as_json: AsJson = False,
) -> None:
    """Print all that is known of a code, and where it is written; exit status 1 for an unknown one.

    Examples:

    - `bakvakt catalogue show sunspec:802.Evt1.20`

    - `bakvakt catalogue show victron:vebus/Alarms/Overload --json`
    """
    loaded = _load(_settings())
    about = _about(code, loaded)
    if about is None:
        _show_unknown(code, loaded, as_json=as_json)
    elif as_json:
        _print_json(about)
    else:
        _show(about)


@catalogue.command()
def gaps(
    samples: Annotated[
        int, typer.Option(min=0, max=1_000, help="Of how many codes a report is fetched.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the unknown codes that were seen, the most frequent first, ready to be catalogued.

    Reads all of `bakvakt.faults`; what the catalogue knows by now is left out. Kafka is that of
    BAKVAKT_KAFKA, else of `up` on this machine.

    Examples:

    - `bakvakt catalogue gaps`

    - `bakvakt catalogue gaps --json | jq '.[].code'`
    """
    # What aiokafka logs about an absent broker is told once, by us.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = _settings()
    try:
        loaded = _load(settings)
        found = asyncio.run(_read_gaps(settings, loaded, samples))
    except NotThere as error:
        raise failure(str(error)) from None
    if as_json:
        _print_json(found)
    else:
        _show_gaps(found, loaded)


async def _read_gaps(settings: ClassifierSettings, loaded: Catalogue, samples: int) -> list[Gap]:
    topic = Topics(settings.prefix).faults
    faults = await read_faults(settings.kafka, topic, lambda fault: is_gap(fault, loaded))
    found = find_gaps(faults)
    return with_reports(
        found, await read_reports(settings.kafka, [gap.sample for gap in found[:samples]])
    )


def _settings() -> ClassifierSettings:
    try:
        return load(ClassifierSettings, with_local_kafka(os.environ), "classifier")
    except ConfigError as error:
        raise failure(str(error)) from None


def _folder(settings: ClassifierSettings) -> Path | None:
    return Path(settings.catalogue) if settings.catalogue else None


def _load(settings: ClassifierSettings) -> Catalogue:
    try:
        return load_catalogue(_folder(settings))
    except ConfigError as error:
        raise failure(str(error)) from None


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _counts(checked: Catalogue) -> dict[str, object]:
    codes = [row.code for row in (*checked.rows, *checked.patterns)]
    return {
        "codes": len(checked),
        "patterns": len(checked.patterns),
        "kinds": len(checked.kinds),
        "registers": len(checked.entries),
        "vendors": len({code.partition(":")[0] for code in (*codes, *checked.entries)}),
    }


def _show_checked(checked: Catalogue, folder: Path | None) -> None:
    what = ", ".join(f"{name} {count}" for name, count in _counts(checked).items())
    typer.echo(f"Right{f', with {folder}' if folder else ''}: {what}, version {checked.version}.")
    for one in checked.replaced:
        typer.echo(f"replaced: {one.what} {one.name} of {one.ours}, by {one.theirs}")


def _about(code: str, loaded: Catalogue) -> About | None:
    row, origin = loaded.find_written(code), loaded.origin(code)
    if row is None or origin is None:
        return None
    entry = loaded.entries.get(origin.register or "")
    levels = sorted(set(entry.register.levels.values())) if entry else []
    others = [loaded.look_up(code, level) for level in levels]
    kind = loaded.kinds[row.kind]
    return About(
        row=row,
        other_levels=[other for other in others if other != row],
        pattern=loaded.pattern_of(code),
        written=Written(file=origin.place.file, line=origin.place.line),
        register=_about_register(entry, origin.number) if entry else None,
        kind_title=kind.title,
        kind_why=kind.why,
        kind_written=Written(file=kind.place.file, line=kind.place.line),
    )


def _about_register(entry: RegisterEntry, number: int | None) -> RegisterAbout:
    return RegisterAbout(
        code=entry.register.code,
        form=entry.register.form,
        word_bits=entry.word_bits,
        number=number,
        names=entry.names,
    )


def _show(about: About) -> None:
    row = about.row
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _lines(about):
        table.add_row(name, value)
    head = Text(f"{row.code}  {row.title}", style="bold")
    print_out(Group(head, Text(f"{row.meaning}\n"), table))


def _lines(about: About) -> list[tuple[str, Text]]:
    row = about.row
    lines = [(f"at level {row.level}", _graded(row))]
    lines += [(f"at level {other.level}", _graded(other)) for other in about.other_levels]
    if row.hazard:
        lines.append(("hazard", Text("never hidden, never lowered, never delayed", "bold red")))
    parts = f"; parts {', '.join(row.parts)}" if row.parts else ""
    texts = [
        ("kind", f"{row.kind}: {about.kind_title}"),
        ("component", row.component),
        ("clears by", row.clears_by),
        ("first guess", f"{row.remedy}{parts}"),
        ("skill", f"{row.skill}: {SKILLS[row.skill]}"),
        ("delays", f"on {row.on_delay_s} s, off {row.off_delay_s} s"),
        ("why", about.kind_why),
    ]
    if about.register is not None:
        texts.append(("register", _register_text(about.register)))
    if about.pattern is not None:
        texts.append(("pattern", about.pattern))
    texts += [
        ("source", row.source),
        ("written in", f"{about.written.file}, line {about.written.line}"),
        ("kind in", f"{about.kind_written.file}, line {about.kind_written.line}"),
    ]
    return lines + [(name, Text(text)) for name, text in texts]


def _register_text(register: RegisterAbout) -> str:
    which = {"bits": f"bit {register.number}", "enum": f"value {register.number}"}
    names = " or ".join(f"{model} {point}" for model, point in register.names)
    return (
        f"{which.get(register.form, 'the value is the level')} of {register.code},"
        f" a word of {register.word_bits} bits; in reports {names}"
    )


def _graded(row: Row) -> Text:
    return Text.assemble((row.grade, COLOURS[row.grade]), f"  {row.reason}")


def _show_unknown(code: str, loaded: Catalogue, *, as_json: bool) -> None:
    """Reserved ones are no error: it is known that they mean nothing."""
    register, _dot, number = code.rpartition(".")
    entry = loaded.entries.get(register)
    reserved = entry.reserved.why(int(number)) if entry and number.isdecimal() else None
    near = get_close_matches(code, [row.code for row in (*loaded.rows, *loaded.patterns)], n=5)
    if as_json:
        _print_json({"code": code, "reserved": reserved, "near": near})
    elif reserved and entry:
        typer.echo(f"{code} means nothing and is ignored, by {entry.place}: {reserved}")
    else:
        row = loaded.look_up(code, None)
        typer.echo(f"{code} is not in the catalogue: it is {row.kind}, grade {row.grade}.")
        for other in near:
            written = loaded.find_written(other)
            typer.echo(f"  near it: {other}  {written.title if written else ''}")
    if not reserved:
        raise typer.Exit(1)


def _show_gaps(found: list[Gap], loaded: Catalogue) -> None:
    if not found:
        typer.echo("No unknown code was seen.")
        return
    table = Table("Code", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for column in ("Vendor", "Model", "Firmware", "Reports", "EMUs", "Last seen"):
        table.add_column(column, justify="right" if column in {"Reports", "EMUs"} else "left")
    for gap in found:
        table.add_row(
            Text(gap.code),
            Text(gap.vendor),
            Text(gap.model or "not said"),
            Text(gap.firmware or "not said"),
            str(gap.reports),
            str(gap.emus),
            gap.last_at,
        )
    print_out(table)
    typer.echo("")
    typer.echo(paste(found, loaded))

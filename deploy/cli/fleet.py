"""`fleet`: customers, sites and EMUs as files and on the terminal; all through dispatch's HTTP API."""

import os
import sys
from pathlib import Path
from typing import Annotated, get_args

import msgspec
import typer

from deploy.cli.dispatch_api import ApiError, DispatchApi, FileFormat, UrlOption, ask_dispatch
from deploy.cli.fleet_view import change_lines, emu_page, emu_table, problem_lines
from deploy.cli.person import ByOption, name_of
from deploy.cli.terminal import failure, make_console, print_out
from deploy.typed import typed
from shared.documents.answers import FleetChange
from shared.documents.emu import EmuState

STANDARD = Path("-")
SUFFIXES: dict[str, FileFormat] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
STATES: tuple[str, ...] = get_args(EmuState)
DEFAULT_LIMIT = 50

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format", help="csv or jsonl (JSON lines). Else by the file's name; jsonl for -."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]

fleet = typer.Typer(
    help="Customers, sites and EMUs: import them from a file, export them, show them.",
    no_args_is_help=True,
)


@fleet.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines; - is standard input.")],
    *,
    file_format: FormatOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")
    ] = False,
    by: ByOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the fleet as a file says: all of it, or nothing if any line is wrong.

    An EMU that is not in the file is left alone; so is a field that the file does not have. One that is gone
    is not deleted: write `retired` as its state. The same file twice changes nothing.

    Columns: docs/fleet.md, or `bakvakt fleet export - --format csv`.

    Examples:

    - `bakvakt fleet import fleet.csv --dry-run`

    - `bakvakt fleet import fleet.csv --by Ada`

    - `bakvakt simulate --print-fleet | bakvakt fleet import -`
    """
    chosen = _format(file, file_format)
    content = _read(file)
    name = name_of(by)

    async def carry_out(api: DispatchApi) -> FleetChange | ApiError:
        try:
            return await api.import_fleet(content, chosen, name, dry_run=dry_run)
        except ApiError as error:
            if error.refused is None:
                raise
            return error

    done = ask_dispatch(url, carry_out)
    if isinstance(done, ApiError):
        _tell_refusal(done, file, as_json=as_json)
        raise typer.Exit(1)
    if as_json:
        typer.echo(msgspec.json.encode(done).decode())
        return
    for line in change_lines(done):
        typer.echo(line)


@fleet.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to; - is standard output.")] = STANDARD,
    *,
    file_format: FormatOption = None,
    url: UrlOption = None,
) -> None:
    """Write all EMUs to a file, which `fleet import` takes back and finds nothing changed.

    Examples:

    - `bakvakt fleet export fleet.csv`

    - `bakvakt fleet export | jq -c 'select(.state == "commissioning")'`
    """
    chosen = _format(file, file_format)

    async def carry_out(api: DispatchApi) -> None:
        if file == STANDARD:
            async for piece in api.export_fleet(chosen):
                sys.stdout.buffer.write(piece)
            sys.stdout.flush()
            return
        # A file that is there is replaced by a whole one only.
        unfinished = file.with_name(f"{file.name}.part")
        with unfinished.open("wb") as output:
            async for piece in api.export_fleet(chosen):
                output.write(piece)
        unfinished.replace(file)

    try:
        ask_dispatch(url, carry_out)
    except BrokenPipeError:  # whoever read it has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise failure(f"{file} cannot be written: {error}") from None


@fleet.command()
def show(
    emu: Annotated[str | None, typer.Argument(metavar="[EMU_ID]", help="One EMU.")] = None,
    *,
    site: Annotated[str | None, typer.Option(help="Those of one site.")] = None,
    state: Annotated[
        str | None, typer.Option(help=f"One or several with commas: {', '.join(STATES)}.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = DEFAULT_LIMIT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one EMU, or all of them by site.

    Examples:

    - `bakvakt fleet show emu-0007`

    - `bakvakt fleet show --site site-hamburg`

    - `bakvakt fleet show --state commissioning --json | jq -r '.emus[].emu.emu_id'`
    """
    if emu is not None:
        found = ask_dispatch(url, lambda api: api.emu_file(emu))
        if as_json:
            typer.echo(msgspec.json.encode(found).decode())
        else:
            print_out(emu_page(found))
        return
    wanted = {
        name: words for name, words in (("site_id", site), ("state", state)) if words is not None
    }
    listed = ask_dispatch(url, lambda api: api.list_emus(wanted, limit))
    if as_json:
        typer.echo(msgspec.json.encode(listed).decode())
        return
    if not listed.emus:
        typer.echo(f"There is no such EMU. To add some: {typed('fleet import FILE')}", err=True)
        return
    print_out(emu_table(listed.emus), make_console())
    if listed.next is not None:
        typer.echo(f"There may be more: --limit {2 * limit}", err=True)


def _format(file: Path, named: str | None) -> FileFormat:
    for known in get_args(FileFormat):
        if named == known:
            return known
    if named is not None:
        raise typer.BadParameter(f"{named!r}: there are csv and jsonl", param_hint="--format")
    if file == STANDARD:
        return "jsonl"
    try:
        return SUFFIXES[file.suffix.lower()]
    except KeyError:
        raise failure(
            f"{file}: by its name it is neither .csv nor .jsonl; say which with --format"
        ) from None


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == STANDARD else file.read_bytes()
    except OSError as error:
        raise failure(f"{file} cannot be read: {error}") from None


def _tell_refusal(error: ApiError, file: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(error.refused).decode())
    if error.refused is not None:
        for line in problem_lines(str(file), error.refused):
            typer.echo(line, err=True)
    typer.echo(str(error), err=True)

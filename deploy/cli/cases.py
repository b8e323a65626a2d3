"""`cases`: list them, show one, and what people do with one; all through dispatch's HTTP API."""

import shlex
from collections.abc import Collection, Sequence
from typing import Annotated, get_args

import msgspec
import typer

from deploy.cli.case_view import case_page, case_sentences, case_table
from deploy.cli.dispatch_api import ApiError, DispatchApi, UrlOption, ask_dispatch
from deploy.cli.person import ByOption, name_of
from deploy.cli.terminal import make_console, print_out
from deploy.cli.wording import Reader, moment, plain
from shared.documents.answers import CaseFile
from shared.documents.case import Case, CaseState
from shared.documents.fault import GRADES, Fault
from shared.times import now_ms

STATES: tuple[str, ...] = get_args(CaseState)
UNFINISHED: tuple[str, ...] = ("open", "acknowledged", "processed")
ENDED = ("resolved", "closed")
ALL = "all"
DEFAULT_LIMIT = 30
CONFLICT = 409
# What the log says of somebody who takes a case.
TAKEN = ("acknowledged", "assigned")

JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
CaseArgument = Annotated[
    str, typer.Argument(metavar="CASE_ID", help="Its id, or the first 4 letters of it or more.")
]

cases = typer.Typer(invoke_without_command=True)


@cases.callback()
def list_cases(
    context: typer.Context,
    *,
    state: Annotated[
        str,
        typer.Option(help=f"One or several with commas, or {ALL}: {', '.join(STATES)}."),
    ] = ",".join(UNFINISHED),
    grade: Annotated[
        str | None, typer.Option(help="One or several with commas: A, B, C, D.")
    ] = None,
    site: Annotated[str | None, typer.Option(help="Those of one site.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = DEFAULT_LIMIT,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the cases that need work, newest first; show one, acknowledge, regrade, resolve or close it.

    What needs work is open, acknowledged or processed. `--state all` shows every case, `--state
    resolved` what a person has still to close.

    Examples:

    - `bakvakt cases`

    - `bakvakt cases --grade A,B --site site-7`

    - `bakvakt cases --state all --json | jq -r '.cases[].case_id'`

    - `bakvakt cases acknowledge c3f7a2bq`
    """
    if context.invoked_subcommand is not None:
        _refuse_options_before(context)
        return
    wanted: dict[str, str] = {}
    if state != ALL:
        wanted["state"] = _words(state, STATES, "--state")
    if grade is not None:
        wanted["grade"] = _words(grade.upper(), GRADES, "--grade")
    if site is not None:
        wanted["site_id"] = site
    found = ask_dispatch(url, lambda api: api.list_cases(wanted, limit))
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    if not found.cases:
        typer.echo("There is no such case.", err=True)
        return
    console = make_console()
    print_out(case_table(found, Reader(now_ms()), console.width), console)
    if found.next is not None:
        typer.echo(f"There may be more: --limit {2 * limit}", err=True)


@cases.command()
def show(case_id: CaseArgument, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show a case: how it stands, its clocks, faults, pages and log.

    Examples:

    - `bakvakt cases show c3f7a2bq`

    - `bakvakt cases show c3f7a2bq --json | jq .case.clocks`
    """

    async def read(api: DispatchApi) -> CaseFile[Case, Fault]:
        return await api.case_file(await api.find_case(case_id))

    found = ask_dispatch(url, read)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        print_out(case_page(found, Reader(now_ms())))


@cases.command()
def acknowledge(
    case_id: CaseArgument,
    *,
    by: ByOption = None,
    note: Annotated[str | None, typer.Option(help="Kept in the case's log.")] = None,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Also from somebody else who has it.")
    ] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a case: nobody else is paged for it. The time to decide and to solve it runs on.

    Refused where somebody else has it, unless you take it over.

    Examples:

    - `bakvakt cases acknowledge c3f7a2bq`

    - `bakvakt cases acknowledge c3f7a2bq --by Ada --note "on my way"`
    """
    name = name_of(by)
    typed = [*(["--by", by] if by else []), *(["--note", note] if note else [])]
    typed += _where_and_how(url, as_json=as_json)

    async def carry_out(api: DispatchApi) -> tuple[str | None, Case]:
        found = await api.case_file(await api.find_case(case_id))
        holder = _other_holder(found.case, name)
        if holder and not take_over:
            raise ApiError(_say_who_has_it(found, holder, typed))
        body = {"by": name, "note": note}
        return holder, await api.order(found.case.case_id, "acknowledge", body)

    holder, case = ask_dispatch(url, carry_out)
    show_done(case, name, as_json=as_json)
    if holder:
        typer.echo(f"Taken over from {plain(holder)}.", err=as_json)


@cases.command()
def resolve(
    case_id: CaseArgument,
    *,
    reason: Annotated[str, typer.Option(help="What solved it.")],
    by: ByOption = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Declare an alarm that still stands to be gone.")
    ] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve a case: all its clocks stop. Refused while the alarm stands, unless you rule it gone.

    Examples:

    - `bakvakt cases resolve c3f7a2bq --reason "fuse replaced"`

    - `bakvakt cases resolve c3f7a2bq --reason "sensor is broken, cell is cool" --clear`
    """
    body = {"by": name_of(by), "reason": reason, "ruling": "clear" if clear else None}
    typed = ["--reason", reason, *(["--by", by] if by else [])]
    _order(url, case_id, "resolve", body, as_json=as_json, typed=typed)


@cases.command()
def close(
    case_id: CaseArgument,
    by: ByOption = None,
    reason: Annotated[str | None, typer.Option(help="Kept in the case's log.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close a resolved case: the work on it is done. C and D close by themselves.

    Example: `bakvakt cases close c3f7a2bq --reason "report sent"`
    """
    _order(url, case_id, "close", {"by": name_of(by), "reason": reason}, as_json=as_json)


def _order(
    url: str | None,
    text: str,
    action: str,
    body: dict[str, str | None],
    *,
    as_json: bool,
    typed: Sequence[str] = (),
) -> None:
    """`typed`: the options as they were given, for the command that would be allowed."""
    typed = [*typed, *_where_and_how(url, as_json=as_json)]

    async def carry_out(api: DispatchApi) -> Case:
        case_id = await api.find_case(text)
        try:
            return await api.order(case_id, action, body)
        except ApiError as error:
            if error.status == CONFLICT and action == "resolve":
                await _say_what_stands(api, case_id, typed)
            raise

    show_done(ask_dispatch(url, carry_out), body["by"] or "", as_json=as_json)


def show_done(case: Case, by: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(case).decode())
    else:
        print_out(case_sentences(case, by, Reader(now_ms())))


def _where_and_how(url: str | None, *, as_json: bool) -> list[str]:
    """What a command that is offered must say too, to ask the same dispatch in the same form."""
    return [*(["--url", url] if url else []), *(["--json"] if as_json else [])]


def _other_holder(case: Case, name: str) -> str | None:
    """Who must be asked before `name` takes it; of an ended case nobody, since dispatch refuses."""
    return case.assignee if case.state not in ENDED and case.assignee != name else None


def _say_who_has_it(found: CaseFile[Case, Fault], holder: str, typed: Sequence[str]) -> str:
    taken = [entry.at for entry in found.log if entry.what in TAKEN and entry.who == holder]
    since = f" since {moment(max(taken), Reader(now_ms()))}" if taken else ""
    case_id = found.case.case_id
    command = shlex.join(["bakvakt", "cases", "acknowledge", case_id, *typed, "--take-over"])
    return f"{plain(holder)} has it{since}; to take it over:\n  {plain(command)}"


async def _say_what_stands(api: DispatchApi, case_id: str, typed: Sequence[str]) -> None:
    """Raises ApiError with the command to give, if it is the alarm that forbids it."""
    found = await api.case_file(case_id)
    standing = [fault for fault in found.faults if fault.state == "open"]
    if found.case.state in ENDED or not standing:
        return
    what = ", ".join(f"{fault.title} ({fault.emu_id} {fault.component})" for fault in standing)
    command = shlex.join(["bakvakt", "cases", "resolve", case_id, *typed, "--clear"])
    raise ApiError(
        f"The alarm still stands: {plain(what)}. Wait until it clears, or declare it gone with "
        f"--clear:\n  {command}"
    )


def _words(text: str, known: Collection[str], option: str) -> str:
    """One of `known`, or several with commas; as the API wants them."""
    words = [word.strip() for word in text.split(",")]
    wrong = [word for word in words if word not in known]
    if wrong:
        message = f"{', '.join(map(repr, wrong))}: there are {', '.join(known)}"
        raise typer.BadParameter(message, param_hint=option)
    return ",".join(words)


def _refuse_options_before(context: typer.Context) -> None:
    """The list's options say nothing about one case; what was meant for it goes behind its command."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            command = context.invoked_subcommand
            raise typer.BadParameter(
                f"write options behind {command!r}", param_hint=parameter.opts[0]
            )

"""`cases regrade` and `cases detach`: a person's word on a fault, through dispatch's HTTP API."""

from collections.abc import Collection
from typing import Annotated

import typer

from deploy.cli.cases import CaseArgument, JsonOption, cases, show_done
from deploy.cli.dispatch_api import DispatchApi, UrlOption, ask_dispatch
from deploy.cli.person import ByOption, name_of
from shared.documents.case import Case
from shared.documents.fault import GRADES


@cases.command()
def regrade(
    case_id: CaseArgument,
    *,
    grade: Annotated[str, typer.Option(help=f"The right one: {', '.join(GRADES)}.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the case's log.")],
    by: ByOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say how grave a case's fault is. Refused for a hazard that would be lowered, and once it has cleared.

    The classifier is told, and the case follows in a moment. Upward its clocks get shorter and it pages
    anew; downward what was promised stays promised.

    Example: `bakvakt cases regrade c3f7a2bq --grade B --reason "one string only"`
    """
    grade = _word(grade.upper(), GRADES, "--grade")
    name = name_of(by)
    body = {"by": name, "reason": reason, "grade": grade}
    case = _ask_for(url, case_id, "regrade", body)
    show_done(case, name, as_json=as_json)
    if case.grade != grade:
        typer.echo(f"Grade {grade} is asked for; the case follows in a moment.", err=as_json)


@cases.command()
def detach(
    case_id: CaseArgument,
    *,
    fault: Annotated[
        str,
        typer.Option(metavar="FAULT_ID", help="The symptom; the first 4 letters of it or more."),
    ],
    reason: Annotated[str, typer.Option(help="Why; kept in the case's log.")],
    by: ByOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a symptom of a case's fault stands for itself. It gets a case of its own in a moment.

    Example: `bakvakt cases detach c3f7a2bq --fault f6aw2e7k --reason "another rack"`
    """
    name = name_of(by)

    async def carry_out(api: DispatchApi) -> tuple[str, Case]:
        fault_id = await api.find_fault(fault)
        body = {"by": name, "reason": reason, "fault_id": fault_id}
        return fault_id, await api.order(await api.find_case(case_id), "detach", body)

    fault_id, case = ask_dispatch(url, carry_out)
    show_done(case, name, as_json=as_json)
    typer.echo(f"Fault {fault_id} is to stand for itself; that follows in a moment.", err=as_json)


def _ask_for(url: str | None, text: str, action: str, body: dict[str, str]) -> Case:
    async def carry_out(api: DispatchApi) -> Case:
        return await api.order(await api.find_case(text), action, body)

    return ask_dispatch(url, carry_out)


def _word(text: str, known: Collection[str], option: str) -> str:
    """One of `known`."""
    if text not in known:
        message = f"{text!r}: there are {', '.join(known)}"
        raise typer.BadParameter(message, param_hint=option)
    return text

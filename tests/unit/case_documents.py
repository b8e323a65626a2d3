"""Cases and what dispatch answers about them, for the tests of the command line."""

from typing import Any
from zoneinfo import ZoneInfo

from msgspec.structs import replace
from rich.console import Console, RenderableType

from deploy.cli.wording import Reader
from shared.documents.answers import CaseFile, LogEntry, SentPage
from shared.documents.case import Case, Clock, Milestones, Warn
from shared.documents.fault import Fault
from shared.times import to_rfc3339
from tests.unit.dispatch_documents import MINUTE, T0, make_fault

BERLIN = ZoneInfo("Europe/Berlin")  # T0 is 2026-09-21 16:13:20 there, in summer


def at(minutes: float) -> str:
    """So many minutes after the case was opened."""
    return to_rfc3339(T0 + round(minutes * MINUTE))


def reader(minutes: float) -> Reader:
    """Somebody in Berlin who looks so many minutes after the case was opened."""
    return Reader(T0 + round(minutes * MINUTE), BERLIN)


def make_clock(due_minutes: float, *, stopped: float | None = None, **fields: Any) -> Clock:
    clock = Clock(
        start=at(0),
        due=at(due_minutes),
        event="breach",
        warn=(Warn("0.5", at(due_minutes / 2)), Warn("1", at(due_minutes))),
        stopped_at=None if stopped is None else at(stopped),
    )
    return replace(clock, **fields)


def make_case(fault: Fault | None = None, **fields: Any) -> Case:
    """An open case of grade A, with the clocks of the agreement."""
    fault = fault or make_fault()
    case = Case(
        case_id="c" + fault.fault_id[1:],
        revision=1,
        change="opened",
        state="open",
        grade="A",
        grade_worst="A",
        severity="major",
        site_id=fault.site_id,
        fault_ids=(fault.fault_id,),
        fault_count=1,
        milestones=Milestones(opened_at=at(0)),
        clocks={
            "step": make_clock(5, event="due", warn=()),
            "response": make_clock(5),
            "processing": make_clock(15),
            "resolution": make_clock(60),
        },
    )
    return replace(case, **fields)


def make_case_file(fault: Fault | None = None, **fields: Any) -> CaseFile[Case, Fault]:
    """The file of such a case, whose first page was delivered at the second try."""
    fault = fault or make_fault()
    return CaseFile(
        case=make_case(fault, **fields),
        faults=[fault],
        log=[LogEntry(at(0), "opened", None, "grade A: catalogue")],
        pages=[
            SentPage(
                message_id="p1",
                step=1,
                level=1,
                person="Ada",
                reason="opened",
                created_at=at(0),
                sent_at=at(0.5),
                attempts=2,
                last_error=None,
            )
        ],
    )


def rendered(what: RenderableType, width: int = 200) -> str:
    """As it would be printed, without colours."""
    console = Console(width=width, markup=False, highlight=False, emoji=False, color_system=None)
    with console.capture() as captured:
        console.print(what)
    return captured.get()

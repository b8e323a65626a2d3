"""Cases as people read them on a terminal. Pure: documents in, things to print out."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deploy.cli.wording import (
    ClockNews,
    Reader,
    ago,
    clock_news,
    duration,
    moment,
    next_clock,
    plain,
    short,
)
from deploy.typed import typed
from shared.documents.answers import CaseFile, CaseList, LogEntry, SentPage
from shared.documents.case import Case, Clock
from shared.documents.fault import Fault, Grade
from shared.times import from_rfc3339

GRADE_STYLES: dict[Grade, str] = {"A": "bold red", "B": "bold yellow", "C": "cyan", "D": ""}
STANDING_STYLES = {"ahead": "", "late": "yellow", "breached": "bold red"}
STATE_STYLES = {"open": "bold", "resolved": "green", "closed": "dim"}

# Below it only what tells one case from another is shown, from the next on all.
NARROW, WIDE = 100, 140
# So that what is said stands in one column from section to section.
LONGEST_NAME = len("Acknowledged")

# What a person does next, by the state of the case.
NEXT_COMMANDS = {
    "open": "cases acknowledge {id}",
    "acknowledged": "cases resolve {id} --reason TEXT",
    "processed": "cases resolve {id} --reason TEXT",
    "resolved": "cases close {id}",
}

NOT_IN_SERVICE = {"commissioning": "in commissioning", "retired": "retired"}
STALE = "nothing is heard of its EMU: it is not known whether this still stands"
# The last thing that happened to a case whose EMU has gone to another site.
MOVED = "moved"

Facts = list[tuple[str, str | Text]]
"""Names, and what there is to say of each."""


def grade_text(grade: Grade) -> Text:
    return Text(grade, style=GRADE_STYLES[grade])


def case_table(found: CaseList[Case, Fault], reader: Reader, width: int) -> Table:
    """One line a case, with as many columns as `width` has room for."""
    faults = {fault.fault_id: fault for fault in found.faults}
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("Case", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Next", no_wrap=True)
    table.add_column("What", min_width=12)
    if width >= NARROW:
        table.add_column("Where", min_width=12)
    if width >= WIDE:
        table.add_column("Taken by", no_wrap=True)
        table.add_column("Opened", no_wrap=True)
    for case in found.cases:
        fault = faults.get(case.fault_ids[0]) if case.fault_ids else None
        cells = [
            Text(short(case.case_id)),
            grade_text(case.grade),
            Text(case.state, style=STATE_STYLES.get(case.state, "")),
            _next_text(case, reader),
            _shortened(fault.title if fault else ""),
            _shortened(_place(case, fault)),
            Text(plain(case.assignee or "nobody"), style="" if case.assignee else "dim"),
            Text(moment(case.milestones.opened_at, reader) if case.milestones.opened_at else ""),
        ]
        table.add_row(*cells[: len(table.columns)])
    return table


def case_page(file: CaseFile[Case, Fault], reader: Reader) -> RenderableType:
    """All that is known about one case."""
    case, own = file.case, _own_fault(file)
    heading = Text.assemble(
        (case.grade, GRADE_STYLES[case.grade]), "  ", (plain(own.title) if own else "", "bold")
    )
    facts: Facts = [("Case", case.case_id), ("State", _state_text(case))]
    facts += case_facts(case, own, reader)
    parts: list[RenderableType] = [heading, _indented(facts_table(facts))]
    parts += _section("Clocks", clock_lines(case, reader))
    parts += _section("Faults", fault_lines(file.faults, reader))
    parts += _section("Pages", page_lines(file.pages, reader))
    parts += _section("Log", log_lines(file.log, reader))
    return Group(*parts, Text(""), *_what_next(case))


def case_facts(case: Case, own: Fault | None, reader: Reader) -> Facts:
    """Whose it is, and what it is about; `own` is the fault that it was opened for."""
    opened_at = case.milestones.opened_at
    facts: Facts = [
        ("Taken by", case.assignee or "nobody"),
        ("Where", _place(case, own)),
    ]
    if own is not None:
        facts.append(("Code", own.code))
    if opened_at is not None:
        facts.append(("Opened", f"{moment(opened_at, reader)}, {ago(opened_at, reader)}"))
    if case.grade != case.grade_worst:
        facts.append(("Worst grade", grade_text(case.grade_worst)))
    facts.append(("Failure", case.severity or "neither major nor general"))
    facts.append(("Desk", f"{case.desk}, policy {case.policy}"))
    if own is not None:
        facts += fault_facts(own)
    if case.merged_into is not None:
        facts.append(("Goes on as", case.merged_into))
    return facts


def fault_facts(fault: Fault) -> Facts:
    """What else a reader must know of a fault: where it was before, and how sure it is."""
    facts: Facts = []
    if fault.emu_state in NOT_IN_SERVICE:
        facts.append(("EMU is", NOT_IN_SERVICE[fault.emu_state]))
    if fault.moved_from is not None:
        facts.append(("Was before", f"fault {fault.moved_from}, at the site of its EMU then"))
    if fault.stale and fault.state == "open":
        facts.append(("Stale", Text(STALE, style="yellow")))
    return facts


def facts_table(facts: Facts) -> Table:
    """A name and what there is to say, line by line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=LONGEST_NAME)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value if isinstance(value, Text) else Text(plain(value)))
    return table


def clock_lines(case: Case, reader: Reader) -> RenderableType | None:
    """Each clock: when it is due, and how it stands or has ended."""
    if not case.clocks:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, clock in clocks_by_end(case):
        news = clock_end(name, clock, breached=name in case.breached, reader=reader)
        table.add_row(
            Text(name),
            Text(f"due {moment(clock.due, reader)}"),
            Text(news.text, style=STANDING_STYLES[news.standing]),
        )
    return table


def clocks_by_end(case: Case) -> list[tuple[str, Clock]]:
    return sorted(case.clocks.items(), key=lambda named: (from_rfc3339(named[1].due), named[0]))


def fault_lines(faults: Iterable[Fault], reader: Reader) -> RenderableType | None:
    table = Table.grid(padding=(0, 2, 0, 0))
    for fault in faults:
        table.add_row(
            Text(short(fault.fault_id)),
            grade_text(fault.grade),
            Text(f"{fault.state}, stale" if fault.stale else fault.state),
            Text(plain(fault.title)),
            Text(plain(f"{fault.emu_id} {fault.component}")),
            Text(f"{times(fault.count)}, last {moment(fault.last_at, reader)}"),
        )
    return table if table.row_count else None


def page_lines(pages: Iterable[SentPage], reader: Reader) -> RenderableType | None:
    """To whom, why, when it was decided, and how its delivery went."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for page in pages:
        table.add_row(
            Text(str(page.step)),
            Text(plain(page.person)),
            Text(f"level {page.level}"),
            Text(page.reason),
            Text(f"decided {moment(page.created_at, reader, exact=True)}"),
            _delivery(page),
        )
    return table if table.row_count else None


def log_lines(log: Iterable[LogEntry], reader: Reader) -> RenderableType | None:
    table = Table.grid(padding=(0, 2, 0, 0))
    for column in range(4):
        table.add_column(no_wrap=column < 3, overflow="fold")
    for entry in log:
        table.add_row(
            Text(moment(entry.at, reader), style="dim"),
            Text(entry.what),
            Text(plain(entry.who or "")),
            Text(plain(entry.detail or "")),
        )
    return table if table.row_count else None


def case_sentences(case: Case, by: str, reader: Reader) -> RenderableType:
    """How a case stands after `by` has done something with it, and what comes next."""
    lines = [
        Text.assemble(
            f"Case {case.case_id} (",
            grade_text(case.grade),
            ") is ",
            _state_text(case),
            f"; {plain(case.assignee)} has it. " if case.assignee else "; nobody has taken it. ",
            f"Entered as {plain(by)}.",
        )
    ]
    news = next_clock(case, reader.now_ms)
    if news is not None:
        lines.append(Text(f"Next: {news.text}", style=STANDING_STYLES[news.standing]))
    return Group(*lines, *_what_next(case))


def times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _section(title: str, lines: RenderableType | None) -> list[RenderableType]:
    if lines is None:
        return []
    return [Text(""), Text(title, style="bold"), _indented(lines)]


def _indented(lines: RenderableType) -> Padding:
    return Padding(lines, (0, 0, 0, 2), expand=False)


def _own_fault(file: CaseFile[Case, Fault]) -> Fault | None:
    """The fault that the case was opened for."""
    by_id = {fault.fault_id: fault for fault in file.faults}
    return by_id.get(file.case.fault_ids[0]) if file.case.fault_ids else None


def _place(case: Case, fault: Fault | None) -> str:
    return " ".join([case.site_id, fault.emu_id, fault.component] if fault else [case.site_id])


def _shortened(text: str) -> Text:
    """What gives way where the terminal is narrow: Rich takes from such columns first."""
    return Text(plain(text), no_wrap=True, overflow="ellipsis")


def _state_text(case: Case) -> Text:
    if case.change == MOVED:
        return Text("closed, moved to another site", style=STATE_STYLES["closed"])
    return Text(case.state, style=STATE_STYLES.get(case.state, ""))


def _next_text(case: Case, reader: Reader) -> Text:
    """The clock to look at; of an ended case, when it ended."""
    news = next_clock(case, reader.now_ms)
    if news is not None:
        return Text(news.text, style=STANDING_STYLES[news.standing])
    ended_at = case.milestones.closed_at or case.milestones.resolved_at
    how = MOVED if case.change == MOVED else case.state
    return Text(f"{how} {ago(ended_at, reader)}" if ended_at else "", style="dim")


def clock_end(name: str, clock: Clock, *, breached: bool, reader: Reader) -> ClockNews:
    if clock.stopped_at is None:
        return clock_news(name, clock, breached=breached, now_ms=reader.now_ms)
    stopped = f"stopped {moment(clock.stopped_at, reader)}"
    left_ms = from_rfc3339(clock.due) - from_rfc3339(clock.stopped_at)
    if breached:
        return ClockNews(f"{stopped}, breached by {duration(max(0, -left_ms))}", "breached")
    return ClockNews(f"{stopped}, {duration(left_ms)} before" if left_ms >= 0 else stopped, "ahead")


def _delivery(page: SentPage) -> Text:
    tries = "" if page.attempts == 1 else f", {page.attempts} tries"
    if page.sent_at is not None:
        took_ms = max(0, from_rfc3339(page.sent_at) - from_rfc3339(page.created_at))
        return Text(f"delivered {duration(took_ms)} later{tries}")
    error = f": {plain(page.last_error)}" if page.last_error else ""
    return Text(f"not delivered yet{tries}{error}", style="yellow")


def _what_next(case: Case) -> list[Text]:
    """The command that a person gives next; also how all of this came about."""
    ids = {"id": short(case.case_id)}
    commands = [NEXT_COMMANDS[case.state]] if case.state in NEXT_COMMANDS else []
    if case.merged_into is not None:
        commands.append(f"cases show {short(case.merged_into)}")
    return [
        Text(typed(command.format_map(ids)), style="dim") for command in [*commands, "explain {id}"]
    ]

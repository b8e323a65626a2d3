"""Clocks as people read them on a terminal. Pure: answers in, things to print out."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deploy.cli.case_view import grade_text
from deploy.cli.wording import Reader, ago, duration, moment, plain, short
from shared.documents.clock_answers import (
    CaseClocks,
    ComingMoment,
    Doing,
    MomentState,
    ShardState,
    StandingClock,
)
from shared.times import from_rfc3339, to_rfc3339

DOING: dict[Doing, str] = {
    "serving": "is served",
    "rebuilding": "is being built anew",
    "catching_up": "is being taken over",
    "not_taken_over": "is not taken over: its clocks do not fire",
}
# The share of a clock's own end.
OWN_END = "1"


def coming_table(moments: Sequence[ComingMoment], reader: Reader) -> Table:
    """What fires next, in order."""
    table = _table("Fires", "At", "Case", "", "Clock", "What", "Site", "Desk", "Shard")
    for found in moments:
        table.add_row(*_row(found, what(found.event, found.share), reader))
    return table


def clock_table(clocks: Sequence[StandingClock], reader: Reader) -> Table:
    """Clocks that stand, by their ends."""
    table = _table("Ends", "At", "Case", "", "Clock", "Next", "Site", "Desk", "Shard")
    for found in clocks:
        event = found.event if found.next_share == OWN_END else "warning"
        coming = f"{what(event, found.next_share)} {when(found.next_at, reader)}"
        table.add_row(*_row(found, coming, reader))
    return table


def case_page(found: CaseClocks, said: tuple[str, int] | str, reader: Reader) -> RenderableType:
    """All moments of a case. `said`: title and newest revision by dispatch, or why it has not said them."""
    facts = Table.grid(padding=(0, 2))
    title = plain(said[0]) if isinstance(said, tuple) else f"not known: {plain(said)}"
    for name, text in (
        ("Case", f"{found.case_id}  {found.grade}"),
        ("What", title),
        ("Where", plain(f"{found.site_id}, desk {found.desk}")),
        ("Known from", _source(found, reader)),
        ("Shard", f"{found.shard}, which {DOING[found.doing]}"),
        ("Revision", _revision(found.revision, said)),
    ):
        facts.add_row(Text(name, style="dim"), text)
    table = _table("Clock", "What", "State", "At", "Version")
    for state in found.moments:
        at = "" if state.due_at is None else moment(state.due_at, reader, exact=True)
        table.add_row(
            plain(state.clock), what(state.event, state.share), _state(state, reader), at,
            str(state.version),
        )  # fmt: skip
    if not found.moments:
        return Group(facts, Text("No clock of it runs, and none has fired."))
    return Group(facts, Padding(table, (1, 0, 0, 0)))


def what(event: str, share: str) -> str:
    """ "warning at 50 %", "breach"."""
    if event != "warning":
        return event
    try:
        return f"warning at {float(share) * 100:g} %"
    except ValueError:
        return f"warning at {plain(share)}"


def when(at: str, reader: Reader) -> str:
    """ "in 5 min 2 s"; of what is past, "3 s late"."""
    left_ms = from_rfc3339(at) - reader.now_ms
    return f"in {duration(left_ms)}" if left_ms >= 0 else f"{duration(-left_ms)} late"


def not_served(shards: Sequence[int]) -> str:
    """What must be known beside a list; empty: nothing."""
    if not shards:
        return ""
    some = ", ".join(map(str, shards))
    one = "Shard" if len(shards) == 1 else "Shards"
    return (
        f"{one} {some}: not served just now, so clocks may be missing here, and none of them fires."
    )


def progress(state: ShardState) -> str:
    """What the owner of a shard does, in a few words."""
    if state.reading is None or state.until is None:
        return DOING[state.doing]
    far = f"{state.read_to:,} of " if state.read_to is not None else ""
    return f"{DOING[state.doing]}: {state.reading} read up to offset {far}{state.until:,}"


def _source(found: CaseClocks, reader: Reader) -> str:
    applied = "nothing yet" if found.next_offset is None else f"offset {found.next_offset:,}"
    return (
        f"Redis, which has applied {found.topic}[{found.shard}] up to {applied}; "
        f"this case as it was written {ago(found.written_at, reader)}"
    )


def _revision(stored: int, said: tuple[str, int] | str) -> str:
    if not isinstance(said, tuple):
        return str(stored)
    if said[1] > stored:
        return f"{stored}; dispatch has {said[1]}, which has not reached the wheel yet"
    return f"{stored}, the newest"


def _state(state: MomentState, reader: Reader) -> Text:
    if state.due_at is None:
        was = moment(to_rfc3339(state.version), reader)
        return Text(f"fired, of an earlier end ({was})", style="dim")
    if state.fired:
        return Text("fired", style="green")
    said = when(state.due_at, reader)
    return Text(said, style="bold red" if said.endswith("late") else "")


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=column != "Site")
    return table


def _row(
    found: ComingMoment | StandingClock, coming: str, reader: Reader
) -> tuple[str | Text, ...]:
    return (
        when(found.due_at, reader),
        moment(found.due_at, reader),
        short(found.case_id),
        grade_text(found.grade),
        plain(found.clock),
        coming,
        plain(found.site_id),
        plain(found.desk),
        str(found.shard),
    )

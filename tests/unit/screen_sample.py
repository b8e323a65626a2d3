"""A screen with something of everything on it: for tests, and for the picture in docs/.

`python -m tests.unit.screen_sample` draws the picture anew.
"""

import io
from pathlib import Path

import msgspec
from rich.console import Console
from rich.terminal_theme import TerminalTheme

from deploy.local.messages import Event
from deploy.screen.render import render
from deploy.screen.snapshot import NextClock, Page
from deploy.screen.view import NextView, PageView, PartView, View
from shared.times import from_rfc3339

PICTURE = Path("docs/screen.svg")
WIDTH, HEIGHT = 100, 30
HINT = "Ctrl-C stops everything."
NOW_MS = from_rfc3339("2026-11-22T10:12:05.000Z")

# Calm colours on a dark ground. Fonts are those that the reader has: a picture loads nothing from elsewhere.
THEME = TerminalTheme(
    (24, 26, 31),
    (205, 208, 214),
    [
        (60, 64, 72), (179, 38, 30), (110, 170, 110), (205, 160, 75),
        (47, 111, 148), (150, 110, 170), (90, 160, 165), (205, 208, 214),
    ],
    [
        (110, 115, 125), (226, 90, 80), (140, 200, 140), (229, 190, 110),
        (90, 160, 205), (180, 140, 205), (120, 195, 200), (240, 242, 245),
    ],
)  # fmt: skip
FORMAT = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
<rect width="{width}" height="{height}" rx="10" fill="#181a1f"/>
<g transform="translate({terminal_x}, 24)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""


def _page(minute_s: str, grade: str, title: str, site_id: str, *, now: str) -> PageView:
    state, _, who = now.partition(" by ")
    page = Page(
        received_at="",
        grade=grade,
        title=title,
        reason="opened",
        person="Engineer on call",
        case_id=f"c{minute_s}",
        site_id=site_id,
    )
    at_ms = from_rfc3339(f"2026-11-22T10:{minute_s}.000Z")
    return PageView(at_ms=at_ms, page=page, case_state=state, assignee=who)


def _service(name: str, port: int, *, path: str = "", lag: int = 0) -> PartView:
    return PartView(name=name, state="ready", where=f"http://127.0.0.1:{port}{path}", lag=lag)


VIEW = View(
    at_ms=NOW_MS,
    running=True,
    running_s=725,
    alarms_per_s=42.4,
    recent_alarms_per_s=tuple(
        abs(number % 23 - 11) * 3.1 + number % 7 * 2.3 + 8 for number in range(60)
    ),
    reports_per_s=42.4,
    faults={"A": 2, "B": 9, "C": 31, "D": 0},
    cases={"open": 12, "acknowledged": 5, "processed": 0, "resolved": 38, "closed": 214},
    clocks=51,
    next=NextView(
        in_s=98,
        clock=NextClock(
            case_id="cgq4b6x2m7ah5dtl",
            clock="response",
            share="1",
            event="breach",
            due_at="2026-11-22T10:13:43.000Z",
            grade="A",
            site_id="site-hamburg",
        ),
        title="Smoke detected",
    ),
    parts=(
        _service("ingest", 8081),
        _service("classifier", 8082),
        _service("classifier-2", 41873, lag=17),
        _service("dispatch", 8080, path="/v1/cases"),
        PartView(name="timer", state="restarts", where="http://127.0.0.1:8083"),
        PartView(name="receiver", state="ready", where="http://127.0.0.1:8090"),
        PartView(name="kafka", state="runs", where="127.0.0.1:9092"),
        PartView(name="redis", state="runs", where="redis://127.0.0.1:6379/0"),
        PartView(
            name="postgres", state="runs", where="postgresql://postgres@127.0.0.1:5432/bakvakt"
        ),
    ),
    has_receiver=True,
    pages=(
        _page("11:51", "A", "Smoke detected", "site-hamburg", now="open"),
        _page(
            "11:20", "B", "Cell temperature above its limit", "site-lyon", now="acknowledged by Ada"
        ),
        _page("10:58", "C", "Meter reports a power failure", "site-akureyri", now="resolved"),
        _page(
            "10:02", "B", "Insulation resistance low", "site-hamburg", now="acknowledged by Grace"
        ),
        _page("09:47", "D", "Fan speed low", "site-lyon", now="closed"),
        _page("08:15", "C", "Battery management does not answer", "site-lyon", now="resolved"),
    ),
    events=(
        Event(at_ms=NOW_MS - 3_000, text="timer ended (signal 9); it is started again in 0.5 s"),
    ),
)


def draw(view: View, *, width: int, height: int, hint: str = HINT) -> Console:
    """A console on which the view has been printed, and that remembers it."""
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, record=True
    )
    console.print(render(view, width=width, height=height, hint=hint))
    return console


def picture() -> str:
    """The picture of docs/."""
    # The title is nobody's, the id the same each time.
    return draw(VIEW, width=WIDTH, height=HEIGHT).export_svg(
        title="", theme=THEME, code_format=FORMAT, unique_id="screen"
    )


NOTHING = View(at_ms=NOW_MS, running=False)


def without(**fields: object) -> View:
    return msgspec.structs.replace(VIEW, **fields)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")

"""How the screen looks: within any terminal, with what matters in it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from deploy.local.messages import Event
from deploy.screen.snapshot import NextClock
from deploy.screen.view import NextView, PartView, View
from deploy.screen.words import bars, duration, printable, rate
from tests.unit.screen_sample import HINT, NOTHING, PICTURE, VIEW, draw, picture, without


def lines_of(view: View, width: int, height: int) -> list[str]:
    text = draw(view, width=width, height=height).export_text(styles=False)
    return text.removesuffix("\n").split("\n")


def screen_of(view: View, width: int = 80, height: int = 24) -> str:
    return "\n".join(lines_of(view, width, height))


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_the_figures_that_matter_are_on_the_screen(width: int, height: int) -> None:
    lines = lines_of(VIEW, width, height)
    text = "\n".join(lines)
    assert len(lines) == height
    for expected in (
        "Bakvakt   1 of 9 not ready   runs for 12 min 5 s",
        "10:12:05 UTC",
        "42.4 a second",
        " A  2     B  9     C  31     D  0    open",
        "12 open   5 acknowledged   0 processed   38 resolved   214 closed",
        "51",
        "next  A  response ends in 1 min 38 s  site-hamburg",
        "lag 17",
        "http://127.0.0.1:8080/v1/cases",
        "http://127.0.0.1:8090",
        "127.0.0.1:9092",
        "redis://127.0.0.1:6379/0",
        "postgresql://postgres@127.0.0.1:5432/bakvakt",
        "10:11:51   A   Engineer on call  Smoke detected",
        "10:12:02  timer ended (signal 9); it is started again in 0.5 s",
        HINT,
    ):
        assert expected in text
    for name in ("ingest", "classifier-2", "dispatch", "timer", "receiver", "kafka", "postgres"):
        assert any(line.startswith((f"● {name} ", f"○ {name} ")) for line in lines)
    assert lines[-1] == HINT


@given(
    width=st.integers(20, 220),
    height=st.integers(8, 70),
    instances=st.integers(0, 12),
    pages=st.integers(0, 6),
    events=st.integers(0, 20),
    lag=st.integers(0, 10**9),
    words=st.text(max_size=300),
)
def test_no_line_is_wider_and_no_screen_higher_than_the_terminal(
    *, width: int, height: int, instances: int, pages: int, events: int, lag: int, words: str
) -> None:
    many = tuple(
        PartView(name=f"dispatch-{number}", state="not ready", where="", missing=words, lag=lag)
        for number in range(instances)
    )
    page = VIEW.pages[0].page
    odd = msgspec.structs.replace(page, title=words, person=words, site_id=words, reason=words)
    view = without(
        parts=(*VIEW.parts, *many),
        pages=(msgspec.structs.replace(VIEW.pages[0], page=odd), *VIEW.pages)[:pages],
        events=(Event(at_ms=0, text=words),) * events,
    )
    for shown in (view, NOTHING):
        lines = lines_of(shown, width, height)
        assert len(lines) == height
        assert all(cell_len(line) <= width for line in lines)
        assert lines[-1].startswith(HINT[: width - 1])


def test_a_low_terminal_gives_up_air_then_news_and_last_what_runs() -> None:
    at_28, at_20, at_16, at_12 = (screen_of(VIEW, height=height) for height in (28, 20, 16, 12))
    assert "\n\n" in at_28
    assert "\n\n" not in at_20
    assert "Events" in at_20
    assert "Pages" not in at_16
    assert "postgres" in at_16
    assert "Alarms" in at_12
    assert "and 5 more" in at_12
    assert "timer" in at_12  # the one that somebody has to look after


def test_a_narrow_terminal_has_no_cut_addresses() -> None:
    narrow = screen_of(VIEW, width=64)
    assert "127.0.0.1" not in narrow
    assert "lag 17" in narrow
    assert "…" not in narrow.split("Pages")[0]


def test_why_a_service_is_not_ready_stands_in_the_place_of_its_address() -> None:
    why = "Redis: not reached yet"
    timer = PartView(name="timer", state="not ready", where="http://127.0.0.1:8083", missing=why)
    text = screen_of(without(parts=(timer,)))
    assert why in text
    assert "8083" not in text


def test_what_is_not_known_is_said_and_not_shown_as_nothing() -> None:
    text = screen_of(without(faults=None, cases=None, clocks=None, alarms_per_s=None))
    for service in ("classifier", "dispatch", "timer"):
        assert f"not known: no {service} answers" in text
    assert "at least" in screen_of(without(incomplete=frozenset({"classifier"})))


@pytest.mark.parametrize(
    ("event", "share", "in_s", "expected"),
    [
        ("warning", "0.8", 61.9, "step warns at 80% in 1 min 1 s"),
        ("breach", "1", 0.2, "step ends in 0 s"),
        ("due", "1", -1.0, "step is due in 0 s"),  # on its way
        ("breach", "1", -75.0, "step ends late by 1 min 15 s"),
    ],
)
def test_the_next_clock_says_what_happens_and_when(
    event: str, share: str, in_s: float, expected: str
) -> None:
    clock = NextClock(
        case_id="c1", clock="step", share=share, event=event, due_at="", grade="B", site_id="s1"
    )
    assert expected in screen_of(without(next=NextView(in_s=in_s, clock=clock)))


def test_pages_that_nobody_gets_are_told() -> None:
    waiting = without(pages_pending=3, pages_oldest_s=65.0)
    assert "3 not delivered, one for 1 min 5 s" in screen_of(waiting)
    # On its way, as any page is.
    assert "not delivered" not in screen_of(without(pages_pending=3, pages_oldest_s=0.8))
    assert "None has been sent yet." in screen_of(without(pages=()))
    assert "your own webhook" in screen_of(without(pages=(), has_receiver=False))


def test_what_was_acknowledged_is_told_with_the_name_where_there_is_room() -> None:
    assert "acknowledged by Ada" in screen_of(VIEW, width=120, height=40)
    assert "acknowledged by Ada" not in screen_of(VIEW, width=80, height=40)


def test_nothing_running_says_how_to_start() -> None:
    text = screen_of(NOTHING)
    assert "nothing is running" in text
    assert "bakvakt up --detach" in text


def test_what_came_from_outside_cannot_speak_to_the_terminal() -> None:
    assert printable("\x1b[2J Ö\x9b1m\n\u202e") == "\ufffd[2J Ö\ufffd1m\ufffd\ufffd"
    page = msgspec.structs.replace(VIEW.pages[0].page, title="\x1b]0;ha\x07 [red]x[/]")
    shown = without(pages=(msgspec.structs.replace(VIEW.pages[0], page=page),))
    text = screen_of(shown)
    assert "\x1b]0" not in text
    assert "[red]x[/]" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.9, "0 s"),
        (59.9, "59 s"),
        (125, "2 min 5 s"),
        (3_600, "1 h"),
        (12_000, "3 h 20 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_told_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(0, "0"), (0.04, "0.0"), (0.4, "0.4"), (99.94, "99.9"), (99.96, "100"), (12_400, "12,400")],
)
def test_rates_have_a_decimal_where_it_says_something(per_s: float, text: str) -> None:
    assert rate(per_s) == text


def test_bars_are_as_high_as_their_part_of_the_highest() -> None:
    assert bars([0, 1, 4, 8], 10) == "▁▂▅█"
    assert bars([9, 0, 0], 2) == "▁▁"
    assert bars([5], 0) == bars([], 5) == ""


def test_the_picture_in_the_docs_is_the_screen() -> None:
    """Drawn anew by: .venv/bin/python -m tests.unit.screen_sample"""
    assert PICTURE.read_text(encoding="utf-8") == picture()

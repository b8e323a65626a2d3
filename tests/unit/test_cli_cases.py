"""Cases as people read them: times, durations, clocks, tables."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli.case_view import NARROW, WIDE, case_page, case_sentences, case_table
from deploy.cli.wording import duration, moment, next_clock, plain
from shared.documents.answers import CaseList
from shared.documents.case import Case, Milestones
from shared.documents.fault import Fault
from tests.unit.case_documents import (
    at,
    make_case,
    make_case_file,
    make_clock,
    reader,
    rendered,
)
from tests.unit.dispatch_documents import make_fault

UNITS_MS = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (59_999, "59 s"),
        (200_000, "3 min 20 s"),
        (300_000, "5 min"),
        (7_500_000, "2 h 5 min"),
        (86_400_000 * 4 + 3_600_000 * 3, "4 d 3 h"),
    ],
)
def test_duration_is_told_in_the_two_units_that_matter(ms: int, text: str) -> None:
    assert duration(ms) == text


@given(st.integers(0, 400 * 86_400_000))
def test_duration_is_never_more_than_it_was_nor_short_by_its_smaller_unit(ms: int) -> None:
    parts: list[tuple[str, str]] = re.findall(r"(\d+) (\w+)", duration(ms))
    told_ms = sum(int(number) * UNITS_MS[unit] for number, unit in parts)
    largest = parts[0][1]
    smaller = {"d": "h", "h": "min", "min": "s"}
    assert told_ms <= ms < told_ms + UNITS_MS[smaller.get(largest, largest)]


def test_times_are_local_with_their_zone_and_their_date_where_it_is_another() -> None:
    assert moment(at(0), reader(1)) == "16:13:20 CEST"
    assert moment(at(0.001), reader(1), exact=True) == "16:13:20.060 CEST"
    # It is past midnight in Berlin already, and not yet in UTC.
    assert moment(at(0), reader(60 * 8)) == "2026-09-21 16:13:20 CEST"


@pytest.mark.parametrize(
    ("minutes", "breached", "text", "standing"),
    [
        (1, (), "acknowledge in 4 min", "ahead"),
        (6, ("response",), "acknowledge: breached 1 min ago", "breached"),
        # Its end has come, but nobody has noted a breach: that is not claimed.
        (6, (), "acknowledge: was due 1 min ago", "late"),
    ],
)
def test_next_clock_is_told_by_what_is_stored(
    minutes: float, breached: tuple[str, ...], text: str, standing: str
) -> None:
    assert next_clock(make_case(breached=breached), reader(minutes).now_ms) == (text, standing)


def test_next_clock_is_the_first_that_runs_and_asks_something_of_somebody() -> None:
    clocks = {
        "step": make_clock(1),
        "response": make_clock(5, stopped=2),
        "processing": make_clock(15),
        "resolution": make_clock(60),
    }
    news = next_clock(make_case(clocks=clocks), reader(3).now_ms)
    assert news is not None
    assert news.text == "decide in 12 min"
    stopped = {name: make_clock(15, stopped=1) for name in clocks}
    assert next_clock(make_case(clocks=stopped), reader(3).now_ms) is None


def case_list(*, title: str = "Cell over temperature") -> CaseList[Case, Fault]:
    own = make_fault(1, title=title)
    ended = make_fault(2, title="Ground fault")
    return CaseList(
        cases=[
            make_case(own),
            make_case(
                ended,
                state="resolved",
                assignee="Ada",
                clocks={},
                milestones=Milestones(opened_at=at(0), resolved_at=at(2)),
            ),
        ],
        faults=[own, ended],
        next=None,
    )


def test_list_has_one_line_a_case_with_all_that_a_pipe_needs() -> None:
    found = case_list()
    _, first, second = rendered(case_table(found, reader(4), WIDE)).splitlines()
    assert first.split("  ")[0] == found.cases[0].case_id[:8]
    for fact in (" A ", "open", "acknowledge in 1 min", "Cell over temperature", "nobody"):
        assert fact in first
    assert "site-1 emu-1 bms/rack-3" in first
    assert "16:13:20 CEST" in first
    for fact in ("resolved 2 min ago", "Ground fault", "Ada"):
        assert fact in second


@pytest.mark.parametrize("width", [60, 80, NARROW, WIDE])
def test_list_keeps_to_one_line_a_case_on_every_terminal(width: int) -> None:
    found = case_list(title="A title that is far too long for a narrow terminal " * 3)
    lines = rendered(case_table(found, reader(4), width), width).splitlines()
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)
    assert "acknowledge in 1 min" in lines[1]


def test_case_is_shown_with_clocks_faults_pages_and_log() -> None:
    clocks = {
        "resolution": make_clock(60),
        "response": make_clock(5, stopped=7),
        "processing": make_clock(15, stopped=10),
    }
    file = make_case_file(
        state="acknowledged", assignee="Ada", clocks=clocks, breached=("response",), grade="B"
    )
    text = rendered(case_page(file, reader(20)))
    lines = text.splitlines()
    assert lines[0] == "B  Cell over temperature"
    assert file.case.case_id in text
    assert "Worst grade   A" in text
    names = [line.split()[0] for line in lines if " due " in line]
    assert names == ["response", "processing", "resolution"], "in the order of their ends"
    assert "stopped 16:20:20 CEST, breached by 2 min" in text
    assert "stopped 16:23:20 CEST, 5 min before" in text
    assert "solve in 40 min" in text
    assert "delivered 30 s later, 2 tries" in text
    assert re.search(r"opened +grade A: catalogue", text)
    assert f"bakvakt cases resolve {file.case.case_id[:8]} --reason TEXT" in text


def test_case_of_a_silent_emu_says_that_it_is_not_known_whether_its_fault_stands() -> None:
    fault = make_fault(stale=True, emu_state="commissioning", moved_from="fbefore")
    text = rendered(case_page(make_case_file(fault), reader(1)))
    assert "nothing is heard of its EMU: it is not known whether this still stands" in text
    assert re.search(r"open, stale +Cell", text)
    assert re.search(r"EMU is +in commissioning", text)
    assert re.search(r"Was before +fault fbefore", text)


def test_case_that_has_moved_says_where_it_goes_on_and_never_that_it_was_solved() -> None:
    fields: dict[str, Any] = {
        "state": "closed",
        "change": "moved",
        "merged_into": "cnewsitenewsite1",
        "clocks": {"processing": make_clock(15, stopped=3)},
        "milestones": Milestones(opened_at=at(0), closed_at=at(3)),
    }
    text = rendered(case_page(make_case_file(**fields), reader(5)))
    assert re.search(r"State +closed, moved to another site", text)
    assert re.search(r"Goes on as +cnewsitenewsite1", text)
    assert "bakvakt cases show cnewsite\n" in text
    assert "resolved" not in text
    listed = CaseList(cases=[make_case(**fields)], faults=[make_fault()], next=None)
    assert "moved 2 min ago" in rendered(case_table(listed, reader(5), WIDE))


def test_page_that_was_not_delivered_says_why() -> None:
    file = make_case_file()
    page = file.pages[0].__class__(
        message_id="p2",
        step=2,
        level=2,
        person="Grace",
        reason="escalated",
        created_at=at(5),
        sent_at=None,
        attempts=3,
        last_error="503 from the receiver",
    )
    file.pages.append(page)
    assert "not delivered yet, 3 tries: 503 from the receiver" in rendered(
        case_page(file, reader(6))
    )


def test_what_somebody_did_is_told_with_their_name_and_what_comes_next() -> None:
    text = rendered(
        case_sentences(make_case(state="acknowledged", assignee="Ada"), "Ada", reader(1))
    )
    assert "(A) is acknowledged; Ada has it. Entered as Ada." in text
    assert "Next: acknowledge in 4 min" in text


def test_nothing_from_outside_drives_the_terminal_or_is_taken_for_markup() -> None:
    assert plain("a\x1b[2Jb\x07\nc") == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}\nc"
    fault = make_fault(title="[red]hot[/] \x1b[2J :fire:")
    text = rendered(case_page(make_case_file(fault), reader(1)))
    assert "[red]hot[/] \N{REPLACEMENT CHARACTER}[2J :fire:" in text

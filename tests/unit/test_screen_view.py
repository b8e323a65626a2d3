"""What the screen says, made of one look after the other: rates, resets, what is dead or silent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.screen.figures import read_figures
from deploy.screen.snapshot import CaseNow, Instance, NextClock, Page, Server, Snapshot
from deploy.screen.view import RATE_WINDOW_S, History, View, advance

START_MS = 1_800_000_000_000


def metrics(**samples: float) -> str:
    """The lines of a /metrics, with some that nobody asks for."""
    known = {
        "alarms": 'bakvakt_classifier_alarms_total{verdict="new"}',
        "repeats": 'bakvakt_classifier_alarms_total{verdict="repeat"}',
        "reports": 'bakvakt_ingest_reports_total{topic="emu.alarms"}',
        "a": 'bakvakt_classifier_faults_open{partition="0",grade="A"}',
        "a_elsewhere": 'bakvakt_classifier_faults_open{partition="1",grade="A"}',
        "open": 'bakvakt_dispatch_cases{state="open"}',
        "clocks": "bakvakt_timer_clocks_standing",
        "lag": 'bakvakt_kafka_lag_records{partition="0",topic="t"}',
        "lag_elsewhere": 'bakvakt_kafka_lag_records{partition="1",topic="t"}',
        "lag_s": 'bakvakt_kafka_lag_seconds{partition="0",topic="t"}',
        "pending": "bakvakt_dispatch_pages_pending",
        "oldest_s": "bakvakt_dispatch_pages_oldest_pending_seconds",
    }
    lines = [f"{known[name]} {value}\n" for name, value in samples.items()]
    return "# HELP python_info about\n# TYPE python_info gauge\npython_info 1.0\n" + "".join(lines)


def instance(name: str, *, pid: int | None = 1, alive: bool = True, **samples: float) -> Instance:
    return Instance(
        name=name,
        service=name.partition("-")[0],
        url="http://127.0.0.1:1",
        pid=pid,
        missing=() if alive else None,
        metrics=metrics(**samples) if alive else "",
    )


def snapshot(at_s: float, *services: Instance, **fields: object) -> Snapshot:
    seen = Snapshot(
        at_ms=START_MS + round(at_s * 1000), seen_s=at_s, running=True, services=services
    )
    return msgspec.structs.replace(seen, **fields)


def watch(*seen: Snapshot) -> View:
    """The view after the last of them."""
    history, view = History(), None
    for one in seen:
        history, view = advance(history, one)
    assert view is not None
    return view


# ---- Figures ----


def test_figures_of_all_partitions_and_instances_add_up() -> None:
    found = read_figures(
        metrics(a=2, a_elsewhere=1, lag=5, lag_elsewhere=7, lag_s=3, alarms=4, repeats=6),
        metrics(a=10, lag_s=1, clocks=9),
    )
    assert found.faults == {"A": 13}
    assert (found.lag_records, found.lag_s, found.clocks, found.counted) == (12, 3.0, 9, 10.0)


def test_what_is_no_metrics_says_nothing() -> None:
    assert read_figures("<html>\nnot ours\n", "") == read_figures()


# ---- Rates ----


def test_one_look_tells_no_rate_and_two_do() -> None:
    first = snapshot(0, instance("classifier", alarms=1000), instance("ingest", reports=500))
    assert watch(first).alarms_per_s is None
    second = snapshot(2, instance("classifier", alarms=1030), instance("ingest", reports=520))
    assert (watch(first, second).alarms_per_s, watch(first, second).reports_per_s) == (15, 10)


def test_a_classifier_that_has_judged_nothing_yet_is_at_rest_not_unknown() -> None:
    looks = [snapshot(at_s, instance("classifier")) for at_s in range(3)]
    assert watch(*looks).alarms_per_s == 0
    assert watch(*looks, snapshot(3, instance("classifier", alarms=6))).alarms_per_s == 2


def test_instances_add_up() -> None:
    first = snapshot(0, instance("classifier", alarms=0), instance("classifier-2", alarms=90))
    second = snapshot(1, instance("classifier", alarms=10), instance("classifier-2", alarms=95))
    assert watch(first, second).alarms_per_s == 15


def test_a_rate_is_that_of_the_last_seconds() -> None:
    busy = [snapshot(at_s, instance("classifier", alarms=100 * at_s)) for at_s in range(10)]
    quiet = [snapshot(10 + at_s, instance("classifier", alarms=900)) for at_s in range(8)]
    assert watch(*busy).alarms_per_s == 100
    assert 0 < (watch(*busy, *quiet[:2]).alarms_per_s or 0) < 100
    assert watch(*busy, *quiet).alarms_per_s == 0


def test_a_process_that_begins_again_counts_from_nothing() -> None:
    looks = (
        snapshot(0, instance("classifier", pid=1, alarms=1000)),
        snapshot(1, instance("classifier", pid=1, alarms=1010)),
        snapshot(2, instance("classifier", pid=2, alarms=4)),
    )
    assert watch(*looks).alarms_per_s == 7
    # Also one that had counted more at once than the one before it.
    assert watch(
        *looks[:2], snapshot(2, instance("classifier", pid=2, alarms=1012))
    ).alarms_per_s == ((10 + 1012) / 2)


def test_a_dead_process_adds_nothing_and_its_return_is_no_rush() -> None:
    alive = [snapshot(at_s, instance("classifier", alarms=50 * at_s)) for at_s in range(3)]
    dead = [snapshot(at_s, instance("classifier", pid=None, alive=False)) for at_s in range(3, 23)]
    assert watch(*alive, dead[0]).alarms_per_s == 0
    back = snapshot(23, instance("classifier", pid=2, alarms=210))
    # What it has caught up with, over the time in which nothing was judged.
    assert watch(*alive, *dead, back).alarms_per_s == pytest.approx(10)


@given(
    lives=st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=6), min_size=1, max_size=5),
    same_pid=st.booleans(),
)
def test_a_rate_is_never_negative_and_all_that_was_counted_is_in_it(
    lives: list[list[int]], *, same_pid: bool
) -> None:
    """Each life is what a process counts from look to look. With the same pid a beginning shows only
    where the counter falls, so some of the oracle's alarms may go unseen; never more than there were."""
    looks: list[Snapshot] = []
    gains: list[int] = []
    for pid, life in enumerate(lives, start=1):
        counted = 0
        for gain in life:
            counted += gain
            gains.append(gain)
            one = instance("classifier", pid=1 if same_pid else pid, alarms=counted)
            looks.append(snapshot(len(looks), one))
    history = History()
    for number, look in enumerate(looks):
        history, view = advance(history, look)
        rate = view.alarms_per_s
        if number:
            window = gains[max(1, number - int(RATE_WINDOW_S) + 1) : number + 1]
            expected = sum(window) / len(window)
            assert rate is not None
            assert rate >= 0
            assert rate <= expected + 1e-6 if same_pid else rate == pytest.approx(expected)
    assert len(view.recent_alarms_per_s) == len(looks) - 1  # pyright: ignore[reportPossiblyUnboundVariable]


# ---- What stands ----


def test_what_nobody_tells_is_not_known_rather_than_nothing() -> None:
    dead = [instance(name, pid=None, alive=False) for name in ("classifier", "dispatch", "timer")]
    view = watch(snapshot(0, *dead))
    assert (view.faults, view.cases, view.clocks) == (None, None, None)


def test_what_stands_is_counted_by_its_service() -> None:
    view = watch(
        snapshot(
            0,
            instance("classifier", a=2),
            instance("dispatch", open=3, pending=1, oldest_s=7),
            instance("timer", clocks=4),
        )
    )
    assert view.faults == {"A": 2, "B": 0, "C": 0, "D": 0}
    assert view.cases is not None
    assert (view.cases["open"], view.cases["closed"]) == (3, 0)
    assert (view.clocks, view.pages_pending, view.pages_oldest_s) == (4, 1, 7.0)
    assert view.incomplete == frozenset()


def test_where_one_of_two_is_silent_its_count_is_told_to_be_incomplete() -> None:
    silent = instance("classifier-2", alive=False)
    view = watch(snapshot(0, instance("classifier", a=2), silent, instance("timer")))
    assert view.incomplete == {"classifier"}


@pytest.mark.parametrize(
    ("pid", "missing", "stopping", "state"),
    [
        (1, (), False, "ready"),
        (1, ("Redis: not reached yet",), False, "not ready"),
        (1, None, False, "no answer"),
        (None, None, False, "restarts"),
        (None, None, True, "stopped"),
    ],
)
def test_the_state_of_a_part(
    pid: int | None, missing: tuple[str, ...] | None, stopping: bool, state: str
) -> None:
    timer = Instance(
        name="timer", service="timer", url="http://127.0.0.1:8083", pid=pid, missing=missing
    )
    redis = Server(name="redis", where="redis://cache/0", pid=None, state="yours")
    view = watch(snapshot(0, timer, servers=(redis,), stopping=stopping))
    assert [(part.name, part.state) for part in view.parts] == [
        ("timer", state),
        ("redis", "yours"),
    ]
    assert view.parts[0].missing == (missing[0] if missing else "")


def test_pages_and_the_next_clock_know_what_has_become_of_their_cases() -> None:
    clock = NextClock(
        case_id="c1",
        clock="response",
        share="1",
        event="breach",
        due_at="2027-01-15T08:01:30.000Z",
        grade="A",
        site_id="s1",
    )
    view = watch(
        snapshot(
            0,
            pages=(
                Page(received_at="2027-01-15T08:00:00.000Z", case_id="c1"),
                Page(received_at="some day", case_id="c2"),
            ),
            next_clock=clock,
            cases={"c1": CaseNow(state="acknowledged", assignee="Ada", title="Smoke")},
        )
    )
    known, unknown = view.pages
    assert (known.at_ms, known.case_state, known.assignee) == (START_MS, "acknowledged", "Ada")
    assert (unknown.at_ms, unknown.case_state, unknown.assignee) == (None, "", "")
    assert view.next is not None
    assert (view.next.in_s, view.next.title) == (90, "Smoke")


def test_how_long_it_has_run() -> None:
    assert watch(snapshot(90, started_ms=START_MS)).running_s == 90
    assert watch(snapshot(90)).running_s is None  # started by an older Bakvakt


def test_nothing_running_is_said_and_nothing_is_remembered() -> None:
    busy = snapshot(0, instance("classifier", alarms=5))
    history, _ = advance(History(), busy)
    gone = Snapshot(at_ms=START_MS, seen_s=1, running=False)
    history, view = advance(history, gone)
    assert history == History()
    assert view == View(at_ms=START_MS, running=False)

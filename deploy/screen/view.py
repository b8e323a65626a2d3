"""Pure: what the screen says, made of one look after the other.

A look alone knows no rate: counters are told since a process began. `advance` compares it with the looks
before, so that a process that begins again, or doesn't answer, is never a negative rate or a sudden rush.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, TypedDict

import msgspec

from deploy.local.messages import Event
from deploy.screen.figures import GRADES, Figures, read_figures
from deploy.screen.snapshot import CaseNow, Instance, NextClock, Page, Snapshot
from shared.times import from_rfc3339

RATE_WINDOW_S = 5.0
# One a look: about a minute, which is what fits beside the figure.
KEPT_RATES = 60
INGEST, CLASSIFIER, DISPATCH, TIMER = "ingest", "classifier", "dispatch", "timer"
# What there is to see for people under a service's URL.
LOOK_AT = {DISPATCH: "/v1/cases"}
CASE_STATES = ("open", "acknowledged", "processed", "resolved", "closed")

PartState = Literal["ready", "not ready", "no answer", "runs", "restarts", "stopped", "yours"]


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table of what runs."""

    name: str
    state: PartState
    where: str
    missing: str = ""
    """Why it isn't ready, in its own words."""
    lag: int | None = None
    """Records that it has still to read; None: it reads none, or hasn't said."""
    lag_s: float = 0.0
    partitions: int | None = None


class PageView(msgspec.Struct, frozen=True, kw_only=True):
    """One page, and what has become of its case (empty: not known)."""

    at_ms: int | None
    page: Page
    case_state: str = ""
    assignee: str = ""


class NextView(msgspec.Struct, frozen=True, kw_only=True):
    """What fires next."""

    in_s: float
    """Negative: it is late."""
    clock: NextClock
    title: str = ""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What the screen says. None stands for what nobody has told, never for 0."""

    at_ms: int
    running: bool
    stopping: bool = False
    running_s: float | None = None
    alarms_per_s: float | None = None
    recent_alarms_per_s: tuple[float, ...] = ()
    """One a look, the oldest first."""
    reports_per_s: float | None = None
    faults: Mapping[str, int] | None = None
    cases: Mapping[str, int] | None = None
    clocks: int | None = None
    incomplete: frozenset[str] = frozenset()
    """Services of which some instances answer and others don't: what they count is more."""
    next: NextView | None = None
    parts: tuple[PartView, ...] = ()
    has_receiver: bool = False
    pages: tuple[PageView, ...] = ()
    """The newest first."""
    pages_pending: int = 0
    """Decided and not delivered yet."""
    pages_oldest_s: float = 0.0
    """For how long the oldest of them has waited."""
    events: tuple[Event, ...] = ()
    """The newest first."""


class Odometer(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance counts, counted on where its process begins again at 0."""

    pid: int | None
    reading: float
    """As the process told it last."""
    way: tuple[tuple[float, float], ...]
    """(seen_s, counted up to then) of the looks in the window, and of the last one before."""

    def rate(self, now_s: float) -> float | None:
        """A second, over the window; 0 while it doesn't answer; None: one look tells no rate."""
        (first_s, first), (last_s, last) = self.way[0], self.way[-1]
        if last_s < now_s:
            return 0.0
        return None if last_s == first_s else (last - first) / (last_s - first_s)


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered from look to look."""

    odometers: Mapping[str, Odometer] = {}
    """By instance."""
    alarms_per_s: tuple[float, ...] = ()


def advance(history: History, snapshot: Snapshot) -> tuple[History, View]:
    """What the screen says now, and what to remember for the next look."""
    if not snapshot.running:
        return History(), View(at_ms=snapshot.at_ms, running=False)
    figures = {one.name: read_figures(one.metrics) for one in snapshot.services}
    odometers = _drive(history.odometers, snapshot, figures)
    alarms_per_s = _rate(odometers, snapshot, CLASSIFIER)
    recent = history.alarms_per_s
    if alarms_per_s is not None:
        recent = (*recent, alarms_per_s)[-KEPT_RATES:]
    view = View(
        at_ms=snapshot.at_ms,
        running=True,
        stopping=snapshot.stopping,
        running_s=_running_s(snapshot),
        alarms_per_s=alarms_per_s,
        recent_alarms_per_s=recent,
        reports_per_s=_rate(odometers, snapshot, INGEST),
        **_totals(snapshot),
        incomplete=_incomplete(snapshot),
        next=_next(snapshot),
        parts=tuple(_parts(snapshot, figures)),
        has_receiver=snapshot.receiver is not None,
        pages=tuple(_page(page, snapshot.cases) for page in snapshot.pages),
        events=snapshot.events[::-1],
    )
    return History(odometers=odometers, alarms_per_s=recent), view


def _running_s(snapshot: Snapshot) -> float | None:
    if snapshot.started_ms is None:
        return None
    return max(0, snapshot.at_ms - snapshot.started_ms) / 1000


def _drive(
    before: Mapping[str, Odometer], snapshot: Snapshot, figures: Mapping[str, Figures]
) -> dict[str, Odometer]:
    """The odometers of all that is there; one that doesn't tell stays as it was."""
    after: dict[str, Odometer] = {}
    for instance in snapshot.services:
        odometer = before.get(instance.name)
        if instance.metrics:
            reading = figures[instance.name].counted
            odometer = _count_on(odometer, instance.pid, reading, snapshot.seen_s)
        if odometer is not None:
            after[instance.name] = odometer
    return after


def _count_on(before: Odometer | None, pid: int | None, reading: float, now_s: float) -> Odometer:
    if before is None:
        return Odometer(pid=pid, reading=reading, way=((now_s, reading),))
    begun_again = pid != before.pid or reading < before.reading
    counted = before.way[-1][1] + (reading if begun_again else reading - before.reading)
    old = [point for point in before.way if point[0] <= now_s - RATE_WINDOW_S]
    young = [point for point in before.way if point[0] > now_s - RATE_WINDOW_S]
    return Odometer(pid=pid, reading=reading, way=(*old[-1:], *young, (now_s, counted)))


def _rate(odometers: Mapping[str, Odometer], snapshot: Snapshot, service: str) -> float | None:
    """Of all instances of the service; None if none tells."""
    rates = [
        rate
        for instance in snapshot.services
        if instance.service == service
        and instance.name in odometers
        and (rate := odometers[instance.name].rate(snapshot.seen_s)) is not None
    ]
    return sum(rates) if rates else None


class _Totals(TypedDict):
    faults: Mapping[str, int] | None
    cases: Mapping[str, int] | None
    clocks: int | None
    pages_pending: int
    pages_oldest_s: float


def _totals(snapshot: Snapshot) -> _Totals:
    """Each from the service that counts it; None where no instance of that answers."""

    def of(service: str) -> Figures | None:
        texts = [one.metrics for one in snapshot.services if one.service == service and one.metrics]
        return read_figures(*texts) if texts else None

    classifier, dispatch, timer = of(CLASSIFIER), of(DISPATCH), of(TIMER)
    return {
        "faults": classifier and {grade: classifier.faults.get(grade, 0) for grade in GRADES},
        "cases": dispatch and {state: dispatch.cases.get(state, 0) for state in CASE_STATES},
        "clocks": timer and timer.clocks,
        "pages_pending": dispatch.pages_pending if dispatch else 0,
        "pages_oldest_s": dispatch.pages_oldest_s if dispatch else 0.0,
    }


def _incomplete(snapshot: Snapshot) -> frozenset[str]:
    answering = {one.service for one in snapshot.services if one.metrics}
    silent = {one.service for one in snapshot.services if not one.metrics}
    return frozenset(answering & silent)


def _next(snapshot: Snapshot) -> NextView | None:
    clock = snapshot.next_clock
    if clock is None:
        return None
    case = snapshot.cases.get(clock.case_id)
    return NextView(
        in_s=(from_rfc3339(clock.due_at) - snapshot.at_ms) / 1000,
        clock=clock,
        title=case.title if case else "",
    )


def _parts(snapshot: Snapshot, figures: Mapping[str, Figures]) -> Iterable[PartView]:
    """In the order in which data flows; the servers below, on which all stand."""
    for instance in snapshot.services:
        told = figures[instance.name]
        yield PartView(
            name=instance.name,
            state=_state(instance, stopping=snapshot.stopping),
            where=instance.url + LOOK_AT.get(instance.service, ""),
            missing="; ".join(instance.missing or ()),
            lag=told.lag_records if instance.metrics else None,
            lag_s=told.lag_s,
            partitions=told.partitions if instance.metrics else None,
        )
    if snapshot.receiver is not None:
        state = _state(snapshot.receiver, stopping=snapshot.stopping)
        yield PartView(name="receiver", state=state, where=snapshot.receiver.url)
    for server in snapshot.servers:
        yield PartView(name=server.name, state=server.state, where=server.where)


def _state(instance: Instance, *, stopping: bool) -> PartState:
    if instance.pid is None:
        return "stopped" if stopping else "restarts"
    if instance.missing is None:
        return "no answer"
    return "ready" if instance.ready else "not ready"


def _page(page: Page, cases: Mapping[str, CaseNow]) -> PageView:
    case = cases.get(page.case_id)
    return PageView(
        at_ms=_instant(page.received_at),
        page=page,
        case_state=case.state if case else "",
        assignee=(case.assignee or "") if case else "",
    )


def _instant(text: str) -> int | None:
    try:
        return from_rfc3339(text)
    except ValueError:
        return None

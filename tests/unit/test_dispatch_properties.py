"""What holds for a case whatever happens to it, in whatever order."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.dispatch import actions
from services.dispatch.actions import NotAllowed
from services.dispatch.cases import judge_fault
from services.dispatch.deadlines import judge_deadline
from services.dispatch.decision import Decision, Rules
from services.dispatch.roster import load_roster
from shared.documents.case import Case
from shared.documents.fault import GRADES, Fault
from shared.policy import load_policy
from shared.times import from_rfc3339, to_rfc3339
from tests.unit.dispatch_documents import MINUTE, T0, make_deadline, make_fault

RULES = Rules(load_policy(None), load_roster(None))
PROMISED = ("response", "processing", "resolution")

Event = tuple[str, str | None, int]
"""What happens, its detail, and the minutes since the event before."""

events = st.one_of(
    st.tuples(st.just("repeat"), st.none(), st.integers(0, 30)),
    st.tuples(st.just("clear"), st.none(), st.integers(0, 30)),
    st.tuples(st.just("close_fault"), st.none(), st.integers(0, 30)),
    st.tuples(st.just("reopen"), st.none(), st.integers(0, 30)),
    st.tuples(st.just("regrade"), st.sampled_from(GRADES), st.integers(0, 30)),
    st.tuples(st.just("fire"), st.sampled_from([*PROMISED, "step"]), st.integers(0, 30)),
    st.tuples(st.just("acknowledge"), st.sampled_from(["Ada", "Bo"]), st.integers(0, 30)),
    st.tuples(st.just("resolve"), st.sampled_from(["Ada", "Bo"]), st.integers(0, 30)),
    st.tuples(st.just("close"), st.sampled_from(["Ada", "Bo"]), st.integers(0, 30)),
)


class Life:
    """One fault and its case; holds every decision against the one before it."""

    def __init__(self, grade: str) -> None:
        self.now_ms = T0
        self.fault = make_fault(grade=grade)
        self.case: Case | None = None
        self.steps: list[int] = []
        self._follow(self.fault, known=None)

    def happen(self, event: Event) -> None:
        what, detail, minutes = event
        self.now_ms += minutes * MINUTE
        fault_changes: dict[str, Callable[[], Fault]] = {
            "repeat": lambda: self._fault("repeated", self.fault.state),
            "clear": lambda: self._fault("cleared", "cleared"),
            "close_fault": lambda: self._fault("closed", "closed"),
            "reopen": lambda: self._fault("reopened", "open"),
            "regrade": lambda: replace(
                self._fault("regraded", self.fault.state), grade=detail or "A"
            ),
        }
        if what in fault_changes:
            known, self.fault = self.fault, fault_changes[what]()
            self._follow(self.fault, known)
        else:
            self._act(what, detail or "")

    def _fault(self, change: str, state: str) -> Fault:
        cleared_at = None if state == "open" else to_rfc3339(self.now_ms)
        return replace(
            self.fault,
            revision=self.fault.revision + 1,
            change=change,
            state=state,
            cleared_at=cleared_at,
        )

    def _follow(self, fault: Fault, known: Fault | None) -> None:
        self._check(
            judge_fault(
                self.case, known, fault, RULES, published_ms=self.now_ms, now_ms=self.now_ms
            )
        )

    def _act(self, what: str, detail: str) -> None:
        case = self.case
        assert case is not None
        try:
            if what == "fire":
                if detail in case.clocks:
                    deadline = make_deadline(case, detail)
                    self.now_ms = max(self.now_ms, deadline.version)  # the timer is never early
                    self._check(judge_deadline(case, deadline, RULES, self.now_ms))
            elif what == "acknowledge":
                self._check(actions.acknowledge(case, detail, None, self.now_ms))
            elif what == "resolve":
                self._check(actions.resolve(case, detail, "done", cleared=True, now_ms=self.now_ms))
            else:
                self._check(actions.close(case, detail, None, self.now_ms))
        except NotAllowed:
            return

    def _check(self, decision: Decision) -> None:
        before, after = self.case, decision.case
        if after is None:
            assert decision.page is None
            return
        self.case = after
        assert after.revision == (before.revision if before else 0) + 1
        assert after.grade_worst <= after.grade
        if decision.page is not None:
            self.steps.append(decision.page.step)
            assert after.state not in ("resolved", "closed")
        assert self.steps == list(range(1, after.step + 1))
        running = {name for name, clock in after.clocks.items() if clock.stopped_at is None}
        if after.state in ("resolved", "closed"):
            assert running == set()
        elif after.state == "open":
            assert running == {*PROMISED, "step"}
        else:
            assert running == {"processing", "resolution"}
        if before is not None:
            assert after.grade_worst <= before.grade_worst
            assert set(after.breached) >= set(before.breached)
            for name in PROMISED:
                old, new = before.clocks[name], after.clocks[name]
                assert new.start == old.start
                assert from_rfc3339(new.due) <= from_rfc3339(old.due)


@settings(deadline=None)  # a busy machine is no failure
@given(st.sampled_from(GRADES), st.lists(events, max_size=40))
def test_clocks_never_move_later_and_each_step_is_decided_once(
    grade: str, history: list[Event]
) -> None:
    life = Life(grade)
    for event in history:
        life.happen(event)


@settings(deadline=None)
@given(st.sampled_from(GRADES), st.lists(st.integers(150, 500), min_size=30, max_size=30))
def test_escalation_never_ends_although_the_timers_clock_is_ahead_of_ours(
    grade: str, skews_ms: list[int]
) -> None:
    """Two steps that are due at one moment would be one deadline to the timer, and the second never come."""
    case = judge_fault(None, None, make_fault(grade=grade), RULES, published_ms=T0, now_ms=T0).case
    dues_ms: list[int] = []
    for skew_ms in skews_ms:
        assert case is not None
        deadline = make_deadline(case, "step")
        dues_ms.append(deadline.version)
        decision = judge_deadline(case, deadline, RULES, deadline.version - skew_ms)
        assert decision.page is not None
        assert decision.page.step == len(dues_ms) + 1
        case = decision.case
    assert dues_ms == sorted(set(dues_ms))

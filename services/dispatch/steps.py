"""The steps of escalation: whom to page, and how long to wait for them. Pure."""

from msgspec.structs import replace

from services.dispatch.clocks import PROCESSING, STEP, step_clock
from services.dispatch.decision import Decision, Note, Page, PageReason, Rules
from shared.documents.case import Case
from shared.times import from_rfc3339, to_rfc3339


def escalate(case: Case, rules: Rules, now_ms: int) -> Decision:
    """One level up; above the top is the top again, until somebody acknowledges."""
    case = replace(case, revision=case.revision + 1, change="escalated", level=case.level + 1)
    return page_step(case, rules, "escalated", now_ms, ())


def page_step(
    case: Case, rules: Rules, reason: PageReason, now_ms: int, notes: tuple[Note, ...]
) -> Decision:
    """One step: page who has taken the case, else the person of its level, and then wait for them."""
    levels = rules.roster.levels(case.desk)
    level = min(max(case.level, 1), len(levels))
    person = levels[level - 1].name
    clocks = case.clocks
    if case.state == "open":
        before = clocks.get(STEP)
        # Never from before the newest step, where our clock is behind the one that it was due by.
        start_ms = max(now_ms, from_rfc3339(before.start)) if before else now_ms
        # A regrade makes nobody wait longer for the next step than they did before it.
        latest = before if reason == "regraded" else None
        step = step_clock(start_ms, rules.terms(case.grade), (clocks[PROCESSING], latest))
        clocks = {**clocks, STEP: step}
    elif case.assignee is not None and reason == "reopened":
        person = case.assignee
    page = Page(case.step + 1, level, person, reason)
    milestones = case.milestones
    if milestones.paged_at is None:
        milestones = replace(milestones, paged_at=to_rfc3339(now_ms))
    case = replace(case, step=page.step, level=level, clocks=clocks, milestones=milestones)
    paged = Note("paged", detail=f"{person}, level {level}, step {page.step}: {reason}")
    return Decision(case, page, (*notes, paged))

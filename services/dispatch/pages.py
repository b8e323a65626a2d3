"""What a page says, and the id by which a repeated one is told. Pure."""

import msgspec

from services.dispatch.decision import Page
from shared.documents.case import Case
from shared.documents.fault import Fault
from shared.documents.ids import make_id


class PageBody(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a page, JSON; fields are only added."""

    message_id: str
    title: str
    grade: str
    severity: str | None
    hazard: bool
    reason: str
    """Why this page: `opened`, `escalated`, `regraded`, `reopened`."""
    case_id: str
    fault_id: str
    kind: str
    code: str
    emu_id: str
    component: str
    site_id: str
    desk: str
    person: str
    level: int
    step: int
    opened_at: str
    due: dict[str, str]
    """The due time of each clock that runs."""
    url: str


def message_id_of(case_id: str, step: int) -> str:
    """One id for one step, whenever and however often it is sent."""
    return make_id("p", case_id, step)


def render_page(case: Case, fault: Fault, page: Page, url: str) -> bytes:
    """The page as it is sent; `url` is where people reach dispatch."""
    body = PageBody(
        message_id=message_id_of(case.case_id, page.step),
        title=fault.title,
        grade=case.grade,
        severity=case.severity,
        hazard=fault.hazard,
        reason=page.reason,
        case_id=case.case_id,
        fault_id=fault.fault_id,
        kind=fault.kind,
        code=fault.code,
        emu_id=fault.emu_id,
        component=fault.component,
        site_id=fault.site_id,
        desk=case.desk,
        person=page.person,
        level=page.level,
        step=page.step,
        opened_at=case.milestones.opened_at or fault.opened_at,
        due={name: clock.due for name, clock in case.clocks.items() if clock.stopped_at is None},
        url=f"{url}/v1/cases/{case.case_id}",
    )
    return msgspec.json.encode(body)

"""When incidents come, to whom, and which of their steps is due."""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from deploy.simulator.draw import Draw
from deploy.simulator.emus import Condition, SimulatedEmu, draw_value
from deploy.simulator.incidents import Incident, load_incidents, plan_incident

# A stream opens with its first incident here; then one comes after so many alarms (200 s at 2 a second) ...
FIRST_INCIDENT_S = 10
INCIDENT_EVERY = 400
# ... unless more than this part of the fleet is in one already.
MOST_IN_INCIDENTS = 0.1


class Due(NamedTuple):
    """A planned change, or the end of an incident (`condition` None). Ordered by time, then as planned."""

    due_ms: int
    number: int
    emu: SimulatedEmu
    condition: Condition | None
    stands: bool


class Schedule:
    """The incidents of a fleet: an EMU is in one at most."""

    def __init__(self, emus: Sequence[SimulatedEmu], rate: float, draw: Draw) -> None:
        self._emus = emus
        self._draw = draw
        self._incidents = load_incidents()
        self._able = {
            incident.name: [emu for emu in emus if incident.happens_to(emu.vendor)]
            for incident in self._incidents
        }
        self._next = int(FIRST_INCIDENT_S * rate)
        self._begun = 0
        self._in_incident: set[str] = set()
        self._plan: list[Due] = []
        self._planned = 0

    def begin(self, sent: int, offset_ms: int) -> None:
        """Let the next incident begin if its time has come, by the number of alarms sent."""
        if sent < self._next:
            return
        self._next = sent + int(INCIDENT_EVERY * self._draw.between(0.5, 1.5))
        if len(self._in_incident) > MOST_IN_INCIDENTS * len(self._emus):
            return
        incident = self._draw_incident()
        emus = self._draw_emus(incident)
        if not any(emu.key in self._in_incident for emu in emus):
            self._begin(incident, emus, offset_ms)

    def due(self, offset_ms: int) -> Due | None:
        """The next step that is due; None: no incident has anything to say now."""
        while self._plan and self._plan[0].due_ms <= offset_ms:
            due = heapq.heappop(self._plan)
            if due.condition is not None:
                return due
            self._in_incident.discard(due.emu.key)
        return None

    def _draw_incident(self) -> Incident:
        possible = [each for each in self._incidents if self._able[each.name]]
        opening = [each for each in possible if each.opens]
        self._begun += 1
        if self._begun == 1 and opening:
            return opening[0]
        return self._draw.weighted(possible, [each.weight for each in possible])

    def _draw_emus(self, incident: Incident) -> list[SimulatedEmu]:
        """One that can report the cause, or all such of its site or area."""
        able = self._able[incident.name]
        one = self._draw.one_of(able)
        if incident.scope == "emu":
            return [one]
        return [emu for emu in able if _place(emu, incident) == _place(one, incident)]

    def _begin(self, incident: Incident, emus: Sequence[SimulatedEmu], offset_ms: int) -> None:
        for emu in emus:
            self._in_incident.add(emu.key)
            if incident.reboots:
                emu.reboot()
            alone = len(emus) == 1
            steps = plan_incident(incident, emu.vendor, emu.record.units, self._draw, alone=alone)
            for step in steps:
                value = draw_value(step.happening.value, self._draw)
                condition = emu.condition(
                    step.component, step.code, value=value, unit=step.happening.unit
                )
                self._put(offset_ms + step.after_ms, emu, condition, step.raised)
            self._put(offset_ms + steps[-1].after_ms, emu, None, False)

    def _put(
        self, due_ms: int, emu: SimulatedEmu, condition: Condition | None, stands: bool
    ) -> None:
        self._planned += 1
        heapq.heappush(self._plan, Due(due_ms, self._planned, emu, condition, stands))


def _place(emu: SimulatedEmu, incident: Incident) -> str:
    record = emu.record
    return record.site_id if incident.scope == "site" else record.area or record.site_id

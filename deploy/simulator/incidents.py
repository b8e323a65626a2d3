"""What happens to a fleet for a reason: incidents told as data, and planned for the EMUs they happen to."""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from deploy.simulator.draw import Draw
from deploy.simulator.products import Role, components_of
from shared.documents.emu import Unit

PATH = Path(__file__).with_name("incidents.toml")
# EMUs that one cause concerns do not report it in the same moment.
LARGEST_LAG_MS = 800

Where = Role | Literal["racks", "other_racks"]


class Happening(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One condition of an incident: when it stands, where, and by which code."""

    from_s: float
    to_s: float
    on: Where
    codes: tuple[str, ...] = ()
    code: str | None = None
    cause: bool = False
    unknown: bool = False
    value: tuple[float, float] | None = None
    unit: str | None = None

    def code_of(self, vendor: str) -> str | None:
        """None: EMUs of this vendor do not report it."""
        return self.code or next((c for c in self.codes if c.startswith(vendor + ":")), None)


class Incident(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A cause with what follows from it."""

    name: str
    scope: Literal["emu", "site", "area"]
    weight: float
    conditions: tuple[Happening, ...]
    rule: int | None = None
    opens: bool = False
    times: int = 1
    every_s: float = 0
    reboots: bool = False

    def happens_to(self, vendor: str) -> bool:
        """Whether EMUs of this vendor can report its cause."""
        return any(each.cause and each.code_of(vendor) for each in self.conditions)


class Step(NamedTuple):
    """A condition of one EMU rises or goes, so long after the incident began."""

    after_ms: int
    component: str
    code: str
    raised: bool
    happening: Happening


class _Incidents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    incident: tuple[Incident, ...]


@cache
def load_incidents() -> tuple[Incident, ...]:
    """Those of `incidents.toml`."""
    return msgspec.convert(tomllib.loads(PATH.read_text(encoding="utf-8")), _Incidents).incident


def plan_incident(
    incident: Incident, vendor: str, units: Sequence[Unit], draw: Draw, *, alone: bool
) -> list[Step]:
    """What one EMU reports of the incident, in order; every raise has its clear after it."""
    racks = components_of(units, "rack")
    rack = draw.one_of(racks)
    lag_ms = 0 if alone else draw.below(LARGEST_LAG_MS)
    steps: list[Step] = []
    for time in range(incident.times):
        begin_ms = lag_ms + int(time * incident.every_s * 1000)
        for each in incident.conditions:
            code = each.code_of(vendor)
            if code is None:
                continue
            from_ms, to_ms = begin_ms + int(each.from_s * 1000), begin_ms + int(each.to_s * 1000)
            for component in _components(each.on, rack, racks, units):
                steps.append(Step(from_ms, component, code, True, each))
                steps.append(Step(to_ms, component, code, False, each))
    return sorted(steps, key=lambda step: step.after_ms)


def _components(
    where: Where, rack: str, racks: Sequence[str], units: Sequence[Unit]
) -> Iterator[str]:
    if where == "rack":
        yield rack
    elif where == "racks":
        yield from racks
    elif where == "other_racks":
        yield from (other for other in racks if other != rack)
    else:
        yield components_of(units, where)[0]

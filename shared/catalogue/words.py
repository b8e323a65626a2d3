"""The closed lists of words that catalogue files may use, and how each is described to who edits them."""

from typing import Annotated, Literal

import msgspec

from shared.documents.fault import GRADES, Grade

Level = Literal["fault", "warning", "info"]
"""How grave the vendor says that it is: `fault` is also an alarm, a trip; `info` also a pre-alarm."""
LEVELS: tuple[Level, ...] = ("fault", "warning", "info")

Component = Literal[
    "BMS.system", "BMS.rack", "BMS.module", "BMS.cell", "PCS", "EMU", "HVAC", "fire", "meter", "grid",
    "comms", "site",
]  # fmt: skip
COMPONENTS: tuple[Component, ...] = Component.__args__

Remedy = Literal["operate", "software", "hardware"]
"""The first guess of what cures it: setting, resetting or waiting; an update; a part."""

Skill = Literal[
    "electrical_hv", "electrical_lv", "battery", "controls", "network", "refrigerant", "fire_systems",
    "security",
]  # fmt: skip
SKILLS: dict[Skill, str] = {
    "electrical_hv": "works on the DC side and inside a PCS, with its permits",
    "electrical_lv": "AC side up to 1 kV, auxiliary supply, meters, fans",
    "battery": "cells, modules and their BMS: reading them, balancing, exchanging",
    "controls": "settings, firmware and operation of EMU, BMS and PCS; mostly from afar",
    "network": "links, buses, gateways",
    "refrigerant": "cooling and heating circuits, with the certificate for refrigerants",
    "fire_systems": "detection and extinguishing, with the certificate",
    "security": "doors and intrusion: somebody near by who looks",
}


def _one_of(words: tuple[str, ...]) -> str:
    return f"one of {', '.join(words)}"


Text = Annotated[str, msgspec.Meta(min_length=1, description='a text, such as "..."')]
LevelKey = Annotated[Level, msgspec.Meta(description=_one_of(LEVELS))]
ComponentKey = Annotated[Component, msgspec.Meta(description=_one_of(COMPONENTS))]
GradeKey = Annotated[Grade, msgspec.Meta(description=_one_of(GRADES))]
RemedyKey = Annotated[Remedy, msgspec.Meta(description=_one_of(Remedy.__args__))]
SkillKey = Annotated[Skill, msgspec.Meta(description=_one_of(tuple(SKILLS)))]

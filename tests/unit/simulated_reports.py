"""What a reader of the simulator's stream understands who knows nothing of how it is made."""

import json
from collections import defaultdict
from typing import Any, Literal, NamedTuple, cast

from shared.catalogue import load_catalogue

Told = Literal["raised", "repeated", "cleared", "quiet"]


class Statement(NamedTuple):
    """What a report says of a condition, by all that was said before."""

    told: Told
    emu_id: str
    component: str
    code: str


class Reader:
    """Remembers what stands."""

    def __init__(self) -> None:
        self._standing: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        """Codes, by EMU and component."""
        self.shapes: defaultdict[str, set[str]] = defaultdict(set)
        """In which each EMU has reported."""
        self._registers = load_catalogue().registers

    def read(self, value: bytes) -> list[Statement]:
        """One Kafka value, whatever its shape."""
        return [statement for report in reports_in(value) for statement in self._read(report)]

    @property
    def standing(self) -> set[tuple[str, str, str]]:
        """(EMU, component, code) of all that stands."""
        return {(*place, code) for place, codes in self._standing.items() for code in codes}

    def stands(self, emu_id: str, code: str) -> bool:
        """Anywhere at the EMU."""
        return any(code in codes for (each, _), codes in self._standing.items() if each == emu_id)

    def _read(self, report: dict[str, Any]) -> list[Statement]:
        emu_id = report["emu_id"]
        if report["type"] == "registers":
            self.shapes[emu_id].add("registers")
            return [
                statement
                for register in report["registers"]
                for statement in self._read_register(emu_id, **register)
            ]
        self.shapes[emu_id].add("numbered" if "seq" in report else "plain")
        place = (emu_id, report["component"])
        return [self._say(place, report["code"], stands=report["state"] == "raised")]

    def _read_register(
        self, emu_id: str, model: str, point: str, component: str, bits: int
    ) -> list[Statement]:
        register = self._registers.find(model, point)
        assert ":" in register.code, f"{model} {point} is no register of the catalogue"
        active = register.read(bits)
        assert active is not None, f"{model} {point} is never absent"
        assert bits == 0 or active, f"{model} {point}: what {bits} says is reserved"
        codes = {code for code, _ in active}
        place = (emu_id, component)
        stood = {
            code
            for code in self._standing[place]
            if register.code in (code, code.rpartition(".")[0])
        }
        said = [self._say(place, code, stands=False) for code in sorted(stood - codes)]
        said += [self._say(place, code, stands=True) for code in sorted(codes)]
        return said or [Statement("quiet", emu_id, component, register.code)]

    def _say(self, place: tuple[str, str], code: str, *, stands: bool) -> Statement:
        standing = self._standing[place]
        stood = code in standing
        if stands:
            standing.add(code)
            return Statement("repeated" if stood else "raised", *place, code)
        standing.discard(code)
        return Statement("cleared" if stood else "quiet", *place, code)


def reports_in(value: bytes) -> list[dict[str, Any]]:
    """Those of a Kafka value: one report, or a list."""
    document: Any = json.loads(value)
    return cast("list[dict[str, Any]]", document if isinstance(document, list) else [document])

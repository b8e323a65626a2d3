"""EMUs as they report: what stands, and the bytes that say so.

Everything that does not change is encoded once: a report is put together from the EMU's head, the time, a
number, and the body of its condition. That is what makes 50,000 a second cheap.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from deploy.simulator.draw import Draw
from deploy.simulator.products import RegisterLayout, Shape, components_of
from shared.documents.emu import EmuRecord

# In Victron's registers of one alarm each: 0 no alarm, 1 warning, 2 alarm.
ALARM_LEVEL = 2

_encode = msgspec.json.Encoder().encode


class Record(NamedTuple):
    """One Kafka record of the stream."""

    key: str
    """The EMU's id, or the first one's in a list."""
    value: bytes
    alarms: int
    """How many it counts as: each alarm report is one, each register in a report of registers is one."""


class Condition:
    """What may stand at one component of one EMU."""

    __slots__ = ("cleared", "emu", "listed", "raised", "recurring", "register", "stands", "word")

    def __init__(self, emu: "SimulatedEmu", raised: bytes, cleared: bytes, recurring: bool) -> None:
        self.emu = emu
        self.raised = raised
        self.cleared = cleared
        self.recurring = recurring
        """Comes and goes by itself; else an incident decides."""
        self.stands = False
        self.listed = False
        """Whether the stream has it among what it may repeat."""
        self.register: _Register | None = None
        self.word = 0
        """Its bit, or its value, in that register."""


class SimulatedEmu:
    """Sends alarm reports without numbers; what stands is repeated in one list."""

    def __init__(self, record: EmuRecord, vendor: str, boot: int) -> None:
        self.record = record
        self.vendor = vendor
        self.key = record.emu_id
        self.conditions: dict[tuple[str, str], Condition] = {}
        """By component and code, as they are needed."""
        self.recurring: list[Condition] = []
        self.boot = boot
        self._head = self._make_head()

    def condition(
        self,
        component: str,
        code: str,
        *,
        value: float | None = None,
        unit: str | None = None,
        recurring: bool = False,
    ) -> Condition:
        """The EMU's condition of that name; made when it is first asked for."""
        found = self.conditions.get((component, code))
        if found is None:
            found = Condition(self, *_bodies(component, code, value, unit), recurring)
            self.conditions[component, code] = found
            if recurring:
                self.recurring.append(found)
            self._connect(found, component, code)
        return found

    def change(self, condition: Condition, stands: bool, at: bytes) -> Record:
        """It rises, or goes."""
        condition.stands = stands
        return Record(self.key, self._report(condition, at), 1)

    def repeat(self, condition: Condition, at: bytes) -> Record:
        """What stands is said again."""
        standing = [each for each in self.conditions.values() if each.stands]
        reports = [self._report(each, at) for each in standing]
        if len(reports) == 1:
            return Record(self.key, reports[0], 1)
        return Record(self.key, b"[%b]" % b",".join(reports), len(reports))

    def tell(self, kind: str, at: bytes, **fields: object) -> Record:
        """What it says of itself, or its broker of it; no alarm."""
        head = _report_head(kind, self.record, boot=self.boot, **fields)
        return Record(self.key, b'%b"at":"%b"}' % (head, at), 0)

    def list_all(self, at: bytes) -> Record:
        """All that stands, component by component, in one list; no news, so it counts as no alarm."""
        standing: dict[str, list[dict[str, str]]] = {"emu": []}
        for (component, code), condition in self.conditions.items():
            codes = standing.setdefault(component, [])
            if condition.stands:
                codes.append({"code": code})
        reports = [
            b'%b"at":"%b"}'
            % (
                _report_head(
                    "snapshot",
                    self.record,
                    component=component,
                    complete=True,
                    active=active,
                    **self._number(),
                ),
                at,
            )
            for component, active in standing.items()
        ]
        return Record(self.key, b"[%b]" % b",".join(reports), 0)

    def _number(self) -> dict[str, object]:
        """Its place in the EMU's order, where it has one."""
        return {}

    def reboot(self) -> None:
        """The EMU itself starts anew."""
        self.boot += 1
        self._head = self._make_head()

    def _connect(self, condition: Condition, component: str, code: str) -> None:
        """To the register that holds it, if one does."""

    def _report(self, condition: Condition, at: bytes) -> bytes:
        body = condition.raised if condition.stands else condition.cleared
        return b'%b"at":"%b",%b' % (self._head, at, body)

    def _make_head(self, **more: object) -> bytes:
        return _report_head("alarm", self.record, **more)


class NumberedEmu(SimulatedEmu):
    """Sends alarm reports with `boot` and `seq`, one by one."""

    def __init__(self, record: EmuRecord, vendor: str, boot: int) -> None:
        super().__init__(record, vendor, boot)
        self._seq = 0

    def repeat(self, condition: Condition, at: bytes) -> Record:
        return Record(self.key, self._report(condition, at), 1)

    def reboot(self) -> None:
        super().reboot()
        self._seq = 0

    def _number(self) -> dict[str, object]:
        self._seq += 1
        return {"boot": self.boot, "seq": self._seq}

    def _report(self, condition: Condition, at: bytes) -> bytes:
        self._seq += 1
        body = condition.raised if condition.stands else condition.cleared
        return b'%b"at":"%b","seq":%d,%b' % (self._head, at, self._seq, body)

    def _make_head(self, **more: object) -> bytes:
        return super()._make_head(boot=self.boot, **more)


class _Register:
    """One register of one EMU, and its word."""

    __slots__ = ("form", "head", "holder", "word")

    def __init__(self, layout: RegisterLayout, component: str) -> None:
        self.head = _register_head(layout.model, layout.point, component)
        self.form = layout.form
        self.word = 0
        self.holder: Condition | None = None
        """Where the word is no set of bits: whose value it shows."""

    def take(self, condition: Condition) -> None:
        """The condition has risen or gone. A value hides, and so clears, the one that was there before."""
        if self.form == "bits":
            self.word = (
                self.word | condition.word if condition.stands else self.word & ~condition.word
            )
        elif condition.stands:
            if self.holder is not None and self.holder is not condition:
                self.holder.stands = False
            self.word, self.holder = condition.word, condition
        elif self.holder is condition:
            self.word, self.holder = 0, None

    def encode(self) -> bytes:
        return b"%b%d}" % (self.head, self.word)


class RegistersEmu(SimulatedEmu):
    """Sends registers: one when it changes, or still shows something, and all when it is polled.

    What is in none of its registers (a dry contact) comes as an alarm report.
    """

    def __init__(
        self, record: EmuRecord, vendor: str, boot: int, layouts: Sequence[RegisterLayout]
    ) -> None:
        super().__init__(record, vendor, boot)
        self._registers_head = _report_head("registers", record)
        self._registers: list[_Register] = []
        self._by_code: dict[tuple[str, str], _Register] = {}
        for layout in layouts:
            for component in components_of(record.units, layout.on):
                register = _Register(layout, component)
                self._registers.append(register)
                self._by_code[component, layout.code] = register
        self._all: bytes | None = None
        """All registers encoded; None: one has changed since."""

    def change(self, condition: Condition, stands: bool, at: bytes) -> Record:
        register = condition.register
        if register is None:
            return super().change(condition, stands, at)
        condition.stands = stands
        register.take(condition)
        self._all = None
        return self.repeat(condition, at)

    def repeat(self, condition: Condition, at: bytes) -> Record:
        if condition.register is None:
            return Record(self.key, self._report(condition, at), 1)
        return Record(self.key, self._encode(condition.register.encode(), at), 1)

    def poll(self, at: bytes) -> Record:
        """All registers, whether anything stands or not."""
        if self._all is None:
            self._all = b",".join([register.encode() for register in self._registers])
        return Record(self.key, self._encode(self._all, at), len(self._registers))

    def list_all(self, at: bytes) -> Record:
        return Record(self.key, self.poll(at).value, 0)

    def _encode(self, registers: bytes, at: bytes) -> bytes:
        return b'%b"at":"%b","registers":[%b]}' % (self._registers_head, at, registers)

    def _connect(self, condition: Condition, component: str, code: str) -> None:
        """`foxess:fault1.3` is bit 3 of fault1; `victron:battery/Alarms/LowSoc` is value 2 of itself."""
        name, _, number = code.rpartition(".")
        if (register := self._by_code.get((component, code))) is not None:
            condition.register, condition.word = register, ALARM_LEVEL
        elif (register := self._by_code.get((component, name))) is not None:
            is_bit = register.form == "bits"
            condition.register = register
            condition.word = 1 << int(number) if is_bit else int(number)


def make_simulated(
    record: EmuRecord, vendor: str, shape: Shape, layouts: Sequence[RegisterLayout], boot: int
) -> SimulatedEmu:
    """An EMU that reports in this shape, with nothing standing."""
    if shape == "registers":
        return RegistersEmu(record, vendor, boot, layouts)
    return (NumberedEmu if shape == "numbered" else SimulatedEmu)(record, vendor, boot)


def draw_value(between: tuple[float, float] | None, draw: Draw) -> float | None:
    """A figure that a report may carry, one of ten, so that encoded bodies can be shared."""
    if between is None:
        return None
    low, high = between
    return round(low + (high - low) * draw.below(10) / 9, 2)


@lru_cache(maxsize=65_536)
def _bodies(
    component: str, code: str, value: float | None, unit: str | None
) -> tuple[bytes, bytes]:
    """What is said of the condition when it stands, and when it has gone: the rest of the report."""
    raised: dict[str, object] = {"code": code, "component": component, "state": "raised"}
    if value is not None:
        raised["value"] = value
    if unit is not None and value is not None:
        raised["unit"] = unit
    cleared = {"code": code, "component": component, "state": "cleared"}
    return _encode(raised)[1:], _encode(cleared)[1:]


@lru_cache(maxsize=4096)
def _register_head(model: str, point: str, component: str) -> bytes:
    return _open_object({"model": model, "point": point, "component": component}) + b'"bits":'


def _report_head(kind: str, record: EmuRecord, **more: object) -> bytes:
    """What every report of an EMU begins with."""
    fields = {
        "type": kind,
        "emu_id": record.emu_id,
        "site_id": record.site_id,
        "model": record.model,
        "firmware": record.firmware,
        **more,
    }
    return _open_object({name: value for name, value in fields.items() if value is not None})


def _open_object(fields: dict[str, object]) -> bytes:
    """JSON to which more fields can be added."""
    return _encode(fields)[:-1] + b","

"""The stream of a fleet: mostly repeats and quiet, some changes, and from time to time an incident.

Where the stream is, is how many alarms it has sent; the time in a report follows from that and the rate. So
the same seed gives the same stream at any moment, and nothing here reads a clock.
"""

from collections.abc import Sequence

from deploy.simulator.draw import Draw
from deploy.simulator.emus import (
    Condition,
    Record,
    RegistersEmu,
    SimulatedEmu,
    draw_value,
    make_simulated,
)
from deploy.simulator.products import Products, components_of, load_products
from deploy.simulator.schedule import Schedule
from shared.documents.emu import EmuRecord
from shared.times import to_rfc3339

# Of what is sent beside incidents: how much is a raise or a clear, and how much a poll of registers. The
# rest are repeats. A poll counts as some eight alarms, so more than half of all alarms are registers.
CHANGES = 0.06
POLLS = 0.15
# An EMU is prone to so many of its vendor's conditions; of four EMUs about one has one standing.
RECURRING_EACH = 3
EMUS_A_CONDITION = 4
LEAST_STANDING = 6


class Stream:
    """All reports of a fleet, one Kafka record after another, without end."""

    def __init__(
        self, fleet: Sequence[EmuRecord], *, seed: int, rate: float, start_ms: int
    ) -> None:
        self.sent = 0
        """Alarms so far."""
        self.start_ms = start_ms
        """Moving it moves the times of what is still to come."""
        self._rate = rate
        self._draw = Draw(seed, "stream")
        self._random = self._draw.random
        products = load_products()
        self.emus = [self._make_emu(record, products, start_ms) for record in fleet]
        self._polled = [emu for emu in self.emus if isinstance(emu, RegistersEmu)]
        self._next_polled = 0
        self._standing: list[Condition] = []
        """What may be repeated; also some that has gone since it was last drawn."""
        self._wanted = max(LEAST_STANDING, len(fleet) // EMUS_A_CONDITION)
        self._schedule = Schedule(self.emus, rate, Draw(seed, "incidents"))
        self._at_ms, self._at = -1, b""

    @property
    def offset_ms(self) -> int:
        """Its place, as time since the start."""
        return int(self.sent * 1000 / self._rate)

    def next(self) -> Record:
        """What is sent next, at the time that its place in the stream gives it."""
        offset_ms = self.offset_ms
        at = self._time(self.start_ms + offset_ms)
        self._schedule.begin(self.sent, offset_ms)
        due = self._schedule.due(offset_ms)
        if due is None or due.condition is None:
            record = self._talk(at)
        elif due.stands:
            record = self._stand(due.condition, at)
        else:
            record = due.emu.change(due.condition, False, at)
        self.sent += record.alarms
        return record

    def _talk(self, at: bytes) -> Record:
        """What is sent while no incident has anything to say."""
        chance = self._random()
        if len(self._standing) * 2 < self._wanted:  # a stream opens with what stands in any fleet
            return self._raise(at)
        if chance < CHANGES:
            return self._change(at)
        if chance < CHANGES + POLLS and self._polled:
            return self._poll(at)
        return self._repeat(at)

    def _change(self, at: bytes) -> Record:
        """About as many clears as raises, once as much stands as there should."""
        if self._random() * 2 * self._wanted >= len(self._standing):
            return self._raise(at)
        return self._clear(at)

    def _raise(self, at: bytes) -> Record:
        return self._stand(self._draw.one_of(self._draw.one_of(self.emus).recurring), at)

    def _clear(self, at: bytes) -> Record:
        index = self._draw.below(len(self._standing))
        condition = self._standing[index]
        if not condition.recurring or not condition.stands:
            return self._repeat(at)
        self._drop(index)
        return condition.emu.change(condition, False, at)

    def _repeat(self, at: bytes) -> Record:
        while self._standing:
            index = int(self._random() * len(self._standing))
            condition = self._standing[index]
            if condition.stands:
                return condition.emu.repeat(condition, at)
            self._drop(index)  # cleared by its incident, or hidden by another value of its register
        return self._raise(at)

    def _poll(self, at: bytes) -> Record:
        emu = self._polled[self._next_polled]
        self._next_polled = (self._next_polled + 1) % len(self._polled)
        return emu.poll(at)

    def _stand(self, condition: Condition, at: bytes) -> Record:
        if not condition.listed:
            condition.listed = True
            self._standing.append(condition)
        return condition.emu.change(condition, True, at)

    def _drop(self, index: int) -> None:
        """In any order: the last one takes the place."""
        self._standing[index].listed = False
        last = self._standing.pop()
        if index < len(self._standing):
            self._standing[index] = last

    def _make_emu(self, record: EmuRecord, products: Products, boot: int) -> SimulatedEmu:
        product = products.product_of(record)
        vendor = products.vendor_of(product)
        emu = make_simulated(record, vendor.name, product.shape, vendor.registers, boot)
        for each in self._draw.some_of(vendor.conditions, RECURRING_EACH):
            component = self._draw.one_of(components_of(record.units, each.on))
            value = draw_value(each.value, self._draw)
            emu.condition(component, each.code, value=value, unit=each.unit, recurring=True)
        return emu

    def _time(self, epoch_ms: int) -> bytes:
        if epoch_ms != self._at_ms:
            self._at_ms, self._at = epoch_ms, to_rfc3339(epoch_ms).encode()
        return self._at

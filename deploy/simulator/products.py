"""The products of the demonstration: which vendor's codes they report, and in which shape."""

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from shared.documents.emu import EmuRecord, Unit

PATH = Path(__file__).with_name("products.toml")

Role = Literal["emu", "pcs", "bms", "rack", "meter", "cooling", "fire_panel", "smoke", "door"]
Shape = Literal["numbered", "plain", "registers"]
"""Alarm reports with `boot` and `seq`; alarm reports without them, repeats in lists; registers."""
Form = Literal["bits", "enum", "levels"]
"""What the word of a register is: bits, the one code that shows, or how grave the one code is."""

# Where an EMU's record names no unit of that type.
_COMPONENTS: dict[Role, str] = {
    "emu": "emu",
    "pcs": "pcs",
    "bms": "bms",
    "rack": "bms/rack-1",
    "meter": "meter",
    "cooling": "container/cooling",
    "fire_panel": "container/fire-panel",
    "smoke": "container/fire-panel/smoke",
    "door": "container/door",
}


class Recurring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition that comes and goes by itself."""

    code: str
    on: Role
    value: tuple[float, float] | None = None
    """Between which figures the reported one lies."""
    unit: str | None = None


class RegisterLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A register that an EMU has once for each unit of a role."""

    model: str
    point: str
    on: Role
    form: Form = "bits"

    @property
    def code(self) -> str:
        """With what its codes begin, or what its code is."""
        vendor = f"sunspec:{self.model}." if self.model.isdecimal() else f"{self.model}:"
        return vendor + self.point


class Vendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The codes are called as this vendor's are in the catalogue."""

    name: str
    conditions: tuple[Recurring, ...]
    registers: tuple[RegisterLayout, ...] = ()
    """Read by products of shape `registers`; what is in none of them comes as an alarm report."""


class Product(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of EMU with its plant."""

    model: str
    vendor: str
    shape: Shape
    firmware: tuple[str, ...]
    racks: int
    pcs_kw: float
    rack_kwh: float

    def units(self) -> tuple[Unit, ...]:
        """What a new EMU of this model is sold with."""
        racks = [
            Unit(component=f"bms/rack-{number}", type="rack", rated_kwh=self.rack_kwh)
            for number in range(1, self.racks + 1)
        ]
        return (
            Unit(component="pcs", type="pcs", rated_kw=self.pcs_kw),
            *racks,
            Unit(component="meter", type="meter"),
            Unit(component="container/cooling", type="cooling"),
            Unit(component="container/fire-panel", type="fire_panel"),
        )


class Products(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of them, with their vendors."""

    vendor: tuple[Vendor, ...]
    product: tuple[Product, ...]

    def vendor_of(self, product: Product) -> Vendor:
        return next(vendor for vendor in self.vendor if vendor.name == product.vendor)

    def product_of(self, record: EmuRecord) -> Product:
        """The EMU's own; one that is the same for the whole site where its model is none of ours."""
        for product in self.product:
            if product.model == record.model:
                return product
        return self.product[sum(record.site_id.encode()) % len(self.product)]


@cache
def load_products() -> Products:
    """Those of `products.toml`."""
    return msgspec.convert(tomllib.loads(PATH.read_text(encoding="utf-8")), Products)


def components_of(units: Sequence[Unit], role: Role) -> tuple[str, ...]:
    """What an EMU with these units calls the components of that role."""
    return tuple(unit.component for unit in units if unit.type == role) or (_COMPONENTS[role],)

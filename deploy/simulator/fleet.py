"""The demonstration fleet: EMU records made from a seed."""

import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import msgspec

from deploy.simulator.draw import Draw
from deploy.simulator.products import load_products
from shared.documents.emu import EmuRecord

PATH = Path(__file__).with_name("fleet.toml")
LARGEST_SITE = 6
# Every so many EMUs one is not in service yet.
COMMISSIONING_EVERY = 25


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a site is, and whose."""

    name: str
    customer: str
    time_zone: str
    area: str
    desk: str


class _Places(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    place: tuple[Place, ...]


@cache
def load_places() -> tuple[Place, ...]:
    """Those of `fleet.toml`."""
    return msgspec.convert(tomllib.loads(PATH.read_text(encoding="utf-8")), _Places).place


def make_fleet(seed: int, emus: int) -> list[EmuRecord]:
    """The first `emus` of the fleet of that seed: a larger one begins with the same EMUs."""
    return list(islice(_all_emus(seed), emus))


def _all_emus(seed: int) -> Iterator[EmuRecord]:
    draw = Draw(seed, "fleet")
    products = load_products().product
    places = load_places()
    first_product = draw.below(len(products))
    site, number = 0, 0
    while True:
        place = places[site % len(places)]
        again = site // len(places)
        site_id = f"site-{place.name}" + (f"-{again + 1}" if again else "")
        # One product a site, in turn, so that a small fleet has all of them. The rounds differ.
        product = products[(first_product + site + again) % len(products)]
        firmware = draw.one_of(product.firmware)
        for _ in range(1 + draw.below(LARGEST_SITE)):
            number += 1
            yield EmuRecord(
                emu_id=f"emu-{number:04}",
                site_id=site_id,
                customer_id=place.customer,
                desk=place.desk,
                time_zone=place.time_zone,
                area=place.area,
                model=product.model,
                firmware=firmware,
                serial=f"{product.model[4:]}-{draw.below(10**8):08}",
                state="in_service" if number % COMMISSIONING_EVERY else "commissioning",
                units=product.units(),
            )
        site += 1

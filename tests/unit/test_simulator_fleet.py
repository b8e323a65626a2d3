"""The demonstration fleet: EMU records of a seed."""

from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from deploy.simulator import DEFAULT_EMUS, DEFAULT_SEED
from deploy.simulator.fleet import make_fleet
from deploy.simulator.products import load_products
from shared.documents.emu import decode_emu_record, encode_emu_record


@given(seed=st.integers(), emus=st.integers(1, 60), more=st.integers(0, 60))
def test_a_seed_has_one_fleet_and_a_larger_one_begins_with_it(
    seed: int, emus: int, more: int
) -> None:
    fleet = make_fleet(seed, emus)
    assert len({record.emu_id for record in fleet}) == emus
    assert make_fleet(seed, emus + more)[:emus] == fleet


def test_other_seeds_have_other_fleets() -> None:
    assert make_fleet(1, 36) != make_fleet(2, 36)


def test_a_site_is_one_customer_s_in_one_zone_with_one_product() -> None:
    for seed in range(5):
        sites: dict[str, set[tuple[object, ...]]] = {}
        for record in make_fleet(seed, 500):
            what = (record.customer_id, record.time_zone, record.area, record.desk, record.model)
            sites.setdefault(record.site_id, set()).add(what)
            ZoneInfo(record.time_zone)
        assert all(len(found) == 1 for found in sites.values())
        assert len(sites) > 50


def test_an_emu_has_racks_a_pcs_a_meter_cooling_and_a_fire_panel() -> None:
    for record in make_fleet(DEFAULT_SEED, DEFAULT_EMUS):
        types = {unit.type for unit in record.units}
        assert types == {"pcs", "rack", "meter", "cooling", "fire_panel"}
        assert all(unit.rated_kwh for unit in record.units if unit.type == "rack")
        assert record.emu_id[:4] == "emu-"


def test_the_default_fleet_has_every_product() -> None:
    models = {record.model for record in make_fleet(DEFAULT_SEED, DEFAULT_EMUS)}
    assert models == {product.model for product in load_products().product}


def test_a_record_reads_back_as_it_was_written() -> None:
    for record in make_fleet(3, 20):
        written = encode_emu_record(record)
        assert decode_emu_record(written) == record
        # As it stands in the contract: every field is there, by its name.
        assert set(msgspec.json.decode(written, type=dict[str, object])) == {
            "emu_id", "revision", "site_id", "customer_id", "desk", "policy", "time_zone", "area",
            "model", "firmware", "serial", "state", "units",
        }  # fmt: skip

"""Incidents as they are told in the data, and planned for an EMU."""

import pytest

from deploy.simulator.draw import Draw
from deploy.simulator.emus import make_simulated
from deploy.simulator.incidents import Incident, Step, load_incidents, plan_incident
from deploy.simulator.products import Product, load_products
from shared.catalogue import load_catalogue
from shared.documents.emu import EmuRecord

PRODUCTS = load_products().product
each_incident = pytest.mark.parametrize(
    "incident", load_incidents(), ids=lambda incident: incident.name.replace(" ", "-")
)


def plan(incident: Incident, product: Product, seed: int = 1) -> list[Step]:
    return plan_incident(incident, product.vendor, product.units(), Draw(seed), alone=True)


def products_of(incident: Incident) -> list[Product]:
    """Those that it can happen to."""
    return [product for product in PRODUCTS if incident.happens_to(product.vendor)]


@each_incident
def test_what_rises_goes_again_and_nothing_rises_twice(incident: Incident) -> None:
    assert products_of(incident)
    for product in products_of(incident):
        steps = plan(incident, product)
        assert [step.after_ms for step in steps] == sorted(step.after_ms for step in steps)
        standing: set[tuple[str, str]] = set()
        for step in steps:
            key = (step.component, step.code)
            assert (key in standing) is not step.raised, step
            standing ^= {key}
        assert not standing


@each_incident
def test_every_code_is_in_the_catalogue_unless_it_is_meant_to_be_unknown(
    incident: Incident,
) -> None:
    catalogue = load_catalogue()
    for product in products_of(incident):
        steps = plan(incident, product)
        assert any(step.happening.cause for step in steps)
        for step in steps:
            assert (step.code in catalogue) is not step.happening.unknown, step.code


@each_incident
def test_what_happens_for_a_reason_does_not_come_and_go_by_itself_too(incident: Incident) -> None:
    for product in products_of(incident):
        recurring = {each.code for each in load_products().vendor_of(product).conditions}
        assert not recurring & {step.code for step in plan(incident, product)}


@each_incident
def test_registers_hold_all_but_dry_contacts(incident: Incident) -> None:
    for product in products_of(incident):
        if product.shape == "registers":
            record = EmuRecord(emu_id="emu-1", site_id="site-1", units=product.units())
            vendor = load_products().vendor_of(product)
            emu = make_simulated(record, vendor.name, product.shape, vendor.registers, 1)
            for step in plan(incident, product):
                condition = emu.condition(step.component, step.code)
                is_contact = step.code.startswith("victron:digitalinput/")
                assert (condition.register is None) is is_contact, step


def test_incidents_have_names_of_their_own() -> None:
    names = [incident.name for incident in load_incidents()]
    assert len(set(names)) == len(names)


def test_what_comes_and_goes_by_itself_is_in_the_catalogue() -> None:
    catalogue = load_catalogue()
    for vendor in load_products().vendor:
        assert [each.code for each in vendor.conditions if each.code not in catalogue] == []


def test_a_lost_bms_shows_as_a_low_battery_first() -> None:
    """As Victron's does: the symptom 20 s before the cause, and longer."""
    (incident,) = [each for each in load_incidents() if each.rule == 3]
    (product,) = [each for each in PRODUCTS if each.model == "EMU-V1"]
    told = [(step.after_ms, step.code, step.raised) for step in plan(incident, product)]
    assert told == [
        (0, "victron:battery/Alarms/LowVoltage", True),
        (20_000, "victron:battery/Alarms/BmsCable", True),
        (120_000, "victron:battery/Alarms/BmsCable", False),
        (145_000, "victron:battery/Alarms/LowVoltage", False),
    ]


def test_a_cooling_that_fails_shows_as_flow_warm_cells_and_overtemperature() -> None:
    (incident,) = [each for each in load_incidents() if each.rule == 14]
    (product,) = [each for each in PRODUCTS if each.model == "EMU-S4"]
    catalogue = load_catalogue()
    risen = [step for step in plan(incident, product) if step.raised]
    kinds = [catalogue.look_up(step.code, None).kind for step in risen]
    assert kinds == ["flow", "flow", "overtemp", "t_imbalance", "overtemp", "overtemp", "contactor"]
    grades = [catalogue.look_up(step.code, None).grade for step in risen]
    assert grades[2] > grades[4] == "A"


def test_what_concerns_one_rack_is_the_same_rack_and_the_others_are_the_others() -> None:
    (incident,) = [each for each in load_incidents() if each.rule == 26]
    (product,) = [each for each in PRODUCTS if each.model == "EMU-S4"]
    for seed in range(10):
        steps = plan(incident, product, seed)
        (fuse,) = {step.component for step in steps if "ConFail" in step.code}
        others = {step.component for step in steps if "804.Evt1" in step.code}
        assert others | {fuse} == {f"bms/rack-{number}" for number in range(1, 5)}
        assert fuse not in others

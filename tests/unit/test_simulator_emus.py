"""An EMU as it reports, in each shape."""

import json
from typing import Any

import pytest

from deploy.simulator.emus import Record, SimulatedEmu, make_simulated
from deploy.simulator.products import Shape, load_products
from shared.documents.emu import EmuRecord
from shared.documents.report import decode_report

AT = b"2026-11-22T10:00:00.000Z"
RECORD = EmuRecord(emu_id="emu-1", site_id="site-1", model="EMU", firmware="1")


def emu_of(vendor_name: str, shape: Shape, boot: int = 7) -> SimulatedEmu:
    (vendor,) = [each for each in load_products().vendor if each.name == vendor_name]
    return make_simulated(RECORD, vendor.name, shape, vendor.registers, boot)


def read(record: Record) -> Any:
    assert record.key == "emu-1"
    return json.loads(record.value)


def words(record: Record) -> dict[tuple[str, str], int]:
    """Of the registers in a report, by point and component."""
    return {(each["point"], each["component"]): each["bits"] for each in read(record)["registers"]}


@pytest.mark.parametrize("shape", ["numbered", "plain"])
def test_an_alarm_report_is_one_that_ingest_takes(shape: Shape) -> None:
    emu = emu_of("sunspec", shape)
    condition = emu.condition("bms/rack-1", "sunspec:804.Evt1.2", value=47.5, unit="°C")
    raised = read(emu.change(condition, True, AT))
    assert raised == {
        "type": "alarm",
        "emu_id": "emu-1",
        "site_id": "site-1",
        "model": "EMU",
        "firmware": "1",
        "at": AT.decode(),
        "code": "sunspec:804.Evt1.2",
        "component": "bms/rack-1",
        "state": "raised",
        "value": 47.5,
        "unit": "°C",
    } | ({"boot": 7, "seq": 1} if shape == "numbered" else {})
    cleared = read(emu.change(condition, False, AT))
    assert cleared["state"] == "cleared"
    assert "value" not in cleared
    for report in (raised, cleared):
        decode_report(json.dumps(report).encode())


def test_what_stands_is_repeated_in_a_list_where_reports_have_no_numbers() -> None:
    emu = emu_of("foxbms2", "plain")
    first, second, gone = (emu.condition("bms", code) for code in ("a", "b", "c"))
    for condition in (first, second, gone):
        emu.change(condition, True, AT)
    emu.change(gone, False, AT)
    record = emu.repeat(first, AT)
    assert [report["code"] for report in read(record)] == ["a", "b"]
    assert record.alarms == 2


def test_numbers_begin_anew_when_the_emu_does() -> None:
    emu = emu_of("sunspec", "numbered")
    condition = emu.condition("pcs", "sunspec:701.Alrm.0")
    before = [read(emu.change(condition, True, AT)) for _ in range(2)]
    emu.reboot()
    after = read(emu.repeat(condition, AT))
    numbers = [(report["boot"], report["seq"]) for report in (*before, after)]
    assert numbers == [(7, 1), (7, 2), (8, 1)]


def test_bits_of_a_register_stand_beside_each_other() -> None:
    emu = emu_of("foxess", "registers")
    third, fifth = (emu.condition("pcs", f"foxess:fault1.{bit}") for bit in (3, 5))
    assert words(emu.change(third, True, AT)) == {("fault1", "pcs"): 8}
    assert words(emu.change(fifth, True, AT)) == {("fault1", "pcs"): 40}
    assert words(emu.change(third, False, AT)) == {("fault1", "pcs"): 32}


def test_a_new_value_of_a_register_hides_and_so_clears_the_one_before() -> None:
    emu = emu_of("victron", "registers")
    tenth, other = (emu.condition("pcs", f"victron:vebus/VebusError.{value}") for value in (10, 16))
    assert words(emu.change(tenth, True, AT)) == {("vebus/VebusError", "pcs"): 10}
    assert words(emu.change(other, True, AT)) == {("vebus/VebusError", "pcs"): 16}
    assert not tenth.stands
    # It cannot clear what it no longer shows.
    assert words(emu.change(tenth, False, AT)) == {("vebus/VebusError", "pcs"): 16}
    assert words(emu.change(other, False, AT)) == {("vebus/VebusError", "pcs"): 0}


def test_a_register_of_levels_says_how_grave_its_only_code_is() -> None:
    emu = emu_of("victron", "registers")
    condition = emu.condition("bms", "victron:battery/Alarms/LowVoltage")
    assert words(emu.change(condition, True, AT)) == {("battery/Alarms/LowVoltage", "bms"): 2}
    assert words(emu.change(condition, False, AT)) == {("battery/Alarms/LowVoltage", "bms"): 0}


def test_a_dry_contact_comes_as_an_alarm_report_beside_registers() -> None:
    emu = emu_of("victron", "registers")
    contact = emu.condition("container/door", "victron:digitalinput/Type.2")
    assert read(emu.change(contact, True, AT))["type"] == "alarm"
    assert read(emu.repeat(contact, AT))["state"] == "raised"

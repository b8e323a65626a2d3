"""What happens to one EMU in the field, by name: its reports as they come, and what faults they make.

The names are those by which such stories are known among people who run fleets. Each goes through the reading
of ingest and the rules of the classifier, with the catalogue, holds and delays of production.
"""

from typing import Any

import msgspec

from services.ingest.reports import Arrival, read_arrival
from shared.documents.dead_letter import DeadLetter
from shared.documents.fault import Fault
from shared.times import to_rfc3339
from tests.unit.alarms import CATALOGUE, HOLDS_MS, NOON_MS, Desk, fact, tick

# Each is told at once: without on-delay, and cleared without off-delay.
A_CODE = "foxbms2:DIAG_ID_SYSTEM_MONITORING"
HAZARD = "foxbms2:DIAG_ID_AEROSOL_ALERT"
B_CODE = "foxbms2:DIAG_ID_AFE_ALARM"
C_CODE = "foxbms2:DIAG_ID_PRECHARGE_ABORT_REASON_VOLTAGE"


class Story:
    """One EMU, its reports in JSON, and Bakvakt up to the faults."""

    def __init__(self) -> None:
        self.desk = Desk(CATALOGUE, hold_ms=HOLDS_MS)
        self.refused: list[str] = []
        """Reasons of dead letters."""
        self._now_ms = NOON_MS
        self._offset = 0

    def send(self, *reports: dict[str, Any]) -> list[Fault]:
        """One Kafka record of them, now; what is published for it."""
        said = {"emu_id": "e1", "site_id": "s1", "at": to_rfc3339(self._now_ms)}
        value = msgspec.json.encode([said | report for report in reports])
        self._offset += 1
        arrival = Arrival(1, "emu.alarms", 0, self._offset, None, value, self._now_ms)
        read = list(read_arrival(arrival, CATALOGUE))
        self.refused += [record.reason for record in read if isinstance(record, DeadLetter)]
        return self.desk.hear(*(record for record in read if not isinstance(record, DeadLetter)))

    def learn(self, revision: int, **record: Any) -> list[Fault]:
        """Dispatch tells what the EMU is by now; what is published for it."""
        return self.desk.hear(fact(revision, receipt_ms=self._now_ms, **record))

    def listen(self, seconds: int, *reports: dict[str, Any], every: int = 30) -> list[Fault]:
        """What is published while ingest reads on, with these reports now and then."""
        faults: list[Fault] = []
        for second in range(0, seconds, 5):
            if reports and second % every == 0:
                faults += self.send(*reports)
            faults += self.wait(5)
            faults += self.desk.hear(tick(self._now_ms))
        return faults

    def wait(self, seconds: float) -> list[Fault]:
        """What is published as time goes on, though nothing is said."""
        self._now_ms += round(seconds * 1000)
        return self.desk.hear(until_ms=self._now_ms)


def raised(code: str = A_CODE, **fields: Any) -> dict[str, Any]:
    return {"code": code, "state": "raised", **fields}


def cleared(code: str = A_CODE, **fields: Any) -> dict[str, Any]:
    return {"code": code, "state": "cleared", **fields}


def listed(*codes: str, complete: bool = True, **fields: Any) -> dict[str, Any]:
    """All that stands at the EMU itself."""
    active = [{"code": code} for code in codes]
    return {"type": "snapshot", "complete": complete, "active": active, **fields}


def heartbeat(**fields: Any) -> dict[str, Any]:
    return {"type": "heartbeat", "interval_s": 30, **fields}


def told(faults: list[Fault]) -> list[tuple[str, str]]:
    return [(fault.change, fault.code) for fault in faults]


def test_lost_clear() -> None:
    """The next list of what stands does not name it."""
    story = Story()
    assert told(story.send(raised(A_CODE), raised(HAZARD))) == [
        ("opened", A_CODE),
        ("opened", HAZARD),
    ]
    story.wait(300)
    assert told(story.send(listed(HAZARD))) == [("cleared", A_CODE)]


def test_snapshot_without_begin() -> None:
    """A part of a list, such as the rest of one after a reconnect: absence in it is no clear."""
    story = Story()
    story.send(raised(A_CODE))
    assert told(story.send(listed(HAZARD, complete=False))) == [("opened", HAZARD)]
    assert story.desk.standing() == {("emu", A_CODE), ("emu", HAZARD)}


def test_empty_list_and_missing_list() -> None:
    """An empty one says that nothing stands; where it is missing, nothing is said, and the sender is told."""
    story = Story()
    story.send(raised(A_CODE))
    assert story.send({"type": "snapshot", "complete": True}) == []
    assert story.refused == ["invalid"]
    assert told(story.send(listed())) == [("cleared", A_CODE)]


def test_enum_overwrite() -> None:
    """A register that shows one error at a time: another value ends the first, and begins the next."""
    story = Story()

    def error(value: int) -> dict[str, Any]:
        word = {"model": "victron:battery", "point": "ErrorCode", "bits": value}
        return {"type": "registers", "registers": [word]}

    first, second = ("victron:battery/ErrorCode.16", "victron:battery/ErrorCode.15")
    assert told([*story.send(error(16)), *story.wait(60)]) == [("opened", first)]
    faults = told([*story.send(error(15)), *story.wait(400)])
    assert sorted(faults) == [("cleared", first), ("opened", second)]


def test_clock_of_1970() -> None:
    """Until NTP answers: the receipt stands in, and neither raise nor clear is lost for its time."""
    story = Story()
    (opened,) = story.send(raised(at="1970-01-01T00:00:07Z"))
    assert opened.raised_at == opened.opened_at == to_rfc3339(NOON_MS)
    story.wait(60)
    assert told(story.send(cleared(at="1970-01-01T00:01:07Z"))) == [("cleared", A_CODE)]


def test_naive_local_time() -> None:
    """Two hours ahead, without saying so: no moment, so the receipt stands in."""
    story = Story()
    (opened,) = story.send(raised(at="2026-11-22T14:00:00"))
    assert opened.raised_at == to_rfc3339(NOON_MS)
    assert story.refused == []


def test_sequence_number_wraps_from_255_to_0() -> None:
    """What comes after the wrap is new: the clear ends the fault, and the next raise is no duplicate."""
    story = Story()
    for number in range(250, 256):
        story.send(raised(HAZARD, boot=7, seq=number))
    story.wait(30)
    assert told(story.send(cleared(HAZARD, boot=7, seq=0))) == [("cleared", HAZARD)]
    faults: list[Fault] = []
    for number in range(1, 256):
        faults += story.wait(1)
        faults += story.send(raised(f"new.{number}", boot=7, seq=number))
    faults += story.wait(3)
    assert len([fault for fault in faults if fault.change == "opened"]) == 255


def test_old_ndeath_after_new_nbirth() -> None:
    """The broker tells of the connection that broke when the EMU is there again: it names the boot before."""
    story = Story()
    story.send({"type": "online", "boot": 6}, raised(A_CODE, boot=6, seq=1))
    story.wait(60)
    story.send({"type": "online", "boot": 7}, listed(A_CODE, boot=7, seq=1))
    assert story.send({"type": "offline", "boot": 6}) == []
    assert story.wait(3_600) == []
    (stale,) = story.send({"type": "offline", "boot": 7})
    assert (stale.change, stale.code) == ("stale", A_CODE)
    (offline,) = story.wait(301)
    assert (offline.change, offline.kind, offline.grade) == ("opened", "emu_offline", "B")


def test_heartbeat_counter_reset() -> None:
    """It begins anew without a new boot: no gap, and no alarm of the same number is taken for an old one."""
    story = Story()
    faults: list[Fault] = []
    for beat in range(120):
        faults += story.listen(30, heartbeat(boot=7, seq=beat % 40))
    assert faults == []
    assert told(story.send(raised(A_CODE, boot=7, seq=3))) == [("opened", A_CODE)]
    gap = [("stale", A_CODE), ("opened", "bakvakt:emu_offline")]
    assert told(story.listen(600)) == gap


def test_return_with_backlog() -> None:
    """Two days without a connection, of which it tells on its return: one fault for what has gone, a page for
    what stands, and nothing twice.
    """
    story = Story()
    story.send(raised(B_CODE))
    story.listen(60, heartbeat())
    silent = told(story.listen(600))
    assert silent == [("stale", B_CODE), ("opened", "bakvakt:emu_offline")]
    story.wait(2 * 86_400)
    begin_ms = NOON_MS + 3_600_000
    for part in range(100):
        reports = [
            change(HAZARD, at=to_rfc3339(begin_ms + 1_200_000 * part + 60_000 * minute))
            for minute, change in enumerate((raised, cleared))
        ]
        gone = cleared(B_CODE, at=to_rfc3339(begin_ms))
        faults = story.send(gone if part == 50 else reports[0], *reports)
        assert {fault.state for fault in faults if fault.code == HAZARD} <= {"cleared", "closed"}
        story.wait(0.1)
    assert story.send(raised(C_CODE, at=to_rfc3339(begin_ms))) == []
    story.wait(5)
    story.send({"type": "online"})
    story.wait(120)
    last = {fault.fault_id: fault for fault in story.desk.published}.values()
    assert {(fault.code, fault.state) for fault in last} == {
        (HAZARD, "closed"),
        (HAZARD, "cleared"),
        (B_CODE, "cleared"),
        (C_CODE, "open"),
        ("bakvakt:emu_offline", "cleared"),
    }
    assert len([fault for fault in last if fault.code == HAZARD]) == 100
    (standing,) = [fault for fault in last if fault.state == "open"]
    assert standing.clocks_from > standing.opened_at > standing.raised_at


def test_one_hz_chatter() -> None:
    """One open fault, however long; it is cleared once it has been quiet for a minute."""
    story = Story()
    faults: list[Fault] = []
    for second in range(600):
        faults += story.send(cleared() if second % 2 else raised())
        faults += story.wait(1)
    assert {fault.fault_id for fault in faults} == {faults[0].fault_id}
    assert told(faults)[0] == ("opened", A_CODE)
    assert len(faults) < 12, "what goes on is told now and then"
    assert faults[-1].state == "open"
    (quiet,) = story.wait(61)
    assert (quiet.change, quiet.count, quiet.flaps) == ("cleared", 300, 299)


def test_restart_with_10_000_open_faults() -> None:
    """Nothing is told again, neither at once nor when all of it is reported once more."""
    story = Story()
    for emu in range(10):
        story.send(*(raised(f"unknown.{n}", emu_id=f"e{emu}") for n in range(1_000)))
    assert len(story.wait(10)) == 10_000
    story.desk.restart()
    assert story.wait(300) == []
    for emu in range(10):
        codes = [f"unknown.{n}" for n in range(1_000)]
        assert story.send(listed(*codes, emu_id=f"e{emu}")) == []


def test_commissioning_site() -> None:
    """Recorded and held back, but for hazards; what stands when it goes into service has clocks from then."""
    story = Story()
    story.learn(1, state="commissioning")
    faults = [*story.send(raised(B_CODE), raised(HAZARD), raised(C_CODE)), *story.wait(60)]
    assert {fault.emu_state for fault in faults} == {"commissioning"}
    assert told(story.send(cleared(C_CODE))) == [("cleared", C_CODE)]
    story.wait(3_600)
    put = {fault.code: fault for fault in story.learn(2, state="in_service")}
    assert {code: fault.change for code, fault in put.items()} == {
        B_CODE: "released",
        HAZARD: "repeated",
    }
    assert put[B_CODE].clocks_from == to_rfc3339(NOON_MS + 3_660_000)
    assert put[HAZARD].clocks_from == put[HAZARD].opened_at


def test_unknown_code_flood() -> None:
    """After an update of its firmware: each is a fault of its own, graded B, and what is known goes on."""
    story = Story()
    codes = [f"new.{number}" for number in range(1_500)]
    assert told(story.send(listed(A_CODE, *codes, firmware="9.0"))) == [("opened", A_CODE)]
    flood = story.wait(3)
    assert {(fault.grade, fault.kind) for fault in flood} == {("B", "other_alarm")}
    assert sorted(fault.code for fault in flood) == sorted(codes)
    assert told(story.send(listed(*codes)))[0] == ("cleared", A_CODE)


def test_bank_and_rack_bit_together() -> None:
    """The bank's bit is the sum of its racks': both are faults, at their components."""
    story = Story()
    words = [
        {"model": 802, "point": "Evt1", "component": "bms", "bits": 0b10},
        {"model": 804, "point": "Evt1", "component": "bms/rack-3", "bits": 0b10},
    ]
    story.send({"type": "registers", "registers": words})
    faults = {fault.component: fault for fault in story.desk.published} | {
        fault.component: fault for fault in story.wait(60)
    }
    assert faults.keys() == {"bms", "bms/rack-3"}
    assert faults["bms"].kind == faults["bms/rack-3"].kind


def test_two_raises_with_different_grade() -> None:
    """One fault of the graver grade, told at once; the milder word takes nothing back."""
    story = Story()
    mild, grave = ("bms.new", {"level": "info"}), ("bms.new", {"level": "fault"})
    story.send(raised(mild[0], **mild[1]))
    (opened,) = story.wait(30)
    (regraded,) = story.send(raised(grave[0], **grave[1]))
    assert (opened.change, opened.grade) == ("opened", "D")
    assert (regraded.change, regraded.grade, regraded.count) == ("regraded", "B", 2)
    assert regraded.fault_id == opened.fault_id
    story.send(raised(mild[0], **mild[1]))
    assert {fault.grade for fault in story.wait(3600)} == {"B"}

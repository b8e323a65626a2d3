"""Alarms for classifiers under test, and what the oracle makes of them.

Their receipts are a day ahead of the host's clock and go on faster than it. So the task's time follows the
receipts and nothing else, and each wake-up comes where the oracle has it, however long a test takes.
"""

from collections.abc import Iterable, Mapping
from itertools import zip_longest
from random import Random
from typing import Any

from services.classifier.rules import make_rules
from shared.catalogue import load_catalogue
from shared.documents.fault import Fault, encode_fault
from shared.documents.internal import (
    Active,
    Edge,
    Part,
    Snapshot,
    Source,
    decode_internal,
    encode_internal,
)
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing
from shared.policy import load_policy
from shared.times import HOUR_MS, now_ms
from tests.kafka_log import Record
from tests.unit.classifier_oracle import Oracle

# Grade A, without delays: each raise by a new EMU is told at once.
CODE = "foxbms2:DIAG_ID_SYSTEM_MONITORING"
# Of each grade, with and without on-delay and off-delay, a hazard, and one that the catalogue lacks.
CODES = (
    CODE,
    "foxbms2:DIAG_ID_AEROSOL_ALERT",
    "foxbms2:DIAG_ID_AFE_ALARM",
    "goodwe:BMS_WARNING_CODES.6",
    "foxbms2:DIAG_ID_PRECHARGE_ABORT_REASON_VOLTAGE",
    "foxess:fault1.0",
    "foxbms2:DIAG_ID_I2C_RTC_ERROR",
    "sunspec:701.Alrm.5",
    "chaos.unknown",
)
SITES = 97
# Five minutes of theirs in a second of ours: delays, trailing revisions and reopen windows end in a test.
STEP_MS = 3_000

Word = Edge | Snapshot


class Load:
    """What a fleet says: each turn one new EMU raises CODE, and one known before says anything at all."""

    def __init__(self, topic: str, partitions: int) -> None:
        self._topic = topic
        self._partitions = partitions
        self._random = Random(5)  # noqa: S311 - a load, no secret
        self._emus = 0
        self._said = 0
        self._last: list[Word] = []
        self._clock_ms = now_ms() + 24 * HOUR_MS

    def turn(self) -> list[Outgoing]:
        """Some records."""
        self._clock_ms += self._random.randrange(2 * STEP_MS)
        words: list[Word] = [self._edge(self._emus, CODE, raised=True)]
        words.append(self._anything(max(0, self._emus - self._random.randrange(200))))
        self._emus += 1
        self._last = [*self._last[-20:], *words]
        if not self._random.randrange(10):
            words.append(self._random.choice(self._last))  # ingest writes it again
        return [self._outgoing(word) for word in words]

    def last_words(self) -> list[Outgoing]:
        """Hours later one that changes nothing in each partition: all that waited for its time is told."""
        self._clock_ms += 3 * HOUR_MS
        homes: dict[int, Word] = {}
        for site in range(SITES):
            word = self._edge(site, CODE, emu_id=f"last-{site}", raised=False)
            homes[partition_of(word.site_id, self._partitions)] = word
        return [self._outgoing(word) for word in homes.values()]

    def _anything(self, emu: int) -> Word:
        draw = self._random
        numbered = draw.randrange(3) > 0
        lag_ms = draw.choice((0, 0, 0, 0, 5_000, HOUR_MS))
        said: dict[str, Any] = {
            "boot": draw.choice(("b1", "b1", "b2")) if numbered else None,
            "seq": draw.randrange(30) if numbered else None,
            "receipt_ms": self._clock_ms - lag_ms,
        }
        if draw.randrange(5):
            return self._edge(emu, draw.choice(CODES), raised=bool(draw.randrange(2)), **said)
        standing = tuple(Active(code) for code in draw.sample(CODES, draw.randrange(4)))
        scope = draw.choice((None, (), ("foxbms2:DIAG_ID_AFE_ALARM", "chaos")))
        part = Part("emu", scope, standing)
        return Snapshot(**self._of(emu), trusted=True, parts=(part,), **said)

    def _edge(self, emu: int, code: str, **said: Any) -> Edge:
        said = self._of(emu) | {"receipt_ms": self._clock_ms} | said
        return Edge(component="emu", code=code, **said)

    def _of(self, emu: int) -> dict[str, Any]:
        self._said += 1
        return {
            "source": Source(1, "reports", 0, self._said, 0),
            "emu_id": f"emu-{emu}",
            "site_id": f"site-{emu % SITES}",
            "at_ms": self._clock_ms,
        }

    def _outgoing(self, word: Word) -> Outgoing:
        home = partition_of(word.site_id, self._partitions)
        return Outgoing(self._topic, home, word.emu_id.encode(), encode_internal(word))


def judged_by_the_oracle(alarms: Iterable[Record]) -> dict[int, list[Fault]]:
    """All that is to be published in each partition, in order, for what is in its log of alarms."""
    catalogue = load_catalogue()
    holds = make_rules(catalogue, load_policy(None)).hold_ms
    oracles: dict[int, Oracle] = {}
    for alarm in alarms:
        word = decode_internal(alarm.value or b"")
        assert isinstance(word, Edge | Snapshot)
        oracles.setdefault(alarm.partition, Oracle(catalogue, holds)).hear(word)
    return {number: oracle.published for number, oracle in oracles.items()}


def check_published(faults: Iterable[Record], expected: Mapping[int, list[Fault]]) -> None:
    """What is in the log of faults is what the oracle has: each document once, in order."""
    published: dict[int, list[bytes]] = {}
    for fault in faults:
        published.setdefault(fault.partition, []).append(fault.value or b"")
    assert published.keys() == expected.keys()
    for partition, told in published.items():
        documents = zip_longest(told, map(encode_fault, expected[partition]))
        for number, (one, other) in enumerate(documents):
            assert one == other, f"revision {number} of partition {partition}"

"""Alarms for classifiers under test, and what the oracle makes of them.

Their receipts are a day ahead of the host's clock and go on faster than it. So the task's time follows the
receipts and nothing else, and each wake-up comes where the oracle has it, however long a test takes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from random import Random
from typing import Any, NamedTuple

from services.classifier.rules import make_rules
from shared.catalogue import load_catalogue
from shared.documents.fault import Fault, encode_fault
from shared.documents.internal import (
    Active,
    Edge,
    Fact,
    Forward,
    InternalRecord,
    Part,
    Snapshot,
    Source,
    Tick,
    Transfer,
    decode_internal,
    encode_internal,
)
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing
from shared.policy import load_policy
from shared.times import HOUR_MS, now_ms
from tests.kafka_log import Record
from tests.unit.alarms import fact
from tests.unit.classifier_moves_oracle import Label, Luggage, Post
from tests.unit.moving import moved

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


@dataclass
class Mover:
    """An EMU that changes its site again and again."""

    emu_id: str
    site_id: str
    revision: int = 1
    reports_to: str | None = None
    """The site that ingest still takes it for, for one report."""
    raised: str | None = None
    """The component at which it has raised CODE last."""


class Load:
    """What a fleet says: each turn one new EMU raises CODE, and one known before says anything at all.

    With movers: one of them raises CODE at a component of its own, and clears the one before; and in two
    turns of five one of them changes its site.
    """

    def __init__(self, topic: str, partitions: int, movers: int = 0) -> None:
        self._topic = topic
        self._partitions = partitions
        self._random = Random(5)  # noqa: S311 - a load, no secret
        self._emus = 0
        self._said = 0
        self._last: list[Word] = []
        self._movers = [Mover(f"mover-{number}", f"site-{number}") for number in range(movers)]
        self._unknown = list(self._movers)
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
        return [self._outgoing(word) for word in (*words, *self._of_movers())]

    def last_words(self) -> list[Outgoing]:
        """Hours later one that changes nothing in each partition: all that waited for its time is told."""
        self._clock_ms += 3 * HOUR_MS
        homes: dict[int, Word] = {}
        for site in range(SITES):
            word = self._edge(site, CODE, emu_id=f"last-{site}", raised=False)
            homes[partition_of(word.site_id, self._partitions)] = word
        return [self._outgoing(word) for word in homes.values()]

    def _of_movers(self) -> list[InternalRecord]:
        if not self._movers:
            return []
        if self._unknown:
            mover = self._unknown.pop()
            return [self._fact(mover)]
        records: list[InternalRecord] = []
        if self._random.randrange(5) < 2:
            records += self._move(self._random.choice(self._movers))
        mover = self._random.choice(self._movers)
        site_id, mover.reports_to = mover.reports_to or mover.site_id, None
        said = {"emu_id": mover.emu_id, "site_id": site_id}
        if mover.raised is not None:
            records.append(self._edge(0, CODE, raised=False, component=mover.raised, **said))
        mover.raised = f"part-{self._said}"
        records.append(self._edge(0, CODE, raised=True, component=mover.raised, **said))
        return records

    def _fact(self, mover: Mover) -> Fact:
        return fact(1, emu_id=mover.emu_id, site_id=mover.site_id, receipt_ms=self._clock_ms)

    def _move(self, mover: Mover) -> list[Fact]:
        """Ingest knows of it at once, or after one report more."""
        before, mover.site_id = mover.site_id, f"site-{self._random.randrange(SITES)}"
        if before == mover.site_id or mover.reports_to is not None:
            mover.site_id = before
            return []
        mover.revision += 1
        mover.reports_to = self._random.choice((None, None, before))
        return moved(
            mover.revision,
            mover.site_id,
            before,
            emu_id=mover.emu_id,
            receipt_ms=self._clock_ms,
        )

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
        plain: dict[str, Any] = {"receipt_ms": self._clock_ms, "component": "emu"}
        return Edge(code=code, **(self._of(emu) | plain | said))

    def _of(self, emu: int) -> dict[str, Any]:
        self._said += 1
        return {
            "source": Source(1, "reports", 0, self._said, 0),
            "emu_id": f"emu-{emu}",
            "site_id": f"site-{emu % SITES}",
            "at_ms": self._clock_ms,
        }

    def _outgoing(self, word: InternalRecord) -> Outgoing:
        home = partition_of(word.site_id, self._partitions)
        return Outgoing(self._topic, home, word.emu_id.encode(), encode_internal(word))


class Judged(NamedTuple):
    """What follows from the logs of alarms."""

    published: dict[int, list[Fault]]
    """All that is to be published in each partition, in order."""
    unwritten: list[tuple[str, str, str]]
    """What is to be written from one partition to another, and is not there yet."""


def judged_by_the_oracle(alarms: Iterable[Record], partitions: int) -> Judged:
    """Fails where something was written from one partition to another that was not to be, or twice."""
    catalogue = load_catalogue()
    holds = make_rules(catalogue, load_policy(None)).hold_ms
    home = partial(partition_of, partitions=partitions)
    luggage: dict[Label, Luggage] = {}
    logs: dict[int, list[InternalRecord]] = {}
    for alarm in alarms:
        record = decode_internal(alarm.value or b"")
        assert not isinstance(record, Tick)
        logs.setdefault(alarm.partition, []).append(record)
    posts = {
        number: Post(catalogue, holds, number=number, home=home, luggage=luggage) for number in logs
    }
    written = Counter(filter(None, map(_outline, (one for log in logs.values() for one in log))))
    for log in logs.values():
        log.reverse()
    while any([_read(post, logs[number], home, luggage) for number, post in posts.items()]):
        pass
    assert not any(logs.values()), "a transfer that nobody was to write"
    sent = Counter(one for post in posts.values() for one in post.sent)
    assert written <= sent
    published = {number: post.published for number, post in posts.items() if post.published}
    return Judged(published, [*(sent - written).elements()])


def _read(
    post: Post,
    left: list[InternalRecord],
    home: Callable[[str], int],
    luggage: Mapping[Label, Luggage],
) -> int:
    """So many records, up to the end or to a transfer that is not written yet by the oracle's reading."""
    before = len(left)
    while left:
        record = left[-1]
        if isinstance(record, Transfer):
            key = (home(record.from_site), record.record.revision)
            if (record.emu_id, key, post.number) not in luggage:
                break
        post.take_in(left.pop())
    return before - len(left)


def _outline(record: InternalRecord) -> tuple[str, str, str] | None:
    if isinstance(record, Transfer):
        return ("transfer", record.emu_id, record.site_id)
    if isinstance(record, Forward):
        return ("forward", record.emu_id, record.site_id)
    return None


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

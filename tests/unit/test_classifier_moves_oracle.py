"""Whatever meets an EMU on its moves, its faults are as a plain reading of the rules has them.

Reports of all kinds, backlogs, rulings, facts, presence and silence; ingest that hears of moves late, goes
back and sends again; batches that are aborted, and restarts between any two records.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.classifier.rules import Rules
from shared.documents.fault import Fault, FaultSource
from shared.documents.internal import (
    Edge,
    Fact,
    Forward,
    Presence,
    Ruling,
    Snapshot,
    Tick,
    Transfer,
    decode_internal,
    encode_internal,
)
from shared.kafka.partition import partition_of
from shared.times import HOUR_MS, MINUTE_MS
from tests.unit.alarms import HEARTBEAT, HOLDS_MS, NOON_MS, fact, tick
from tests.unit.classifier_moves_oracle import Label, Luggage, Post
from tests.unit.classifier_oracle import OFFLINE
from tests.unit.moving import PARTITIONS, Partitions, X, Y, Z, moved
from tests.unit.test_classifier_oracle import CATALOGUE, CODES, at, presences, words

# Two sites of one partition, and two of others.
X_TOO = next(site for n in range(100, 200) if partition_of(site := f"site-{n}", PARTITIONS) == 0)
SITES = (X, X_TOO, Y, Z)
GAPS_MS = (0, 500, 5_000, 10_000, 31_000, 61_000, 6 * MINUTE_MS, 16 * MINUTE_MS)

Said = Edge | Snapshot | Presence | Ruling


@st.composite
def reports(draw: st.DrawFn) -> list[Said]:
    """What `e1` and its people say, in order."""
    codes = draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=3, unique=True))
    one = words(codes) | words(codes) | words(codes) | presences()
    drawn = draw(st.lists(one, min_size=1, max_size=16))
    ages = draw(st.sampled_from([(1,), (1, 1, 20 * MINUTE_MS, 7 * HOUR_MS)]))
    now_ms, said = NOON_MS, list[Said]()
    for offset, word in enumerate(drawn):
        now_ms += draw(st.sampled_from(GAPS_MS))
        placed = at(word, now_ms, draw(st.sampled_from(ages)))
        assert not isinstance(placed, Fact | Tick)
        source = replace(placed.source, offset=offset)
        said.append(replace(placed, emu_id="e1", source=source))
    return said


class World:
    """Ingest, dispatch, three partitions and the oracle of each, all at their own pace; one EMU."""

    def __init__(self, said: list[Said]) -> None:
        self.fleet = Partitions(Rules(CATALOGUE, HOLDS_MS, HEARTBEAT))
        luggage: dict[Label, Luggage] = {}
        self.posts = [
            Post(CATALOGUE, HOLDS_MS, number=number, home=self.home, luggage=luggage)
            for number in range(PARTITIONS)
        ]
        self.read = [0] * PARTITIONS
        self.fleet.write(fact(1, site_id=X))
        self.said = said
        self.next = self.committed = self.farthest = 0
        self.sites = [X]
        self.known = 0
        """How many moves ingest knows of."""
        self.settled = True
        """Whether ingest has never gone back to what it knew before."""
        self.unwritten: list[Fact] = []
        self.revision = 1
        self.desks: dict[str, Any] = {}

    @staticmethod
    def home(site_id: str) -> int:
        return partition_of(site_id, PARTITIONS)

    @property
    def now_ms(self) -> int:
        return self.said[max(self.farthest - 1, 0)].receipt_ms

    def send(self) -> None:
        """The next report; of those that come again not the heartbeats, which nobody keeps."""
        if self.next == len(self.said):
            return
        report = self.said[self.next]
        if self.next == self.farthest or not isinstance(report, Presence):
            self.fleet.write(replace(report, site_id=self.sites[self.known]))
        self.next += 1
        self.farthest = max(self.farthest, self.next)

    def commit(self) -> None:
        self.committed = self.next

    def crash(self) -> None:
        self.next = self.committed

    def learn(self) -> None:
        if not self.unwritten:
            self.known = len(self.sites) - 1

    def lag(self) -> None:
        """An instance of ingest goes on that does not know of the newest move yet."""
        if len(set(self.sites)) == len(self.sites):
            self.known = max(self.known - 1, 0)
            self.settled = False

    def move(self, to: str, state: str) -> None:
        """Once the copies of the move before are written; and, back to a site, once ingest knows of it."""
        last = self.sites[-1]
        knows = self.known == len(self.sites) - 1
        known_places = {self.home(site) for site in self.sites}
        back = self.home(to) in known_places
        if to == last or self.unwritten or (back and not (knows and self.settled)):
            return
        self.revision += 1
        self.desks = {"desk": f"desk of {to}", "state": state}
        copies = moved(self.revision, to, last, receipt_ms=self.now_ms, **self.desks)
        self.unwritten = copies[:: 1 if self.revision % 2 else -1]
        self.sites.append(to)

    def change(self, state: str) -> None:
        """Its record says something else, and it stays."""
        if not self.unwritten:
            self.revision += 1
            self.desks = {"desk": f"desk {self.revision}", "state": state}
            at_ms = self.now_ms
            own = fact(self.revision, site_id=self.sites[-1], receipt_ms=at_ms, **self.desks)
            self.unwritten = [own]

    def tell(self) -> None:
        """One copy of a fact reaches its partition."""
        if self.unwritten:
            self.fleet.write(self.unwritten.pop(0))

    def listen(self, number: int) -> None:
        """A minute and a half in which ingest says that there was nothing."""
        for second in range(0, 95, 5):
            read_to_ms = self.now_ms + second * 1_000
            self.fleet.logs[number].append(encode_internal(tick(read_to_ms)))

    def step(self, number: int, most: int, *, aborted: bool = False) -> None:
        before, sent = len(self.fleet.published), [len(log) for log in self.fleet.logs]
        post = self.posts[number]
        read = self.fleet.step(number, most, aborted=aborted)
        if aborted:
            post.restart()
            return
        if not read:
            return
        told, heard = len(post.published), len(post.sent)
        for raw in self.fleet.logs[number][self.read[number] : self.fleet.offsets[number]]:
            post.take_in(decode_internal(raw))
        self.read[number] = self.fleet.offsets[number]
        assert normal(self.fleet.published[before:]) == normal(post.published[told:])
        written = [decode_internal(raw) for log, start in zip(self.fleet.logs, sent, strict=True)
                   for raw in log[start:]]  # fmt: skip
        assert sorted(map(outline, written)) == sorted(post.sent[heard:])

    def restart(self, number: int) -> None:
        self.fleet.restart(number)
        self.posts[number].restart()

    def finish(self) -> None:
        while self.unwritten:
            self.tell()
        self.learn()
        while self.next < len(self.said):
            self.send()
        while any(len(log) > read for log, read in zip(self.fleet.logs, self.read, strict=True)):
            for number in range(PARTITIONS):
                self.step(number, 1_000)
        end_ms = self.now_ms + 30 * HOUR_MS
        for number, post in enumerate(self.posts):
            before, told = len(self.fleet.published), len(post.published)
            self.fleet.wait(number, end_ms)
            post.follow(end_ms)
            assert normal(self.fleet.published[before:]) == normal(post.published[told:])


def outline(record: Any) -> tuple[str, str, str]:
    assert isinstance(record, Transfer | Forward)
    kind = "transfer" if isinstance(record, Transfer) else "forward"
    return (kind, record.emu_id, record.site_id)


def normal(faults: list[Fault]) -> list[Fault]:
    """Of an absence without its source, which a restart may have forgotten, and what is made of it."""
    return [
        replace(
            fault, fault_id="", moved_from=fault.moved_from and "", source=FaultSource("", 0, 0)
        )
        if fault.code == OFFLINE[1]
        else fault
        for fault in faults
    ]


@settings(max_examples=400, deadline=None)
@given(reports(), st.data())
def test_the_faults_of_an_emu_that_moves_are_as_a_plain_reading_of_the_rules_has_them(
    said: list[Said], data: st.DataObject
) -> None:
    world = World(said)
    states = ("in_service", "in_service", "commissioning", "retired")
    steps: list[Callable[[], object]] = [
        world.send, world.send, world.send, world.send, world.send, world.commit, world.crash,
        world.learn, world.learn, world.lag, world.tell, world.tell, world.tell,
        *(lambda n=n: world.step(n, 2) for n in range(PARTITIONS)),
        *(lambda n=n: world.step(n, 4) for n in range(PARTITIONS)),
        *(lambda n=n: world.step(n, 3, aborted=True) for n in range(PARTITIONS)),
        *(lambda n=n: world.restart(n) for n in range(PARTITIONS)),
        *(lambda n=n: world.listen(n) for n in range(PARTITIONS)),
        *(lambda to=to, n=n: world.move(to, states[n % 4]) for n, to in enumerate(SITES * 2)),
        *(lambda state=state: world.change(state) for state in states[1:]),
    ]  # fmt: skip
    for number in data.draw(st.lists(st.integers(0, len(steps) - 1), min_size=10, max_size=80)):
        steps[number]()
    world.finish()

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
from services.classifier.whereabouts import WAIT_MS
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
from tests.unit.test_classifier_oracle import (
    CATALOGUE,
    CODES,
    at,
    in_any_order,
    presences,
    words,
)

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

    def __init__(self, said: list[Said], names: list[str] | None = None) -> None:
        """`names`: of the EMU nothing is known at first, and each report says where it is, one of these."""
        self.fleet = Partitions(Rules(CATALOGUE, HOLDS_MS, HEARTBEAT))
        luggage: dict[Label, Luggage] = {}
        self.posts = [
            Post(CATALOGUE, HOLDS_MS, number=number, home=self.home, luggage=luggage)
            for number in range(PARTITIONS)
        ]
        self.read = [0] * PARTITIONS
        self.names = names
        """None: ingest knows a record of the EMU."""
        self.heard_under = names or []
        if names is None:
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
            site_id = self.sites[self.known]
            if self.names is not None:
                site_id = self.names[self.next % len(self.names)]
            self.fleet.write(replace(report, site_id=site_id))
        self.next += 1
        self.farthest = max(self.farthest, self.next)

    def commit(self) -> None:
        self.committed = self.next

    def crash(self) -> None:
        """Not while an EMU becomes known: what was sent by its names and comes again counts again."""
        if self.names is None or len(self.sites) == 1:
            self.next = self.committed

    def learn(self) -> None:
        if not self.unwritten:
            self.known = len(self.sites) - 1
            if self.names is not None and len(self.sites) > 1:
                self.names, self.committed = None, self.next

    def lag(self) -> None:
        """An instance of ingest goes on that does not know of the newest move yet."""
        if len(set(self.sites)) == len(self.sites):
            self.known = max(self.known - 1, 0)
            self.settled = False

    def move(self, to: str, state: str) -> None:
        """Once the copies of the move before are written; and, back to a site, once ingest knows of it."""
        last = self.sites[-1]
        knows = self.known == len(self.sites) - 1
        known_places = {self.home(site) for site in (*self.sites, *self.heard_under)}
        back = self.home(to) in known_places
        if self.names is not None and len(self.sites) == 1:
            self.become_known(to, state)
            return
        if to == last or self.unwritten or self.names or (back and not (knows and self.settled)):
            return
        self.revision += 1
        self.desks = {"desk": f"desk of {to}", "state": state}
        copies = moved(self.revision, to, last, receipt_ms=self.now_ms, **self.desks)
        self.unwritten = copies[:: 1 if self.revision % 2 else -1]
        self.sites.append(to)

    def become_known(self, to: str, state: str) -> None:
        """From all names under which it may have been heard."""
        if self.next < self.farthest:
            return
        others = sorted({*SITES} - {to})
        copies = moved(1, to, *others, receipt_ms=self.now_ms, state=state)
        self.unwritten = copies[:: 1 if state == "in_service" else -1]
        self.sites = [to, to]

    def move_in_vain(self, to: str, state: str) -> None:
        """The old site's partition is not served; the new one waits for it for too long, and hears more."""
        before = len(self.sites)
        self.move(to, state)
        if len(self.sites) == before:
            return
        while self.unwritten:
            self.tell()
        self.learn()
        self.wait(self.home(to))
        for _ in range(2):
            self.send()
        self.step(self.home(to), 1_000)

    def change(self, state: str) -> None:
        """Its record says something else, and it stays."""
        if not self.unwritten and self.names is None:
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

    def wait(self, number: int) -> None:
        """All that is there is read, and ten seconds go by: what waits there waits no longer.

        What was judged before the EMU left cannot be told there from what is new: it does not come again.
        """
        if self.next < self.farthest:
            return
        self.committed = self.next
        self.step(number, 1_000)
        post = self.posts[number]
        before, told, sent = len(self.fleet.published), len(post.published), len(post.sent)
        logs = [len(log) for log in self.fleet.logs]
        for at_ms in (self.now_ms, self.now_ms + WAIT_MS):
            self.fleet.wait(number, at_ms)
            post.follow(at_ms)
        post.wait_too_long()
        self.compare(number, before, told, logs, sent)

    def lose_input(self, number: int) -> None:
        """Of what it says nothing is missing here: what goes on is as it was, and nobody knows that."""
        post = self.posts[number]
        before, told = len(self.fleet.published), len(post.published)
        self.fleet.lose_input(number)
        post.lose_input()
        in_any_order(self.fleet.published, before)
        in_any_order(post.published, told)
        self.compare(number, before, told, [len(log) for log in self.fleet.logs], len(post.sent))

    def compare(self, number: int, before: int, told: int, logs: list[int], sent: int) -> None:
        """What one partition has published since, and written to others."""
        post = self.posts[number]
        assert normal(self.fleet.published[before:]) == normal(post.published[told:])
        written = [decode_internal(raw) for log, start in zip(self.fleet.logs, logs, strict=True)
                   for raw in log[start:]]  # fmt: skip
        assert sorted(map(outline, written)) == sorted(post.sent[sent:])

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
        self.compare(number, before, told, sent, heard)

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


def drawn_steps(world: World, data: st.DataObject) -> list[Callable[[], object]]:
    """What happens, in any order."""
    states = ("in_service", "in_service", "commissioning", "retired")
    steps: list[Callable[[], object]] = [
        world.send, world.send, world.send, world.send, world.send, world.commit, world.crash,
        world.learn, world.learn, world.lag, world.tell, world.tell, world.tell,
        *(lambda n=n: world.step(n, 2) for n in range(PARTITIONS)),
        *(lambda n=n: world.step(n, 4) for n in range(PARTITIONS)),
        *(lambda n=n: world.step(n, 3, aborted=True) for n in range(PARTITIONS)),
        *(lambda n=n: world.restart(n) for n in range(PARTITIONS)),
        *(lambda n=n: world.listen(n) for n in range(PARTITIONS)),
        *(lambda n=n: world.wait(n) for n in range(PARTITIONS)),
        *(lambda n=n: world.lose_input(n) for n in range(PARTITIONS)),
        *(lambda to=to, n=n: world.move(to, states[n % 4]) for n, to in enumerate(SITES * 2)),
        *(lambda to=to, n=n: world.move_in_vain(to, states[n % 4]) for n, to in enumerate(SITES * 2)),
        *(lambda state=state: world.change(state) for state in states[1:]),
    ]  # fmt: skip
    numbers = st.lists(st.integers(0, len(steps) - 1), min_size=10, max_size=80)
    return [steps[number] for number in data.draw(numbers)]


@settings(max_examples=400, deadline=None)
@given(reports(), st.data())
def test_the_faults_of_an_emu_that_moves_are_as_a_plain_reading_of_the_rules_has_them(
    said: list[Said], data: st.DataObject
) -> None:
    world = World(said)
    for step in drawn_steps(world, data):
        step()
    world.finish()


@settings(max_examples=400, deadline=None)
@given(reports(), st.lists(st.sampled_from(SITES), min_size=1, max_size=4), st.data())
def test_so_are_those_of_an_emu_that_is_heard_under_several_names_until_it_is_known(
    said: list[Said], names: list[str], data: st.DataObject
) -> None:
    world = World(said, names)
    for step in drawn_steps(world, data):
        step()
    world.finish()

"""The rules of docs/services/classifier.md on EMUs that change their site, read plainly.

What is judged is in `classifier_oracle`. Here it is said where, and what comes along. It reads the logs of
all partitions as they came to be, and says itself what a transfer has in it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from msgspec import structs

from shared.documents.ids import make_id
from shared.documents.internal import (
    Edge,
    Fact,
    Forward,
    InternalRecord,
    Snapshot,
    Source,
    Tick,
    Transfer,
    Word,
)
from tests.unit.classifier_oracle import (
    Counter,
    Life,
    Oracle,
    Place,
    Presences,
    names_over,
    tells_of_the_past,
)

Key = tuple[int, int]
"""Of a transfer: from which partition, and the revision by which the EMU left there."""
Label = tuple[str, Key, int]
"""Of luggage: whose it is, by which transfer, and to which partition it is on its way."""


@dataclass
class Luggage:
    """What goes along with an EMU."""

    lives: list[Life]
    state: str
    """As its record said where it stood."""
    boots: list[str]
    places: set[Place]
    counters: dict[str, Counter]
    spoken: dict[tuple[str, str], Place]
    looked: int | None
    presences: Presences | None
    heard: set[Source]
    behind: list[Key]
    """Other transfers that come to the same place."""


@dataclass
class Stay:
    """Where an EMU is that has moved, as one partition knows it."""

    revision: int = 0
    to: str | None = None
    """None: it is here."""
    missing: set[Key] = field(default_factory=set[Key])
    come: set[Key] = field(default_factory=set[Key])
    waits: bool = False
    waiting: list[Word | Forward] = field(default_factory=list[Word | Forward])
    goes_by: Fact | None = None
    """It goes on as soon as all that is missing has come."""
    behind: list[Key] = field(default_factory=list[Key])
    since: list[Word] = field(default_factory=list[Word])
    """What was judged of it while something was missing."""


@dataclass
class Post(Oracle):
    """One partition among others."""

    number: int = 0
    home: Callable[[str], int] = hash
    luggage: dict[Label, Luggage] = field(default_factory=dict[Label, Luggage])
    """All that is on its way anywhere: one for all posts."""
    stays: dict[str, Stay] = field(default_factory=dict[str, Stay])
    heard: dict[str, set[Source]] = field(default_factory=dict[str, set[Source]])
    """Of each EMU, what was judged or sent on."""
    sent: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    """What goes to other partitions: what it is, of whom, where to."""

    def take_in(self, record: InternalRecord | Tick) -> None:
        """The next of its log."""
        if isinstance(record, Tick):
            self.hear(record)
            return
        self.follow(record.receipt_ms)
        if isinstance(record, Transfer):
            self.take(record)
        elif isinstance(record, Fact):
            self.move(record)
        else:
            self.word(record)

    def word(self, record: Word | Forward) -> None:
        """It waits, goes on behind its EMU, or is judged."""
        stay = self.stays.get(record.emu_id)
        if stay is not None and stay.waits:
            stay.waiting.append(record)
            return
        word = record.record if isinstance(record, Forward) else record
        heard = self.heard.setdefault(word.emu_id, set())
        if word.source in heard:
            return
        heard.add(word.source)
        if stay is not None and stay.to is not None:
            self.sent.append(("forward", word.emu_id, stay.to))
            return
        if stay is not None and stay.missing:
            stay.since.append(word)
        known = self.facts.get(word.emu_id)
        self.judge(word if known is None else at_site(word, known.site_id))

    def is_waiting(self, _emu: str) -> bool:
        stay = self.stays.get(_emu)
        return stay is not None and stay.waits

    def move(self, fact: Fact) -> None:
        """A record of the EMU, which moves with it or not."""
        emu, revision = fact.emu_id, fact.record.revision
        stay = self.stays.get(emu)
        if stay is None and not fact.from_sites:
            self.learn(fact)
            return
        known = self.facts.get(emu)
        if revision <= max(stay.revision if stay else 0, known.revision if known else 0):
            return
        stay = self.stays.setdefault(emu, Stay())
        stay.revision = revision
        if self.home(fact.record.site_id) == self.number:
            self.come(stay, fact)
        else:
            stay.to = fact.record.site_id
            if stay.waits:
                stay.goes_by = fact
            else:
                self.leave(stay, fact)

    def come(self, stay: Stay, fact: Fact) -> None:
        """It is to be here."""
        emu, site = fact.emu_id, fact.record.site_id
        if stay.goes_by is not None:  # it was to go, and does not; somebody waits for a transfer
            self.pack(fact.emu_id, stay, stay.goes_by, [])
            stay.goes_by, stay.behind = None, []
        elif stay.to is not None:
            self.heard[emu] = set()
        stay.to = None
        elsewhere = {self.home(one) for one in fact.from_sites} - {self.number}
        stay.missing |= {(one, fact.record.revision) for one in elsewhere} - stay.come
        stay.waits = stay.waits or bool(elsewhere)
        going = [life for key, life in self.lives.items() if key[0] == emu and life.site != site]
        before = self.facts.get(emu)
        carried = self.end_lives(going)
        self.learn(fact)
        self.arrive(carried, site, fact.receipt_ms, before.state if before else "unknown")
        if emu in self.presences:
            self.presences[emu].site = site

    def leave(self, stay: Stay, fact: Fact) -> None:
        """It goes, and takes all along."""
        emu = fact.emu_id
        self.backlogs.pop(emu, None)
        lives = self.end_lives([life for key, life in self.lives.items() if key[0] == emu])
        self.pack(emu, stay, fact, lives)
        stay.behind, stay.since = [], []
        self.facts.pop(emu, None)

    def pack(self, emu: str, stay: Stay, fact: Fact, lives: list[Life]) -> None:
        """All that is known of it; `lives` are what stands."""
        gone = stay.to is not None and stay.goes_by is None
        facts = self.facts.get(emu)
        luggage = Luggage(lives, facts.state if facts else "unknown", [], set(), {}, {}, None,
                          None, set(), list(stay.behind))  # fmt: skip
        if gone:
            luggage.boots = self.boots.pop(emu, [])
            luggage.places = {place for one, place in self.places if one == emu}
            self.places = {one for one in self.places if one[0] != emu}
            luggage.counters = {boot: self.counters.pop((one, boot))
                                for one, boot in list(self.counters) if one == emu}  # fmt: skip
            luggage.spoken = {key[1:]: self.spoken.pop(key)
                              for key in list(self.spoken) if key[0] == emu}  # fmt: skip
            luggage.looked = self.looked.pop(emu, None)
            luggage.presences = self.presences.pop(emu, None)
            luggage.heard = set(self.heard.get(emu, set()))
        key = (self.number, fact.record.revision)
        self.luggage[emu, key, self.home(fact.record.site_id)] = luggage
        self.sent.append(("transfer", emu, fact.record.site_id))

    def end_lives(self, lives: list[Life]) -> list[Life]:
        """Their faults end here; what is to go on elsewhere."""
        self.tell_history(lives)
        going: list[Life] = []
        for life in sorted(lives, key=lambda one: one.key):
            del self.lives[life.key]
            told = life.revision > 0
            if told:
                self.publish(life, "moved" if life.cleared is None else "closed")
            if told and life.cleared is not None:
                self.raises[life.key] = life.rises
            if life.cleared is None:
                going.append(life)
            elif life.waiting_raise is not None:
                going.append(begun_anew(life))
            elif life.place is not None:
                going.append(replace(life, revision=0, rises=[], clocks=None, moved_from=None))
        return going

    def arrive(
        self,
        lives: list[Life],
        site: str,
        receipt: int,
        state: str,
        since: list[Word] | None = None,
    ) -> None:
        """They go on here; `since`: what was said here while they were missing."""
        for life in lives:
            record = self.facts.get(life.key[0])
            source = life.first.record.source
            former, told = life.fault, life.revision > 0
            life.site = site
            life.fault = make_id("f", site, *life.key, *source.stream, *source.place, former)
            life.revision = 0
            if told:
                life.moved_from = former
                into_service = record is not None and record.state == "in_service"
                if state in ("commissioning", "retired") and into_service and not life.hazard:
                    life.clocks = max(receipt, life.first.receipt)
            self.arrive_as(life, told, self.lives.get(life.key), since or [])

    def arrive_as(self, came: Life, told: bool, here: Life | None, since: list[Word]) -> None:
        """One of them; `here` is what is known of the same condition."""
        gone = [word.receipt_ms for word in since if says_gone(word, came.key)]
        if here is None and came.cleared is None and gone and max(gone) >= came.last:
            self.arrive_gone(came, told, max(gone))
        elif here is None:
            self.arrive_alone(came, told)
        elif came.cleared is not None or (here.cleared is not None and self.is_raised(here)):
            return
        elif here.cleared is None:
            self.become_one(came, told, here)
        elif came.last > here.cleared:
            self.close(here)
            self.arrive_alone(came, told)
        elif not here.revision:
            came.place = here.place
            self.arrive_gone(came, told, here.cleared)

    def arrive_alone(self, came: Life, told: bool) -> None:
        self.lives[came.key] = came
        if told:
            self.publish(came, "opened")

    def arrive_gone(self, came: Life, told: bool, receipt: int) -> None:
        """There was a fault, and it has gone since."""
        if told:
            self.lives[came.key] = came
            self.clear(came, receipt, self.now)
            self.publish(came, "opened")

    def become_one(self, came: Life, told: bool, here: Life) -> None:
        """Both stand: since the earlier, with the counts of both, as grave as the graver."""
        graver = came if (came.grade, not came.hazard) < (here.grade, not here.hazard) else here
        older = came if came.first.receipt < here.first.receipt else here
        change = "opened" if not here.revision else "repeated"
        if here.revision and graver.grade < here.grade:
            change = "regraded"
        here.grade, here.reason, here.level = graver.grade, graver.reason, graver.level
        here.by_catalogue, here.why, here.words = graver.by_catalogue, graver.why, graver.words
        here.kind, here.hazard = graver.kind, here.hazard or came.hazard
        first = older.first
        here.first = replace(here.first, receipt=first.receipt, at=first.at)
        here.clocks = older.clocks
        here.moved_from = here.moved_from or came.moved_from
        here.last = max(here.last, came.last)
        here.count += came.count
        here.flaps += came.flaps
        if told or here.revision:
            here.waiting_raise = None
            self.publish(here, change)

    def take(self, transfer: Transfer) -> None:
        """What was known elsewhere."""
        emu, record = transfer.emu_id, transfer.record
        key = (self.home(transfer.from_site), record.revision)
        stay = self.stays.get(emu)
        if stay is not None and key in stay.come:
            return
        if self.home(record.site_id) == self.number:
            none = Source(0, "dispatch", 0, 0, 0)
            fact = Fact(none, transfer.site_id, transfer.receipt_ms, record, transfer.from_sites)
            self.move(fact)
        stay = self.stays.setdefault(emu, Stay())
        stay.missing.discard(key)
        luggage = self.luggage.pop((emu, key, self.number))
        if stay.to is not None:
            if stay.waits:
                stay.behind.append(key)
            self.luggage[emu, key, self.home(stay.to)] = luggage
            self.sent.append(("transfer", emu, stay.to))
        else:
            stay.come.add(key)
            self.unpack(stay, luggage, transfer)
        if stay.waits and not stay.missing:
            self.wait_no_longer(emu, stay)

    def unpack(self, stay: Stay, luggage: Luggage, transfer: Transfer) -> None:
        """It is known here now."""
        emu = transfer.emu_id
        self.heard.setdefault(emu, set()).update(luggage.heard)
        own = self.boots.get(emu, [])
        self.boots[emu] = [*luggage.boots, *(boot for boot in own if boot not in luggage.boots)]
        self.places |= {(emu, place) for place in luggage.places}
        for boot, one in luggage.counters.items():
            self.join_counters(self.counters.setdefault((emu, boot), one), one)
        for name, place in luggage.spoken.items():
            before = self.spoken.get((emu, *name))
            if before is None or self.is_before(emu, before, place):
                self.spoken[emu, *name] = place
        if luggage.looked is not None:
            self.looked[emu] = max(self.looked.get(emu, 0), luggage.looked)
        known = self.facts.get(emu)
        site = known.site_id if known else transfer.site_id
        self.join_presences(emu, luggage.presences)
        if emu in self.presences:
            self.presences[emu].site = site
            self.presences[emu].last = max(self.presences[emu].last, self.now)
        more = {*luggage.behind} - stay.come - stay.missing
        stay.missing |= more
        stay.waits = stay.waits or bool(more)
        self.arrive(luggage.lives, site, transfer.receipt_ms, luggage.state, stay.since)
        if not stay.missing:
            stay.since = []

    def join_counters(self, here: Counter, came: Counter) -> None:
        here.newest = max(here.newest, came.newest)
        here.lap = max(here.lap, came.lap)
        here.range = max(here.range, came.range)

    def join_presences(self, emu: str, came: Presences | None) -> None:
        """The newer word of it; gone where it was by either, until it says anything."""
        here = self.presences.get(emu)
        if here is None or came is None:
            if came is not None:
                self.presences[emu] = came
            return
        older, newer = (came, here) if came.last < here.last else (here, came)
        newer.interval = newer.interval or older.interval
        newer.gone = newer.gone or older.gone
        self.presences[emu] = newer

    def wait_too_long(self) -> None:
        """What waits here has waited for ten seconds."""
        for emu, stay in self.stays.items():
            if stay.waits:
                self.wait_no_longer(emu, stay)

    def wait_no_longer(self, emu: str, stay: Stay) -> None:
        """All has come: it goes on, or what has waited is judged."""
        waiting, stay.waiting, stay.waits = stay.waiting, [], False
        fact, stay.goes_by = stay.goes_by, None
        if fact is not None:
            self.leave(stay, fact)
        for record in waiting:
            self.word(record)


def begun_anew(life: Life) -> Life:
    """A raise that waits goes on as the first one of another fault."""
    risen = life.changed[-1] if life.revision else life.begun()
    grade = life.by_catalogue
    return Life(
        key=life.key,
        place=life.place,
        first=replace(life.first, receipt=risen, at=risen),
        level=life.level,
        grade=grade,
        by_catalogue=grade,
        reason=life.reason,
        last=life.last,
        model=life.model,
        firmware=life.firmware,
        kind=life.kind,
        hazard=life.hazard,
        told=life.told,
        wait=life.wait,
        changed=life.changed,
        past=life.past,
        stale=life.stale,
        waiting_raise=life.waiting_raise,
        site=life.site,
        fault=life.fault,
    )


def says_gone(word: Word, key: tuple[str, str, str]) -> bool:
    """Whether by this word of now the condition does not stand, or has not stood until then."""
    if not isinstance(word, Edge | Snapshot) or tells_of_the_past(word):
        return False
    if isinstance(word, Edge):
        return not word.raised and (word.component, word.code) == key[1:]
    return any(
        part.component == key[1] and (part.scope is None or name in part.scope)
        for part in word.parts
        for name in names_over(key[2])
    )


def at_site(word: Word, site: str) -> Word:
    """Where it is by its record."""
    return structs.replace(word, site_id=site)

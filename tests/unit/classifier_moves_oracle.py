"""The rules of docs/services/classifier.md on EMUs that change their site, read plainly.

What is judged is in `classifier_oracle`. Here it is said where, and what comes along. It reads the logs of
all partitions as they came to be, and says itself what a transfer has in it. Of EMUs of which a record is
known from the beginning, so that nothing is known of one at two places.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from msgspec import structs

from shared.documents.ids import make_id
from shared.documents.internal import (
    Fact,
    Forward,
    InternalRecord,
    Source,
    Tick,
    Transfer,
    Word,
)
from tests.unit.classifier_oracle import Counter, Life, Oracle, Place, Presences

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
        known = self.facts.get(word.emu_id)
        self.judge(word if known is None else at_site(word, known.site_id))

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
        stay.behind = []
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

    def arrive(self, lives: list[Life], site: str, receipt: int, state: str) -> None:
        """They go on here."""
        for life in lives:
            known = self.facts.get(life.key[0])
            source = life.first.record.source
            former = life.fault
            life.site = site
            life.fault = make_id("f", site, *life.key, *source.stream, *source.place, former)
            told = life.revision > 0
            life.revision = 0
            self.lives[life.key] = life
            if not told:
                continue
            life.moved_from = former
            into_service = known is not None and known.state == "in_service"
            if state in ("commissioning", "retired") and into_service and not life.hazard:
                life.clocks = max(receipt, life.first.receipt)
            self.publish(life, "opened")

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
        self.boots[emu] = [*luggage.boots, *self.boots.get(emu, [])]
        self.places |= {(emu, place) for place in luggage.places}
        self.counters.update({(emu, boot): one for boot, one in luggage.counters.items()})
        self.spoken.update({(emu, *key): place for key, place in luggage.spoken.items()})
        if luggage.looked is not None:
            self.looked[emu] = luggage.looked
        known = self.facts.get(emu)
        site = known.site_id if known else transfer.site_id
        if luggage.presences is not None:
            self.presences[emu] = luggage.presences
            self.presences[emu].site = site
            self.presences[emu].last = max(luggage.presences.last, self.now)
        more = {*luggage.behind} - stay.come - stay.missing
        stay.missing |= more
        stay.waits = stay.waits or bool(more)
        self.arrive(luggage.lives, site, transfer.receipt_ms, luggage.state)

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


def at_site(word: Word, site: str) -> Word:
    """Where it is by its record."""
    return structs.replace(word, site_id=site)

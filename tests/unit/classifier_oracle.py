"""The rules of docs/services/classifier.md read plainly: slow, one record at a time, nothing forgotten.

Written from the rules, to hold the classifier against. It has no batches, no changelog, no list of wake-ups:
it looks at every condition before every record.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.catalogue import Catalogue
from shared.documents.fault import Fault, FaultChange, FaultSource, Grade
from shared.documents.ids import make_id
from shared.documents.internal import Edge, Snapshot, Source
from shared.times import to_rfc3339

MINUTE = 60_000
WINDOW = 15 * MINUTE
WAITS = [1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE]

Key = tuple[str, str, str]
Place = tuple[str, int]
"""Of a report in its EMU's order: (boot, seq)."""


@dataclass
class Word:
    """A raise or a clear of one condition, by an edge or a snapshot."""

    key: Key
    raised: bool
    receipt: int
    at: int
    place: Place | None
    level: str | None
    record: Edge | Snapshot


@dataclass
class Life:
    """All that is known of one condition: of its fault, if it has one, or only that it has gone."""

    key: Key
    place: Place | None
    """Of the newest word."""
    first: Word
    level: str | None = None
    grade: Grade = "D"
    reason: str = ""
    revision: int = 0
    count: int = 1
    flaps: int = 0
    last: int = 0
    cleared: int | None = None
    model: str | None = None
    firmware: str | None = None
    told: int = 0
    wait: int = 0
    trailing_due: int | None = None
    closing_due: int | None = None

    def due(self) -> int | None:
        """When something happens without a word."""
        times = [self.closing_due, self.trailing_due if self.cleared is None else None]
        return min((time for time in times if time is not None), default=None)


@dataclass
class Oracle:
    """What is published for a stream of edges and snapshots."""

    catalogue: Catalogue
    now: int = 0
    published: list[Fault] = field(default_factory=list[Fault])
    lives: dict[Key, Life] = field(default_factory=dict[Key, Life])
    sources: set[Source] = field(default_factory=set[Source])
    places: set[tuple[str, Place]] = field(default_factory=set[tuple[str, Place]])
    boots: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    spoken: dict[Key, Place] = field(default_factory=dict[Key, Place])
    """For (EMU, component, name), the newest snapshot that said all of the name."""

    def hear(self, record: Edge | Snapshot) -> None:
        """One record, whatever it is."""
        self.follow(record.receipt_ms)
        if record.source in self.sources:
            return
        self.sources.add(record.source)
        emu = record.emu_id
        place = None
        if record.boot is not None and record.seq is not None:
            place = (record.boot, record.seq)
            if (emu, place) in self.places:
                return
            self.places.add((emu, place))
            known = self.boots.setdefault(emu, [])
            if record.boot not in known:
                known.append(record.boot)
        if isinstance(record, Edge):
            key = (emu, record.component, record.code)
            said = (record.raised, record.receipt_ms, record.at_ms, place, record.level, record)
            self.say(Word(key, *said))
        else:
            self.compare(record, place)

    def follow(self, until: int) -> None:
        """Time goes on: what is due happens, in the order of its time, then of the conditions' names."""
        while True:
            due = [(at, key) for key, life in self.lives.items() if (at := life.due()) is not None]
            if not due or min(due)[0] > until:
                break
            at, key = min(due)
            self.now = max(self.now, at)
            self.wake(self.lives[key])
        self.now = max(self.now, until)

    def compare(self, record: Snapshot, place: Place | None) -> None:
        """A snapshot against what stands: what is gone, by name, then what is new, as it is named."""
        emu = record.emu_id
        over = {
            (emu, part.component, name)
            for part in record.parts
            for name in ([""] if part.scope is None else part.scope)
        }
        words = [*self.words_of_silence(record, place, over), *words_of_parts(record, place)]
        for word in words:
            life = self.lives.get(word.key)
            if word.raised and life is not None and self.is_raised(life):
                self.confirm(life, word)
            elif not self.is_late(word):
                self.say(word)
        for key in over:
            before = self.spoken.get(key)
            if place is None:
                self.spoken.pop(key, None)
            elif before is None or not self.is_before(emu, place, before):
                self.spoken[key] = place

    def words_of_silence(
        self, record: Snapshot, place: Place | None, over: set[Key]
    ) -> Iterator[Word]:
        """Clears of what stands, is not named, and of which the snapshot says all."""
        named = {(part.component, active.code) for part in record.parts for active in part.active}
        for key, life in sorted(self.lives.items()):
            gone = key[0] == record.emu_id and self.is_raised(life) and key[1:] not in named
            if gone and any((*key[:2], name) in over for name in names_over(key[2])):
                yield Word(key, False, record.receipt_ms, record.at_ms, place, None, record)

    def is_before(self, emu: str, one: Place, other: Place) -> bool:
        """Inside one boot the number decides, between boots which was heard of first."""
        boots = self.boots[emu]
        return (boots.index(one[0]), one[1]) < (boots.index(other[0]), other[1])

    def is_late(self, word: Word) -> bool:
        """Whether there is a newer word on that condition."""
        if word.place is None:
            return False
        emu, component, code = word.key
        life = self.lives.get(word.key)
        newest = [life.place] if life is not None and life.place is not None else []
        for name in names_over(code):
            if (emu, component, name) in self.spoken:
                newest.append(self.spoken[emu, component, name])
        return any(self.is_before(emu, word.place, place) for place in newest)

    def is_raised(self, life: Life) -> bool:
        """Whether it stands by the newest word on it."""
        return life.cleared is None

    def say(self, word: Word) -> None:
        """A raise or a clear."""
        life = self.lives.get(word.key)
        if self.is_late(word):
            self.count_late(life, word)
        elif word.raised:
            self.rise(life, word)
        else:
            self.fall(life, word)

    def rise(self, life: Life | None, word: Word) -> None:
        if life is not None and life.cleared is not None and word.receipt - life.cleared >= WINDOW:
            self.close(life)
            life = None
        if life is None or not life.revision:
            life = self.begin(word)
            self.publish(life, "opened")
            return
        quiet = word.receipt - life.last >= MINUTE
        life.place = word.place
        life.count += 1
        life.last = max(life.last, word.receipt)
        life.model = word.record.model or life.model
        life.firmware = word.record.firmware or life.firmware
        graver = self.grade_up(life, word.level)
        if life.cleared is not None:
            life.cleared = life.closing_due = None
            life.flaps += 1
            life.wait = 0
            self.publish(life, "reopened")
        elif graver:
            self.publish(life, "regraded")
        elif quiet:
            life.wait = 0
            self.publish(life, "repeated")
        elif life.trailing_due is None:
            life.trailing_due = life.told + WAITS[life.wait]

    def fall(self, life: Life | None, word: Word) -> None:
        if life is None or not life.revision:
            if life is not None or word.place is not None:
                self.clear(self.begin(word), word.receipt)
            return
        life.place = word.place
        if life.cleared is None:
            self.clear(life, word.receipt)
            self.publish(life, "cleared")

    def confirm(self, life: Life, word: Word) -> None:
        """A snapshot names what stands: only a graver level is news."""
        if self.is_late(word):
            return
        if self.grade_up(life, word.level):
            life.place = word.place
            life.last = max(life.last, word.receipt)
            self.publish(life, "regraded")

    def count_late(self, life: Life | None, word: Word) -> None:
        """An older word: a raise counts, no more."""
        if life is None or not word.raised:
            return
        if not life.revision:  # its own clear overtook it: it is a fault that has cleared
            place = life.place
            life = self.begin(word)
            life.place = place
            self.clear(life, word.receipt)
            self.publish(life, "opened")
        elif life.cleared is None:
            life.count += 1
            if life.trailing_due is None:
                life.trailing_due = max(self.now, life.told + WAITS[life.wait])

    def wake(self, life: Life) -> None:
        if life.cleared is None:
            life.wait = min(life.wait + 1, len(WAITS) - 1)
            self.publish(life, "repeated")
        else:
            self.close(life)

    def begin(self, word: Word) -> Life:
        life = self.lives[word.key] = Life(word.key, word.place, word, last=word.receipt)
        life.model, life.firmware = word.record.model, word.record.firmware
        row = self.catalogue.look_up(word.key[2], word.level)
        life.level, life.grade, life.reason = word.level, row.grade, row.reason
        return life

    def clear(self, life: Life, receipt: int) -> None:
        life.cleared = max(receipt, life.first.receipt)
        life.closing_due = max(life.cleared, self.now) + WINDOW

    def close(self, life: Life) -> None:
        del self.lives[life.key]
        if life.revision:
            self.publish(life, "closed")

    def grade_up(self, life: Life, level: str | None) -> bool:
        row = self.catalogue.look_up(life.key[2], level)
        if row.grade >= life.grade:
            return False
        life.level, life.grade, life.reason = level, row.grade, row.reason
        return True

    def publish(self, life: Life, change: FaultChange) -> None:
        life.revision += 1
        life.told = self.now
        life.trailing_due = None
        emu, component, code = life.key
        record = life.first.record
        source = record.source
        row = self.catalogue.look_up(code, life.level)
        state: Any = "closed" if change == "closed" else "cleared" if life.cleared else "open"
        opened = to_rfc3339(life.first.receipt)
        fault = Fault(
            fault_id=make_id(
                "f", record.site_id, emu, component, code, *source.stream, *source.place
            ),
            revision=life.revision,
            change=change,
            state=state,
            grade=life.grade,
            grade_reason=life.reason,
            hazard=row.hazard,
            kind=row.kind,
            code=code,
            title=row.title,
            remedy=row.remedy,
            emu_id=emu,
            component=component,
            site_id=record.site_id,
            model=life.model,
            firmware=life.firmware,
            raised_at=to_rfc3339(life.first.at),
            opened_at=opened,
            clocks_from=opened,
            last_at=to_rfc3339(life.last),
            cleared_at=to_rfc3339(life.cleared) if life.cleared else None,
            count=life.count,
            flaps=life.flaps,
            catalogue=self.catalogue.version,
            source=FaultSource(source.topic, source.partition, source.offset),
        )
        self.published.append(fault)


def words_of_parts(record: Snapshot, place: Place | None) -> Iterator[Word]:
    """A raise of all that is named, in its order."""
    for part in record.parts:
        for active in part.active:
            key = (record.emu_id, part.component, active.code)
            yield Word(key, True, record.receipt_ms, record.at_ms, place, active.level, record)


def names_over(code: str) -> Iterator[str]:
    """All names by which a snapshot may say all of it: everything, its beginnings at full stops, itself."""
    parts = code.split(".")
    yield ""
    for length in range(1, len(parts) + 1):
        yield ".".join(parts[:length])

"""The rules of docs/services/classifier.md read plainly: slow, one record at a time, nothing forgotten.

Written from the rules, to hold the classifier against. It has no batches, no changelog, no list of wake-ups:
it looks at every condition before every record.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from shared.catalogue import Catalogue, Row
from shared.documents.emu import EmuRecord
from shared.documents.fault import Fault, FaultChange, FaultSource, Grade
from shared.documents.ids import make_id
from shared.documents.internal import Edge, Fact, Presence, Ruling, Snapshot, Source, Tick
from shared.policy import GRADE_DEFINITIONS
from shared.times import to_rfc3339

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
WINDOW = 15 * MINUTE
WAITS = [1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE]
OFFLINE = ("emu", "bakvakt:emu_offline")
# A longer step of what ingest has read is an outage, in which EMUs may have spoken in vain.
OUTAGE = 15_000

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
    by_catalogue: Grade = "D"
    """By the gravest level that was said, whatever the fault is graded."""
    why: Literal["catalogue", "repeats", "age", "person"] = "catalogue"
    words: str = "By the catalogue"
    revision: int = 0
    count: int = 1
    flaps: int = 0
    last: int = 0
    cleared: int | None = None
    model: str | None = None
    firmware: str | None = None
    kind: str = ""
    hazard: bool = False
    clocks: int | None = None
    """From when they run, if not from its opening."""
    told: int = 0
    wait: int = 0
    changed: list[int] = field(default_factory=list[int])
    """Receipts of all changes between standing and gone."""
    past: bool = False
    """Whether the newest word on it told of the past."""
    untold: bool = False
    """Whether nobody is told yet what a backlog has made of it."""
    stale: bool = False
    """Whether its EMU has gone since the newest word on it."""
    site: str = ""
    fault: str = ""
    """The id of its fault, told or not."""
    moved_from: str | None = None
    rises: list[int] = field(default_factory=list[int])
    """When the condition was told as risen, in earlier faults too."""
    gone: int | None = None
    """Receipt of the word of the backlog by which it has gone."""
    waiting_raise: int | None = None
    """When the raise that nobody has been told of becomes a fault, or its fault is reopened."""
    waiting_clear: int | None = None
    """When the clear that nobody has been told of is believed."""
    trailing_due: int | None = None
    closing_due: int | None = None

    def due(self) -> tuple[int, str] | None:
        """When something happens without a word, and what: where several are due, in this order."""
        if self.untold:  # only a hazard does not wait for the end of the backlog
            due = self.waiting_raise if self.hazard else None
            return None if due is None else (due, "raise")
        times = [
            (self.waiting_raise, "raise"),
            (self.waiting_clear, "clear"),
            (self.too_old_at() if self.cleared is None and self.revision else None, "age"),
            (self.trailing_due if self.cleared is None else None, "trailing"),
            (self.closing_due if self.waiting_raise is None else None, "closing"),
        ]
        known = [(time, what) for time, what in times if time is not None]
        return min(known, key=lambda one: one[0], default=None)

    def begun(self) -> int:
        """When it first rose: of what came more than ten minutes late, by its device."""
        late = self.first.receipt - self.first.at > 10 * MINUTE
        return self.first.at if late else self.first.receipt

    def too_old_at(self) -> int | None:
        """When it has been open for too long for a D that nobody has thought about."""
        return self.first.receipt + DAY if (self.grade, self.why) == ("D", "catalogue") else None

    def regrade(self, grade: Grade, why: Literal["repeats", "age", "person"], words: str) -> None:
        self.grade, self.why, self.words = grade, why, words


@dataclass
class Counter:
    """What is known of the numbers of one boot."""

    newest: int = -1
    lap: int = 0
    """What it would stand at, had it not begun again, when it shows 0."""
    range: int = 0
    """How many numbers it has; 0: nobody knows that it begins again."""


@dataclass
class Presences:
    """What an EMU has told of its presence."""

    site: str
    source: Source
    """Of its newest sign of life, or of the word that it has gone."""
    last: int
    interval: int | None = None
    gone: bool = False


@dataclass
class Oracle:
    """What is published for a stream of records to one partition, of EMUs that stay there."""

    catalogue: Catalogue
    hold: Mapping[Grade, int]
    now: int = 0
    published: list[Fault] = field(default_factory=list[Fault])
    lives: dict[Key, Life] = field(default_factory=dict[Key, Life])
    raises: dict[Key, list[int]] = field(default_factory=dict[Key, list[int]])
    """When each condition was told as risen whose fault is closed, in it and in earlier ones."""
    sources: set[Source] = field(default_factory=set[Source])
    places: set[tuple[str, Place]] = field(default_factory=set[tuple[str, Place]])
    boots: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    counters: dict[tuple[str, str], Counter] = field(default_factory=dict[tuple[str, str], Counter])
    backlogs: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    """Of each EMU that tells of the past: since when, and the newest of it."""
    looked: dict[str, int] = field(default_factory=dict[str, int])
    """Receipt of each EMU's newest snapshot of now."""
    spoken: dict[Key, Place] = field(default_factory=dict[Key, Place])
    """For (EMU, component, name), the newest snapshot that said all of the name."""
    presences: dict[str, Presences] = field(default_factory=dict[str, Presences])
    facts: dict[str, EmuRecord] = field(default_factory=dict[str, EmuRecord])
    read: dict[int, int] = field(default_factory=dict[int, int])
    """Up to where ingest has read each partition of its only input."""
    listening_since: int = 0

    def hear(self, record: Edge | Snapshot | Ruling | Presence | Fact | Tick) -> None:
        """One record, whatever it is."""
        if isinstance(record, Tick):
            self.follow(0)
            self.note_reading(record)
            self.follow(0)
            return
        self.follow(record.receipt_ms)
        if isinstance(record, Fact):
            self.learn(record)
            return
        if record.source in self.sources:
            return
        self.sources.add(record.source)
        self.judge(record)

    def restart(self) -> None:
        """Of what ingest has read nothing is remembered."""
        self.read = {}
        self.listening_since = 0

    def lose_input(self) -> None:
        """Records are gone that were not read: what stood is stale, whoever was there is listened to anew."""
        self.restart()
        for key, life in sorted(self.lives.items(), key=lambda item: item[0]):
            if key[1:] != OFFLINE:
                self.doubt(life)
        self.follow(0)

    def doubt(self, life: Life) -> None:
        """Nobody knows any more whether it stands."""
        if not self.is_raised(life) or life.stale:
            return
        life.stale = True
        if life.revision and life.cleared is None:
            self.publish(life, "stale")

    def judge(self, record: Edge | Snapshot | Ruling | Presence) -> None:
        """One that did not come before."""
        if isinstance(record, Ruling):
            self.obey(record)
        elif isinstance(record, Presence):
            self.attend(record)
        else:
            self.report(record)

    def report(self, record: Edge | Snapshot) -> None:
        emu = record.emu_id
        place = None
        if record.boot is not None and record.seq is not None:
            place = (record.boot, self.count_on(record, record.boot, record.seq))
            if (emu, place) in self.places:
                return
            self.places.add((emu, place))
            known = self.boots.setdefault(emu, [])
            if record.boot not in known:
                known.append(record.boot)
            counter = self.counters.setdefault((emu, record.boot), Counter())
            counter.newest = max(counter.newest, place[1])
        self.note_backlog(record)
        if isinstance(record, Edge):
            key = (emu, record.component, record.code)
            said = (record.raised, record.receipt_ms, record.at_ms, place, record.level, record)
            self.say(Word(key, *said))
        else:
            self.compare(record, place)
        presences = self.presences.get(emu)
        if presences is None or record.historical or not self.is_of_newest_boot(record):
            return
        self.live(presences, record)

    def attend(self, record: Presence) -> None:
        """A heartbeat, `online` or `offline`."""
        emu = record.emu_id
        if record.historical:
            return
        if not self.is_of_newest_boot(record):
            return
        if record.state == "online" and emu in self.backlogs:
            self.end_backlog(emu)
        presences = self.presences.get(emu)
        if record.state == "offline" and presences is not None and presences.gone:
            return
        if presences is None:
            presences = Presences(record.site_id, record.source, record.receipt_ms)
            self.presences[emu] = presences
        if record.state == "offline":
            note_sign(presences, record)
            self.go(emu, presences, record.at_ms, record.receipt_ms)
            return
        if record.interval_s is not None:
            presences.interval = round(record.interval_s * 1000)
        self.live(presences, record)

    def is_of_newest_boot(self, record: Edge | Snapshot | Presence) -> bool:
        """A boot that was not heard before is the newest."""
        if record.boot is None:
            return True
        known = self.boots.setdefault(record.emu_id, [])
        if record.boot not in known:
            known.append(record.boot)
        return known[-1] == record.boot

    def live(self, presences: Presences, record: Edge | Snapshot | Presence) -> None:
        """A sign of life ends the absence, and nothing else."""
        note_sign(presences, record)
        presences.gone = False
        life = self.lives.get((record.emu_id, *OFFLINE))
        if life is not None and self.is_raised(life):
            word = of_absence(
                record.emu_id, presences, record.at_ms, record.receipt_ms, raised=False
            )
            self.fall(life, word)

    def go(self, emu: str, presences: Presences, at: int, receipt: int) -> None:
        """It is not there: what stood is stale, and its absence is a fault of our own."""
        presences.gone = True
        for key, life in sorted(self.lives.items(), key=lambda item: item[0]):
            if key[0] == emu and key[1:] != OFFLINE:
                self.doubt(life)
        life = self.lives.get((emu, *OFFLINE))
        if life is None or not self.is_raised(life):
            self.rise(life, of_absence(emu, presences, at, receipt, raised=True))

    def note_reading(self, tick: Tick) -> None:
        """Ingest's word: how far it has read one of its partitions."""
        before = self.heard_to(tick)
        self.read[tick.partition] = max(self.read.get(tick.partition, 0), tick.read_to_ms)
        heard_to = self.heard_to(tick)
        if heard_to - before > OUTAGE:
            self.listening_since = max(heard_to, self.now)

    def heard_to(self, tick: Tick | None = None) -> int:
        """All that was said by then is known."""
        if tick is not None:
            for number in range(tick.inputs[0][1]):
                self.read.setdefault(number, 0)
        return min(self.read.values(), default=0)

    def is_waiting(self, _emu: str) -> bool:
        """Whether what it says is not judged yet, so that nobody can tell whether it was silent."""
        return False

    def next_silence(self) -> tuple[int, str] | None:
        """Who was silent for too long first, and when that was."""
        silences = [
            (max(one.last, self.listening_since) + max(3 * one.interval, 30_000), emu)
            for emu, one in self.presences.items()
            if one.interval is not None and not one.gone and not self.is_waiting(emu)
        ]
        first = min(silences, default=None)
        return None if first is None or first[0] > self.heard_to() else first

    def learn(self, fact: Fact) -> None:
        """A newer record of the EMU: what stands is told where its document says anything else by it."""
        emu, record = fact.emu_id, fact.record
        before = self.facts.get(emu)
        if before is not None and record.revision <= before.revision:
            return
        self.facts[emu] = record
        released = (
            before is not None
            and before.state in ("commissioning", "retired")
            and record.state == "in_service"
        )
        for key, life in sorted(self.lives.items(), key=lambda item: item[0]):
            if key[0] != emu or (life.cleared is not None and not life.revision):
                continue
            known = life.revision and life.cleared is None
            if released and not life.hazard:
                life.clocks = max(fact.receipt_ms, life.first.receipt, life.clocks or 0)
                if known:
                    self.publish(life, "released")
            elif known and self.told_of(life, before) != self.told_of(life, record):
                self.publish(life, "repeated")

    def told_of(self, life: Life, record: EmuRecord | None) -> dict[str, Any]:
        """What a fault's document has of its EMU."""
        return {
            "customer_id": record.customer_id if record else None,
            "desk": record.desk if record else "default",
            "policy": record.policy if record else "default",
            "emu_state": record.state if record else "unknown",
            "model": life.model or (record.model if record else None),
            "firmware": life.firmware or (record.firmware if record else None),
        }

    def count_on(self, record: Edge | Snapshot, boot: str, seq: int) -> int:
        """Of a counter that begins again at 0, as if it went on."""
        counter = self.counters.get((record.emu_id, boot))
        if counter is None:
            return seq
        if seq >= counter.range:
            counter.range = 0
        on_time = record.receipt_ms - record.at_ms <= 10 * MINUTE and not record.historical
        if counter.range:
            turns = [counter.lap + counter.range, counter.lap, counter.lap - counter.range]
            distances = [abs(lap + seq - counter.newest) for lap in turns]
            lap = turns[distances.index(min(distances))]
        else:
            lap, shown = counter.lap, counter.newest - counter.lap
            for end in (256, 65_536, 4_294_967_296):
                if on_time and end * 0.75 <= shown < end and seq < end * 0.25:
                    counter.range = end
                    lap = counter.lap + end
        counter.lap = max(counter.lap, lap)
        return lap + seq

    def note_backlog(self, record: Edge | Snapshot) -> None:
        """A report of the past begins a backlog or goes on with it, one of now ends it."""
        emu, time = record.emu_id, max(record.receipt_ms, self.now)
        if tells_of_the_past(record):
            self.backlogs[emu] = (self.backlogs.get(emu, (time, time))[0], time)
        elif emu in self.backlogs:
            self.end_backlog(emu)

    def end_backlog(self, emu: str) -> None:
        """What has gone is told as gone, what stands as any raise; by name."""
        del self.backlogs[emu]
        self.tell_history([life for key, life in self.lives.items() if key[0] == emu])

    def tell_history(self, lives: list[Life]) -> None:
        """What a backlog has made of them, where nobody is told yet."""
        for life in sorted(lives, key=lambda one: one.key):
            if not life.untold:
                continue
            life.untold = False
            if life.gone is not None:
                self.tell_history_of_gone(life, life.gone)
            elif life.waiting_raise is not None:
                self.tell_history_of_risen(life)

    def tell_history_of_gone(self, life: Life, receipt: int) -> None:
        life.gone = None
        over = life.changed[-1] + self.off_delay(life)
        if life.revision and over > self.now:
            life.waiting_clear = over
        else:
            self.tell_gone(life, receipt, self.now)

    def tell_history_of_risen(self, life: Life) -> None:
        on = self.on_delay(life)
        due = max(self.now, self.risen(life) + on)
        if not life.revision:
            life.clocks = max(self.now, life.first.receipt)
            if not on:
                due = self.now + self.hold_of(life)
        life.waiting_raise = due
        if due <= self.now:
            self.tell_risen(life)

    def hear_of_the_past(self, word: Word, *, named: bool = False) -> None:
        """A word of a backlog, which is not late; `named`: by a snapshot, where it is no repeat."""
        life = self.lives.get(word.key)
        if life is None or (life.cleared is not None and not life.revision):
            if word.raised:
                self.begin_history(word)
            else:
                self.fall(life, word)
        elif word.raised and self.is_raised(life):
            self.stand_in_the_past(life, word, named=named)
        elif word.raised:
            self.rise_in_the_past(life, word)
        elif self.is_raised(life):
            self.fall_in_the_past(life, word)
        else:
            life.place = word.place

    def begin_history(self, word: Word) -> None:
        life = self.begin(word)
        life.changed[-1] = word.at
        self.grade_by_repeats(life, self.rises_by(life))
        self.keep_back(life, word)

    def keep_back(self, life: Life, word: Word) -> None:
        life.past = life.untold = True
        life.waiting_raise = word.receipt + MINUTE

    def stand_in_the_past(self, life: Life, word: Word, *, named: bool) -> None:
        if not named:
            life.count += 1
            if life.past or word.at > life.last:
                self.note(life, word)
                life.past = True
            self.tell_some_time(life)
        self.tell_history_if_graver(life, word)

    def tell_history_if_graver(self, life: Life, word: Word) -> None:
        if not self.grade_up(life, word.level):
            return
        if life.untold and life.waiting_raise is not None:
            self.keep_back(life, word)
        else:
            self.tell_graver(life)

    def rise_in_the_past(self, life: Life, word: Word) -> None:
        leaving = life.cleared is None
        gone = life.changed[-1] if life.past or leaving else life.cleared or 0
        if not life.past and word.at <= gone:
            self.count_late(life, word)
            return
        if word.at - gone >= WINDOW:
            if leaving:
                self.tell_gone(life, life.changed[-1] if life.gone is None else life.gone, self.now)
            self.close(life)
            self.begin_history(word)
            return
        self.note(life, word)
        life.count += 1
        life.flaps += 1
        life.changed.append(word.at)
        life.waiting_clear = life.gone = None
        life.past = True
        if not leaving or (not life.revision and life.waiting_raise is None):
            self.grade_up(life, word.level)
            self.keep_back(life, word)
        else:
            self.tell_history_if_graver(life, word)

    def fall_in_the_past(self, life: Life, word: Word) -> None:
        looked = self.looked.get(word.key[0], 0)
        newer = life.past or word.at > life.last
        if not life.untold and (not newer or looked >= max(life.last, word.at)):
            return  # it is known to have stood later
        life.past = True
        if not life.revision and not life.untold:
            self.fall(life, word)
            return
        life.place = word.place
        life.waiting_raise = None
        life.changed.append(word.at)
        if not life.revision and word.at - life.first.at < self.on_delay(life):
            life.untold = False
            self.clear(life, word.receipt, self.now)
        elif life.cleared is not None:
            life.untold = life.stale = False
        else:
            life.untold, life.gone = True, word.receipt

    def note(self, life: Life, word: Word) -> None:
        """The newest word on it."""
        life.place = word.place
        life.last = max(life.last, word.receipt)
        life.model = word.record.model or life.model
        life.firmware = word.record.firmware or life.firmware

    def tell_some_time(self, life: Life) -> None:
        if life.cleared is None and life.trailing_due is None and life.waiting_raise is None:
            life.trailing_due = max(self.now, life.told + WAITS[life.wait])

    def obey(self, ruling: Ruling) -> None:
        """A person's word on a condition of which there is, or may yet be, a fault."""
        life = self.lives.get((ruling.emu_id, ruling.component, ruling.code))
        if life is None or (life.cleared is not None and not life.revision):
            return
        if ruling.action == "clear" and life.cleared is not None:
            life.waiting_raise = None
            life.stale = False
        elif ruling.action == "clear":
            self.tell_gone(life, ruling.receipt_ms, self.now)
        elif ruling.action == "regrade" and ruling.grade is not None:
            if life.hazard and ruling.grade > life.grade:
                return
            life.regrade(ruling.grade, "person", f"Ruled by {ruling.by} ({ruling.reason})")
            if life.revision:
                self.publish(life, "regraded")
            elif not life.untold:
                self.tell_graver(life)

    def follow(self, until: int) -> None:
        """Time goes on, but first to where EMUs were silent for too long."""
        while (silence := self.next_silence()) is not None:
            at, emu = silence
            self.wake_until(at)
            self.go(emu, self.presences[emu], at, at)
        self.wake_until(until)

    def wake_until(self, until: int) -> None:
        """What is due happens, in the order of its time, then of the conditions' names."""
        until = max(until, self.now)
        while True:
            due = [(at[0], key) for key, life in self.lives.items() if (at := life.due())]
            due += [
                (min(newest + MINUTE, since + 5 * MINUTE), (emu, "", ""))
                for emu, (since, newest) in self.backlogs.items()
            ]
            if not due or min(due)[0] > until:
                break
            at, key = min(due)
            self.now = max(self.now, at)
            if not key[1]:
                self.end_backlog(key[0])
                continue
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
                if not tells_of_the_past(record):
                    self.confirm(life, word)
                elif not self.is_late(word) and self.is_graver(life, word.level):
                    self.hear_of_the_past(word, named=True)
            elif not self.is_late(word):
                self.say(word)
        if not tells_of_the_past(record):
            self.looked[emu] = max(self.looked.get(emu, 0), record.receipt_ms)
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
        """Whether it stands by the newest word on it, told or not."""
        if life.gone is not None:
            return False
        if life.waiting_raise is not None and life.waiting_clear is None:
            return True
        return life.cleared is None and life.waiting_clear is None

    def say(self, word: Word) -> None:
        """A raise or a clear."""
        life = self.lives.get(word.key)
        if self.is_late(word):
            self.count_late(life, word)
        elif tells_of_the_past(word.record):
            self.hear_of_the_past(word)
        else:
            if life is not None:
                life.past = False
            if word.raised:
                self.rise(life, word)
            else:
                self.fall(life, word)

    def rise(self, life: Life | None, word: Word) -> None:
        life = None if life is None else self.finish(life, word.receipt)
        if life is None or (life.cleared is not None and not life.revision):
            life = self.begin(word)
            self.grade_by_repeats(life, self.rises_by(life))
            self.tell_or_wait(life, word.receipt)
            return
        news = life.stale or word.receipt - life.last >= MINUTE
        life.stale = False
        back = not self.is_raised(life)
        life.place = word.place
        life.count += 1
        life.last = max(life.last, word.receipt)
        life.model = word.record.model or life.model
        life.firmware = word.record.firmware or life.firmware
        if back:
            life.flaps += 1
            life.changed.append(word.receipt)
            life.waiting_clear = None
        graver = self.grade_up(life, word.level)
        if back and life.cleared is not None:
            self.tell_or_wait(life, word.receipt)
        elif graver:
            self.tell_graver(life)
        elif life.waiting_raise is not None:
            pass
        elif news:
            life.wait = 0
            self.publish(life, "repeated")
        elif life.trailing_due is None:
            life.trailing_due = life.told + WAITS[life.wait]

    def finish(self, life: Life, receipt: int) -> Life | None:
        """What has been gone for long enough by its own receipts is over, whatever the time is."""
        if self.is_raised(life):
            return life
        if life.waiting_clear is not None and receipt - life.changed[-1] >= self.off_delay(life):
            self.tell_gone(life, life.changed[-1], self.now)
        if life.cleared is not None and receipt - life.cleared >= WINDOW:
            self.close(life)
            return None
        return life

    def tell_or_wait(self, life: Life, receipt: int) -> None:
        """A raise is told when the hold of its grade and the on-delay of its kind are over."""
        due = receipt + (self.hold_of(life) if not life.revision else 0)
        if self.on_delay(life):
            due = max(due, max(receipt, self.now) + self.on_delay(life))
        life.waiting_raise = due
        if due <= self.now:
            self.tell_risen(life)

    def tell_graver(self, life: Life) -> None:
        """At once, or after the hold of the new grade where it has not been told."""
        if life.waiting_raise is None:
            self.publish(life, "regraded")
            return
        risen = self.risen(life)
        hold = 0 if life.revision else self.hold_of(life)
        due = risen + max(hold, self.on_delay(life))
        life.waiting_raise = min(life.waiting_raise, due)
        if due <= self.now:
            self.tell_risen(life)

    def risen(self, life: Life) -> int:
        """Receipt of the raise that is told, or waits."""
        return life.changed[-1] if life.revision else life.begun()

    def rises_by(self, life: Life) -> list[int]:
        """All times at which the condition was told as risen, with that of the raise that waits."""
        return [*life.rises, self.risen(life)]

    def grade_by_repeats(self, life: Life, rises: list[int]) -> None:
        """The newest three within a day: one grade up from what the catalogue says."""
        newest = sorted(rises)[-3:]
        often = len(newest) == 3 and max(newest) - min(newest) <= DAY
        if often and life.why == "catalogue" and life.grade != "A":
            life.regrade(one_up(life.grade), "repeats", "Raised 3 times within 24 h")

    def count_rise(self, life: Life) -> None:
        """It is told as risen now."""
        life.rises = self.rises_by(life)
        self.grade_by_repeats(life, life.rises)

    def tell_gone(self, life: Life, receipt: int, since: int) -> None:
        """As `clear`; of a fault that nobody has heard of it is told that there was one."""
        if not life.revision:
            self.count_rise(life)
        self.clear(life, receipt, since)
        self.publish(life, "cleared" if life.revision else "opened")

    def tell_risen(self, life: Life) -> None:
        if life.untold and not life.revision:
            life.clocks = max(self.now, life.first.receipt)
        life.untold = False
        self.count_rise(life)
        too_old_at = life.too_old_at()
        if too_old_at is not None and too_old_at <= self.now:
            life.regrade("C", "age", "Open for 24 h")
        life.waiting_raise = life.cleared = life.closing_due = None
        life.wait = 0
        self.publish(life, "reopened" if life.revision else "opened")

    def fall(self, life: Life | None, word: Word) -> None:
        if life is None or (life.cleared is not None and not life.revision):
            if life is not None or word.place is not None:
                self.remember_gone(life, word)
            return
        life.place = word.place
        if not self.is_raised(life):
            return
        life.stale = False
        if life.waiting_raise is not None:
            risen = self.risen(life)
            if word.receipt - risen < self.on_delay(life):  # it was nothing
                life.waiting_raise = None
                if life.revision:
                    life.changed.append(word.receipt)
                else:
                    self.clear(life, word.receipt, self.now)
                return
            if life.revision:
                self.tell_risen(life)
        life.changed.append(word.receipt)
        if self.off_delay(life):
            life.waiting_clear = max(word.receipt, self.now) + self.off_delay(life)
        else:
            self.tell_gone(life, word.receipt, self.now)

    def remember_gone(self, life: Life | None, word: Word) -> None:
        """For 22.5 minutes, anew where fewer than 15 of them are left."""
        since = max(word.receipt, self.now)
        if life is not None and (life.closing_due or 0) - since >= WINDOW:
            life.place = word.place
            return
        life = self.begin(word)
        self.clear(life, word.receipt, self.now)
        life.closing_due = since + WINDOW + WINDOW // 2

    def confirm(self, life: Life, word: Word) -> None:
        """A snapshot names what stands: news where it was stale, or is graver now."""
        if self.is_late(word):
            return
        was_stale, life.stale = life.stale, False
        if was_stale:
            life.past = False
        if self.grade_up(life, word.level):
            life.place = word.place
            life.past = False
            life.last = max(life.last, word.receipt)
            self.tell_graver(life)
        elif was_stale and life.waiting_raise is None:
            self.publish(life, "repeated")

    def count_late(self, life: Life | None, word: Word) -> None:
        """An older word: a raise counts, no more."""
        if not word.raised:
            return
        if life is None or (life.cleared is not None and not life.revision):
            if self.row(word.key[2], word.level).on_delay_s:
                return
            # Its own clear overtook it, or a snapshot: it is a fault that has cleared.
            place = word.place if life is None else life.place
            life = self.begin(word)
            life.place = place
            self.tell_gone(life, word.receipt, self.now)
        elif life.cleared is None:
            life.count += 1
            self.tell_some_time(life)

    def wake(self, life: Life) -> None:
        due = life.due()
        assert due is not None
        if due[1] == "raise":
            self.tell_risen(life)
        elif due[1] == "clear":
            self.tell_gone(life, life.changed[-1], self.now - self.off_delay(life))
        elif due[1] == "age":
            life.regrade("C", "age", "Open for 24 h")
            self.publish(life, "regraded")
        elif due[1] == "trailing":
            life.wait = min(life.wait + 1, len(WAITS) - 1)
            self.publish(life, "repeated")
        else:
            self.close(life)

    def hold_of(self, life: Life) -> int:
        return 0 if self.row(life.key[2], life.level).hazard else self.hold[life.grade]

    def on_delay(self, life: Life) -> int:
        return self.row(life.key[2], life.level).on_delay_s * 1000

    def off_delay(self, life: Life) -> int:
        """The kind's; and a minute where three changes came within a minute."""
        off = self.row(life.key[2], life.level).off_delay_s * 1000
        if len(life.changed) >= 3 and life.changed[-1] - life.changed[-3] <= MINUTE:
            return max(off, MINUTE)
        return off

    def row(self, code: str, level: str | None) -> Row:
        return self.catalogue.look_up(code, level)

    def begin(self, word: Word) -> Life:
        life = self.lives[word.key] = Life(word.key, word.place, word, last=word.receipt)
        life.model, life.firmware = word.record.model, word.record.firmware
        life.site, source = word.record.site_id, word.record.source
        life.fault = make_id("f", life.site, *word.key, *source.stream, *source.place)
        life.rises = list(self.raises.get(word.key, []))
        life.changed.append(word.receipt)
        row = self.row(word.key[2], word.level)
        life.level, life.grade, life.reason = word.level, row.grade, row.reason
        life.by_catalogue = row.grade
        life.kind, life.hazard = row.kind, row.hazard
        return life

    def clear(self, life: Life, receipt: int, since: int) -> None:
        """Gone since that receipt; by the clock, since `since`."""
        life.waiting_raise = life.waiting_clear = life.gone = None
        life.untold = life.stale = False
        life.cleared = max(receipt, life.first.receipt)
        life.closing_due = max(life.cleared, since) + WINDOW

    def close(self, life: Life) -> None:
        del self.lives[life.key]
        if life.revision:
            self.raises[life.key] = life.rises
            self.publish(life, "closed")

    def is_graver(self, life: Life, level: str | None) -> bool:
        return self.grade_up(replace(life), level)

    def grade_up(self, life: Life, level: str | None) -> bool:
        """A level may make it graver, or a hazard; whether it has."""
        row = self.row(life.key[2], level)
        new_hazard = row.hazard and not life.hazard
        grade = row.grade
        if life.why == "repeats":
            grade = one_up(row.grade)
        if life.why == "person" and row.grade >= life.by_catalogue and not new_hazard:
            grade = life.grade  # the person knew of levels that grave
        if grade >= life.grade and not new_hazard:
            return False
        life.level = level
        if grade <= life.grade:
            life.grade, life.reason, life.by_catalogue = grade, row.reason, row.grade
            if life.why != "repeats":
                life.why, life.words = "catalogue", "By the catalogue"
        if row.hazard or not life.hazard:
            life.kind = row.kind
        life.hazard = life.hazard or row.hazard
        return True

    def reason(self, life: Life) -> str:
        change = f", {life.grade} instead of {life.by_catalogue}"
        if life.why == "catalogue":
            change = f" {life.grade}"
        elif life.grade == life.by_catalogue:
            change = f", {life.grade}"
        definition = GRADE_DEFINITIONS[life.grade]
        return f"{life.reason.removesuffix('.')}. {life.words}{change}: {definition}."

    def publish(self, life: Life, change: FaultChange) -> None:
        life.revision += 1
        life.told = self.now
        life.trailing_due = None
        emu, component, code = life.key
        source = life.first.record.source
        row = self.row(code, life.level)
        state: Any = "cleared" if life.cleared else "open"
        opened = to_rfc3339(life.first.receipt)
        fault = Fault(
            fault_id=life.fault,
            revision=life.revision,
            change=change,
            state="closed" if change in ("closed", "moved") else state,
            stale=life.stale,
            grade=life.grade,
            grade_reason=self.reason(life),
            hazard=life.hazard,
            kind=life.kind,
            code=code,
            title=row.title,
            remedy=row.remedy,
            emu_id=emu,
            component=component,
            site_id=life.site,
            **self.told_of(life, self.facts.get(emu)),
            raised_at=to_rfc3339(life.first.at),
            opened_at=opened,
            clocks_from=opened if life.clocks is None else to_rfc3339(life.clocks),
            last_at=to_rfc3339(life.last),
            cleared_at=to_rfc3339(life.cleared) if life.cleared else None,
            count=life.count,
            flaps=life.flaps,
            moved_from=life.moved_from,
            catalogue=self.catalogue.version,
            source=FaultSource(source.topic, source.partition, source.offset),
        )
        self.published.append(fault)


def note_sign(presences: Presences, record: Edge | Snapshot | Presence) -> None:
    """The newest word of it."""
    presences.site, presences.source = record.site_id, record.source
    presences.last = max(presences.last, record.receipt_ms)


def of_absence(emu: str, presences: Presences, at: int, receipt: int, *, raised: bool) -> Word:
    """A word on its absence, which has no number."""
    record = Edge(presences.source, emu, presences.site, *OFFLINE, raised, at, receipt)
    return Word((emu, *OFFLINE), raised, receipt, at, None, None, record)


def tells_of_the_past(record: Edge | Snapshot) -> bool:
    """It says so, or its time is more than ten minutes ago."""
    return record.historical or record.receipt_ms - record.at_ms > 10 * MINUTE


def one_up(grade: Grade) -> Grade:
    """Not above A."""
    graver: dict[Grade, Grade] = {"D": "C", "C": "B", "B": "A", "A": "A"}
    return graver[grade]


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

"""What the classifier remembers, and how it is written to the changelog.

Keys of the changelog: `c` + EMU, component, code (a condition); `r` + the same (when it rose, where its
fault is closed); `x` + id (a closed fault, and until when its document is kept); `e` + EMU (what was heard
from it, written with each of its reports); `f` + EMU (what is known of it from its record, written seldom);
`meta` (the input offset that all of it is valid for, and the task's time).
"""

from sys import intern
from typing import Literal

import msgspec
from msgspec.structs import replace

from shared.documents.emu import EmuRecord, EmuState, Unit
from shared.documents.fault import Grade
from shared.documents.internal import Source
from shared.times import MINUTE_MS

# Identifiers hold printable characters only (shared.documents.report), so this one parts them.
_PART = "\x1f"
META_KEY = b"meta"

# What rules on capacity need; an EMU with more is one of which its units are not known.
MAX_UNITS = 200

REOPEN_WINDOW_MS = 15 * MINUTE_MS

# A report that speaks of a time so long before its receipt is history: it comes in a backlog.
OLD_MS = 10 * MINUTE_MS
# A backlog has ended after so much quiet, and is looked at as if it had after so long.
BACKLOG_QUIET_MS = MINUTE_MS
BACKLOG_LIMIT_MS = 5 * MINUTE_MS

ConditionKey = tuple[str, str, str]
"""(emu_id, component, code): what names a condition."""
ConditionName = tuple[str, str]
"""(component, code): what names a condition within its EMU."""

Interval = tuple[int, int]


class Boot(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The sequence numbers heard from one boot of an EMU, as intervals (first, last), ascending."""

    boot: str
    seen: tuple[Interval, ...]
    base: int = 0
    """To be added to a number, since its counter has begun again (numbers.py)."""
    wraps_at: int = 0
    """Where its counter begins again at 0; 0: not known that it does."""


class Spoken(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Names of which one snapshot said all, and no newer one since; where it is in its EMU's order."""

    boot: str
    seq: int
    names: tuple[int, ...]
    """As order.number_of has them, ascending."""


class Backlog(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An EMU tells of the past: when its first and its newest word of that came, by the task's time."""

    since_ms: int
    last_ms: int

    @property
    def ends_at_ms(self) -> int:
        """When it has ended, if nothing more comes."""
        return min(self.last_ms + BACKLOG_QUIET_MS, self.since_ms + BACKLOG_LIMIT_MS)


class Link(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Whether an EMU that tells of its presence is there.

    A heartbeat that says nothing new is only kept in memory: what was written may be older.
    """

    site_id: str
    source: Source
    """The newest sign of life, or the report that it has gone."""
    last_ms: int
    """Its receipt."""
    interval_ms: int | None = None
    """Of its heartbeats; None: it has sent none, so its silence says nothing."""
    gone: bool = False
    """It was told, or judged by its silence, that the EMU is not there."""


class Emu(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was heard from one EMU: the newest source of each input, its boots, oldest first, and what its
    numbered snapshots spoke of, in the order of their coming.
    """

    sources: tuple[Source, ...] = ()
    boots: tuple[Boot, ...] = ()
    spoken: tuple[Spoken, ...] = ()
    heard_ms: int = 0
    """Receipt of what was heard last; 0: written before this was kept."""
    backlog: Backlog | None = None
    """None: it tells of the present."""
    snapshot_ms: int = 0
    """Receipt of its newest live snapshot."""
    link: Link | None = None
    """None: it has told nothing of its presence."""


NEW_EMU = Emu()


class Facts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is known of one EMU from its record; of most EMUs of a fleet, and changed seldom."""

    revision: int = 0
    """Of the record; 0: nothing is known."""
    site_id: str = ""
    customer_id: str | None = None
    desk: str = "default"
    policy: str = "default"
    state: Literal["unknown"] | EmuState = "unknown"
    model: str | None = None
    firmware: str | None = None
    units: tuple[Unit, ...] = ()


NO_FACTS = Facts()


def facts_of(record: EmuRecord) -> Facts:
    """What is kept of the record."""
    return Facts(
        revision=record.revision,
        site_id=record.site_id,
        customer_id=record.customer_id,
        desk=record.desk,
        policy=record.policy,
        state=record.state,
        model=record.model,
        firmware=record.firmware,
        units=record.units if len(record.units) <= MAX_UNITS else (),
    )


class Regrade(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Why a grade is not, or does not follow, the catalogue's."""

    by: Literal["repeats", "age", "ruling"]
    base: Grade
    """The catalogue's, by the gravest level that was reported."""
    words: str
    """As grade_reason has them, before the grade."""


class Marks(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What few conditions have: the others take no room for it."""

    stale: bool = False
    """Nobody knows whether it still stands: its EMU went silent, or input was lost."""
    clocks_from_ms: int | None = None
    """From when the clocks run, where the fault was held back; None: from its opening."""
    regrade: Regrade | None = None
    """None: the grade is the catalogue's."""
    raises: tuple[int, ...] = ()
    """When the condition was told as risen, oldest first, where that was more often than once lately; those
    of its earlier faults are among them (grading.raises_of).
    """
    cause_id: str | None = None
    """The fault that it is a symptom of."""
    rule: str | None = None
    """The one that attached it."""
    detached: bool = False
    """A person has said that it stands for itself: it is not attached again while its fault lives."""
    past: bool = False
    """The newest word on it came in a backlog."""
    untold: bool = False
    """What the backlog made of it is told when that ends, or earlier where it is a hazard."""
    moved_from: str | None = None
    """The fault that it was at the site from which its EMU came."""


NO_MARKS = Marks()


class Condition(msgspec.Struct, array_like=True, frozen=True, kw_only=True, gc=False):
    """A condition that stands, or whose reopen window is not over yet.

    Or only the word, with its place in the EMU's order, that it has gone: of revision 0, for as long.
    """

    emu_id: str
    component: str
    code: str
    site_id: str
    fault_id: str
    revision: int
    grade: Grade
    grade_reason: str
    raised_at_ms: int
    opened_at_ms: int
    last_at_ms: int
    cleared_at_ms: int | None
    """None: the condition stands."""
    count: int
    flaps: int
    level: str | None
    """The one that gave the grade, or made it a hazard."""
    model: str | None
    firmware: str | None
    source: Source
    """The report that opened the fault."""
    boot: str | None
    seq: int | None
    """Place of the newest word on the condition, where its EMU numbers its reports."""
    published_ms: int
    """When the newest revision was published."""
    ladder: int
    """Which wait comes before the next trailing revision (judge.TRAILING_MS)."""
    publish_at_ms: int | None
    """When the trailing revision is due; None: no repeat is waiting."""
    closes_at_ms: int | None
    """When the reopen window ends by the task's time; None: the condition stands."""
    ripe_at_ms: int | None = None
    """When its newest raise is told, if it stands until then; None: no raise waits."""
    clears_at_ms: int | None = None
    """When it is cleared, if it stays away until then; None: it is not leaving."""
    changes: tuple[int, ...] = ()
    """Receipts of its newest changes between standing and gone, in their order, at most three; of those in a
    backlog the device's times.
    """
    kind: str | None = None
    """The one it was told with; None: remembered before this was kept."""
    hazard: bool = False
    """Whether it ever was one, since it opened."""
    marks: Marks | None = None
    """None: NO_MARKS. Change them by `with_marks`."""
    ages_at_ms: int | None = None
    """When it is graver for having stood so long, if it does until then; None: never."""

    @property
    def key(self) -> ConditionKey:
        return (self.emu_id, self.component, self.code)

    @property
    def name(self) -> ConditionName:
        return (self.component, self.code)

    @property
    def stands(self) -> bool:
        """Whether it has not been cleared: it may be leaving."""
        return self.cleared_at_ms is None

    @property
    def is_raised(self) -> bool:
        """Whether the newest word on it is a raise, told or not."""
        if self.clears_at_ms is not None:
            return False
        return self.cleared_at_ms is None or self.ripe_at_ms is not None

    @property
    def is_open(self) -> bool:
        """Whether others know of a fault that stands."""
        return self.revision > 0 and self.cleared_at_ms is None

    @property
    def is_word_only(self) -> bool:
        """It is remembered that it has gone, but there was no fault."""
        return self.revision == 0 and self.cleared_at_ms is not None

    @property
    def is_stale(self) -> bool:
        """Whether nobody knows if it still stands."""
        return self.marks is not None and self.marks.stale

    @property
    def risen_at_ms(self) -> int:
        """When it rose, as told or about to be told: for a fault nobody knows of, its first raise."""
        return self.changes[-1] if self.revision else self.began_ms

    @property
    def began_ms(self) -> int:
        """Receipt of the first raise; what came much too late began when its device says."""
        late = self.opened_at_ms - self.raised_at_ms > OLD_MS
        return self.raised_at_ms if late else self.opened_at_ms

    @property
    def is_over(self) -> bool:
        """Whether the next thing that happens to it by itself is its end."""
        return self.cleared_at_ms is not None and self.ripe_at_ms is None

    @property
    def wake_at_ms(self) -> int | None:
        """When something happens to it by itself; None: never."""
        if self.marks is not None and self.marks.untold:
            return self.ripe_at_ms if self.hazard else None
        if self.cleared_at_ms is not None:
            return self.closes_at_ms if self.ripe_at_ms is None else self.ripe_at_ms
        ages_at_ms = self.ages_at_ms if self.revision else None
        if self.ripe_at_ms is None and self.clears_at_ms is None and ages_at_ms is None:
            return self.publish_at_ms
        waits = (self.publish_at_ms, self.ripe_at_ms, self.clears_at_ms, ages_at_ms)
        return min(at_ms for at_ms in waits if at_ms is not None)


def set_stale(condition: Condition, *, stale: bool) -> Condition:
    """The condition, unchanged where it is so already."""
    if condition.is_stale is stale:
        return condition
    return with_marks(condition, replace(condition.marks or NO_MARKS, stale=stale))


def with_marks(condition: Condition, marks: Marks) -> Condition:
    """The condition with these, whatever it had."""
    return replace(condition, marks=None if marks == NO_MARKS else marks)


def share(condition: Condition) -> Condition:
    """The same condition, with each text that others have as well in memory only once.

    They are decoded one by one; a million conditions have few models, codes and reasons, and ten to an EMU.
    """
    source = condition.source
    return replace(
        condition,
        emu_id=intern(condition.emu_id),
        component=intern(condition.component),
        code=intern(condition.code),
        site_id=intern(condition.site_id),
        grade_reason=intern(condition.grade_reason),
        level=condition.level and intern(condition.level),
        model=condition.model and intern(condition.model),
        firmware=condition.firmware and intern(condition.firmware),
        boot=condition.boot and intern(condition.boot),
        kind=condition.kind and intern(condition.kind),
        source=replace(source, topic=intern(source.topic)),
    )


class Meta(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What the whole state is valid for."""

    offset: int
    """Of the next input record."""
    now_ms: int
    """The task's time: the largest receipt processed; never goes back."""
    marking: bool = False
    """Input was lost, and not all that stood then is marked as stale yet."""


encode = msgspec.msgpack.Encoder().encode
decode_condition = msgspec.msgpack.Decoder(Condition).decode
decode_emu = msgspec.msgpack.Decoder(Emu).decode
decode_facts = msgspec.msgpack.Decoder(Facts).decode
decode_hour = msgspec.msgpack.Decoder(int).decode
decode_meta = msgspec.msgpack.Decoder(Meta).decode
decode_raises = msgspec.msgpack.Decoder(tuple[int, ...]).decode


def condition_key(key: ConditionKey) -> bytes:
    """The changelog's key of a condition."""
    emu_id, component, code = key
    return f"c{_PART}{emu_id}{_PART}{component}{_PART}{code}".encode()


def raises_key(key: ConditionKey) -> bytes:
    """The changelog's key of when a condition rose, where its fault is closed."""
    emu_id, component, code = key
    return f"r{_PART}{emu_id}{_PART}{component}{_PART}{code}".encode()


def emu_key(emu_id: str) -> bytes:
    """The changelog's key of an EMU."""
    return f"e{_PART}{emu_id}".encode()


def facts_key(emu_id: str) -> bytes:
    """The changelog's key of what is known of an EMU."""
    return f"f{_PART}{emu_id}".encode()


def closed_key(fault_id: str) -> bytes:
    """The changelog's key of a closed fault."""
    return f"x{_PART}{fault_id}".encode()


def parse_condition_key(key: bytes) -> ConditionKey:
    """The reverse of `condition_key`."""
    _, emu_id, component, code = key.decode().split(_PART)
    return (emu_id, component, code)


def parse_emu_key(key: bytes) -> str:
    """The reverse of `emu_key`, of `facts_key`, and of `closed_key`."""
    return key.decode().split(_PART, 1)[1]

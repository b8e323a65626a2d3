"""Pure: a plan as the few bytes that its entry in Redis has.

Redis keeps small hashes in one piece (a listpack) as long as no value has more than 64 bytes. Nine moments
come to 63: a moment is the number of its name and how long it comes after the entry's earliest time.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from struct import Struct, error
from typing import NamedTuple, cast

import msgspec

from services.timer.plan import EPOCH, MS, OWN_END, Draft, Event, Moment, Plan
from shared.documents.fault import Grade

GRADES: tuple[Grade, ...] = ("A", "B", "C", "D")
_WIDE = 128

_pack_name = msgspec.msgpack.Encoder().encode
_unpack_name = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class Names(dict[tuple[str, ...], int]):
    """Texts by number and back, for one shard: what has none gets the next one when it is asked for.

    Numbers are never given anew, for entries hold them; they are written before the entry that does.
    """

    def __init__(self, stored: Iterable[bytes] = ()) -> None:
        self._texts = [_unpack_name(name) for name in stored]
        super().__init__((texts, number) for number, texts in enumerate(self._texts))
        self._kept = len(self._texts)

    def __missing__(self, texts: tuple[str, ...]) -> int:
        self[texts] = number = len(self._texts)
        self._texts.append(texts)
        return number

    def texts(self) -> Sequence[tuple[str, ...]]:
        """By number."""
        return self._texts

    def fresh(self) -> list[bytes]:
        """Those that are not written yet, in order."""
        return [_pack_name(texts) for texts in self._texts[self._kept :]]

    def written(self) -> None:
        """What was fresh is in Redis."""
        self._kept = len(self._texts)


@cache
def _narrow(pairs: int) -> Struct:
    return Struct(">BBHIHII" + "BI" * pairs)


@cache
def _wide(pairs: int) -> Struct:
    return Struct(">B6q" + "qq" * pairs)


_NARROW_BYTES, _PAIR_BYTES = _narrow(0).size, 5
_WIDE_BYTES, _WIDE_PAIR_BYTES = _wide(0).size, 16


def pack(plan: Plan, places: Names, names: Names) -> bytes:
    """The entry: a head, a pair for each moment of the plan, a pair for each that fired and is not in it.
    Those of the plan are in any order.

    The pair of a moment is (2 x the number of its name, + 1 if it fired; its time), that of another is
    (2 x the number + 1; its version); times count from the earliest of all. What does not fit into the
    narrow form (some 49 days, 127 names) has the wide one.
    """
    moments, fired = plan.moments, plan.fired
    base_ms = plan.written_ms
    if moments and moments[0].at_ms < base_ms:
        base_ms = moments[0].at_ms
    gone = set(fired)
    if gone:
        gone.difference_update([moment.identity for moment in moments])
        base_ms = min([base_ms, *(version for _, _, version in gone)])
    pairs: list[int] = []
    for moment in moments:
        pairs += (2 * names[moment.clock, moment.share, moment.event], moment.at_ms - base_ms)
    if fired:
        for place, moment in enumerate(moments):
            pairs[2 * place] += (moment.clock, moment.share, moment.version) in fired
    for clock, share, version in sorted(gone):
        pairs.append(2 * names[clock, share, "due" if share == OWN_END else "warning"] + 1)
        pairs.append(version - base_ms)
    form = GRADES.index(plan.grade)
    head = (
        len(moments),
        places[plan.site_id, plan.desk],
        plan.revision,
        base_ms >> 32,
        base_ms & 0xFFFFFFFF,
        plan.written_ms - base_ms,
    )
    try:
        return _narrow(len(pairs) // 2).pack(form, *head, *pairs)
    except error:
        return _wide(len(pairs) // 2).pack(form + _WIDE, *head, *pairs)


class Packed(NamedTuple):
    """What a record says of a case, as it goes to Redis where the case has no entry there."""

    entry: bytes
    first_ms: int | None
    """As `Plan.outlook` has it, and the next one too."""
    standing: int
    places: Names
    names: Names

    @property
    def plan(self) -> Plan:
        return unpack(self.entry, self.places, self.names)


def pack_draft(draft: Draft, places: Names, names: Names) -> Packed:
    """What `pack` and `outlook` give for the draft's plan, without making it."""
    case, written_ms = draft
    pairs: list[int] = []
    standing = 0
    for name, clock in case.clocks.items():
        if clock.stopped_at is not None:
            continue
        standing += 1
        for warn in clock.warn:
            share = warn.share
            if share != OWN_END:
                after_ms = (warn.at - EPOCH) // MS - written_ms
                pairs += (2 * names[name, share, "warning"], after_ms)
        after_ms = (clock.due - EPOCH) // MS - written_ms
        pairs += (2 * names[name, OWN_END, clock.event], after_ms)
    count = len(pairs) // 2
    try:
        entry = _narrow(count).pack(
            GRADES.index(case.grade),
            count,
            places[case.site_id, case.desk],
            case.revision,
            written_ms >> 32,
            written_ms & 0xFFFFFFFF,
            0,
            *pairs,
        )
    except error:  # also where a moment is past
        plan = draft.plan
        return Packed(pack(plan, places, names), *plan.outlook(), places, names)
    first_ms = written_ms + min(pairs[1::2]) if pairs else None
    return Packed(entry, first_ms, standing, places, names)


def unpack(entry: bytes, places: Names, names: Names) -> Plan:
    """The plan that `pack` was given; `fired` may be in another order."""
    if entry[0] < _WIDE:
        layout = _narrow((len(entry) - _NARROW_BYTES) // _PAIR_BYTES)
    else:
        layout = _wide((len(entry) - _WIDE_BYTES) // _WIDE_PAIR_BYTES)
    numbers: tuple[int, ...] = layout.unpack(entry)
    form, count, place, revision, base_high, base_low, written, *pairs = numbers
    base_ms = (base_high << 32) + base_low
    texts = names.texts()
    found = [
        (base_ms + after_ms, texts[name >> 1], name & 1)
        for name, after_ms in zip(pairs[0::2], pairs[1::2], strict=True)
    ]
    planned = sorted(found[:count])
    ends = {clock: at_ms for at_ms, (clock, share, _), _ in planned if share == OWN_END}
    moments = tuple(
        Moment(at_ms, clock, share, cast(Event, event), ends[clock])
        for at_ms, (clock, share, event), _ in planned
    )
    fired = [moment.identity for moment, found in zip(moments, planned, strict=True) if found[2]]
    fired += [(clock, share, version) for version, (clock, share, _), _ in found[count:]]
    site_id, desk = places.texts()[place]
    return Plan(
        revision,
        base_ms + written,
        GRADES[form % _WIDE],
        site_id,
        desk,
        moments,
        tuple(fired),
    )

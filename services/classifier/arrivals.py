"""Which record is new, of an EMU that has changed its site: it may come by several ways. Pure.

Ingest sends an EMU's records of one input in their order, each at least once; after a restart it sends some
of them again, perhaps to the partition that the EMU has moved to meanwhile. What came by one way, and is
passed on in this order, is a run from the first place to the newest, and three things can be told:
- What comes again by the same way is not above the newest place of its run.
- What ingest sends here directly, though a later record has come by another way, was sent before: if it lies
  in the run of that way, it is a repetition.
- So is what lies in the part of a run that came before its partition had heard of the move.
Of a record that is forwarded late nothing more can be told: two instances of ingest may have heard of the
move at different times. It is a repetition if it is among the newest records that came by another way; in
doubt it counts again rather than be lost.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from services.classifier.state import Emu
from shared.documents.internal import Source

Origin = tuple[int, int]
"""A way: the partition that ingest sent it to, and the revision by which the EMU was there.

0: by no record of it, but by what its reports said. Those may have named several sites in turn: no run.
"""
Place = tuple[int, int]

BEFORE_ALL: Place = (-1, -1)
# Two ways of as many inputs as an EMU may have; those that have been silent for longest are forgotten.
MAX_ARRIVALS = 32
# More than an EMU says while a forward is on its way, and ingest begins again.
MAX_RECENT = 64


class Arrival(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The run of an input's records that came by one way."""

    stream: tuple[int, str, int]
    origin: Origin
    first: Place
    newest: Place
    recent: tuple[Place, ...] = ()
    """The newest that were judged, or passed on."""
    sure: Place = BEFORE_ALL
    """The newest that came before its partition had heard that the EMU had left."""


Arrivals = tuple[Arrival, ...]


def arrivals_of(emu: Emu, origin: Origin) -> Arrivals:
    """What came by the only way that there was."""
    return tuple(Arrival(source.stream, origin, BEFORE_ALL, source.place) for source in emu.sources)


def sources_of(arrivals: Arrivals) -> tuple[Source, ...]:
    """The newest of each input, whichever way it came."""
    newest: dict[tuple[int, str, int], Place] = {}
    for known in arrivals:
        newest[known.stream] = max(known.newest, newest.get(known.stream, BEFORE_ALL))
    return tuple(Source(*stream, *place) for stream, place in newest.items())


def seal(arrivals: Arrivals, origin: Origin) -> Arrivals:
    """The EMU leaves: what has come this way has come for sure before anything came by the next one."""
    return tuple(
        replace(known, sure=known.newest) if known.origin == origin else known for known in arrivals
    )


def is_repetition(arrivals: Arrivals, source: Source, origin: Origin, *, forwarded: bool) -> bool:
    """Whether this record came before, by this way or another."""
    stream, place = source.stream, source.place
    for known in arrivals:
        if known.stream != stream or place > known.newest:
            continue
        if known.origin == origin or place in known.recent:
            return True
        surely = place <= known.sure or not forwarded
        if surely and known.origin[1] and known.first <= place:
            return True
    return False


def arrive(arrivals: Arrivals, source: Source, origin: Origin, *, repeated: bool) -> Arrivals:
    """With this record as the newest of its way, a repetition or not."""
    stream, place = source.stream, source.place
    mine = Arrival(stream, origin, place, place)
    others: list[Arrival] = []
    for known in arrivals:
        if known.stream == stream and known.origin == origin:
            mine = replace(known, newest=max(known.newest, place))
        elif known.stream[1] != stream[1] or known.stream[0] >= stream[0]:
            others.append(known)  # of an older generation of the topic nothing is kept
    if not repeated:
        mine = replace(mine, recent=(*mine.recent, place)[-MAX_RECENT:])
    return (*others, mine)[-MAX_ARRIVALS:]


def join(arrivals: Arrivals, others: Iterable[Arrival]) -> Arrivals:
    """What came here and what came elsewhere: all of it is known here now."""
    joined = {(known.stream, known.origin): known for known in arrivals}
    for other in others:
        key = (other.stream, other.origin)
        known = joined.get(key, other)
        joined[key] = replace(
            known,
            first=min(known.first, other.first),
            newest=max(known.newest, other.newest),
            sure=max(known.sure, other.sure),
            recent=tuple(sorted({*known.recent, *other.recent})[-MAX_RECENT:]),
        )
    return tuple(joined.values())[-MAX_ARRIVALS:]

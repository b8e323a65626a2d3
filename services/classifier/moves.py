"""An EMU that changes its site: what its old partition does, and what its new one. Pure.

old   closes its faults (`moved`), writes a transfer, and forwards what still comes
new   holds what is said of the EMU until the transfers have come, opens what they bring, judges what it held

Both sites in one partition: one step, without a transfer.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from services.classifier.arrivals import (
    Arrivals,
    Origin,
    arrivals_of,
    arrive,
    is_repetition,
    join,
    seal,
    sources_of,
)
from services.classifier.carrying import (
    Carried,
    decode_carried,
    hand_over,
    link_to,
    listen_anew,
    merge_heard,
    move_to,
    receive,
    receive_plainly,
)
from services.classifier.facts import HELD_BACK, judge_fact
from services.classifier.judge import Outcome
from services.classifier.known import Known
from services.classifier.revisions import Told
from services.classifier.rules import Rules
from services.classifier.state import NO_FACTS, Condition, Emu, Facts, encode
from services.classifier.unwaited import Gone, gone_at_ms, note_gone
from services.classifier.whereabouts import Here, Move, has_left
from shared.documents.internal import (
    Fact,
    Forward,
    InternalRecord,
    Source,
    Transfer,
    Word,
    encode_internal,
)
from shared.times import HOUR_MS

# Alarms are kept for 7 days: what was sent to the old site's partition is gone from there after 8.
FORWARD_MS = 8 * 24 * HOUR_MS
# The held words of an EMU are one record of the changelog.
MAX_HELD_BYTES = 512 * 1024
# Some 300 kB: a transfer is of at most half the size that a record may have.
MAX_CONDITIONS = 1_000
MAX_TAKEN = 16
# Facts need none: a revision that is known changes nothing.
_NO_SOURCE = Source(0, "dispatch", 0, 0, 0)


decode_held = msgspec.msgpack.Decoder(Word | Forward).decode
decode_fact = msgspec.msgpack.Decoder(Fact).decode


class At(NamedTuple):
    """Where, when and by what it is judged."""

    here: Here
    now_ms: int
    rules: Rules
    plainly: bool = False
    """Without the rules, as far as can be: one has failed."""


class _Came(NamedTuple):
    """What is to stand here, and what was known where it stood."""

    conditions: tuple[Condition, ...]
    facts: Facts
    site_id: str
    receipt_ms: int


def begin(known: Known, at: At) -> Move:
    """What is remembered of its moves, from the first one on."""
    if known.move is not None:
        return known.move
    epoch = 1 if known.facts.revision else 0
    arrivals = arrivals_of(known.emu, (at.here.number, epoch))
    return Move(until_ms=at.now_ms + FORWARD_MS, epoch=epoch, arrivals=arrivals)


def settle(known: Known) -> Emu:
    """What was heard from it, once nothing of its moves is expected any more: all came by one way since."""
    move = known.move or Move()
    if move.to_site is not None:
        return known.emu
    return replace(known.emu, sources=sources_of(move.arrivals))


def judge_moving(
    record: InternalRecord, known: Known, at: At, judge: Callable[[Emu, Word | Fact], Outcome]
) -> Outcome:
    """What comes of any record; `judge` judges it where the EMU is here, and what it says is new."""
    if isinstance(record, Transfer):
        return judge_transfer(known, record, at)
    if isinstance(record, Fact) and (record.from_sites or known.move is not None):
        return judge_move(known, record, at)
    if isinstance(record, Fact) or (known.move is None and not isinstance(record, Forward)):
        return judge(known.emu, record)
    return forward_or_hold(known, record, at) or _judge_here(known, record, at, judge)


def judge_move(known: Known, fact: Fact, at: At) -> Outcome:
    """A fact, of an EMU that moves with it or not."""
    if fact.record.revision <= known.revision:
        return Outcome("known")
    move = begin(known, at)
    if at.here.home(fact.record.site_id) == at.here.number:
        return _come(known, move, fact, at)
    move = replace(move, revision=fact.record.revision, until_ms=at.now_ms + FORWARD_MS)
    if move.holds:
        leaving = replace(move, to_site=fact.record.site_id, leaves_by=encode_internal(fact))
        return Outcome("leaving", move=leaving)
    return _leave(known, move, fact, at)


def judge_transfer(known: Known, transfer: Transfer, at: At) -> Outcome:
    """What was known elsewhere is known here, or goes on with the EMU."""
    key = (at.here.home(transfer.from_site), transfer.record.revision)
    if known.move is not None and key in known.move.taken:
        return Outcome("known")
    early = _learn_early(known, transfer, at)
    known = _after(known, early)
    move = begin(known, at)
    if not transfer.rest:
        awaits = tuple(awaited for awaited in move.awaits if awaited != key)
        move = replace(move, awaits=awaits)
    if has_left(move, at.now_ms):
        # Not taken: what is passed on may come back with its EMU.
        if move.holds and not transfer.rest:
            move = replace(move, passed=(*move.passed, key))
        passed = replace(transfer, site_id=move.to_site or "")
        outcome = Outcome("transfer", move=move, sent=(passed,))
    else:
        if not transfer.rest:
            move = replace(move, taken=(*move.taken, key)[-MAX_TAKEN:])
        outcome = _receive(known, move, transfer, at)
        move = outcome.move or move
    outcome = _join(early, outcome)
    if move.holds and not move.awaits:
        outcome = _join(outcome, stop_waiting(_after(known, outcome), at))
    return replace(outcome, verdict="transfer")


def stop_waiting(known: Known, at: At) -> Outcome:
    """The transfers have come, or are waited for no longer: what was held is to be judged, or goes on."""
    move = known.move or Move()
    waited = replace(move, holds=False, held=(), leaves_by=b"")
    if not move.leaves_by:
        held = tuple(decode_held(raw) for raw in move.held)
        return Outcome("released", move=waited, released=held)
    outcome = _leave(known, waited, decode_fact(move.leaves_by), at)
    left, sent = outcome.move or waited, list(outcome.sent)
    for raw in move.held:
        left, forward = _forward(left, decode_held(raw), at.here)
        sent += forward
    return replace(outcome, move=left, sent=tuple(sent))


def forward_or_hold(known: Known, word: Word | Forward, at: At) -> Outcome | None:
    """What becomes of a word that is not judged here and now; None: it is."""
    move = begin(known, at)
    if move.holds:
        held = (*move.held, encode_internal(word))
        holding = replace(move, held=held)
        if sum(map(len, held)) <= MAX_HELD_BYTES:
            return Outcome("held_for_transfer", move=holding)
        return stop_waiting(replace(known, move=holding), at)
    if has_left(move, at.now_ms):
        move, forwards = _forward(move, word, at.here)
        return Outcome("forwarded" if forwards else "redelivered", move=move, sent=tuple(forwards))
    return None


def admit(move: Move, word: Word | Forward, here: Here) -> tuple[Move, Word | None]:
    """The word as it is to be judged; None: it is a repetition."""
    record, origin = _unwrap(move, word, here)
    forwarded = isinstance(word, Forward)
    repeated = is_repetition(move.arrivals, record.source, origin, forwarded=forwarded)
    arrivals = arrive(move.arrivals, record.source, origin, repeated=repeated)
    move = replace(move, arrivals=arrivals)
    return move, None if repeated else record


def _judge_here(
    known: Known, record: Word | Forward, at: At, judge: Callable[[Emu, Word | Fact], Outcome]
) -> Outcome:
    move, word = admit(begin(known, at), record, at.here)
    if word is None:
        return Outcome("redelivered", move=move)
    if move.awaits:
        move = replace(move, gone=note_gone(move.gone, word))
    outcome = judge(replace(known.emu, sources=()), at_site(word, known.facts))
    emu = None if outcome.emu is None else replace(outcome.emu, sources=())
    # What need not be written of the EMU need not be known as a repetition.
    return replace(outcome, emu=emu, move=None if outcome.quiet else move)


def at_site(word: Word, facts: Facts) -> Word:
    """Ingest may have sent it by an older record: where the EMU is, its facts say."""
    if not facts.revision or word.site_id == facts.site_id:
        return word
    return replace(word, site_id=facts.site_id)


def _forward(move: Move, word: Word | Forward, here: Here) -> tuple[Move, list[Forward]]:
    _, origin = _unwrap(move, word, here)
    move, record = admit(move, word, here)
    if record is None:
        return move, []
    site_id = move.to_site or ""
    return move, [Forward(record.emu_id, site_id, record.receipt_ms, record, origin)]


def _unwrap(move: Move, word: Word | Forward, here: Here) -> tuple[Word, Origin]:
    if isinstance(word, Forward):
        return word.record, word.origin
    return word, (here.number, move.epoch)


def _come(known: Known, move: Move, fact: Fact, at: At) -> Outcome:
    """It is here, and what stands here is of its new site."""
    revision, site_id = fact.record.revision, fact.record.site_id
    elsewhere = {at.here.home(site) for site in fact.from_sites} - {at.here.number}
    awaits = tuple(sorted({(number, revision) for number in elsewhere} - {*move.taken}))
    moving = [condition for condition in known.conditions.values() if condition.site_id != site_id]
    staying = [condition for condition in known.conditions.values() if condition.site_id == site_id]
    outcome = judge_fact(known.facts, staying, fact, at.now_ms, at.rules)
    if known.move is None and not awaits and not fact.from_sites:
        if known.emu.link is None:
            return outcome
        return replace(outcome, emu=link_to(known.emu, site_id))
    came = bool(awaits) or move.to_site is not None
    if not came and not move.epoch:  # it was here, and now there is a record of it
        move = replace(move, epoch=revision, arrivals=_by_record(move, at.here, revision))
    sent = _empty_transfer(move)
    move = replace(
        move,
        revision=revision,
        until_ms=at.now_ms + FORWARD_MS,
        to_site=None,
        epoch=revision if came else move.epoch,
        awaits=(*move.awaits, *awaits),
        holds=move.holds or bool(awaits),
        leaves_by=b"",
        passed=(),
        # What came while it was away was passed on, and not judged: what was judged, the transfers tell.
        arrivals=() if move.to_site is not None and not move.leaves_by else move.arrivals,
    )
    left, carried = hand_over(moving, at.now_ms, at.rules, plainly=at.plainly)
    gone = tuple(condition.name for condition in moving)
    outcome = replace(
        outcome,
        emu=link_to(replace(known.emu, sources=()), site_id),
        move=move,
        left=left,
        gone=gone,
        sent=sent,
    )
    here_now = replace(known, facts=outcome.facts or known.facts, conditions={})
    return _join(
        outcome, _open(here_now, _Came(carried, known.facts, site_id, fact.receipt_ms), at)
    )


def _by_record(move: Move, here: Here, revision: int) -> Arrivals:
    """What came here by what its reports said, as if by the record."""
    mine, by_record = (here.number, 0), (here.number, revision)
    return tuple(
        replace(one, origin=by_record) if one.origin == mine else one for one in move.arrivals
    )


def _leave(known: Known, move: Move, fact: Fact, at: At) -> Outcome:
    """It is elsewhere: all that is known of it goes there, if only that nothing is."""
    standing = known.conditions.values()
    left, carried = hand_over(standing, at.now_ms, at.rules, plainly=at.plainly)
    arrivals = seal(move.arrivals, (at.here.number, move.epoch))
    emu = replace(known.emu, sources=(), backlog=None)
    heard = Carried(emu, known.facts, arrivals, passed=move.passed)
    parts = [
        replace(heard, conditions=tuple(carried[start : start + MAX_CONDITIONS]))
        for start in range(0, max(1, len(carried)), MAX_CONDITIONS)
    ]
    sent = tuple(
        _make_transfer(fact, part, len(parts) - number)
        for number, part in enumerate(parts, start=1)
    )
    move = replace(move, to_site=fact.record.site_id, passed=(), gone=())
    gone = tuple(known.conditions)
    return Outcome("moved", Emu(), facts=NO_FACTS, move=move, left=left, gone=gone, sent=sent)


def _make_transfer(fact: Fact, part: Carried, rest: int) -> Transfer:
    return Transfer(
        fact.emu_id,
        fact.record.site_id,
        fact.site_id,
        fact.receipt_ms,
        fact.record,
        fact.from_sites,
        encode(part),
        rest,
    )


def _empty_transfer(move: Move) -> tuple[Transfer, ...]:
    """Where it comes back before it could leave, somebody waits for a transfer all the same."""
    if not move.leaves_by:
        return ()
    nothing = Carried(passed=move.passed)
    return (_make_transfer(decode_fact(move.leaves_by), nothing, 0),)


def _receive(known: Known, move: Move, transfer: Transfer, at: At) -> Outcome:
    came = decode_carried(transfer.stood)
    emu = replace(listen_anew(merge_heard(known.emu, came.emu), at.now_ms), sources=())
    more = {*came.passed} - {*move.taken} - {*move.awaits}
    awaits = (*move.awaits, *sorted(more))
    site_id = known.facts.site_id or transfer.site_id
    here = _Came(came.conditions, came.facts, site_id, transfer.receipt_ms)
    opened = _open(known, here, at, gone=move.gone)
    move = replace(
        move,
        arrivals=join(move.arrivals, came.arrivals),
        awaits=awaits,
        holds=move.holds or bool(more),
        gone=move.gone if awaits else (),
    )
    return replace(opened, emu=link_to(emu, site_id), move=move)


def _open(known: Known, came: _Came, at: At, gone: tuple[Gone, ...] = ()) -> Outcome:
    """What came stands at the EMU's site here, but what has gone since."""
    put_into_service = came.facts.state in HELD_BACK and known.facts.state == "in_service"
    conditions: list[Condition] = []
    told: list[Told] = []
    for condition in came.conditions:
        arrived = move_to(condition, came.site_id, came.receipt_ms if put_into_service else None)
        here = known.conditions.get(condition.name)
        gone_ms = gone_at_ms(gone, condition.name) if gone and here is None else None
        if at.plainly:
            turn = receive_plainly(here, arrived, at.now_ms, at.rules.catalogue)
        else:
            turn = receive(here, arrived, at.now_ms, at.rules, gone_ms=gone_ms)
        if turn.condition is not None:
            conditions.append(turn.condition)
        told += turn.told
    return Outcome("transfer", conditions=tuple(conditions), told=tuple(told))


def _learn_early(known: Known, transfer: Transfer, at: At) -> Outcome:
    """The fact of a transfer may come after it: dispatch writes to each partition by itself."""
    record = transfer.record
    if at.here.home(record.site_id) != at.here.number or record.revision <= known.revision:
        return Outcome("transfer")
    fact = Fact(_NO_SOURCE, transfer.site_id, transfer.receipt_ms, record, transfer.from_sites)
    return judge_move(known, fact, at)


def _after(known: Known, outcome: Outcome) -> Known:
    """What is known once the outcome is."""
    gone = {*outcome.gone}
    conditions = {name: one for name, one in known.conditions.items() if name not in gone}
    conditions.update({condition.name: condition for condition in outcome.conditions})
    return Known(
        outcome.emu or known.emu,
        outcome.facts or known.facts,
        conditions,
        outcome.move or known.move,
    )


def _join(one: Outcome, other: Outcome) -> Outcome:
    """Both, in this order."""
    return Outcome(
        other.verdict,
        other.emu or one.emu,
        (*(still for still in one.conditions if still.name not in other.gone), *other.conditions),
        (*one.told, *other.told),
        facts=other.facts or one.facts,
        move=other.move or one.move,
        left=(*one.left, *other.left),
        gone=(*one.gone, *other.gone),
        sent=(*one.sent, *other.sent),
        released=(*one.released, *other.released),
    )

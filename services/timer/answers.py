"""Pure: what is told of plans and shards to whoever looks."""

from collections.abc import Iterable, Iterator, Mapping

from services.timer.plan import OWN_END, Moment, Plan
from services.timer.stand import Doing as Told
from services.timer.stand import Stand
from shared.documents.clock_answers import (
    CaseClocks,
    ComingMoment,
    Doing,
    MomentState,
    ShardState,
    StandingClock,
)
from shared.times import to_rfc3339


def coming_moments(plans: Iterable[tuple[str, int, Plan]], limit: int) -> list[ComingMoment]:
    """The first moments of these cases (id, shard, plan) that have not fired, in order."""
    waiting = [
        (moment.at_ms, case_id, moment.clock, shard, plan, moment)
        for case_id, shard, plan in plans
        for moment in plan.waiting()
    ]
    waiting.sort(key=lambda found: found[:3])
    return [
        ComingMoment(
            case_id=case_id,
            shard=shard,
            clock=clock,
            share=moment.share,
            event=moment.event,
            due_at=to_rfc3339(at_ms),
            version=moment.version,
            grade=plan.grade,
            site_id=plan.site_id,
            desk=plan.desk,
        )
        for at_ms, case_id, clock, shard, plan, moment in waiting[:limit]
    ]


def standing_clocks(case_id: str, shard: int, plan: Plan) -> Iterator[StandingClock]:
    """The clocks of a case that run: not stopped, their own end not fired."""
    waiting = plan.waiting()
    firsts: dict[str, Moment] = {}
    for moment in waiting:
        first = firsts.setdefault(moment.clock, moment)
        if moment.share == OWN_END:
            yield StandingClock(
                case_id=case_id,
                shard=shard,
                clock=moment.clock,
                event=moment.event,
                due_at=to_rfc3339(moment.at_ms),
                version=moment.version,
                next_share=first.share,
                next_at=to_rfc3339(first.at_ms),
                grade=plan.grade,
                site_id=plan.site_id,
                desk=plan.desk,
            )


def case_clocks(case_id: str, shard: int, plan: Plan, stand: Stand, topic: str) -> CaseClocks:
    """All moments of a case, also those that fired for a due time that is not the clock's any more."""
    fired = set(plan.fired)
    planned = {moment.identity for moment in plan.moments}
    gone = sorted(fired - planned, key=lambda identity: identity[2])
    moments = [
        MomentState(
            clock=clock,
            share=share,
            event="due" if share == OWN_END else "warning",
            due_at=None,
            version=version,
            fired=True,
        )
        for clock, share, version in gone
    ]
    moments += [
        MomentState(
            clock=moment.clock,
            share=moment.share,
            event=moment.event,
            due_at=to_rfc3339(moment.at_ms),
            version=moment.version,
            fired=moment.identity in fired,
        )
        for moment in plan.moments
    ]
    return CaseClocks(
        case_id=case_id,
        shard=shard,
        revision=plan.revision,
        written_at=to_rfc3339(plan.written_ms),
        grade=plan.grade,
        site_id=plan.site_id,
        desk=plan.desk,
        moments=moments,
        topic=topic,
        next_offset=stand.next_case,
        doing=_word(stand.doing),
        at=to_rfc3339(stand.now_ms),
    )


def shard_state(shard: int, stand: Stand) -> ShardState:
    """How a shard stands."""
    reading = stand.doing and stand.doing.reading
    read_to = {"cases": stand.next_case, "deadlines": stand.next_deadline}
    return ShardState(
        shard=shard,
        epoch=stand.epoch,
        doing=_word(stand.doing),
        reading=reading or None,
        read_to=read_to.get(reading or ""),
        until=stand.doing.until if stand.doing and reading else None,
        standing=stand.standing,
        written_at=None if stand.written_ms is None else to_rfc3339(stand.written_ms),
    )


def not_served(stands: Mapping[int, Stand]) -> list[int]:
    """The shards whose clocks do not fire just now."""
    return [shard for shard, stand in stands.items() if _word(stand.doing) != "serving"]


def _word(doing: Told | None) -> Doing:
    return doing.word if doing else "not_taken_over"

"""Claims what is due in a shard, publishes it and acknowledges it, when it is time to."""

import asyncio
from collections.abc import Sequence

import structlog
from aiokafka import TopicPartition

from services.timer.firing import Firing, fire, lateness_ms, make_deadline
from services.timer.metrics import (
    FIRED,
    FOLDED,
    LATENESS_SECONDS,
    RECOVERED,
    in_flight,
    tell_first_due,
    tell_skew,
)
from services.timer.pace import CatchUp, Watch, is_trusted, skew_ms
from services.timer.plan import Moment, Plan
from services.timer.store import Claimed, Store
from shared.documents.deadline import Deadline, encode_deadline
from shared.kafka.producer import FencedProducer, Outgoing
from shared.times import now_ms

log = structlog.get_logger()

# How many cases are published in one transaction.
CLAIM_LIMIT = 1_024

_Firings = list[tuple[str, Plan, Firing]]


class Publisher:
    """The firing side of one owner of a shard, from when it has read both logs to their ends."""

    def __init__(
        self,
        store: Store,
        producer: FencedProducer,
        output: TopicPartition,
        *,
        tick_ms: int,
        catch_up: CatchUp,
        owned_from_ms: int,
    ) -> None:
        self._store = store
        self._producer = producer
        self._output = output
        self._watch = Watch(tick_ms)
        self._tick_s = tick_ms / 1000
        self._catch_up = catch_up
        self._owned_from_ms = owned_from_ms
        # The first look only looks: whether the clocks agree, and what there is to catch up with.
        self._trusted: bool | None = None

    @property
    def pause_s(self) -> float:
        """For how long there is nothing to do; 0: `publish` is to be called."""
        return self._watch.pause_s(asyncio.get_running_loop().time())

    def expect(self, at_ms: int) -> None:
        """A moment of a case that was applied comes then."""
        self._watch.expect(at_ms)

    async def publish(self) -> int | None:
        """Publish one batch of what is due, if it may; clocks standing then, None: as before.

        What came due under this owner goes first, what it has to catch up with has the room that is left.
        Kafka has all of it before more is claimed: where Kafka is slow, the rest waits in Redis.
        """
        now_s = asyncio.get_running_loop().time
        claimed = await self._claim()
        claimed_s = now_s()
        firings = _fire(claimed, claimed.now_ms)
        if self._is_behind(claimed):
            firings += await self._claim_older(CLAIM_LIMIT - len(firings), claimed.now_ms)
        if not firings:
            return None
        deadlines = self._deadlines(firings, claimed.now_ms)
        with in_flight(len(firings)):
            ends = await self._producer.commit(self._outgoing(deadlines))
            published_ms = claimed.now_ms + round((now_s() - claimed_s) * 1000)
            standing = await self._store.acknowledge(
                [(case_id, firing.identities) for case_id, _, firing in firings],
                ends.get(self._output),
            )
        RECOVERED.inc(sum(deadline.recovered for deadline in deadlines))
        self._count(firings, published_ms)
        return standing

    async def _claim(self) -> Claimed:
        """What came due under this owner; nothing while Redis' clock and the host's are too far apart."""
        asked_ms = now_ms()
        claimed = await self._store.claim(
            CLAIM_LIMIT if self._trusted else 0, from_ms=self._owned_from_ms
        )
        skew = skew_ms(asked_ms, now_ms(), claimed.now_ms)
        at_s = asyncio.get_running_loop().time()
        self._watch.looked(claimed.now_ms, claimed.next_ms, at_s)
        tell_skew(self._output.partition, skew)
        tell_first_due(self._output.partition, claimed.first_ms)
        self._judge_clock(skew)
        if self._trusted:
            return claimed
        self._watch.rest(self._tick_s, at_s)
        return claimed._replace(cases=[])

    def _is_behind(self, claimed: Claimed) -> bool:
        """Whether something may wait that came due before this owner."""
        first_ms = claimed.first_ms
        if first_ms is None or first_ms >= self._owned_from_ms or not self._trusted:
            return False
        if first_ms > claimed.now_ms:  # Redis' clock has gone back
            self._watch.expect(first_ms)
            return False
        return True

    async def _claim_older(self, limit: int, now_ms: int) -> _Firings:
        """At most so many of what came due before this owner, no faster than all shards together may."""
        now_s = asyncio.get_running_loop().time
        wait_s = self._catch_up.wait_s(now_s())
        firings: _Firings = []
        if limit and not wait_s:
            self._catch_up.spend(limit, now_s())
            deadlines = 0
            try:
                claimed = await self._store.claim(limit, to_ms=self._owned_from_ms)
                firings = _fire(claimed, now_ms)
                deadlines = sum(len(firing.publish) for _, _, firing in firings)
            finally:
                self._catch_up.spend(deadlines - limit, now_s())
            wait_s = self._catch_up.wait_s(now_s())
        self._watch.look_in(wait_s, now_s())
        return firings

    def _judge_clock(self, skew: int) -> None:
        before, self._trusted = self._trusted, is_trusted(skew)
        if self._trusted is False and before is not False:
            log.error(
                "the clocks of Redis and of this host are too far apart: nothing fires",
                partition=self._output.partition,
                redis_ahead_s=skew / 1000,
            )
        elif self._trusted and before is False:
            log.info("the clocks agree again", partition=self._output.partition)

    def _deadlines(self, firings: _Firings, fired_ms: int) -> list[Deadline]:
        """The earliest first, whichever case it belongs to."""
        moments: list[tuple[str, Plan, Moment]] = [
            (case_id, plan, moment)
            for case_id, plan, firing in firings
            for moment in firing.publish
        ]
        moments.sort(key=lambda found: found[2].at_ms)
        return [
            make_deadline(
                case_id, plan, moment, fired_ms=fired_ms, owned_from_ms=self._owned_from_ms
            )
            for case_id, plan, moment in moments
        ]

    def _outgoing(self, deadlines: Sequence[Deadline]) -> list[Outgoing]:
        topic, partition = self._output
        return [
            Outgoing(topic, partition, deadline.deadline_id.encode(), encode_deadline(deadline))
            for deadline in deadlines
        ]

    def _count(self, firings: _Firings, published_ms: int) -> None:
        for _, plan, firing in firings:
            FOLDED.inc(len(firing.folded))
            for moment in firing.publish:
                FIRED.labels(moment.event).inc()
                late_ms = lateness_ms(
                    plan, moment, published_ms=published_ms, owned_from_ms=self._owned_from_ms
                )
                LATENESS_SECONDS.observe(late_ms / 1000)


def _fire(claimed: Claimed, now_ms: int) -> _Firings:
    return [(case_id, plan, fire(plan, now_ms)) for case_id, plan in claimed.cases]

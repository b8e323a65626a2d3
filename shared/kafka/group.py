"""The consumer group, used for assignment only, and the task of each partition that it gives us.

Revocation stops nothing: fencing does. A task ends when an assignment no longer names its partition, so a
rebalance costs the partitions that stay nothing. A task that fails is built anew, but only once the group has
confirmed that we are its member: a stalled instance cannot take back what it has lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Protocol, TypeVar, cast

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from shared.errors import BakvaktError, FencedError
from shared.kafka.clients import make_member
from shared.kafka.ending import end_client
from shared.metrics import TASK_RESTARTS, TASKS_ASSIGNED, TASKS_READY, TASKS_UNPROVEN
from shared.waiting import is_set_within, unless_cancelled_within, unless_set, within

log = structlog.get_logger()

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 10.0
# A task that ran this long had recovered: its next failure starts with the short backoff again.
RECOVERED_AFTER_S = 30.0
# How long a task may take to end by itself, below the 20 s in which a service has to leave.
END_TIMEOUT_S = 8.0
POLL_INTERVAL_S = 0.5
LAG_COMMIT_INTERVAL_S = 5.0
COMMIT_TIMEOUT_S = 3.0
START_TIMEOUT_S = 10.0
LEAVE_TIMEOUT_S = 5.0
BEYOND_RECOVERY_S = 30.0
NOT_TAKEN_OVER = "not taken over yet"

T = TypeVar("T")


class Ownership:
    """One partition in our hands, from its assignment until an assignment no longer names it."""

    def __init__(self, membership: "Membership", partition: TopicPartition) -> None:
        self._membership = membership
        self._ended = asyncio.Event()
        self.topic_partition = partition
        self.ready = False
        """Set by the task once it serves the partition."""
        self.doing = NOT_TAKEN_OVER
        """What the task does until it is ready, in words for `/readyz`."""
        self.processed: int | None = None
        """Offset of the next record, set by the task (by `commit` where the group keeps it)."""

    @property
    def partition(self) -> int:
        return self.topic_partition.partition

    @property
    def ended(self) -> bool:
        """The task is to finish what it has begun, and return."""
        return self._ended.is_set()

    def end(self) -> None:
        self._ended.set()

    def begin(self) -> None:
        """The task is to be built, or built anew."""
        self.ready = False
        self.doing = NOT_TAKEN_OVER

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end of the ownership."""
        await is_set_within(self._ended, seconds)

    async def unless_ended(self, awaitable: Awaitable[T]) -> T | None:
        """What `awaitable` gives; None where the ownership ends first: it is cancelled then, left alone."""
        return await unless_set(self._ended, awaitable)

    async def commit(self, offset: int, metadata: str = "") -> bool:
        """Keep `offset` as the group's. False: it may not be kept just now, try again later.

        The broker takes it only from a member of the current generation.
        """
        if not await self._membership.commit({self.topic_partition: (offset, metadata)}):
            return False
        self.processed = offset
        return True

    async def prove(self) -> None:
        """Return once the group has confirmed that we are its member and own this partition now.

        The proof is a commit: the broker takes one only from a member of the current generation.
        Returns as well when the ownership ends meanwhile.
        """
        while not self.ended:
            # For lag tools only. Before the first take-over we know no better than the start.
            if await self._membership.commit({self.topic_partition: self.processed or 0}):
                return
            await self.sleep(POLL_INTERVAL_S)


class Membership:
    """What the group says of us."""

    def __init__(self, member: AIOKafkaConsumer) -> None:
        self.member = member
        self.settled = False
        """Not while the group shares its partitions out anew."""

    async def commit(self, offsets: Mapping[TopicPartition, int | tuple[int, str]]) -> bool:
        """Whether the group took the offsets. aiokafka itself would try without end.

        Nothing is tried while we join: the answer comes after we have joined, says that an earlier generation
        is over, and aiokafka takes it for the new one's, forgets that it is a member and joins once more,
        which holds the whole group up until the session of its first self has run out.
        """
        if not self.settled:
            return False
        try:
            await within(COMMIT_TIMEOUT_S, self.member.commit(offsets))
        except (KafkaError, TimeoutError) as error:
            log.info("the group takes no offsets now", error=repr(error))
            return False
        return True


class PartitionTask(Protocol):
    """What a service does for one partition, from take-over to loss."""

    async def run(self, ownership: Ownership) -> None:
        """Take the partition over, set `ownership.ready`, work until `ownership.ended`.

        Whatever it raises makes the group build a new task.
        """
        ...


class Group(ConsumerRebalanceListener):
    """Membership in one consumer group that subscribes to one topic."""

    def __init__(
        self,
        kafka: str,
        name: str,
        topic: str,
        build: Callable[[int], PartitionTask],
        *,
        session_timeout_ms: int,
        keeps_offsets: bool = False,
    ) -> None:
        """`build` makes the task of a partition. `keeps_offsets`: the task commits to the group itself."""
        self._name = name
        self._topic = topic
        self._build = build
        self._keeps_offsets = keeps_offsets
        self._session_timeout_ms = session_timeout_ms
        self._kafka = kafka
        self._owned: dict[TopicPartition, Ownership] = {}
        self._tasks: dict[TopicPartition, asyncio.Task[None]] = {}
        self._assigned = False
        self._leaving = False
        self.membership = Membership(make_member(kafka, name, session_timeout_ms))

    @property
    def partitions(self) -> list[int]:
        """The partitions that are ours now."""
        return sorted(partition.partition for partition in self._owned)

    @property
    def topic_partitions(self) -> int | None:
        """How many partitions the topic has, by what the brokers said last; None: not known."""
        return len(self.membership.member.partitions_for_topic(self._topic) or ()) or None

    def not_ready(self) -> list[str]:
        """What is missing before this member serves all that it owns; empty: nothing."""
        if not self._assigned:
            return [f"{self._topic}: no partitions assigned yet"]
        return [
            f"{self._topic}[{owned.partition}]: {owned.doing}"
            for owned in self._owned.values()
            if not owned.ready
        ]

    async def run(self, stopping: asyncio.Event) -> None:
        """Be a member until `stopping` is set; then end the tasks and leave the group.

        Raises KafkaError when the member is beyond recovery: the process is to be started anew.
        """
        try:
            if await self._join(stopping):
                await self._poll(stopping)
        finally:
            self._leaving = True
            await self._end(list(self._owned))
            await _stop(self.membership.member)

    async def _join(self, stopping: asyncio.Event) -> bool:
        """False: stopping."""
        while not stopping.is_set():
            try:
                await within(START_TIMEOUT_S, self.membership.member.start())
            except (KafkaError, TimeoutError) as error:
                log.warning("cannot join the group yet", group=self._name, error=repr(error))
                await _stop(self.membership.member)
                self.membership = Membership(
                    make_member(self._kafka, self._name, self._session_timeout_ms)
                )
                await is_set_within(stopping, POLL_INTERVAL_S)
            else:
                # Only now: start() would wait for an assignment, without end.
                self.membership.member.subscribe([self._topic], listener=self)
                return True
        return False

    async def _poll(self, stopping: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        commit_at = loop.time() + LAG_COMMIT_INTERVAL_S
        heard_at = loop.time()
        while not stopping.is_set():
            try:
                # All is paused: this returns no records, it tells aiokafka that we are alive.
                await self.membership.member.getmany(timeout_ms=0)
                heard_at = loop.time()
            except KafkaError as error:
                log.warning("the group's member reports an error", error=repr(error))
                if loop.time() - heard_at > BEYOND_RECOVERY_S:
                    raise  # aiokafka's coordination has ended, and never begins again by itself
            if self._assigned:
                self._reconcile(self.membership.member.assignment())
            ready = sum(owned.ready for owned in self._owned.values())
            TASKS_READY.labels(self._name).set(ready)
            TASKS_ASSIGNED.labels(self._name).set(len(self._owned))
            if not self._keeps_offsets and loop.time() >= commit_at:
                commit_at = loop.time() + LAG_COMMIT_INTERVAL_S
                await self._commit_for_lag_tools()
            await is_set_within(stopping, POLL_INTERVAL_S)

    async def _commit_for_lag_tools(self) -> None:
        offsets = {
            partition: owned.processed
            for partition, owned in self._owned.items()
            if owned.processed is not None
        }
        if offsets:
            await self.membership.commit(offsets)

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Ends nothing: a partition that stays with us must not pause for a rebalance."""
        self.membership.settled = False

    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """aiokafka logs what this raises and goes on; what it left undone is done by the next poll."""
        self._assigned = self.membership.settled = True
        self._reconcile(assigned)

    def _reconcile(self, assigned: Collection[TopicPartition]) -> None:
        """Make the tasks those of the assignment: end what is gone, start what is new or has died."""
        if self._leaving:
            return
        self.membership.member.pause(*assigned)
        gone = [partition for partition in self._owned if partition not in assigned]
        new = [partition for partition in assigned if partition not in self._owned]
        for partition in gone:
            self._owned.pop(partition).end()
            task = self._tasks.pop(partition)
            asyncio.get_running_loop().call_later(END_TIMEOUT_S, task.cancel)
        for partition in new:
            self._owned[partition] = Ownership(self.membership, partition)
        for partition, owned in self._owned.items():
            task = self._tasks.get(partition)
            if task is None or task.done():
                owned.begin()
                self._tasks[partition] = asyncio.create_task(
                    self._keep(owned), name=f"{self._name}[{partition.partition}]"
                )
        if gone or new:
            log.info(
                "partitions assigned",
                group=self._name,
                kept=len(assigned) - len(new),
                new=sorted(partition.partition for partition in new),
                gone=sorted(partition.partition for partition in gone),
            )

    async def _end(self, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._owned.pop(partition).end()
        tasks = [self._tasks.pop(partition) for partition in partitions]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=END_TIMEOUT_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, owned: Ownership) -> None:
        """Build the partition's task, again and again, until the ownership ends."""
        loop = asyncio.get_running_loop()
        backoff_s = FIRST_BACKOFF_S
        while not owned.ended:
            began = loop.time()
            try:
                await unless_cancelled_within(self._build(owned.partition).run(owned))
            except Exception as error:  # noqa: BLE001 - the top of a task: logged, counted, built anew
                if loop.time() - began > RECOVERED_AFTER_S:
                    backoff_s = FIRST_BACKOFF_S
                owned.begin()
                cause = _cause(error)
                if owned.ended and isinstance(cause, FencedError):
                    return  # its successor was faster than its last commit, as may well be
                self._tell(owned, cause, error, backoff_s)
                await owned.sleep(backoff_s)
                if not self._keeps_offsets:
                    # Whatever the error was: a stalled instance often learns of its loss by a time-out.
                    with TASKS_UNPROVEN.labels(self._name).track_inprogress():
                        await owned.prove()
                backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)
        owned.ready = False

    def _tell(
        self, owned: Ownership, cause: BaseException, error: BaseException, backoff_s: float
    ) -> None:
        reason = cause.reason if isinstance(cause, BakvaktError) else "unexpected"
        TASK_RESTARTS.labels(self._name, reason).inc()
        log.warning(
            "task ended, will be built anew",
            group=self._name,
            partition=owned.partition,
            reason=reason,
            error=repr(cause),
            backoff_s=backoff_s,
            # A bug of ours deserves its traceback; a fence or an absent broker does not.
            exc_info=error if reason == "unexpected" else None,
        )


async def _stop(member: AIOKafkaConsumer) -> None:
    """Leave the group; where Kafka does not answer, the session time-out does that for us."""
    if not await end_client(member, LEAVE_TIMEOUT_S):
        log.warning("the group was not left cleanly")


def _cause(error: BaseException) -> BaseException:
    """The first real error inside a task group's wrapping."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error

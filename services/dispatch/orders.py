"""Carries out what people order: decided, written and sent out in one transaction."""

from collections.abc import Callable

from services.dispatch import actions, rulings, store
from services.dispatch.database import transaction
from services.dispatch.rulings import Held, Order, Word
from services.dispatch.source import own_source
from services.dispatch.task import Context
from shared.documents.case import Case
from shared.documents.fault import Grade
from shared.documents.internal import Ruling, Source, encode_internal
from shared.kafka.partition import partition_of
from shared.times import now_ms


class NoSuchCase(Exception):
    """There is no case of this id."""


class NoSuchFault(Exception):
    """There is no fault of this id."""


class Orders:
    """Each returns the case as it is afterwards, once that is committed.

    All raise NoSuchCase and NotAllowed, and nothing is changed then; and DatabaseError, when it is not
    known whether it was done. Doing it again is safe.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def acknowledge(self, case_id: str, by: str, note: str | None) -> Case:
        at_ms = now_ms()

        def decide(held: Held) -> Order:
            return Order(actions.acknowledge(held.case, by, note, at_ms))

        return await self._carry_out(case_id, decide, by, note, at_ms)

    async def close(self, case_id: str, by: str, reason: str | None) -> Case:
        at_ms = now_ms()

        def decide(held: Held) -> Order:
            return Order(actions.close(held.case, by, reason, at_ms))

        return await self._carry_out(case_id, decide, by, reason, at_ms)

    async def resolve(self, case_id: str, by: str, reason: str, *, clear: bool) -> Case:
        """`clear`: what still stands is ruled to be gone, and the classifier is told so."""
        at_ms = now_ms()

        def decide(held: Held) -> Order:
            standing = [fault for fault in held.faults.values() if fault.state == "open"]
            cleared = clear or not standing
            decision = actions.resolve(held.case, by, reason, cleared=cleared, now_ms=at_ms)
            told = clear and decision.case is not None
            return Order(decision, tuple(Word(fault, "clear") for fault in standing if told))

        return await self._carry_out(case_id, decide, by, reason, at_ms)

    async def regrade(self, case_id: str, grade: Grade, by: str, reason: str) -> Case:
        """The classifier is told; the case takes the grade when the fault has it."""
        return await self._carry_out(
            case_id, lambda held: rulings.regrade(held, grade, by, reason), by, reason, now_ms()
        )

    async def detach(self, case_id: str, fault_id: str, by: str, reason: str) -> Case:
        """The classifier is told; the fault has a case of its own when it stands for itself.

        Raises NoSuchFault too.
        """

        def decide(held: Held) -> Order:
            if fault_id not in held.faults:
                raise NoSuchFault(fault_id)
            return rulings.detach(held, held.faults[fault_id], by, reason)

        return await self._carry_out(case_id, decide, by, reason, now_ms(), fault_id=fault_id)

    async def _carry_out(
        self,
        case_id: str,
        decide: Callable[[Held], Order],
        by: str,
        reason: str | None,
        at_ms: int,
        *,
        fault_id: str | None = None,
    ) -> Case:
        """`fault_id` names one that the request speaks of, whatever case it is in."""
        async with transaction(self._context.engine) as connection:
            case = (await store.lock_cases(connection, [case_id])).get(case_id)
            if case is None:
                raise NoSuchCase(case_id)
            held = Held(
                case,
                await store.find_faults_of(connection, case_id, fault_id),
                await store.last_note(connection, case_id),
            )
            decision, words = decide(held)
            partition = partition_of(case.site_id, self._context.partitions)
            changes = self._context.changes(partition)
            changes.decide(case_id, decision, held.own, caused_ms=at_ms, now_ms=at_ms)
            for word in words:
                seq = await store.next_seq(connection, partition)
                ruling = _ruling(word, own_source(partition, seq), by, reason or "", at_ms)
                alarms, key = self._context.topics.alarms, word.fault.emu_id.encode()
                changes.send(alarms, key, encode_internal(ruling), now_ms=at_ms)
            await store.write(connection, changes)
        self._context.bells[partition].ring()
        return decision.case or case


def _ruling(word: Word, source: Source, by: str, reason: str, at_ms: int) -> Ruling:
    fault = word.fault
    return Ruling(
        source=source,
        emu_id=fault.emu_id,
        site_id=fault.site_id,
        component=fault.component,
        code=fault.code,
        action=word.action,
        by=by,
        reason=reason,
        receipt_ms=at_ms,
        grade=word.grade,
    )

"""Carries out what people order: decided, written and sent out in one transaction."""

from collections.abc import Callable, Sequence

from services.dispatch import actions, store
from services.dispatch.database import transaction
from services.dispatch.decision import Decision
from services.dispatch.source import own_source
from services.dispatch.task import Context
from shared.documents.case import Case
from shared.documents.fault import Fault
from shared.documents.internal import Ruling, Source, encode_internal
from shared.kafka.partition import partition_of
from shared.times import now_ms


class NoSuchCase(Exception):
    """There is no case of this id."""


class Orders:
    """Each returns the case as it is afterwards, once that is committed.

    All raise NoSuchCase and NotAllowed, and nothing is changed then; and DatabaseError, when it is not
    known whether it was done. Doing it again is safe.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    async def acknowledge(self, case_id: str, by: str, note: str | None) -> Case:
        at_ms = now_ms()
        return await self._carry_out(
            case_id, at_ms, lambda case, _: actions.acknowledge(case, by, note, at_ms)
        )

    async def close(self, case_id: str, by: str, reason: str | None) -> Case:
        at_ms = now_ms()
        return await self._carry_out(
            case_id, at_ms, lambda case, _: actions.close(case, by, reason, at_ms)
        )

    async def resolve(self, case_id: str, by: str, reason: str, *, clear: bool) -> Case:
        """`clear`: what still stands is ruled to be gone, and the classifier is told so."""
        at_ms = now_ms()

        def decide(case: Case, standing: Sequence[Fault]) -> Decision:
            cleared = clear or not standing
            return actions.resolve(case, by, reason, cleared=cleared, now_ms=at_ms)

        return await self._carry_out(
            case_id, at_ms, decide, rule_clear=(by, reason) if clear else None
        )

    async def _carry_out(
        self,
        case_id: str,
        at_ms: int,
        decide: Callable[[Case, Sequence[Fault]], Decision],
        *,
        rule_clear: tuple[str, str] | None = None,
    ) -> Case:
        async with transaction(self._context.engine) as connection:
            case = (await store.lock_cases(connection, [case_id])).get(case_id)
            if case is None:
                raise NoSuchCase(case_id)
            found = await store.find_faults(connection, case_ids=[case_id])
            faults = [stored.fault for stored in found.values()]
            standing = [fault for fault in faults if fault.state == "open"]
            decision = decide(case, standing)
            partition = partition_of(case.site_id, self._context.partitions)
            changes = self._context.changes(partition)
            changes.decide(case_id, decision, faults[0], caused_ms=at_ms, now_ms=at_ms)
            if rule_clear is not None and decision.case is not None:
                for fault in standing:
                    seq = await store.next_seq(connection, partition)
                    ruling = _clear(fault, own_source(partition, seq), *rule_clear, at_ms)
                    alarms, key = self._context.topics.alarms, fault.emu_id.encode()
                    changes.send(alarms, key, encode_internal(ruling), now_ms=at_ms)
            await store.write(connection, changes)
        self._context.bells[partition].ring()
        return decision.case or case


def _clear(fault: Fault, source: Source, by: str, reason: str, at_ms: int) -> Ruling:
    return Ruling(
        source=source,
        emu_id=fault.emu_id,
        site_id=fault.site_id,
        component=fault.component,
        code=fault.code,
        action="clear",
        by=by,
        reason=reason,
        receipt_ms=at_ms,
    )

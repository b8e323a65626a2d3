"""One partition of the alarms: records decoded and checked, judged, and what has to be written for it.

Reading and committing exactly once is `shared.kafka.exactly_once`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import msgspec
import structlog

from services.classifier.config import ClassifierSettings
from services.classifier.metrics import (
    ALARMS,
    CONDITIONS,
    EMUS,
    EMUS_LISTENED,
    EMUS_OFFLINE,
    FAULTS,
    FAULTS_OPEN,
    FAULTS_STALE,
    FLAPPING,
    HEARD_TO_SECONDS,
    REGRADED,
    RETIRED,
    TOO_SHORT,
    TRANSFERS_MISSING,
)
from services.classifier.partition import Partition
from services.classifier.rules import Rules
from services.classifier.whereabouts import Here
from shared.documents.dead_letter import DeadLetter, Origin, make_dead_letter
from shared.documents.emu import EMU_STATES, decode_emu_record
from shared.documents.fault import GRADES, encode_fault
from shared.documents.internal import InternalRecord, Tick, decode_internal, encode_internal
from shared.errors import RecordError
from shared.failures import RULE_FAILED, FailureLimit
from shared.kafka.pace import Weight
from shared.kafka.partition import partition_of
from shared.kafka.producer import Outgoing, bury, tell_buried
from shared.kafka.reader import Record
from shared.kafka.topics import Topics
from shared.times import now_ms

log = structlog.get_logger()


class ClassifierState:
    """See shared.kafka.exactly_once.State."""

    def __init__(
        self,
        settings: ClassifierSettings,
        rules: Rules,
        failures: FailureLimit,
        partition: int,
    ) -> None:
        self._settings = settings
        self._failures = failures
        self._number = partition
        home = partial(partition_of, partitions=settings.partitions)
        self._partition = Partition(rules, Here(partition, home))

    @property
    def offset(self) -> int:
        return self._partition.meta.offset

    @property
    def ready(self) -> bool:
        """Where it was the rules that stopped the last task, this one has to get past that place."""
        return not self._failures.reached

    def restore(self, key: bytes, value: bytes | None) -> None:
        self._partition.restore(key, value)

    def restored(self) -> None:
        self._partition.restored()

    def seed(self, record: Record) -> None:
        """Take in one record of the fleet, of our partition, where nothing was restored."""
        emu_id = (record.key or b"").decode(errors="replace")
        try:
            emu = None if record.value is None else decode_emu_record(record.value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.error("EMU record passed over", emu_id=emu_id, detail=str(error))  # noqa: TRY400
            return
        if emu is None or partition_of(emu.site_id, self._settings.partitions) == self._number:
            self._partition.seed(emu_id, emu)

    def stage(self) -> "ClassifierBatch":
        return ClassifierBatch(self._settings, self._number, self._partition, self._failures)

    def tell(self) -> None:
        for grade in GRADES:
            open_faults = FAULTS_OPEN.labels(str(self._number), grade)
            open_faults.set(self._partition.open_by_grade[grade])
        missing = self._partition.moves.missing(self._partition.meta.now_ms)
        TRANSFERS_MISSING.labels(str(self._number)).set(missing)
        for state in EMU_STATES:
            EMUS.labels(str(self._number), state).set(self._partition.emus_by_state[state])
        CONDITIONS.labels(str(self._number)).set(self._partition.known.conditions)
        FLAPPING.labels(str(self._number)).set(self._partition.count_flapping())
        partition, label = self._partition, str(self._number)
        FAULTS_STALE.labels(label).set(partition.stale)
        EMUS_LISTENED.labels(label).set(partition.listened)
        EMUS_OFFLINE.labels(label).set(partition.offline)
        HEARD_TO_SECONDS.labels(label).set(partition.listening.heard_to_ms / 1000)

    def withdraw(self) -> None:
        for grade in GRADES:
            FAULTS_OPEN.remove(str(self._number), grade)
        TRANSFERS_MISSING.remove(str(self._number))
        for state in EMU_STATES:
            EMUS.remove(str(self._number), state)
        CONDITIONS.remove(str(self._number))
        FLAPPING.remove(str(self._number))
        for gauge in (FAULTS_STALE, EMUS_LISTENED, EMUS_OFFLINE, HEARD_TO_SECONDS):
            gauge.remove(str(self._number))


class _Remembered(NamedTuple):
    """What the changelog has of a condition, or of a word that was held, in the place of a record."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes


class ClassifierBatch:
    """See shared.kafka.exactly_once.Batch."""

    def __init__(
        self,
        settings: ClassifierSettings,
        number: int,
        partition: Partition,
        failures: FailureLimit,
    ) -> None:
        self._settings = settings
        self._topics = Topics(settings.prefix)
        self._number = number
        self._partition = partition
        self._failures = failures
        self._batch = partition.stage()
        self._letters: list[DeadLetter] = []
        self._failed = 0

    @property
    def weight(self) -> Weight:
        if self._batch.urgent:
            return Weight.URGENT
        if self._batch.faults or self._letters:
            return Weight.NEWS
        return Weight.QUIET if self._batch.changes_state else Weight.NOTHING

    def take(self, records: Sequence[Record]) -> int:
        for taken, record in enumerate(records):
            if not self._take(record):
                return taken
        return len(records)

    def lose_input(self) -> None:
        self._batch.lose_input()

    def follow_clock(self, at_ms: int) -> bool:
        if not self._follow(at_ms):
            return False
        # All input is read: what was held too long for a transfer waits no longer.
        self._batch.stop_waiting(at_ms)
        self._bury_wake_ups()
        self._judge_released(self._partition.meta.offset)
        return True

    def write(self, offset: int) -> Iterator[Outgoing]:
        """Raises TooManyFailures where the partition is to wait for better rules."""
        self._failures.check(now_ms(), self._failed)
        self._batch.end(offset)
        faults, changelog, number = self._topics.faults, self._topics.classifier_state, self._number
        for fault in self._batch.faults:
            yield Outgoing(faults, number, fault.fault_id.encode(), encode_fault(fault))
        for fault_id in self._batch.buried:
            yield Outgoing(faults, number, fault_id.encode(), None)
        for key, value in self._batch.changelog():
            yield Outgoing(changelog, number, key, value)
        for sent in self._batch.sent:
            home = partition_of(sent.site_id, self._settings.partitions)
            yield Outgoing(self._topics.alarms, home, sent.emu_id.encode(), encode_internal(sent))
        for letter in self._letters:
            yield bury(letter, self._topics.dead_letters, number)

    def apply(self) -> None:
        self._failures.note(now_ms(), self._failed)
        self._partition.apply(self._batch)
        for verdict, count in self._batch.verdicts.items():
            ALARMS.labels(verdict).inc(count)
        TOO_SHORT.inc(self._batch.too_short)
        for by, count in self._batch.regraded.items():
            REGRADED.labels(by).inc(count)
        RETIRED.inc(self._batch.retired)
        for change, count in Counter(fault.change for fault in self._batch.faults).items():
            FAULTS.labels(change).inc(count)
        for letter in self._letters:
            tell_buried("classifier", letter)

    def _take(self, record: Record) -> bool:
        try:
            alarm = self._read(record)
        except RecordError as error:
            self._bury(error, record)
            return True
        if isinstance(alarm, Tick):  # it moves no time: that of other inputs may stand further back
            if not self._follow(0):
                return False
            self._batch.listen(alarm)
            return True
        if not self._follow(alarm.receipt_ms):
            return False
        self._judge(alarm, record)
        if self._batch.released:
            self._judge_released(record.offset)
        return True

    def _follow(self, at_ms: int) -> bool:
        whole = self._batch.follow_clock(at_ms)
        if self._batch.failures:
            self._bury_wake_ups()
        return whole

    def _read(self, record: Record) -> InternalRecord | Tick:
        try:
            alarm = decode_internal(record.value or b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError("undecodable", str(error)) from error
        if isinstance(alarm, Tick):  # to every partition alike
            return alarm
        home = partition_of(alarm.site_id, self._settings.partitions)
        if home != record.partition:
            raise RecordError(
                "wrong_partition", f"site {alarm.site_id} belongs to partition {home}"
            )
        return alarm

    def _judge(self, alarm: InternalRecord, record: Origin) -> None:
        try:
            self._batch.judge(alarm)
        except Exception as error:
            if not self._failed:  # one traceback a batch is enough: there may be thousands
                log.exception("a rule failed", offset=record.offset)
            self._failed += 1
            self._bury(RecordError(RULE_FAILED, f"{error!r}; {self._judge_plainly(alarm)}"), record)

    def _judge_released(self, offset: int) -> None:
        """What was held for a transfer, by the record at `offset` or until then."""
        for word in self._batch.take_released():
            key, value = word.emu_id.encode(), encode_internal(word)
            self._judge(word, _Remembered(self._topics.alarms, self._number, offset, key, value))

    def _judge_plainly(self, alarm: InternalRecord) -> str:
        """What has become of it, in words."""
        try:
            self._batch.judge_plainly(alarm)
        except Exception as error:  # noqa: BLE001 - told in the dead letter, beside the first one's traceback
            return f"it could not be judged by the catalogue alone either: {error!r}"
        return "it was judged by the catalogue alone"

    def _bury_wake_ups(self) -> None:
        """No record made a rule fail there, so its dead letter is the changelog's word on whom it was for."""
        for key, value, error, became in self._batch.failures:
            log.error("a rule failed at a wake-up", key=key, exc_info=error)
            told = RecordError(RULE_FAILED, f"{error!r} at a wake-up; {became}")
            offset = self._batch.meta.offset
            self._bury(
                told, _Remembered(self._topics.classifier_state, self._number, offset, key, value)
            )
        self._failed += len(self._batch.failures)
        self._batch.failures.clear()

    def _bury(self, error: RecordError, record: Origin) -> None:
        self._letters.append(make_dead_letter(error, record))

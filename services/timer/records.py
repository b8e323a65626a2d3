"""What a record of the cases' topic does to its shard."""

from typing import NamedTuple, Protocol

import msgspec

from services.timer.plan import Draft, Identity, Plan, PlannedCase
from shared.errors import RecordError
from shared.kafka.partition import partition_of


class Stated(Protocol):
    """What a record says of a case: its plan, in one form or another."""

    @property
    def plan(self) -> Plan: ...


class Change(NamedTuple):
    """What one record does to a shard; without a plan, the case leaves it."""

    case_id: str
    revision: int | None
    """None: a tombstone, newer than whatever is stored."""
    stated: Stated | None

    @property
    def plan(self) -> Plan | None:
        """Worked out at each call."""
        return None if self.stated is None else self.stated.plan


_decode_case = msgspec.json.Decoder(PlannedCase).decode


def read_change(
    key: bytes | None,
    value: bytes | None,
    *,
    written_ms: int,
    partition: int,
    partitions: int,
) -> Change:
    """The change that a record of `bakvakt.cases` makes; raises RecordError if it makes none."""
    case_id = _read_key(key)
    if value is None:
        return Change(case_id, None, None)
    try:
        case = _decode_case(value)
    except msgspec.ValidationError as error:
        raise RecordError("invalid_case", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("not_json", str(error)) from error
    if case.case_id != case_id:
        raise RecordError("wrong_key", f"key {case_id!r} of the case {case.case_id!r}")
    home = partition_of(case.site_id, partitions)
    if home != partition:
        raise RecordError(
            "wrong_partition", f"site {case.site_id!r} belongs to partition {home} of {partitions}"
        )
    draft = None if case.state == "closed" else Draft(case, written_ms)
    return Change(case_id, case.revision, draft)


class _Fired(msgspec.Struct, frozen=True, gc=False):
    """What of a Deadline tells the moment."""

    case_id: str
    clock: str
    share: str
    version: int


_decode_fired = msgspec.json.Decoder(_Fired).decode


def read_fired(value: bytes | None) -> tuple[str, list[Identity]] | None:
    """The case and the moment of a record of `bakvakt.deadlines`; None: it tells none."""
    try:
        fired = _decode_fired(value or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return fired.case_id, [(fired.clock, fired.share, fired.version)]


def _read_key(key: bytes | None) -> str:
    if not key:
        raise RecordError("no_key", "the record has no key")
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise RecordError("invalid_key", str(error)) from error

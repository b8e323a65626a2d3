"""What a record of an input says, or why it says nothing that can be used."""

import msgspec

from shared.documents.dead_letter import DeadLetter, make_dead_letter
from shared.documents.deadline import Deadline, decode_deadline
from shared.documents.fault import Fault, decode_fault
from shared.errors import RecordError
from shared.kafka.partition import partition_of
from shared.kafka.reader import Record
from shared.kafka.topics import Topics
from shared.times import from_rfc3339

# PostgreSQL cannot keep this character, and no document of ours has it.
NUL_ESCAPED = b"\\u0000"
LARGEST_BIGINT = 2**63 - 1


def read_record(record: Record, topics: Topics, partitions: int) -> Fault | Deadline | None:
    """The document in a record of faults or deadlines; None for a tombstone.

    Raises RecordError (`not_json`, `invalid`, `wrong_partition`).
    """
    if record.value is None:
        return None
    decode = decode_fault if record.topic == topics.faults else decode_deadline
    try:
        document = decode(record.value)
    except msgspec.ValidationError as error:
        raise RecordError("invalid", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError("not_json", f"the document is not JSON: {error}") from error
    if NUL_ESCAPED in record.value:
        raise RecordError("invalid", "a text holds the character NUL")
    number = document.revision if isinstance(document, Fault) else document.version
    if not 0 <= number <= LARGEST_BIGINT:
        raise RecordError("invalid", f"{number} is no revision or version")
    if isinstance(document, Fault):
        _check_times(document)
    right = partition_of(document.site_id, partitions)
    if right != record.partition:
        raise RecordError(
            "wrong_partition",
            f"site {document.site_id} belongs to partition {right}, not to {record.partition}",
        )
    return document


def make_letter(record: Record, error: RecordError) -> DeadLetter:
    """The record as it came, with what is wrong with it."""
    return make_dead_letter(error, record)


def _check_times(fault: Fault) -> None:
    """Those that decisions are made by."""
    times = {
        "opened_at": fault.opened_at,
        "clocks_from": fault.clocks_from,
        "last_at": fault.last_at,
        "cleared_at": fault.cleared_at or fault.last_at,
    }
    for name, text in times.items():
        try:
            from_rfc3339(text)
        except ValueError as error:
            raise RecordError("invalid", f"{error} - at `$.{name}`") from error

"""What a record of an input says, or why it says nothing that can be used."""

from collections.abc import Iterator

import msgspec

from shared.documents.deadline import Deadline, decode_deadline
from shared.documents.fault import Fault, decode_fault
from shared.errors import RecordError
from shared.kafka.partition import partition_of
from shared.kafka.reader import Record
from shared.kafka.topics import Topics
from shared.times import from_rfc3339

# PostgreSQL cannot keep this character, and no document of ours has it. In JSON it stands only like this;
# but so does a backslash before "u0000", which is harmless.
NUL_ESCAPED = b"\\u0000"
LARGEST_BIGINT = 2**63 - 1
LONGEST_ID = 128
# What is made of an id and has a prefix (`unknown:<emu_id>`), or is made of several.
LONGEST_SITE_ID = LONGEST_ID + len("unknown:")
LONGEST_DEADLINE_ID = 300


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
    if NUL_ESCAPED in record.value and any("\0" in text for text in _texts(document)):
        raise RecordError("invalid", "a text holds the character NUL")
    number = document.revision if isinstance(document, Fault) else document.version
    if not 0 <= number <= LARGEST_BIGINT:
        raise RecordError("invalid", f"{number} is no revision or version")
    _check_ids(document)
    if isinstance(document, Fault):
        _check_times(document)
    right = partition_of(document.site_id, partitions)
    if right != record.partition:
        raise RecordError(
            "wrong_partition",
            f"site {document.site_id} belongs to partition {right}, not to {record.partition}",
        )
    return document


def _check_ids(document: Fault | Deadline) -> None:
    """Those that rows are found by: PostgreSQL refuses long ones, and would refuse them for ever."""
    ids = {"site_id": (document.site_id, LONGEST_SITE_ID)}
    if isinstance(document, Fault):
        ids |= {
            "fault_id": (document.fault_id, LONGEST_ID),
            "emu_id": (document.emu_id, LONGEST_ID),
        }
        if document.moved_from is not None:
            ids["moved_from"] = (document.moved_from, LONGEST_ID)
    else:
        ids |= {
            "deadline_id": (document.deadline_id, LONGEST_DEADLINE_ID),
            "case_id": (document.case_id, LONGEST_ID),
        }
    for name, (text, longest) in ids.items():
        if not (1 <= len(text) <= longest and text.isprintable()):
            raise RecordError(
                "invalid", f"Expected 1 to {longest} printable characters - at `$.{name}`"
            )


def _texts(document: msgspec.Struct) -> Iterator[str]:
    """All texts in a document."""
    for value in msgspec.structs.astuple(document):
        if isinstance(value, str):
            yield value
        elif isinstance(value, msgspec.Struct):
            yield from _texts(value)


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

from typing import NamedTuple

class RecordMetadata(NamedTuple):
    offset: int
    """Of the record, or of the first one of a batch; -1: Kafka does not tell."""

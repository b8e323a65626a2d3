"""The source of records that dispatch itself puts among the alarms. Pure."""

from shared.documents.internal import Source

TOPIC = "dispatch"
GENERATION = 0


def own_source(partition: int, seq: int) -> Source:
    """`seq` counts them within the partition."""
    return Source(GENERATION, TOPIC, partition, seq, 0)

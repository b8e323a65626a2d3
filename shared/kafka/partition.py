"""Which partition a site belongs to: the same as any Kafka client's default for the key `site_id`."""

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)  # murmur2 in Python costs 2 us for 16 bytes; a fleet has few sites
def partition_of(site_id: str, partitions: int) -> int:
    """The partition of `site_id` among `partitions`, in every topic but the input."""
    return (murmur2(site_id.encode()) & 0x7FFFFFFF) % partitions

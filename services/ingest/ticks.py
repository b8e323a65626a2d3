"""Ticks: how far an input partition is read, told to every partition of the alarms. Pure."""

from collections.abc import Iterator

from shared.documents.internal import Tick, encode_internal
from shared.kafka.producer import Outgoing

# Short beside the silence of an EMU: 30 s at least.
TICK_INTERVAL_MS = 5_000

Inputs = tuple[tuple[str, int], ...]
"""Each input topic, and how many partitions it has."""


class Ticks:
    """Says when the next tick of one input partition is due, and makes it."""

    def __init__(self, generation: int, topic: str, partition: int) -> None:
        self._generation = generation
        self._topic = topic
        self._partition = partition
        self._told_ms: int | None = None

    def is_due(self, now_ms: int) -> bool:
        """The first is due at once: others may be waiting for our word."""
        return self._told_ms is None or now_ms - self._told_ms >= TICK_INTERVAL_MS

    def make(
        self, inputs: Inputs, read_to_ms: int, now_ms: int, *, topic: str, partitions: int
    ) -> Iterator[Outgoing]:
        """One for each of the `partitions` of `topic`, to be sent behind all that was read by then."""
        self._told_ms = now_ms
        tick = Tick(
            generation=self._generation,
            topic=self._topic,
            partition=self._partition,
            inputs=inputs,
            read_to_ms=read_to_ms,
            receipt_ms=now_ms,
        )
        value = encode_internal(tick)
        for partition in range(partitions):
            yield Outgoing(topic, partition, None, value)

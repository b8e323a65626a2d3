# The part of aiokafka 0.14 that we rely on. It has no types of its own.
from dataclasses import dataclass
from asyncio import Future
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from aiokafka.structs import RecordMetadata

KT = TypeVar("KT", covariant=True)
VT = TypeVar("VT", covariant=True)

class TopicPartition(NamedTuple):
    topic: str
    partition: int

class OffsetAndMetadata(NamedTuple):
    offset: int
    metadata: str

@dataclass(frozen=True)
class ConsumerRecord(Generic[KT, VT]):
    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: KT
    value: VT
    checksum: int | None
    serialized_key_size: int
    serialized_value_size: int
    headers: tuple[tuple[str, bytes], ...]

class OffsetAndTimestamp(NamedTuple):
    offset: int
    timestamp: int

class ConsumerRebalanceListener:
    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None: ...
    async def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None: ...

class AIOKafkaConsumer:
    def __init__(
        self,
        *topics: str,
        bootstrap_servers: str = ...,
        group_id: str | None = ...,
        isolation_level: str = ...,
        enable_auto_commit: bool = ...,
        auto_offset_reset: str = ...,
        fetch_max_wait_ms: int = ...,
        consumer_timeout_ms: int = 200,
        fetch_max_bytes: int = ...,
        max_partition_fetch_bytes: int = ...,
        session_timeout_ms: int = ...,
        heartbeat_interval_ms: int = ...,
    ) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    def assign(self, partitions: list[TopicPartition]) -> None: ...
    def subscribe(
        self, topics: list[str], *, listener: ConsumerRebalanceListener | None = ...
    ) -> None: ...
    def assignment(self) -> frozenset[TopicPartition]: ...
    def pause(self, *partitions: TopicPartition) -> None: ...
    def seek(self, partition: TopicPartition, offset: int) -> None: ...
    async def seek_to_beginning(self, *partitions: TopicPartition) -> bool: ...
    async def position(self, partition: TopicPartition) -> int: ...
    def highwater(self, partition: TopicPartition) -> int | None: ...
    def last_poll_timestamp(self, partition: TopicPartition) -> int | None: ...
    async def beginning_offsets(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, int]: ...
    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]: ...
    async def offsets_for_times(
        self, timestamps: dict[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]: ...
    async def topics(self) -> set[str]: ...
    def partitions_for_topic(self, topic: str) -> set[int] | None: ...
    async def committed(self, partition: TopicPartition) -> int | None: ...
    async def commit(
        self, offsets: Mapping[TopicPartition, int | tuple[int, str]] | None = ...
    ) -> None: ...
    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = ..., max_records: int | None = ...
    ) -> dict[TopicPartition, list[ConsumerRecord[bytes | None, bytes | None]]]: ...
    async def getone(
        self, *partitions: TopicPartition
    ) -> ConsumerRecord[bytes | None, bytes | None]: ...

class BatchBuilder:
    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]] = ...,
    ) -> object | None: ...
    def record_count(self) -> int: ...

class AIOKafkaProducer:
    def __init__(
        self,
        *,
        bootstrap_servers: str = ...,
        transactional_id: str | None = ...,
        transaction_timeout_ms: int = ...,
        enable_idempotence: bool = ...,
        compression_type: str | None = ...,
        acks: int | str = ...,
        retry_backoff_ms: int = ...,
        linger_ms: int = ...,
        max_batch_size: int = ...,
        max_request_size: int = ...,
    ) -> None: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def flush(self) -> None: ...
    async def begin_transaction(self) -> None: ...
    async def commit_transaction(self) -> None: ...
    async def abort_transaction(self) -> None: ...
    def create_batch(self) -> BatchBuilder: ...
    async def send_batch(
        self, batch: BatchBuilder, topic: str, *, partition: int
    ) -> Future[RecordMetadata]: ...
    async def send(
        self,
        topic: str,
        value: bytes | None = ...,
        key: bytes | None = ...,
        partition: int | None = ...,
        timestamp_ms: int | None = ...,
        headers: list[tuple[str, bytes]] | None = ...,
    ) -> Future[Any]: ...
    async def send_and_wait(
        self,
        topic: str,
        value: bytes | None = ...,
        key: bytes | None = ...,
        partition: int | None = ...,
        timestamp_ms: int | None = ...,
        headers: list[tuple[str, bytes]] | None = ...,
    ) -> Any: ...
    async def partitions_for(self, topic: str) -> set[int]: ...

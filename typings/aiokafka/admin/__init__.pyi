from typing import Any, Protocol, TypedDict

from aiokafka import OffsetAndMetadata, TopicPartition
from aiokafka.admin.config_resource import ConfigResource

class NewTopic:
    def __init__(
        self,
        name: str,
        num_partitions: int,
        replication_factor: int,
        replica_assignments: dict[int, list[int]] | None = ...,
        topic_configs: dict[str, str] | None = ...,
    ) -> None: ...

class RecordsToDelete:
    def __init__(self, *, before_offset: int) -> None: ...

class PartitionDescription(TypedDict):
    error_code: int
    partition: int
    replicas: list[int]

class TopicDescription(TypedDict):
    error_code: int
    topic: str
    partitions: list[PartitionDescription]

class CreateTopicsResponse(Protocol):
    topic_errors: list[tuple[Any, ...]]

class DescribeConfigsResponse(Protocol):
    resources: list[tuple[Any, ...]]

class AIOKafkaAdminClient:
    def __init__(self, *, bootstrap_servers: str = ..., request_timeout_ms: int = ...) -> None: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def create_topics(self, new_topics: list[NewTopic]) -> CreateTopicsResponse: ...
    async def delete_topics(self, topics: list[str]) -> object: ...
    async def delete_records(
        self, records_to_delete: dict[TopicPartition, RecordsToDelete]
    ) -> dict[TopicPartition, int]: ...
    async def list_topics(self) -> list[str]: ...
    async def describe_topics(self, topics: list[str] | None = ...) -> list[TopicDescription]: ...
    async def describe_configs(
        self, config_resources: list[ConfigResource]
    ) -> list[DescribeConfigsResponse]: ...
    async def list_consumer_group_offsets(
        self, group_id: str, *, partitions: list[TopicPartition] | None = ...
    ) -> dict[TopicPartition, OffsetAndMetadata]: ...

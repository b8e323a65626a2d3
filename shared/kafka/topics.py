"""Names, settings and checks of the topics (docs/architecture.md, "Topics")."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from shared.errors import ConfigError

if TYPE_CHECKING:
    from aiokafka.admin import TopicDescription  # exists in typings/ only

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
# Kafka's own default, a little below it: our batches are of half that size.
_LEAST_MESSAGE_BYTES = 1024 * 1024
_KNOWN_TRIES, _KNOWN_INTERVAL_S = 100, 0.1
TOMBSTONES_KEPT_MS = 7 * _DAY_MS
"""A reader that comes back within this time still sees what was deleted."""
_COMPACTED = {
    "cleanup.policy": "compact",
    # A reader that is at most this far behind sees every revision.
    "min.compaction.lag.ms": str(_HOUR_MS),
    "delete.retention.ms": str(TOMBSTONES_KEPT_MS),
}


@dataclass(frozen=True)
class Topics:
    """The names under one prefix."""

    prefix: str

    @property
    def alarms(self) -> str:
        return f"{self.prefix}.alarms"

    @property
    def faults(self) -> str:
        return f"{self.prefix}.faults"

    @property
    def cases(self) -> str:
        return f"{self.prefix}.cases"

    @property
    def deadlines(self) -> str:
        return f"{self.prefix}.deadlines"

    @property
    def fleet(self) -> str:
        return f"{self.prefix}.fleet"

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}.dead-letters"

    @property
    def classifier_state(self) -> str:
        return f"{self.prefix}.classifier-state"

    def settings(self) -> dict[str, dict[str, str]]:
        """Each topic of ours with what makes it what it is."""
        return {
            self.alarms: {"cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)},
            self.faults: dict(_COMPACTED),
            self.cases: dict(_COMPACTED),
            self.deadlines: {
                **_COMPACTED,
                "cleanup.policy": "compact,delete",
                "retention.ms": str(430 * _DAY_MS),
            },
            self.fleet: dict(_COMPACTED),
            self.dead_letters: {
                "cleanup.policy": "delete",
                "retention.ms": str(30 * _DAY_MS),
                "max.message.bytes": str(9 * 1024 * 1024),
            },
            # Small segments: compaction leaves the active one alone, and a restore reads all of it.
            self.classifier_state: {**_COMPACTED, "segment.bytes": str(32 * 1024 * 1024)},
        }


async def apply_topics(
    kafka: str, prefix: str, *, partitions: int, replication: int, inputs: tuple[str, ...] = ()
) -> list[str]:
    """Make what is missing; return what was made. `inputs` are for trying out: their owner makes them.

    Raises ConfigError where a topic is there with another number of partitions.
    """
    settings = Topics(prefix).settings()
    durable = {
        "min.insync.replicas": str(min(2, replication)),
        "unclean.leader.election.enable": "false",
    }
    wanted = [
        NewTopic(name, partitions, replication, topic_configs={**durable, **own})
        for name, own in settings.items()
    ]
    wanted += [
        NewTopic(
            name,
            partitions,
            replication,
            topic_configs={
                **durable,
                "message.timestamp.type": "LogAppendTime",
                "max.message.bytes": str(9 * 1024 * 1024),
            },
        )
        for name in inputs
    ]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        made = await _create(admin, wanted)
        await _until_known(admin, [*settings, *inputs])
    finally:
        await admin.close()
    await check_topics(kafka, prefix, partitions=partitions, replication=replication)
    return made


async def _create(admin: AIOKafkaAdminClient, wanted: list[NewTopic]) -> list[str]:
    response = await admin.create_topics(wanted)
    made: list[str] = []
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code == 0:
            made.append(name)
        elif error is not TopicAlreadyExistsError:
            raise ConfigError([f"topic {name} cannot be made: {error.__name__} {rest}"])
    return made


async def _until_known(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    """A broker answers that a topic is made a moment before it knows of it."""
    for _ in range(_KNOWN_TRIES):
        described = await admin.describe_topics(names)
        if all(
            topic["error_code"] == 0 and all(p["error_code"] == 0 for p in topic["partitions"])
            for topic in described
        ):
            return
        await asyncio.sleep(_KNOWN_INTERVAL_S)


async def check_topics(kafka: str, prefix: str, *, partitions: int, replication: int) -> None:
    """Raise ConfigError unless all topics are there, with `partitions` each and durable as promised."""
    settings = Topics(prefix).settings()
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        described = await admin.describe_topics(list(settings))
        problems = [
            problem
            for topic in described
            if (problem := _check_shape(topic, partitions, replication)) is not None
        ]
        if not problems:
            problems = await _check_settings(admin, settings, replication)
    finally:
        await admin.close()
    if problems:
        raise ConfigError(problems)


async def check_inputs(kafka: str, inputs: tuple[str, ...]) -> None:
    """Raise ConfigError unless the input topics, which others make, are there."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        described = await admin.describe_topics(list(inputs))
    finally:
        await admin.close()
    problems = [
        f"input topic {topic['topic']} is not there: its owner makes it; "
        "for trying out, `./bakvakt topics apply` does"
        for topic in described
        if topic["error_code"] != 0
    ]
    if problems:
        raise ConfigError(problems)


def _check_shape(topic: "TopicDescription", partitions: int, replication: int) -> str | None:
    name = topic["topic"]
    if topic["error_code"] != 0:
        return f"topic {name} is not there: run `./bakvakt topics apply`"
    found = topic["partitions"]
    if len(found) != partitions:
        return (
            f"topic {name} has {len(found)} partitions, BAKVAKT_PARTITIONS says {partitions}; "
            "the number is fixed when the topics are made"
        )
    replicas = min(len(partition["replicas"]) for partition in found)
    if replicas < replication:
        return f"topic {name} has {replicas} replicas, BAKVAKT_REPLICATION asks for {replication}"
    return None


async def _check_settings(
    admin: AIOKafkaAdminClient, settings: Mapping[str, Mapping[str, str]], replication: int
) -> list[str]:
    """What loses data if it is wrong: cleanup of compacted topics, and acknowledged writes."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in settings]
    problems: list[str] = []
    for response in await admin.describe_configs(resources):
        for resource in response.resources:
            name: str = resource[3]
            found: dict[str, str] = {entry[0]: entry[1] for entry in resource[4]}
            cleanup = settings[name]["cleanup.policy"]
            if set(found["cleanup.policy"].split(",")) != set(cleanup.split(",")):
                problems.append(
                    f"topic {name} has cleanup.policy={found['cleanup.policy']}, needs {cleanup}"
                )
            if int(found["min.insync.replicas"]) < min(2, replication):
                problems.append(
                    f"topic {name} has min.insync.replicas={found['min.insync.replicas']}, needs 2"
                )
            least = settings[name].get("max.message.bytes", str(_LEAST_MESSAGE_BYTES))
            if int(found["max.message.bytes"]) < int(least):
                problems.append(
                    f"topic {name} has max.message.bytes={found['max.message.bytes']}, needs {least}"
                )
            if found["unclean.leader.election.enable"] == "true":
                problems.append(
                    f"topic {name} has unclean.leader.election.enable=true: it may lose records"
                )
    return problems

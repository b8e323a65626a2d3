"""One Kafka broker that is its own controller (KRaft), reached on the loopback address only."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.ports import LOOPBACK
from deploy.local.process import Program
from deploy.local.server import NotReady, run_to_end

ROOT = Path(__file__).resolve().parents[2]
JARS = ROOT / ".local/kafka/libs"
LOG_CONFIGURATION = Path(__file__).with_name("kafka") / "log4j2.properties"

# The identity of the cluster and of its disk: 16 bytes in base64. They only tell clusters apart
# that might meet, and this one listens to nobody else.
CLUSTER_ID = "QmFrdmFrdExvY2FsT25lMQ"

MIB = 1024 * 1024

# What does not depend on where it runs; deploy/docker/compose.yaml has the same.
SETTINGS: dict[str, str | int] = {
    # The largest value that the input allows is 1 MiB, of the dead letters 9 MiB.
    "message.max.bytes": 10 * MIB,
    "auto.create.topics.enable": "false",
    # One broker has one replica. These topics are Kafka's own; few partitions start fast.
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 8,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 8,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    # A group of one member need not wait for a second one.
    "group.initial.rebalance.delay.ms": 0,
}


@dataclass(frozen=True)
class KafkaServer:
    """The broker, with everything that it keeps under `directory`."""

    directory: Path
    log: Path
    port: int
    controller_port: int
    environment: Mapping[str, str]
    name: str = "kafka"

    @property
    def url(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def program(self) -> Program:
        return self._java("kafka.Kafka", str(self._configuration), heap_mib=512)

    async def prepare(self) -> None:
        """Write the configuration, and format the data directory unless that has been done."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "tmp").mkdir(exist_ok=True)
        self._write_configuration()
        if (self._data / "meta.properties").exists():
            return
        # Formatting writes this file last, so without it the directory is half made, or new.
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir()
        arguments = ["format", "--cluster-id", CLUSTER_ID, "--config", str(self._configuration)]
        await run_to_end(self._java("kafka.tools.StorageTool", *arguments, heap_mib=64))

    async def check(self) -> None:
        """Raise NotReady unless a request is answered: the broker takes none before its controller
        has let it in."""
        # First without aiokafka, which logs an error for every try that finds nobody.
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, self.port)
            writer.close()
        except OSError as error:
            raise NotReady(str(error)) from error
        admin = AIOKafkaAdminClient(bootstrap_servers=self.url, request_timeout_ms=2_000)
        try:
            await admin.start()
            await admin.list_topics()
        except KafkaError as error:
            raise NotReady(str(error)) from error
        finally:
            await admin.close()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    @property
    def _configuration(self) -> Path:
        return self.directory / "server.properties"

    def _write_configuration(self) -> None:
        text = "".join(f"{key}={value}\n" for key, value in self._settings().items())
        unfinished = self._configuration.with_suffix(".new")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(self._configuration)

    def _settings(self) -> dict[str, str | int]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.url},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.url}",
            "log.dirs": str(self._data),
            **SETTINGS,
        }

    def _java(self, main_class: str, *arguments: str, heap_mib: int) -> Program:
        command = (
            "java",
            f"-Xms{min(heap_mib, 256)}m",
            f"-Xmx{heap_mib}m",
            "-XX:+UseG1GC",
            "-XX:MaxGCPauseMillis=20",
            "-XX:+ExitOnOutOfMemoryError",
            # No files in /tmp: neither the virtual machine's, nor unpacked native libraries.
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={self.directory / 'tmp'}",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={LOG_CONFIGURATION}",
            "-cp",
            f"{JARS}/*",
            main_class,
            *arguments,
        )
        return Program(
            name=self.name,
            command=command,
            log=self.log,
            environment={**self.environment, "LC_ALL": "C.UTF-8"},
            stop_within_s=20,
        )

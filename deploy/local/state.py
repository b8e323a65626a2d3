"""The state directory: what `up` keeps between two starts, and tells other commands."""

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import msgspec

from deploy.local.messages import Event
from deploy.local.process import ProcessIdentity, boot_id

ROOT = Path(__file__).resolve().parents[2]

# PostgreSQL's account cannot pass through root's home, where a clone often lies.
POSTGRES_HOME = Path("/var/lib/bakvakt")

# What `up` takes where the caller says nothing and Kafka is its own.
DEFAULTS_OF_UP = {"BAKVAKT_PARTITIONS": "8", "BAKVAKT_REPLICATION": "1"}

Kind = Literal["server", "service", "receiver", "simulator"]


class ChildRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One child of the supervisor. Instances of one service have the same `service`."""

    name: str
    """Its own, as in its log's name: kafka, ingest, classifier-2."""
    kind: Kind
    service: str
    url: str | None
    port: int | None
    process: ProcessIdentity | None
    """None while it waits to be started again."""
    stop_signal: signal.Signals


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor with all its children, as of its last change."""

    boot_id: str
    supervisor: ProcessIdentity
    started_ms: int | None = None
    ready: bool
    """Everything has answered once since the start."""
    stopping: bool = False
    kafka: str
    redis: str
    postgres: str
    children: list[ChildRecord]
    events: tuple[Event, ...] = ()
    """The last ones, the oldest first."""

    def is_running(self) -> bool:
        return self.is_of_this_boot() and self.supervisor.is_alive()

    def has_own_kafka(self) -> bool:
        """Whether its Kafka is a child of it."""
        return any(child.name == "kafka" for child in self.children)

    def is_of_this_boot(self) -> bool:
        return self.boot_id == boot_id()

    def leftovers(self) -> list[ChildRecord]:
        """The children that still run."""
        if not self.is_of_this_boot():
            return []
        return [child for child in self.children if child.process and child.process.is_alive()]


class BrokenState(Exception):
    """The file of the state is cut off, or nobody's; the message says what to do."""


@dataclass(frozen=True)
class StateDirectory:
    path: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "StateDirectory":
        """The directory that BAKVAKT_STATE names, by default `.local` in the clone."""
        return cls(Path(environ.get("BAKVAKT_STATE") or ROOT / ".local").resolve())

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def postgres(self) -> Path:
        """A link to where PostgreSQL's data lies."""
        return self.data / "postgres"

    @property
    def pages(self) -> Path:
        return self.path / "pages.jsonl"

    @property
    def fleet(self) -> Path:
        """The EMU records of the simulated fleet."""
        return self.path / "fleet.jsonl"

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def read(self) -> State | None:
        """The state as last written; None if nothing runs and nothing was left. Raises BrokenState."""
        try:
            return msgspec.json.decode(self._state_file.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BrokenState(
                f"{self._state_file} does not say what runs here: {error}. End what an earlier `up` may have "
                "left running, remove that file, and try again."
            ) from error

    def write(self, state: State) -> None:
        """Replace the state at once: a reader sees the old one or the new one, whole."""
        unfinished = self._state_file.with_suffix(".new")
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
        unfinished.replace(self._state_file)

    def clear(self) -> None:
        self._state_file.unlink(missing_ok=True)

    def lock(self) -> IO[bytes] | None:
        """The lock that a supervisor holds as long as it lives; None if another one has it."""
        self._state_file.parent.mkdir(parents=True, exist_ok=True)
        file = (self.path / "run/lock").open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def webhook_secret(self) -> str:
        """The key that signs pages: made once, readable by its owner alone."""
        file = self.path / "webhook-secret"
        if not file.exists():
            unfinished = file.with_suffix(".new")
            unfinished.touch(mode=0o600)
            unfinished.write_text(secrets.token_urlsafe(32), encoding="ascii")
            unfinished.replace(file)
        return file.read_text(encoding="ascii")

    def make_data(self) -> None:
        """Make the directory of the servers' data if it is not there."""
        if not self.data.exists():
            # Somebody has removed it, and Kafka's data with it. The database that belonged to it
            # knows offsets of that Kafka, and would be wrong about any other.
            self.delete_data()
        self.data.mkdir(parents=True, exist_ok=True)
        self._postgres_outside.mkdir(parents=True, exist_ok=True)
        if not self.postgres.is_symlink():
            self.postgres.symlink_to(self._postgres_outside)

    def delete_data(self) -> None:
        """Forget everything that the servers and the receiver have kept."""
        shutil.rmtree(self._postgres_outside.parent, ignore_errors=True)
        with suppress(OSError):
            POSTGRES_HOME.rmdir()  # unless another clone has its data there, or nobody ever had
        shutil.rmtree(self.data, ignore_errors=True)
        self.pages.unlink(missing_ok=True)

    @property
    def _postgres_outside(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return POSTGRES_HOME / digest / "postgres"

    @property
    def _state_file(self) -> Path:
        return self.path / "run/state.json"


async def end_leftovers(state: State) -> list[str]:
    """End what a killed supervisor could not end; gives the names."""
    names: list[str] = []
    for child in state.leftovers():
        if child.process is not None:
            await child.process.end(child.stop_signal, within_s=20)
            names.append(child.name)
    return names

"""One PostgreSQL, reached on the loopback address only, and there without a password.

That is enough for a demonstration on one's own machine: whoever can run programs on it can read
this database. It holds no data that anybody would miss.
"""

import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from deploy.local.ports import LOOPBACK
from deploy.local.process import Program
from deploy.local.server import CannotStart, NotReady, run_to_end

# PostgreSQL refuses to run as root; this account comes with Debian's package.
ACCOUNT = "postgres"
DATABASE = "bakvakt"
INSTALLATIONS = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class PostgresServer:
    """PostgreSQL with a database `bakvakt`; `directory` must be one that its account can reach."""

    directory: Path
    log: Path
    port: int
    environment: Mapping[str, str]
    name: str = "postgres"

    @property
    def url(self) -> str:
        return f"postgresql://{ACCOUNT}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def program(self) -> Program:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": str(self.directory),
            # Two connection pools of each service, and somebody with psql.
            "max_connections": "200",
            "log_timezone": "UTC",
            "timezone": "UTC",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return self._run("postgres", "-D", str(self._data), *options)

    async def prepare(self) -> None:
        """Make the cluster unless there is one; a cut leaves nothing that looks like one."""
        account = pwd.getpwnam(ACCOUNT)
        self.directory.mkdir(parents=True, exist_ok=True)
        os.chown(self.directory, account.pw_uid, account.pw_gid)
        self.directory.chmod(0o700)
        for leftover in self.directory.glob("unfinished-*"):
            shutil.rmtree(leftover)
        if self._data.exists():
            return
        unfinished = self.directory / f"unfinished-{secrets.token_hex(4)}"
        options = ["--username", ACCOUNT, "--auth", "trust", "--encoding", "UTF8"]
        # Written to disk once, by the first checkpoint, rather than file by file here.
        options += ["--locale", "C.UTF-8", "--no-sync", "--no-instructions"]
        await run_to_end(self._run("initdb", "-D", str(unfinished), *options))
        unfinished.rename(self._data)

    async def check(self) -> None:
        """Raise NotReady unless a connection is accepted; make the database if it is missing."""
        try:
            maintenance = self.url.removesuffix(DATABASE) + "postgres"
            async with await psycopg.AsyncConnection.connect(
                maintenance, autocommit=True, connect_timeout=2
            ) as connection:
                found = await connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
                )
                if await found.fetchone() is None:
                    await connection.execute(SQL("CREATE DATABASE {}").format(Identifier(DATABASE)))
        except psycopg.OperationalError as error:
            raise NotReady(str(error)) from error

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _run(self, program: str, *arguments: str) -> Program:
        return Program(
            name=self.name,
            command=(str(self._programs() / program), *arguments),
            log=self.log,
            environment={**self.environment, "LC_ALL": "C.UTF-8"},
            user=ACCOUNT,
            # Fast shutdown: connections are cut, nothing that was committed is lost.
            stop_signal=signal.SIGINT,
            # Immediate shutdown. Killed, it would leave its processes and shared memory behind.
            abandon_signal=signal.SIGQUIT,
        )

    def _programs(self) -> Path:
        """Of the version that made the data; without data, of the newest."""
        version_file = self._data / "PG_VERSION"
        if version_file.exists():
            version = version_file.read_text(encoding="ascii").strip()
            programs = INSTALLATIONS / version / "bin"
            if not (programs / "postgres").exists():
                message = (
                    f"{self._data} was made by PostgreSQL {version}, which this machine does not"
                    f" have any more: install postgresql-{version}, or remove {self.directory}"
                )
                raise CannotStart(message)
            return programs
        found = [path.parent for path in INSTALLATIONS.glob("*/bin/postgres")]
        if not found:
            raise CannotStart(f"there is no PostgreSQL in {INSTALLATIONS}")
        return max(found, key=lambda path: float(path.parent.name))

"""On what was measured: a figure without its machine says nothing."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import msgspec

from deploy.local.kafka_server import JARS
from deploy.local.state import ROOT

LIBRARIES = ("aiokafka", "msgspec", "redis", "hiredis", "uvloop")
# Of the cores. Above this, others take turns with what is measured.
BUSY_LOAD_SHARE = 0.25


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine, the versions and the code of one run."""

    cores: int
    """That this process may use."""
    cpu: str
    memory_mib: int
    python: str
    versions: dict[str, str]
    """Of the libraries and the servers."""
    commit: str | None
    """None: no git clone."""
    dirty: bool
    """The code differs from the commit."""
    load_1m: float
    """At the start: processes that wanted to run, on average over the last minute."""


def read_machine() -> Machine:
    """As it is now."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=_cpu_model(),
        memory_mib=memory_bytes // 2**20,
        python=platform.python_version(),
        versions={
            "Kafka": _kafka_version(),
            "Redis": _redis_version(),
            **{library: version(library) for library in LIBRARIES},
        },
        commit=_output("git", "rev-parse", "HEAD") or None,
        dirty=bool(_output("git", "status", "--porcelain")),
        load_1m=round(os.getloadavg()[0], 2),
    )


def machine_line(machine: Machine) -> str:
    """All of it for people, on a line."""
    versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
    commit = "no commit" if machine.commit is None else f"commit {machine.commit[:10]}"
    changed = " with changes" if machine.dirty else ""
    return (
        f"{machine.cores} cores ({machine.cpu}), {machine.memory_mib} MiB, "
        f"Python {machine.python}, {versions}, {commit}{changed}, load {machine.load_1m:.2f}"
    )


def busy_warning(load_1m: float, cores: int) -> str | None:
    """What to say where others are at work on the machine; None: nothing."""
    if load_1m <= BUSY_LOAD_SHARE * cores:
        return None
    return (
        f"The machine is busy: load {load_1m:.2f} on {cores} cores. Times and rates are disturbed; "
        "ratios of CPU time less so."
    )


def _cpu_model() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
    return found[1].strip() if found else platform.machine()


def _kafka_version() -> str:
    """Of the broker that `running_servers` starts."""
    names = [path.stem.rpartition("-")[2] for path in JARS.glob("kafka-server-[0-9]*.jar")]
    return names[0] if names else "unknown"


def _redis_version() -> str:
    found = re.search(r"v=(\S+)", _output("redis-server", "--version"))
    return found[1] if found else "unknown"


def _output(*command: str) -> str:
    """What it prints; nothing where it fails or is not there."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()

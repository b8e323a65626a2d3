"""CPU time of processes, from the kernel."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of a process that runs, its children apart; raises ProcessLookupError.

    By the process's CPU clock, whose number is made as clock_getcpuclockid(3) makes it: /proc counts in
    ticks of 10 ms only.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError as error:
        raise ProcessLookupError(f"process {pid} has ended") from error


def tree_cpu_s(pid: int) -> float:
    """The same with all its children, those that have ended included (PostgreSQL has one a connection)."""
    total_s = cpu_s(pid) + _ended_children_s(pid)
    for child in children(pid):
        with suppress(ProcessLookupError):  # it has ended since
            total_s += tree_cpu_s(child)
    return total_s


def children(pid: int) -> list[int]:
    """The processes that it has started and that have not ended."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
                if int(_read_stat(int(entry.name))[1]) == pid:
                    found.append(int(entry.name))
    return found


def _ended_children_s(pid: int) -> float:
    user, system = _read_stat(pid)[13:15]
    return (int(user) + int(system)) / _TICKS_PER_S


def _read_stat(pid: int) -> list[str]:
    """The fields behind the program's name, the process's state being the first."""
    stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    return stat.rpartition(")")[2].split()


class Cost(NamedTuple):
    """What something took."""

    cpu_s: float
    """Of the measuring process where it is a floor's cost, of the service where it is ours."""
    servers_s: Mapping[str, float]
    """CPU of the servers, by the name that the meter gave them, children included."""
    took_s: float
    """Time on the wall."""


def together(*costs: Cost) -> Cost:
    """Of one after the other."""
    servers = {name for cost in costs for name in cost.servers_s}
    return Cost(
        sum(cost.cpu_s for cost in costs),
        {name: sum(cost.servers_s.get(name, 0) for cost in costs) for name in sorted(servers)},
        sum(cost.took_s for cost in costs),
    )


class Meter:
    """Runs from its making to `read`: `meter = Meter(broker=pid)`, then the work, then `meter.read()`."""

    def __init__(self, **pids: int) -> None:
        self._pids = pids
        self._servers_s = {name: tree_cpu_s(pid) for name, pid in pids.items()}
        self._began_s = time.monotonic()
        self._cpu_s = time.process_time()  # last here and first below: looking costs some as well

    def read(self) -> Cost:
        """What this process and those of the meter have used since the start."""
        cpu_s = time.process_time() - self._cpu_s
        took_s = time.monotonic() - self._began_s
        servers_s = {
            name: tree_cpu_s(pid) - self._servers_s[name] for name, pid in self._pids.items()
        }
        return Cost(cpu_s, servers_s, took_s)

"""How many threads a program should use: the cores that this process may run on, as the system tells."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from contextlib import suppress
from pathlib import Path

from ...errors import ConfigError

VARIABLE = "NASTURTIUM_NUM_THREADS"
MOST_THREADS = 256


def usable_threads() -> int:
    """The variable NASTURTIUM_NUM_THREADS, else the usable cores, at most 256.

    Usable are the cores of this process's affinity mask, two hardware threads of one core counting once (kernels that
    keep the multipliers busy gain nothing from the second), and not more than the processor time that the control group
    of a container allows. Where cores differ, the fast ones count: work is divided evenly.

    Raises:
        ConfigError: the variable is no whole number >= 1.
    """
    asked = os.environ.get(VARIABLE, "").strip()
    if not asked:
        return min(_cores(), MOST_THREADS)
    if not asked.isdecimal() or int(asked) < 1:
        raise ConfigError(f"{VARIABLE}: expected a whole number >= 1, got {asked!r}")
    return min(int(asked), MOST_THREADS)


def _cores() -> int:
    if sys.platform == "darwin" and (fast := _fast_cores()):
        return fast
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    cores = {_core_of(cpu) for cpu in os.sched_getaffinity(0)}
    return max(1, math.ceil(min(len(cores), _quota())))


def _core_of(cpu: int) -> str:
    """The hardware threads of the core that `cpu` belongs to."""
    with suppress(OSError):
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    return str(cpu)


def _quota() -> float:
    """Processors' worth of time that the control groups allow, in cores."""
    least = math.inf
    with suppress(OSError, ValueError):  # no control groups, or version 1, where containers see their own at the top
        quota, period = (int(Path(f"/sys/fs/cgroup/cpu/cpu.cfs_{part}_us").read_text()) for part in ("quota", "period"))
        least = quota / period if quota > 0 else least
    with suppress(OSError, ValueError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        ours = next((line[3:] for line in lines if line.startswith("0::")), "/")
        group = Path("/sys/fs/cgroup", ours.strip("/"))
        for folder in (group, *group.parents):
            with suppress(OSError, ValueError):
                quota, period = (folder / "cpu.max").read_text().split()
                least = min(least, int(quota) / int(period))  # "max" is no number
    return least


def _fast_cores() -> int:
    count, size = ctypes.c_int(0), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    read = ctypes.CDLL(None).sysctlbyname(
        b"hw.perflevel0.physicalcpu", ctypes.byref(count), ctypes.byref(size), None, ctypes.c_size_t(0)
    )
    return count.value if read == 0 else 0

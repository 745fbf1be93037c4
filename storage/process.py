"""Which process holds a run, and whether it still lives: a killed process cannot write that it ended."""

import os
import platform
from pathlib import Path


def host() -> str:
    """The name of this machine, which makes a process id mean something."""
    return platform.node()


def birth(pid: int) -> str | None:
    """What tells a process from later ones with its number: the boot, and the tick of it that the process began at.

    In a restarted container every program has its old number again. Times of the clock would not do: it may be set.
    None where the process is gone, or the system (other than Linux) does not tell.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # The second field is the program's name in brackets and may itself hold blanks and brackets.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else f"{boot}/{fields[18]}"  # Z: dead, and not yet waited for


def is_own(host_name: str | None, pid: int | None, born: str | None) -> bool:
    """Whether that is this process."""
    return (host_name, pid, born) == (host(), os.getpid(), birth(os.getpid()))


def is_alive(pid: int, born: str | None) -> bool:
    """Whether the process of this machine with that number and birth still runs; when in doubt, yes."""
    if born is not None:
        return birth(pid) == born
    if os.name != "posix":
        return True  # os.kill(pid, 0) is a question only on POSIX; on Windows it ends the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True

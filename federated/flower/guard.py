"""Runs inside a child: one of Flower's commands, ended with its whole group as soon as the parent is gone.

Started as a script, not as a module of the package, so that a server loads nothing of ours: `python -P guard.py
PARENT_PID COMMAND ARGUMENTS...`. The parent is asked for by its number twice a second. A pipe would be held open by
whatever the parent forked, and Linux's PR_SET_PDEATHSIG fires already when the thread that started us ends.
"""

import os
import signal
import sys
import threading
import time
from importlib.metadata import entry_points

PAUSE = 0.5  # seconds


def end_with(parent: int) -> None:
    """Kill the own group, which the parent made for us alone, once `parent` is our parent no more."""
    while os.getppid() == parent:
        time.sleep(PAUSE)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """Be the command, under watch."""
    parent, command = int(sys.argv[1]), sys.argv[2]
    if os.getpgrp() != os.getpid():
        raise SystemExit("the guard kills its process group, so it must lead one of its own")
    threading.Thread(target=end_with, args=(parent,), name="guard", daemon=True).start()
    [script] = entry_points(group="console_scripts", name=command)
    sys.argv = [command, *sys.argv[3:]]
    raise SystemExit(script.load()())


if __name__ == "__main__":
    main()

"""Processes that do something at the same moment, forked from one interpreter that has imported what they need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

_FORK = """
import os, sys, traceback

{imports}
gate, opener = os.pipe()
children = []
for name in sys.argv[2:]:
    children.append(os.fork())
    if not children[-1]:
        target, said, code = sys.argv[1], [], 1
        try:
            os.close(opener)
            os.read(gate, 1)  # until the parent, which has forked them all, shuts its end
            exec(compile({script!r}, "<together>", "exec"))
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stderr.flush()
        os.write(1, f"{{__import__('json').dumps([name, said])}}\\n".encode())  # one write: a line of its own
        os._exit(code)
os.close(opener)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
sys.exit(any(codes))
"""


def run_together(imports: str, script: str, target: str | Path, names: Sequence[str]) -> dict[str, list[object]]:
    """Let a process of each name run `script` at the same moment, and all of them end well.

    Args:
        imports: run before the processes are forked: nothing that opens a database or starts a thread.
        script: of each process, with `target` and its `name`; what it appends to `said` is what it says.
        target: a path or URL.
        names: one process each.

    Returns:
        What each of them said.
    """
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    program = _FORK.format(imports=imports, script=script)
    done = subprocess.run(
        [sys.executable, "-c", program, str(target), *names], capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = dict(json.loads(line) for line in done.stdout.splitlines())
    assert sorted(said) == sorted(names)
    return said

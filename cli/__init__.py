"""The command line, and the library calls behind it."""

import io
import os
import sys
from pathlib import Path


def main() -> None:
    """The `nasturtium` program."""
    if sys.argv[1:] == ["--version"]:  # what scripts ask most is not to pay for the imports below
        from importlib.metadata import version

        sys.stdout.write(f"nasturtium {version('nasturtium')}\n")
        return
    # Small networks lose to OpenBLAS's threads (measured: one digits CNN, 6.4 s of CPU with one, 11.7 s with two, for
    # the same wall time). It reads this when NumPy is first imported, which is below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell, as by >&-
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - open to the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a curve in an ASCII terminal is better than a traceback
    try:
        from .app import run

        code = run()
    except KeyboardInterrupt:  # while the imports were under way
        code = 130
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads it, or there is no room, which `run` said: Python need not say it again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)

"""The command line, and the library calls behind it."""

import os
import sys


def main() -> None:
    """The `nasturtium` program."""
    # Small networks lose to OpenBLAS's threads (measured: one digits CNN, 6.4 s of CPU with one, 11.7 s with two, for
    # the same wall time). It reads this when NumPy is first imported, which is below.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from .app import run

    sys.exit(run())

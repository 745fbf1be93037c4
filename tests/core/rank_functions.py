"""What ranks run in `test_parallel_launch.py` and `test_parallel_train.py`: new processes import this, little else."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from typing import Any

import numpy as np

from nasturtium.core import ShapeError
from nasturtium.core.errors import PeerError
from nasturtium.core.parallel import Rank


def show_alive(settings: Mapping[str, Any], text: str) -> None:
    fd = os.open(settings["fifo"], os.O_WRONLY)  # and never closed
    os.write(fd, text.encode())


# --- ranks: found by other processes under their names, in this file ---


def report(rank: Rank) -> bytes:
    return json.dumps(
        {
            "rank": rank.communicator.rank,
            "size": rank.communicator.size,
            "settings": rank.settings,
            "arrays": {name: [array.dtype.name, array.tolist()] for name, array in rank.arrays.items()},
            "writable": any(array.flags.writeable for array in rank.arrays.values()),
            "threads": os.environ["OPENBLAS_NUM_THREADS"],
        }
    ).encode()


def many_bytes(rank: Rank) -> bytes:
    return bytes([rank.communicator.rank]) * rank.settings["count"]


def rank_one_raises(rank: Rank) -> bytes:
    if rank.communicator.rank == 1:
        raise ShapeError("expected a circle, got a square", hint="sand its corners")
    rank.communicator.barrier()
    return b""


def rank_one_ends(rank: Rank) -> bytes:
    if rank.communicator.rank == 1:
        how = rank.settings["how"]
        os._exit(3) if how == "exit" else os.kill(os.getpid(), getattr(signal, how))
    try:
        rank.communicator.all_reduce(np.zeros(10))
    except PeerError as exc:
        show_alive(rank.settings, str(exc.rank))
        raise
    return b""


def rank_one_waits(rank: Rank) -> bytes:
    show_alive(rank.settings, "x")
    if rank.communicator.rank == 1:
        signal.pause()
    rank.communicator.barrier()
    return b""


class Nested:
    @staticmethod
    def run(rank: Rank) -> bytes:
        return b"nested"


def sends_notes(rank: Rank) -> bytes:
    for number in range(3):
        rank.send(bytes([number]) * (number * 1_000_000))
    return b"answer"


def sends_and_waits(rank: Rank) -> bytes:
    show_alive(rank.settings, "x")
    rank.send(b"ready")
    signal.pause()
    return b""


# --- a metric: handed to other processes by its name, too ---


def largest_error(outputs: np.ndarray, targets: np.ndarray) -> float:
    return float(np.abs(outputs - targets).max())

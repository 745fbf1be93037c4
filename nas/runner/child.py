"""A worker process's side: make the evaluator, train what comes, say how it went, and never outlive the broker."""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...core import NasturtiumError
from . import frames, handover
from .climb import climb, describe
from .jobs import Job, Outcome
from .limits import MemoryLimit, Meter, end_with_parent, prepare_process


def main(descriptor: int, factory: str, parent: int) -> None:
    """Work until the broker closes the socket.

    Args:
        descriptor: of the socket to the broker.
        factory: the file that says how to make the evaluator.
        parent: process id of the broker.
    """
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the broker's
    faulthandler.enable(all_threads=False)  # what a crash says about itself ends in the broker's record
    connection = socket.socket(fileno=descriptor)
    try:
        evaluator = handover.unpack(Path(factory).read_bytes())()
        prepare_process()
    except BaseException as exc:
        with suppress(OSError):
            hint = exc.hint if isinstance(exc, NasturtiumError) else None
            frames.send(connection, frames.BROKEN, {"error": describe(exc), "hint": hint})
        return
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    memory, meter = MemoryLimit(), Meter(whole=True)
    frames.send(connection, frames.READY)
    while True:
        job = Job.from_dict(jobs.get())
        memory.set(job.limits.memory_bytes)
        meter.start()
        for message in climb(evaluator, job):
            if isinstance(message, Outcome):
                memory.set(None)  # or there might be none to say so
                frames.send(connection, frames.OUTCOME, meter.charge(message).to_dict())
            else:
                frames.send(connection, frames.PROGRESS, message.to_dict())


def _listen(connection: socket.socket, jobs: queue.SimpleQueue[Any]) -> None:
    inbox = frames.Inbox(connection)
    while inbox.receive():
        for _, job in inbox.messages():
            jobs.put(job)
    os._exit(0)  # the broker is gone, or done with us

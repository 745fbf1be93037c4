"""`run_ranks`: the same function in several new processes of this machine, as the ranks of one group.

The processes are fresh interpreters that import only the function's module. They do not import the caller's script
again, as `multiprocessing` makes them do, so a call needs no `if __name__ == "__main__":` and works at a prompt and in
a notebook. Nothing is pickled: the function is found by name, settings travel as JSON, arrays lie in shared memory.

Nothing outlives the call. A rank that dies or fails ends its peers, who are told by their sockets; a rank whose parent
dies ends itself; Ctrl-C reaches the caller alone, who ends the ranks; shared memory and sockets have no names.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import DeviceError, PeerError
from . import worker
from .memory import share_arrays
from .process import SLOT_BYTES, TIMEOUT_S, ProcessCommunicator

Receiver = Callable[[int, bytes], None]  # which rank, what it sent

GRACE_S = 5.0  # after one rank failed, for the others to notice and end by themselves
_LIBRARIES = ("NASTURTIUM", "OPENBLAS", "OMP", "MKL")
_THREADS = (*(f"{library}_NUM_THREADS" for library in _LIBRARIES), "VECLIB_MAXIMUM_THREADS")
# sys.path travels as an argument because it decides where our own package is found.
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import main; main(int(sys.argv[2]))"


def run_ranks(
    function: Callable[[worker.Rank], bytes],
    size: int,
    *,
    settings: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray[Any, Any]] | None = None,
    on_note: Receiver | None = None,
    timeout_s: float = TIMEOUT_S,
    slot_bytes: int = SLOT_BYTES,
) -> list[bytes]:
    """Run `function(rank)` in `size` processes and wait for all of them.

    Args:
        function: takes a `Rank` and answers in bytes; defined at the top level of a module or script file.
        size: how many processes, >= 1.
        settings: JSON values; every rank gets a copy.
        arrays: numbers or booleans. They are copied once, to memory that all ranks read and none can write.
        on_note: called here, with the number of a rank and what it passed to `Rank.send`. An exception from it ends all
            ranks.
        timeout_s: see `ProcessCommunicator`.
        slot_bytes: see `ProcessCommunicator.group`.

    Returns:
        The answers, in the order of the ranks.

    Raises:
        ConfigError: the function cannot be found by another process, or an argument is out of range.
        PeerError: a rank failed or died; names the one that began it, with its traceback as a note.
        DeviceError: the memory does not suffice.
    """
    job = {"function": worker.reference(function), "settings": dict(settings or {})}
    memory, table = share_arrays(arrays or {})
    ranks: list[_Process] = []
    try:
        members = ProcessCommunicator.group(size, slot_bytes=slot_bytes, timeout_s=timeout_s)
        try:
            # A blocked signal stays blocked in the new process: Ctrl-C is the caller's.
            with _interrupts_blocked():
                for member in members:
                    descriptors = [memory.fd, *member.descriptors()]
                    ranks.append(_start(member.rank, size, descriptors))
            for rank, member in zip(ranks, members, strict=True):
                place = {"member": member.handover(), "arrays": [memory.fd, memory.nbytes], "table": table}
                rank.send(json.dumps({**job, **place}).encode())
        finally:
            # A rank's end must be the end of its sockets, so nobody else may hold them.
            for member in members:
                member.close()
            memory.close()
        return _collect(ranks, on_note)
    finally:
        _end(ranks)


@dataclass
class _Process:
    """The process of a rank, seen from its parent."""

    rank: int
    size: int
    process: subprocess.Popen[bytes]
    control: socket.socket  # the job goes in, the answer comes out, and its end is the process's end
    received: bytearray = field(default_factory=bytearray)
    running: bool = True

    def send(self, message: bytes) -> None:
        """Give it the job."""
        with suppress(OSError):  # a process that is gone is noticed later, with its exit code
            self.control.sendall(worker.pack(worker.JOB, message))

    def receive(self, on_note: Receiver | None) -> None:
        """Take what has come; nothing means that the process has ended, or has no more to say."""
        try:
            block = self.control.recv(1 << 20)
        except OSError:
            block = b""
        self.received += block
        self.running = bool(block)
        while (message := self._message()) and message[0] == worker.NOTE:
            del self.received[: worker.HEAD.size + len(message[1])]
            if on_note is not None:
                on_note(self.rank, message[1])

    def answer(self) -> bytes:
        """What the function returned, however the process ended after it.

        Raises:
            PeerError: the process failed or was killed; its `rank` is that of the cause, if it names another.
        """
        code = _stop(self.process, patience_s=GRACE_S)
        name = f"rank {self.rank} of {self.size}"
        kind, content = self._message() or (b"", b"")
        if kind == worker.ANSWER:
            return content
        if kind == worker.FAILURE:
            report = json.loads(content)
            cause = self.rank if report["peer"] is None else report["peer"]
            error = PeerError(f"{name} failed: {report['error']}", rank=cause, hint=report["hint"])
            error.add_note(f"On {name}:\n{report['traceback']}")
            raise error
        how = (
            f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended without an answer, exit code {code}"
        )
        hint = "the system kills processes when memory runs out" if code == -signal.SIGKILL else "look at its output"
        raise PeerError(f"{name} {how}", rank=self.rank, hint=hint)

    def _message(self) -> tuple[bytes, bytes] | None:
        """Kind and content of the first message that has arrived; None until all of it has."""
        if len(self.received) < worker.HEAD.size:
            return None
        kind, length = worker.HEAD.unpack_from(self.received)
        end = worker.HEAD.size + length
        return (kind, bytes(self.received[worker.HEAD.size : end])) if len(self.received) >= end else None


def _start(rank: int, size: int, descriptors: Sequence[int]) -> _Process:
    ours, theirs = socket.socketpair()
    threads = str(max(1, _usable_cores() // size))
    path = json.dumps([str(entry) for entry in sys.path])
    command = [sys.executable, "-c", _BOOT.format(worker.__name__), path, str(theirs.fileno())]
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and our own code
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno(), *descriptors],
                env={**dict.fromkeys(_THREADS, threads), **os.environ},
            )
        except OSError as exc:
            ours.close()
            raise DeviceError(f"rank {rank} of {size} cannot be started: {exc}") from exc
    return _Process(rank, size, process, ours)


def _collect(ranks: Sequence[_Process], on_note: Receiver | None) -> list[bytes]:
    """Wait until all ranks have answered, or one has failed and the others have had time to notice."""
    answers: dict[int, bytes] = {}
    failures: list[tuple[int, PeerError]] = []
    deadline = None
    while running := {rank.control.fileno(): rank for rank in ranks if rank.running}:
        poll = select.poll()
        for fd in running:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            break
        for rank in (running[fd] for fd, _ in ready):
            rank.receive(on_note)
            if not rank.running:
                try:
                    answers[rank.rank] = rank.answer()
                except PeerError as exc:
                    failures.append((rank.rank, exc))
                    deadline = deadline or time.monotonic() + GRACE_S
    if failures:
        # Most fail because another did: the cause is one that names itself.
        raise next((error for rank, error in failures if error.rank == rank), failures[0][1])
    return [answers[rank] for rank in range(len(ranks))]


def _end(ranks: Sequence[_Process]) -> None:
    """End what still runs."""
    for rank in ranks:
        rank.control.close()
        rank.process.terminate()  # does nothing to a process that has ended
    for rank in ranks:
        _stop(rank.process, patience_s=1.0)


def _stop(process: subprocess.Popen[bytes], *, patience_s: float) -> int:
    """The exit code of a process that is about to end, or is made to."""
    try:
        return process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _interrupts_blocked() -> Generator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""A rank's side of `run_ranks`: find the function, join the group, answer, and never outlive the parent."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import ConfigError, NasturtiumError, PeerError
from .communicator import Communicator
from .memory import SharedMemory, view_arrays
from .process import ProcessCommunicator

HEAD = struct.Struct("<cQ")  # of every message: its kind and length; the rest follows
JOB, NOTE, ANSWER, FAILURE = b"J", b"N", b"A", b"F"
_SCRIPT = "__rank_main__"  # what a script is called that is not `__main__` here
_LOADING = "NASTURTIUM_LOADING_RANK"  # set while the function's module is being imported


@dataclass(frozen=True, slots=True)
class Rank:
    """What the function of a rank is given.

    Attributes:
        communicator: connects it to the other ranks.
        settings: JSON values, the same on every rank.
        arrays: by name, the same memory on every rank; read-only.
        send: hands bytes to the caller's `on_note`, while the rank runs.
    """

    communicator: Communicator
    settings: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray[Any, Any]]
    send: Callable[[bytes], None]


def main(control_fd: int) -> None:
    """Do the job that arrives on a socket and send the answer, or what went wrong."""
    control = socket.socket(fileno=control_fd)
    _, length = HEAD.unpack(_receive(control, HEAD.size))
    job = json.loads(_receive(control, length))
    threading.Thread(target=_end_with_parent, args=(control,), daemon=True).start()
    try:
        with ProcessCommunicator.adopt(job["member"]) as member:
            arrays = view_arrays(SharedMemory(*job["arrays"], writable=False), job["table"])
            rank = Rank(member, job["settings"], arrays, lambda note: control.sendall(pack(NOTE, note)))
            answer = pack(ANSWER, resolve(job["function"])(rank))
    except BaseException as exc:
        answer = pack(FAILURE, json.dumps(_report(exc)).encode())
    with suppress(OSError):  # nobody is left to hear it
        control.sendall(answer)
        control.shutdown(socket.SHUT_WR)  # the parent need not wait for what this process does at its exit


def pack(kind: bytes, content: bytes) -> bytes:
    """A message, as both sides send it."""
    return HEAD.pack(kind, len(content)) + content


def reference(function: Callable[..., Any]) -> dict[str, str]:
    """Where another process finds a function: module, file and qualified name.

    Raises:
        ConfigError: it is nested in another function, a lambda, or typed at a prompt; or this very module is being
            imported by a rank that looks for its function.
    """
    if os.environ.get(_LOADING):
        raise ConfigError(
            "a rank that imports its function's module came upon another call that starts ranks",
            hint='put that call under `if __name__ == "__main__":`',
        )
    module = sys.modules[function.__module__]
    file, name = getattr(module, "__file__", None), function.__qualname__
    if file is None or not Path(file).is_file() or "<" in name:
        raise ConfigError(
            f"other processes cannot find {name!r} of {function.__module__!r}",
            hint="define it at the top level of a file",
        )
    known_as = function.__module__
    if known_as == "__main__":
        known_as = module.__spec__.name if module.__spec__ else _SCRIPT
    return {"module": known_as, "file": str(Path(file).resolve()), "name": name}


def resolve(place: Mapping[str, str]) -> Callable[..., Any]:
    """The function that `reference` described."""
    os.environ[_LOADING] = "1"
    try:
        module = _import(place["module"], place["file"])
    finally:
        del os.environ[_LOADING]
    return reduce(getattr, place["name"].split("."), module)


def _import(name: str, file: str) -> ModuleType:
    """The module by its name, or from its file where the name means nothing (or something else) in this process."""
    if name != _SCRIPT:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as exc:
            if exc.name is None or not (name == exc.name or name.startswith(f"{exc.name}.")):
                raise
        else:
            if module.__file__ and Path(module.__file__).samefile(file):
                return module
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _report(error: BaseException) -> dict[str, Any]:
    ours = isinstance(error, NasturtiumError)
    text = error.message if ours else str(error)
    return {
        "error": f"{type(error).__name__}: {text}",
        "hint": error.hint if ours else None,
        "peer": error.rank if isinstance(error, PeerError) else None,
        "traceback": "".join(traceback.format_exception(error)).rstrip(),
    }


def _receive(control: socket.socket, length: int) -> bytes:
    message = bytearray()
    while len(message) < length:
        try:
            block = control.recv(min(length - len(message), 1 << 20))
        except OSError:
            block = b""
        if not block:
            os._exit(1)  # the parent is gone
        message += block
    return bytes(message)


def _end_with_parent(control: socket.socket) -> None:
    with suppress(OSError):  # a parent that leaves what we sent unread resets the connection
        control.recv(1)  # nothing is ever sent: this returns when the parent has gone, or closed its end
    os._exit(1)

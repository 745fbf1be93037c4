"""`ProcessHost`: a Flower app in a process of its own on this machine, started anew if it dies.

What goes through its pipe is pickled: from this process to its own child and back, and never from elsewhere.
"""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Thread

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp

from ...core import ConfigError
from .virtual_nodes import CLIENT_APP_CRASHED, identify_process, run_app

MakeApp = Callable[[], ClientApp]

_PATIENCE = 5.0  # seconds for a process that is done


class ProcessHost:
    """Answers one message at a time. A process that dies leaves an error for the message it was at, and a new one
    takes the next.

    Args:
        make_app: called in the process; a function, class or partial that it can import.

    Raises:
        ConfigError: another process would not find `make_app`.
    """

    slots = 1

    def __init__(self, make_app: MakeApp) -> None:
        self._make_app = make_app
        self._is_ready = False
        self._process, self._connection = self._start()

    def wait_until_ready(self) -> None:
        """Wait until the process has made its app; doing it twice is harmless.

        Raises:
            ConfigError: it cannot.
        """
        if self._is_ready:
            return
        try:
            problem = self._connection.recv()
        except (EOFError, OSError):
            problem = f"it ended with exit code {self._end()}"
        if problem is not None:
            raise ConfigError(
                f"a process of the grid cannot make its app: {problem}",
                hint='start grids with processes under `if __name__ == "__main__":`, of an app made by a function '
                "at the top level of a module",
            )
        self._is_ready = True

    def answer(self, message: Message, context: Context) -> Message:
        """What the app in the process answers."""
        try:
            if not self._process.is_alive() and self._is_ready:
                self._restart()  # it ended between two messages, which cost none
            self.wait_until_ready()
            self._connection.send((message, context))
            answer, state = self._connection.recv()
        except (EOFError, OSError, ConfigError):
            code = self._end()
            self._restart()
            return Message(Error(CLIENT_APP_CRASHED, f"process ended with {code}"), reply_to=message)
        context.state = state
        return answer

    def close(self) -> None:
        """End the process; doing it twice is harmless."""
        self._end()

    def _start(self) -> tuple[SpawnProcess, Connection]:
        context = get_context("spawn")  # a fork would inherit locks that this process's threads hold
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._make_app), name="sites", daemon=True)
        try:
            process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as exc:
            ours.close()
            raise ConfigError(
                f"processes cannot be given {self._make_app!r}: {exc}",
                hint="pass a function or class from the top level of a module, or a functools.partial of one",
            ) from exc
        finally:
            theirs.close()
        return process, ours

    def _restart(self) -> None:
        self._end()
        self._is_ready = False
        self._process, self._connection = self._start()

    def _end(self) -> int | None:
        """Its exit code: below zero the signal that ended it."""
        self._connection.close()  # which is how it knows
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        return self._process.exitcode


def _serve(link: Connection, make_app: MakeApp) -> None:
    """The process: make the app, say so, and answer until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grid's
    Thread(target=_end_with_parent, daemon=True).start()
    identify_process()
    os.environ.setdefault("NASTURTIUM_NUM_THREADS", "1")  # the others have the other cores
    with suppress(EOFError, BrokenPipeError):
        try:
            app = make_app()
        except BaseException as exc:
            link.send(f"{type(exc).__name__}: {exc}")
            return
        link.send(None)
        while True:
            message, context = link.recv()
            answer = run_app(app, message, context)
            link.send((answer, context.state))


def _end_with_parent() -> None:
    """Not to outlive a grid that was killed in the middle of a long training."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)

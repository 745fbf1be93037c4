"""Children of this process: Flower's servers, started, watched, stopped, and never left behind.

A child leads a process group of its own, ends with its parent (`guard`), listens on loopback alone and on a port that
the system picked, writes to a log of bounded size, and finds nothing of the user's Flower in its environment.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import psutil

from ..errors import FederationError
from .bounded_log import LOG_BYTES, BoundedLog
from .environment import LOOPBACK, child_environment

logger = logging.getLogger(__name__)

LINES_SHOWN = 12  # of a log, in an error
LONGEST_LINE = 4096  # bytes
TAKEN = "address already in use"  # what uvicorn says of a port that somebody else got first
PORT_TRIES = 5


def free_port() -> int:
    """A port of loopback that nobody listens on now; somebody may before we do, so starting tries several."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


class FlowerServer:
    """One of Flower's commands as a child that listens on a port of loopback.

    Args:
        command: its name, as Flower installs it.
        folder: its own; holds its log and what it calls its home.
        arguments: what follows the command, given the port.
        environment: entries to add to the child's.
        log_bytes: how long its log may get before a new one begins; the one before is kept.
    """

    def __init__(
        self,
        command: str,
        folder: Path,
        arguments: Callable[[int], Sequence[str]],
        *,
        environment: Mapping[str, str] | None = None,
        log_bytes: int = LOG_BYTES,
    ) -> None:
        self.command, self.folder = command, folder
        self._arguments, self._environment, self._log_bytes = arguments, environment, log_bytes
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._log: BoundedLog | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """Where it listens; the same one after a restart."""
        if self._port is None:
            raise FederationError(f"{self.command} was never started", hint="call start() first")
        return self._port

    @property
    def address(self) -> str:
        """Host and port, as Flower writes them."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def exit_code(self) -> int | None:
        """What the child ended with; None while it runs, or was never started."""
        return None if self._process is None else self._process.poll()

    def lines(self) -> list[str]:
        """The last lines of its log."""
        return [] if self._log is None else self._log.lines()

    def start(self, timeout: float = 300.0, *, stop: threading.Event | None = None) -> None:
        """Start the child and wait until it listens.

        Args:
            timeout: seconds to wait; a loaded machine takes many to import Flower.
            stop: ends the waiting, and the child, when it is set.

        Raises:
            FederationError: it ended, or did not listen in time; the error holds the last lines of its log.
        """
        if self._process is not None and self._process.poll() is None:
            raise FederationError(f"{self.command} is running already as process {self._process.pid}")
        deadline = time.monotonic() + timeout
        for attempt in range(PORT_TRIES):
            port = self._port or free_port()
            self._spawn(port)
            try:
                self._wait_until_listening(port, deadline, stop)
            except FederationError:
                taken = any(TAKEN in line.lower() for line in self.lines())
                killed = (self.exit_code or 0) < 0  # by somebody else: no fault of what it was told
                self.stop()
                if not (taken or killed) or attempt == PORT_TRIES - 1:
                    raise
                time.sleep(0.5 * attempt)
            else:
                self._port = port
                return

    def stop(self, grace: float = 10.0) -> None:
        """Ask the whole group to end, and end it after `grace` seconds. Does nothing when there is none."""
        process, self._process = self._process, None
        if process is None:
            return
        # Until the child is reaped its number cannot become somebody else's, so the group is ended before that.
        if process.poll() is None:
            _signal_group(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + grace
            while not _has_ended(process.pid) and time.monotonic() < deadline:
                time.sleep(0.02)
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
        if self._reader is not None:
            self._reader.join(1.0)

    def kill(self) -> None:
        """End the whole group at once, as a fault would."""
        if self._process is not None and self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def heard(self, line: str) -> None:
        """Told each line of its log, in a thread of its own; for those who know what to make of it."""

    def check(self) -> None:
        """Nothing, while the child runs.

        Raises:
            FederationError: it ended; the error holds the last lines of its log.
        """
        if self._process is None:
            raise FederationError(
                f"{self.command} is not running", hint="start it, or look whether something stopped it"
            )
        code = self._process.poll()
        if code is not None:
            raise self._error(f"ended with {_in_words(code)}")

    def _spawn(self, port: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._log = BoundedLog(self.folder / f"{self.command}.log", self._log_bytes)
        guard = str(Path(__file__).with_name("guard.py"))
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and a command of Flower
            [sys.executable, "-P", guard, str(os.getpid()), self.command, *self._arguments(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=child_environment(self.folder / "flower-home", self._environment),
            cwd=self.folder,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=_copy, args=(self._process.stdout, self._log, self.heard), name=f"{self.command} log", daemon=True
        )
        self._reader.start()
        logger.info("started %s as process %d on port %d", self.command, self._process.pid, port)

    def _wait_until_listening(self, port: int, deadline: float, stop: threading.Event | None) -> None:
        """Wait for the child itself: whoever else listens on that port is not answered."""
        while True:
            self.check()
            assert self._process is not None
            if _listens(self._process.pid, port):
                return
            if stop is not None and stop.is_set():
                raise self._error("was stopped before it listened")
            if time.monotonic() > deadline:
                raise self._error("did not listen in time")
            time.sleep(0.05)

    def _error(self, what: str) -> FederationError:
        if self._reader is not None and self.exit_code is not None:
            self._reader.join(1.0)
        lines = self.lines()[-LINES_SHOWN:]
        last = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
        return FederationError(
            f"{self.command} {what}; the last lines of its log:\n{last}", hint=f"all of it is in {self.folder}"
        )


def keep_running(
    server: FlowerServer,
    stop: threading.Event,
    *,
    shortest: float = 1.0,
    longest: float = 60.0,
    restarted: Callable[[], None] = lambda: None,
    useful: Callable[[], bool] = lambda: True,
) -> None:
    """Start `server` whenever it is not running, until `stop` is set. To be run in a thread of its own.

    Args:
        server: stays stopped when this returns only if the caller stops it.
        stop: ends the watch.
        shortest: seconds between an exit and the first new start.
        longest: seconds that pauses grow to, doubling, while it ends again within a minute.
        restarted: told after each start.
        useful: whether there is any use in starting it now; asked every second while it is not running.
    """
    pause = shortest
    while not stop.is_set():
        began = time.monotonic()
        try:
            if server.pid is None or server.exit_code is not None:
                while not useful():
                    if stop.wait(shortest):
                        return
                server.start(stop=stop)
                restarted()
            while not stop.wait(0.2):
                server.check()
        except FederationError as exc:
            if stop.is_set():
                return
            logger.warning("%s", exc)
            pause = shortest if time.monotonic() - began > 60 else min(2 * pause, longest)
            stop.wait(pause)


def _copy(pipe: IO[bytes], log: BoundedLog, heard: Callable[[str], None]) -> None:
    """The child's output into its log, to the end of it. A disk that is full loses the log, not the child."""
    with pipe:
        while line := pipe.readline(LONGEST_LINE):
            with suppress(OSError):
                heard(log.write(line))
    log.close()


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _has_ended(pid: int) -> bool:
    """Without reaping it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def _in_words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

"""Samples of the machine while a run is on it: CPU, memory and, where NVIDIA's library is installed, GPUs."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Mapping
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Self

from ..core import ConfigError
from .clock import now_us
from .database import Database
from .errors import StorageError
from .models import Run, SystemPoint, to_column
from .names import NameBook
from .runs import require_run
from .upsert import put_rows

logger = logging.getLogger(__name__)

GATHERED: Final = 10  # samples in one transaction


class SystemSampler:
    """Samples this process and its machine from a thread, as long as its `with` block lasts.

    What is sampled: `cpu_percent` of this process and its children (100 is one core busy), `memory_bytes` (resident,
    the same), `system_cpu_percent` and `system_memory_percent` of the machine, `gpuN_percent` and `gpuN_memory_bytes`
    of each GPU. A sample that cannot be taken or written is left out: watching never stops what is watched.

    Args:
        database: stays the caller's.
        run: uid of the run.
        interval: seconds between samples, >= 0.1.
        clock: tells the time in microseconds UTC.
    """

    def __init__(
        self, database: Database, run: str, *, interval: float = 1.0, clock: Callable[[], int] = now_us
    ) -> None:
        if not 0.1 <= interval < float("inf"):
            raise ConfigError(f"expected an interval of at least 0.1 seconds, got {interval}")
        self._database = database
        self._interval = interval
        self._clock = clock
        self._names = NameBook(database)
        with database.read() as session:
            row = session.get_one(Run, require_run(session, run))
            self._run_id, self._started_us = row.id, row.started_us
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nasturtium-system", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(_samples()) as samples:
            gathered: list[tuple[int, Mapping[str, float]]] = []
            while True:
                last = self._ending.wait(self._interval)
                gathered.append(((self._clock() - self._started_us) // 1000, next(samples)))
                if last or len(gathered) >= GATHERED:
                    self._write(gathered)
                    gathered = []
                if last:
                    return

    def _write(self, gathered: list[tuple[int, Mapping[str, float]]]) -> None:
        try:
            ids = self._names.ids({name for _, sample in gathered for name in sample})
            rows = [
                {"run_id": self._run_id, "name_id": ids[name], "at_ms": at_ms, "value": to_column(value)}
                for at_ms, sample in gathered
                for name, value in sample.items()
            ]
            with self._database.write() as session:
                put_rows(session, SystemPoint, rows)
        except StorageError as exc:
            logger.warning("%d samples of the machine are lost: %s", len(gathered), exc.message)


def _samples() -> Generator[dict[str, float]]:
    """Samples, each over the time since the one before."""
    import psutil

    own = psutil.Process()
    own.cpu_percent()
    psutil.cpu_percent()
    children: dict[int, psutil.Process] = {}
    gpus = _Gpus()
    try:
        while True:
            found = {child.pid: child for child in own.children(recursive=True)}
            children = {pid: children.get(pid, child) for pid, child in found.items()}  # old ones remember their times
            cpu, memory = own.cpu_percent(), float(own.memory_info().rss)
            for child in children.values():
                with contextlib.suppress(psutil.Error):  # it ended meanwhile
                    cpu += child.cpu_percent()
                    memory += child.memory_info().rss
            yield {
                "cpu_percent": cpu,
                "memory_bytes": memory,
                "system_cpu_percent": psutil.cpu_percent(),
                "system_memory_percent": psutil.virtual_memory().percent,
                **gpus.sample(),
            }
    finally:
        gpus.close()


class _Gpus:
    """NVIDIA's GPUs, if there are any and their library is installed."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        try:
            nvml: Any = import_module("pynvml")
            nvml.nvmlInit()
            self._nvml = nvml
            self._handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        except Exception as exc:  # no library, no driver, no device: many kinds of errors, one meaning
            logger.debug("no GPUs are sampled: %s", exc)

    def sample(self) -> dict[str, float]:
        sampled: dict[str, float] = {}
        for i, handle in enumerate(self._handles):
            with contextlib.suppress(Exception):
                sampled[f"gpu{i}_percent"] = float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
                sampled[f"gpu{i}_memory_bytes"] = float(self._nvml.nvmlDeviceGetMemoryInfo(handle).used)
        return sampled

    def close(self) -> None:
        if self._nvml is not None:
            with contextlib.suppress(Exception):
                self._nvml.nvmlShutdown()

"""`RayEngine`: trials as tasks of a Ray cluster. The only module that imports Ray.

A task watches over one trial in a process of its own, as `ProcessEngine` does on this machine: so limits and causes are
the same, and what kills the task itself is no doing of the trial. Ray pickles what goes to and from the members of its
cluster, who trust each other with that; to others use `lease_engine`.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from importlib import import_module
from typing import Any

from ...core import ConfigError, MissingExtraError
from .handover import MakeEvaluator, pack, unpack
from .jobs import NODE_LOST, Job, Outcome, Progress
from .processes import ProcessEngine, WorkerStartError


class RayEngine:
    """Trains on a Ray cluster.

    Args:
        make_evaluator: as for `ProcessEngine`; on nodes of other machines it must find its data there.
        address: of the cluster, as Ray takes it; None starts one on this machine.
        slots: trials at a time, >= 1; None for as many as the cluster has room for now.
        cpus, gpus: that a trial asks for.
        resources: of the cluster's own that a trial asks for, by name.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: the cluster has no room for a trial, or is not there.
    """

    def __init__(
        self,
        make_evaluator: MakeEvaluator,
        *,
        address: str | None = None,
        slots: int | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        packed = pack(make_evaluator)
        self._ray = ray = _import_ray()
        self._owned = not ray.is_initialized()
        if self._owned:
            _connect(ray, address)
        room = _room(ray.cluster_resources(), {"CPU": cpus, "GPU": gpus, **(resources or {})})
        self._slots = room if slots is None else slots
        if self._slots < 1 or room < 1:
            wanted = f"{cpus:g} CPUs, {gpus:g} GPUs" + (f", {dict(resources)}" if resources else "")
            self.close()
            raise ConfigError(f"the Ray cluster has no room for a trial of {wanted}", hint="ask for less, or add nodes")
        self._factory = ray.put(packed)
        options = {"num_cpus": cpus, "num_gpus": gpus, "resources": dict(resources or {})}
        # What is lost is tried again by the broker, which counts.
        self._task = ray.remote(max_retries=0, num_returns="streaming", **options)(_watch_over)
        self._running: dict[Any, Job] = {}  # stream of a task's events -> its job

    @property
    def slots(self) -> int:
        """Trials at a time."""
        return self._slots

    def adopt(self) -> Mapping[int, int]:
        """Nothing: tasks end with the process that started them."""
        return {}

    def submit(self, job: Job) -> None:
        """Start a task."""
        self._running[self._task.remote(self._factory, job.to_dict())] = job

    def wait(self, timeout: float | None) -> Sequence[Progress | Outcome]:
        """What tasks have said; see `Engine`.

        Raises:
            WorkerStartError: the evaluator cannot be made there.
        """
        if not self._running:
            return []
        streams = list(self._running)
        ready, _ = self._ray.wait(streams, num_returns=1, timeout=timeout, fetch_local=False)
        return [self._next(stream) for stream in ready]

    def recall(self) -> Sequence[tuple[int, int]]:
        """Nothing: a cluster finds room for what it took."""
        return ()

    def cancel(self, number: int, attempt: int) -> None:
        """Kill a job's task."""
        for stream, job in list(self._running.items()):
            if (job.number, job.attempt) == (number, attempt):
                del self._running[stream]
                self._ray.cancel(stream, force=True)

    def close(self) -> None:
        """Kill all tasks, and leave the cluster if it was joined here; doing it twice is harmless."""
        for job in list(getattr(self, "_running", {}).values()):
            self.cancel(job.number, job.attempt)
        if self._owned and self._ray.is_initialized():
            self._ray.shutdown()

    def _next(self, stream: Any) -> Progress | Outcome:
        job = self._running[stream]
        try:
            kind, said = self._ray.get(next(stream))
        except WorkerStartError:
            raise
        except Exception as exc:  # Ray has a dozen for the ends of workers, nodes and objects
            del self._running[stream]
            error = f"{type(exc).__name__}: {exc}"
            return Outcome(number=job.number, attempt=job.attempt, state="lost", cause=NODE_LOST, error=error)
        if kind == Progress.__name__:
            return Progress.from_dict(said)
        del self._running[stream]
        return Outcome.from_dict(said)


def _watch_over(factory: bytes, job: dict[str, Any]) -> Generator[tuple[str, dict[str, Any]]]:
    """A task: the kind and the document of everything that happens to a job."""
    engine = ProcessEngine(unpack(factory), 1)
    try:
        engine.submit(Job.from_dict(job))
        event = None
        while not isinstance(event, Outcome):
            for event in engine.wait(None):
                yield type(event).__name__, event.to_dict()
    finally:
        engine.close()


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # the product runs in closed networks
    try:
        return import_module("ray")
    except ImportError:
        raise MissingExtraError("training on a Ray cluster", "ray") from None


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(address=address, include_dashboard=False if address is None else None, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise ConfigError(
            f"no Ray cluster at {address}: {exc}", hint='give its address as "host:6379" or "ray://host:10001"'
        ) from exc


def _room(there: Mapping[str, float], wanted: Mapping[str, float]) -> int:
    """How many trials find room at a time."""
    return min((int(there.get(name, 0.0) / amount) for name, amount in wanted.items() if amount > 0), default=1)

"""`DataParallel`: training on several devices of this machine with the face of a `Trainer`."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from ..device import CPU, Device, device
from ..errors import ConfigError
from ..seeding import derive_rng
from ..spec import ModelSpec, build
from ..train import Callback, Checkpointing, Curves, Progress, Reporting, Snapshot, Trainer, TrainingConfig
from .communicator import Communicator
from .launch import run_ranks
from .nccl import NcclCommunicator
from .process import TIMEOUT_S
from .settings import from_settings, to_settings
from .train import ParallelTrainer
from .worker import Rank

Rows = tuple[np.ndarray, np.ndarray]  # inputs, targets
_LENGTH = struct.Struct("<Q")


class DataParallel:
    """Train a network on several devices, each with a process of its own and a part of every batch.

    The result is that of one process on the whole batches, to rounding (batch normalisation and dropout included; see
    `Replica`): `Trainer(build(spec, derive_rng(seed, "weights")), config, derive_rng(seed, "shuffle"))`.

    Args:
        spec: the network.
        config: see `TrainingConfig`; its batch size is that of the whole batch.
        devices: one for each process: `["cpu", "cpu"]`, `[0, 1]` (the GPUs of these indices) or names as `"cuda:1"`.
            GPUs talk through NCCL, unless one is listed twice; then, and on the CPU, arrays go through shared memory.
            A single device needs no other process.
        seed: of the initial weights and the order of the rows, in [0, 2**63).
        timeout_s: how long a process waits for one that lives and does not come, seconds.
        options: as of `Trainer` but `device`: criterion, optimizer, schedule, average, scaler, keep_best. They must be
            values of `optim` and `train`; functions in them must be defined at the top level of a module.

    Attributes:
        trainer: where the run stands, in this process; for `curves`, `model`, `restore_best`, `measure`, and to save or
            load a checkpoint. On the CPU, or on the device if it is the only one.

    Raises:
        ConfigError: no device, devices of different kinds, or options that cannot be sent.
        MissingExtraError, DeviceError: a GPU is not there.
    """

    def __init__(
        self,
        spec: ModelSpec,
        config: TrainingConfig,
        *,
        devices: Sequence[int | str | Device],
        seed: int,
        timeout_s: float = TIMEOUT_S,
        **options: Any,
    ) -> None:
        self.devices = _resolved(devices)
        self._seed = seed
        self._spec = spec
        self._timeout_s = timeout_s
        self._options = to_settings(options)
        place = self.devices[0] if len(self.devices) == 1 else CPU
        self.trainer = Trainer(*_start(spec, config, seed), device=place, **options)

    def fit(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        validation: Rows | None = None,
        *,
        until: int | None = None,
        checkpoint: Path | str | None = None,
        report: Callable[[Progress], None] | None = None,
    ) -> Curves:
        """Train to the end of epoch `until` (all of the schedule by default), or until finished; see `Trainer.fit`.

        Args:
            inputs, targets: the rows; every process reads the same copy of them.
            validation: inputs and targets for early stopping.
            until: an epoch, counted from 1.
            checkpoint: a file to save a checkpoint in after every epoch, replaced each time.
            report: called here at the end of every epoch. An exception from it ends the processes; the trainer then
                stands where it stood before.

        Returns:
            All curves since the start.

        Raises:
            PeerError: a process failed or was killed, and says why (rows that do not fit fail there too); the trainer
                stands where it stood before.
        """
        if len(self.devices) == 1:
            callbacks = [*_checkpoints(checkpoint), *([Reporting(report)] if report else [])]
            return self.trainer.fit(inputs, targets, validation, until=until, callbacks=callbacks)
        snapshot = self.trainer.snapshot()
        rows = {"inputs": inputs, "targets": targets}
        if validation is not None:
            rows |= {"validation_inputs": validation[0], "validation_targets": validation[1]}
        answers = run_ranks(
            _train,
            len(self.devices),
            settings={
                "spec": self._spec.to_dict(),
                "config": asdict(self.trainer.config),
                "seed": self._seed,
                "options": self._options,
                "devices": [str(place) for place in self.devices],
                "until": until,
                "checkpoint": None if checkpoint is None else str(Path(checkpoint).resolve()),
                "document": snapshot.document,
            },
            arrays={**rows, **{f"run.{name}": array for name, array in snapshot.arrays.items()}},
            on_note=None if report is None else lambda rank, note: report(Progress(**json.loads(note))),
            timeout_s=self._timeout_s,
        )
        self.trainer.restore(_unpacked(answers[0]))
        return self.trainer.curves


def _train(rank: Rank) -> bytes:
    """One process of `DataParallel.fit`."""
    settings, arrays = rank.settings, rank.arrays
    places = [device(name) for name in settings["devices"]]
    place = places[rank.communicator.rank]
    first = rank.communicator.rank == 0
    communicator: Communicator = rank.communicator
    if place.kind == "cuda" and len(set(places)) == len(places):
        communicator = NcclCommunicator.over(communicator, place)
    with communicator, place.active():
        start = _start(ModelSpec.from_dict(settings["spec"]), TrainingConfig(**settings["config"]), settings["seed"])
        trainer = ParallelTrainer(*start, communicator, device=place, **from_settings(settings["options"]))
        trainer.restore(
            Snapshot(
                settings["document"],
                {name.removeprefix("run."): array for name, array in arrays.items() if name.startswith("run.")},
            )
        )
        validated = "validation_inputs" in arrays
        trainer.fit(
            arrays["inputs"],
            arrays["targets"],
            (arrays["validation_inputs"], arrays["validation_targets"]) if validated else None,
            until=settings["until"],
            callbacks=[
                *_checkpoints(settings["checkpoint"]),
                Reporting(lambda progress: rank.send(json.dumps(asdict(progress)).encode())),
            ]
            if first
            else [],
        )
        return _packed(trainer.snapshot()) if first else b""


def _start(spec: ModelSpec, config: TrainingConfig, seed: int) -> tuple[Any, TrainingConfig, np.random.Generator]:
    """What a run begins with."""
    return build(spec, derive_rng(seed, "weights")), config, derive_rng(seed, "shuffle")


def _checkpoints(path: Path | str | None) -> list[Callback]:
    return [] if path is None else [Checkpointing(path)]


def _resolved(devices: Sequence[int | str | Device]) -> list[Device]:
    places = [device(f"cuda:{name}" if isinstance(name, int) else name) for name in devices]
    if not places or len({place.kind for place in places}) > 1:
        raise ConfigError(
            f"expected one or more devices of one kind, got {list(devices)}", hint='["cpu", "cpu"], or [0, 1] for GPUs'
        )
    return places


def _packed(snapshot: Snapshot) -> bytes:
    document = json.dumps(snapshot.document).encode()
    arrays = {name: np.asarray(array, order="C") for name, array in snapshot.arrays.items()}
    return _LENGTH.pack(len(document)) + document + save(arrays)


def _unpacked(content: bytes) -> Snapshot:
    (length,) = _LENGTH.unpack_from(content)
    document: Mapping[str, Any] = json.loads(content[_LENGTH.size : _LENGTH.size + length])
    return Snapshot(document, load(content[_LENGTH.size + length :]))

"""`Trainer`: one training run that can be stopped, saved and continued."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from ..data import Loader
from ..device import CPU, Device
from ..errors import ConfigError, FormatError
from ..layout import ParameterLayout
from ..nn.module import Module
from ..optim import EMA, AdamW, Constant, LossScaler, Optimizer, Schedule, cosine_schedule
from ..tensor import Tensor
from .best import BestModel, untrained_tensors
from .callback import Callback
from .config import TrainingConfig
from .criterion import Criterion, CrossEntropy
from .evaluation import predict_logits
from .feed import ArrayFeed, Feed, LoaderFeed, Order
from .random_state import generator_state, model_generators, parsed_state
from .snapshot import Snapshot, SnapshotReader, description
from .step import TrainingStep

Curves = dict[str, dict[int, float]]  # metric name -> epoch -> value
Validation = tuple[np.ndarray, np.ndarray]  # inputs, targets


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    epoch: int  # epochs done
    epochs: int  # of the whole schedule
    step: int  # optimiser steps done
    batch: int  # batches done of the epoch under way; 0 between epochs
    batches: int  # of an epoch
    loss: float  # of the last step
    learning_rate: float  # of the last step
    figures: Mapping[str, float]  # the newest value of every curve


@dataclass(slots=True)
class _Epoch:
    """An epoch under way."""

    order: Order
    batches: int = 0  # done
    rows: int = 0  # done
    loss_sum: float = 0.0


class Trainer:
    """One training run that can be continued: `fit(until=3)` then `fit(until=9)` gives the bits of `fit(until=9)`, and
    so does a run that was saved, killed, and loaded into a new process (see `save_checkpoint`).

    Args:
        model: trained in place; float32, or float64 where the precision is "float32".
        config: see `TrainingConfig`.
        rng: shuffles the rows.
        device: where to train; the model is moved there.
        criterion: what is minimised and measured; by default `CrossEntropy` with the config's label smoothing.
        optimizer: by default `AdamW` with the config's learning rate and weight decay, which do not count otherwise.
        schedule: in place of the config's; its steps are those of the optimiser.
        average: keeps an average of the parameters, which validation measures and `averaged` brings forth.
        scaler: scales the loss; by default a `LossScaler` where the precision is "float16".
        keep_best: keep a copy of the model of the best epoch for `restore_best`.

    Attributes:
        epoch: epochs done.
        curves: train_loss, and with validation rows val_ and each name the criterion measures.
        diverged: True once the loss was not finite; training stops there.
    """

    def __init__(
        self,
        model: Module,
        config: TrainingConfig,
        rng: np.random.Generator,
        *,
        device: Device = CPU,
        criterion: Criterion | None = None,
        optimizer: Optimizer | None = None,
        schedule: Schedule | None = None,
        average: EMA | None = None,
        scaler: LossScaler | None = None,
        keep_best: bool = True,
    ) -> None:
        if criterion is not None and config.label_smoothing:
            raise ConfigError("label_smoothing belongs to the criterion where one is given")
        self.model = model.to(device)
        self.config = config
        self.rng = rng
        self.device = device
        self.epoch = 0
        self.curves: Curves = {}
        self.diverged = False
        self._criterion = criterion or CrossEntropy(label_smoothing=config.label_smoothing)
        self._schedule = schedule
        optimizer = optimizer or AdamW(learning_rate=config.learning_rate, weight_decay=config.weight_decay)
        scaler = scaler or (LossScaler() if config.precision == "float16" else None)
        self._step = self._make_step(optimizer, average, scaler)
        self._best = BestModel(model, self._step.state.buffer, keep=keep_best, maximize=config.maximize)
        self._open: _Epoch | None = None  # the epoch under way
        self._batches = 0
        self._stopped = False
        # What must be the same for a checkpoint to fit.
        self._identity: dict[str, Any] = {
            "layout": ParameterLayout.of(model).sha256,
            "config": description(config),
            "criterion": description(self._criterion),
            "optimizer": description(optimizer),
            "schedule": description(schedule),
            "average": description(average),
            "scaler": description(scaler),
            "keep_best": keep_best,
        }

    def _make_step(self, optimizer: Optimizer, average: EMA | None, scaler: LossScaler | None) -> TrainingStep:
        """What `fit` does with a batch; data-parallel training has a step of its own."""
        return TrainingStep(self.model, self.config, self._criterion, optimizer, average=average, scaler=scaler)

    def _make_feed(self, inputs: np.ndarray, targets: np.ndarray) -> Feed:
        """The batches of `fit`; private training samples them in a way of its own."""
        return ArrayFeed(inputs, targets, self.config.batch_size, self.device, self._step.state.parameters.dtype)

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self._step.state.step

    @property
    def best_epoch(self) -> int:
        """The best epoch by `config.monitor`; 0 where that curve has no values."""
        return self._best.epoch

    @property
    def gradient_norm(self) -> float:
        """L2 norm of the last gradient before clipping; NaN where nothing is clipped."""
        return self._step.gradient_norm

    @property
    def finished(self) -> bool:
        """True when the schedule is done, patience has run out, the loss diverged, or a callback said stop."""
        waited = self.epoch - self.best_epoch if self.best_epoch else 0
        patience = self.config.patience
        over = self.epoch >= self.config.epochs or (patience is not None and waited >= patience)
        return self.diverged or self._stopped or over

    def stop(self) -> None:
        """End the run after the epoch under way; for callbacks."""
        self._stopped = True

    def progress(self) -> Progress:
        """How far the run is."""
        return Progress(
            epoch=self.epoch,
            epochs=self.config.epochs,
            step=self.step,
            batch=self._open.batches if self._open else 0,
            batches=self._batches,
            loss=self._step.loss,
            learning_rate=self._step.learning_rate,
            figures={name: curve[max(curve)] for name, curve in self.curves.items()},
        )

    def fit(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        validation: Validation | None = None,
        *,
        until: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Curves:
        """Train to the end of epoch `until` (all of the schedule by default), or until `finished`.

        Args:
            inputs: shape (N, ...), N >= 1; of the parameters' dtype where floating.
            targets: what the criterion takes, N rows: class indices of shape (N,) by default.
            validation: inputs and targets for early stopping; the model of the best epoch is kept for `restore_best`.
            until: an epoch, counted from 1.
            callbacks: called in this order.

        Returns:
            All curves since the start.

        Raises:
            ShapeError: inputs and targets differ in their rows.
            DataError: there are no rows, or others than those of the epoch under way.
            DTypeError: floating inputs of another dtype than the parameters.
        """
        return self._fit(self._make_feed(inputs, targets), validation, until, callbacks)

    def fit_batches(
        self,
        loader: Loader,
        validation: Validation | None = None,
        *,
        until: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> Curves:
        """Train on the batches of a loader, shuffled and augmented as it does; otherwise as `fit`.

        The config's batch size does not count. Each epoch draws the loader's seed from the trainer's generator.

        Raises:
            DataError: the epoch under way was begun on arrays.
            DTypeError: floating inputs of another dtype than the parameters.
        """
        return self._fit(
            LoaderFeed(loader, self.device, self._step.state.parameters.dtype), validation, until, callbacks
        )

    def measure(self, inputs: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        """What the criterion measures of the model as it is, in evaluation mode."""
        return self._criterion.measure(predict_logits(self.model, inputs, device=self.device), targets)

    def restore_best(self) -> None:
        """Put back the model of the best epoch; nothing happens where there was none.

        Raises:
            ConfigError: it was not kept.
        """
        self._best.put_back()

    def averaged(self) -> AbstractContextManager[None]:
        """A block in which the model has the averaged parameters, to measure or save it; as it is where no average is
        kept.
        """
        return self._step.averaged()

    def snapshot(self) -> Snapshot:
        """Everything that the rest of the run depends on, copied; for `save_checkpoint`."""
        arrays = self._step.arrays() | self._best.arrays()
        arrays |= {f"model.{name}": tensor.data for name, tensor in self._untrained().items()}
        arrays |= {f"curve.{name}": np.array(list(curve.items()), np.float64) for name, curve in self.curves.items()}
        epoch = self._open or _Epoch(0)
        arrays["epoch.loss_sum"] = np.array([epoch.loss_sum])
        if isinstance(epoch.order, np.ndarray):
            arrays["epoch.order"] = epoch.order
        document = {
            "run": self._identity,
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "diverged": self.diverged,
            "stopped": self._stopped,
            "curves": list(self.curves),
            "generators": {name: generator_state(rng) for name, rng in self._generators().items()},
            "under_way": self._open is not None,
            "batches": epoch.batches,
            "rows": epoch.rows,
            "seed": 0 if isinstance(epoch.order, np.ndarray) else epoch.order,
            **self._step.numbers(),
        }
        return Snapshot(document, {name: np.array(CPU.put(array)) for name, array in arrays.items()})

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from a snapshot of a trainer that was made as this one was: same network, configuration, options.

        Raises:
            FormatError: it is of another run, or incomplete; nothing was changed then.
        """
        found = SnapshotReader(snapshot)
        found.expect_run(self._identity)
        numbers = found.count("epoch"), found.count("best_epoch")
        flags = found.value("diverged", bool), found.value("stopped", bool)
        curves = {str(name): found.curve(name) for name in found.value("curves", list)}
        apply_step, apply_best = self._step.restoring(found), self._best.restoring(found, numbers[1])
        apply_generators = self._restoring_generators(found.value("generators", dict))
        untrained = {name: tensor.data for name, tensor in self._untrained().items()}
        values = {name: found.like(f"model.{name}", array) for name, array in untrained.items()}
        order: Order = found.permutation("epoch.order") if found.has("epoch.order") else found.count("seed")
        loss_sum = float(found.like("epoch.loss_sum", np.zeros(1))[0])
        epoch = _Epoch(order, found.count("batches"), found.count("rows"), loss_sum)
        under_way = found.value("under_way", bool)
        # All was checked above: from here on nothing fails, so that a trainer is never half of two runs.
        apply_step()
        apply_best()
        apply_generators()
        for name, array in values.items():
            untrained[name][...] = self.device.put(array)
        self._open = epoch if under_way else None
        self.epoch, self.curves = numbers[0], curves
        self.diverged, self._stopped = flags

    # --- epochs ---

    def _fit(
        self, feed: Feed, validation: Validation | None, until: int | None, callbacks: Sequence[Callback]
    ) -> Curves:
        self._batches = feed.batches
        self._step.planned = self.config.epochs * feed.batches
        while not self.finished and (until is None or self.epoch < until):
            loss = self._run_epoch(feed, callbacks)
            self._log("train_loss", loss)
            self.diverged = not isfinite(loss)
            if not self.diverged:
                self._validate(validation)
            for callback in callbacks:
                callback.on_epoch_end(self)
        for callback in callbacks:
            callback.on_fit_end(self)
        return self.curves

    def _run_epoch(self, feed: Feed, callbacks: Sequence[Callback]) -> float:
        self.model.train()
        epoch = self._open = self._open or _Epoch(feed.begin(self.rng))
        schedule = self._schedule_over(feed.batches)
        # Overflow on the way to divergence is seen in the loss, and reported there.
        with (
            np.errstate(over="ignore", invalid="ignore", divide="ignore"),
            self._step.computing(),
            closing(feed.rest(epoch.order, epoch.batches)) as batches,
        ):
            for inputs, targets in batches:
                epoch.loss_sum += self._step.run(inputs, targets, schedule(self.step))
                epoch.rows += len(targets)
                epoch.batches += 1
                for callback in callbacks:
                    callback.on_step_end(self)
                    self.model.train()  # the callback may have evaluated
        self._open = None
        self.epoch += 1
        return epoch.loss_sum / max(epoch.rows, 1)

    def _schedule_over(self, batches: int) -> Schedule:
        if self._schedule is not None:
            return self._schedule
        return Constant() if self.config.schedule == "constant" else cosine_schedule(self.config.epochs * batches)

    def _validate(self, validation: Validation | None) -> None:
        with self.averaged():
            if validation is not None:
                measured = self.measure(*validation)
                for name, value in measured.items():
                    self._log(f"val_{name}", value)
                self.diverged = not isfinite(measured["loss"])
                if self.config.monitor not in self.curves:
                    raise ConfigError(f"monitor {self.config.monitor!r} is none of {', '.join(self.curves)}")
            watched = self.curves.get(self.config.monitor, {})
            if self.epoch in watched and not self.diverged:
                self._best.offer(self.epoch, watched[self.epoch])

    def _log(self, name: str, value: float) -> None:
        self.curves.setdefault(name, {})[self.epoch] = value

    # --- what is not the optimiser's ---

    def _untrained(self) -> dict[str, Tensor]:
        return untrained_tensors(self.model, self._step.state.buffer)

    def _generators(self) -> dict[str, np.random.Generator]:
        return {"trainer": self.rng, **{f"model.{name}": rng for name, rng in model_generators(self.model)}}

    def _restoring_generators(self, saved: dict[str, Any]) -> Callable[[], None]:
        generators = self._generators()
        if saved.keys() != generators.keys():
            raise FormatError(f"expected generators {sorted(generators)}, got {sorted(saved)}")
        states = {name: parsed_state(rng, saved[name]) for name, rng in generators.items()}

        def apply() -> None:
            for name, rng in generators.items():
                rng.bit_generator.state = states[name]

        return apply

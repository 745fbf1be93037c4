"""`ParallelTrainer`: one rank's part of a training run, which gives what one process would have given.

Every rank walks through the same batches in the same order and computes its rows of each; gradients are summed in one
flat buffer, so all ranks take the same steps and hold the same model, optimiser state and random generators. A
checkpoint of any rank is a checkpoint of the run, for any number of ranks: one process can go on with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..device import CPU, Array
from ..errors import ConfigError
from ..nn.module import Module
from ..optim import EMA, LossScaler, Optimizer
from ..spec import canonical_json
from ..tensor import Tensor
from ..train import Callback, Curves, Trainer, TrainingConfig, predict_logits
from ..train.feed import Feed
from ..train.random_state import generator_state
from ..train.step import TrainingStep
from ..train.trainer import Validation
from .communicator import Communicator
from .replica import Replica


class ParallelTrainer(Trainer):
    """A `Trainer` that is one rank of a group. Use it as a `Trainer`, with the same calls on every rank.

    `fit`, `fit_batches` and `measure` wait for the other ranks; callbacks run on every rank. What writes files or
    prints belongs on rank 0 only.

    Args:
        model: of equal architecture on every rank; takes over parameters and buffers of rank 0. See `Replica` for what
            happens to its layers.
        config: the same on every rank.
        rng: of the same seed on every rank.
        communicator: connects the ranks; takes arrays of the device.
        options: as of `Trainer`; the same on every rank but `device`.
    """

    def __init__(
        self,
        model: Module,
        config: TrainingConfig,
        rng: np.random.Generator,
        communicator: Communicator,
        **options: Any,
    ) -> None:
        self._communicator = communicator
        super().__init__(model, config, rng, **options)

    def measure(self, inputs: np.ndarray, targets: np.ndarray) -> Mapping[str, float]:
        """What the criterion measures of the model as it is, in evaluation mode: each rank computes a part of the rows.

        Returns:
            The same on every rank.
        """
        rank, size, rows = self._communicator.rank, self._communicator.size, len(inputs)
        bounds = [rows * other // size for other in range(size + 1)]
        part = predict_logits(self.model, inputs[bounds[rank] : bounds[rank + 1]], device=self.device)
        longest = -(-rows // size)
        padded = np.zeros((longest, *part.shape[1:]), part.dtype)
        padded[: len(part)] = part
        gathered = CPU.put(self._communicator.all_gather(self.device.put(padded)))
        outputs = [gathered[other, : bounds[other + 1] - bounds[other]] for other in range(size)]
        return self._criterion.measure(np.concatenate(outputs), targets)

    def _make_step(self, optimizer: Optimizer, average: EMA | None, scaler: LossScaler | None) -> TrainingStep:
        replica = Replica(self.model, self._communicator)
        return _ReplicaStep(
            replica, self.model, self.config, self._criterion, optimizer, average=average, scaler=scaler
        )

    def _fit(
        self, feed: Feed, validation: Validation | None, until: int | None, callbacks: Sequence[Callback]
    ) -> Curves:
        self._check_equal()
        return super()._fit(feed, validation, until, callbacks)

    def _check_equal(self) -> None:
        """Ranks that train different networks, or shuffle differently, would give nonsense without an error."""
        generators = {name: generator_state(rng) for name, rng in self._generators().items()}
        said = canonical_json([self._identity, self.epoch, generators])
        with self.device.active():
            checksum = self.device.xp.array([zlib.crc32(said.encode())], np.int64)
            everyone = CPU.put(self._communicator.all_gather(checksum)).reshape(-1)
        if len(set(everyone.tolist())) > 1:
            raise ConfigError(
                "the ranks would train differently: expected the same configuration, options, epoch and seed of `rng` "
                f"on every rank, got checksums {everyone.tolist()}",
                hint="seed every rank's model and rng alike; randomness that differs belongs in none of them",
            )


class _ReplicaStep(TrainingStep):
    """A step on a part of each batch, with the gradient of the whole one."""

    def __init__(self, replica: Replica, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._replica = replica
        self._share = slice(0, 0)

    def _gradient(self, inputs: Array, targets: Array) -> tuple[Array, float]:
        gradient, loss_sum = super()._gradient(inputs, targets)
        communicator, place = self._replica.communicator, self.state.buffer.device
        communicator.all_reduce(gradient)
        with place.active():
            total = communicator.all_reduce(place.xp.array([loss_sum], np.float64))
        return gradient, float(total[0])

    def _backward(self, inputs: Array, targets: Array) -> tuple[list[Tensor], float]:
        with self._replica.batch(len(targets)) as self._share:  # the backward pass draws masks again
            return super()._backward(inputs, targets)

    def _loss(self, inputs: Array, targets: Array) -> Tensor:
        share = self._share
        if share.start == share.stop:  # a criterion need not know what the mean over no rows is
            return self._outputs(inputs[share]).sum() * 0.0
        return self._replica.part(super()._loss(inputs[share], targets[share]))

"""`Probe`: an untrained network and one minibatch, which is all that zero-cost scores look at."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Literal, Protocol

import numpy as np

from ...core import ConfigError, CrossEntropy, MeanSquaredError, ModelSpec, Tensor, build, derive_rng, grad, nn
from ...core.train import Criterion

TaskKind = Literal["classification", "regression"]


class Shadow(Protocol):
    """What a module computes in the place of its own forward."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """Outputs for inputs."""
        ...


class Probe:
    """An untrained network and one minibatch.

    Everything is float64: without training, deep networks without normalisation leave the range of float32. Batch norm
    has the statistics of the minibatch, as in training; dropout is off.

    Args:
        spec: the network; a seed gives it the weights that training would start from.
        inputs: shape (N, *spec.input_shape), N >= 2, prepared as for training.
        targets: what the network is trained on, N rows.
        criterion: its loss.
        rng: of the initial weights.

    Raises:
        ConfigError: fewer than two rows, or inputs, targets and network do not fit.
    """

    def __init__(
        self,
        spec: ModelSpec,
        inputs: np.ndarray,
        targets: np.ndarray,
        criterion: Criterion,
        rng: np.random.Generator,
    ) -> None:
        if len(inputs) < 2 or inputs.shape[1:] != spec.input_shape or len(targets) != len(inputs):
            raise ConfigError(
                f"expected a minibatch of at least two rows of shape {spec.input_shape} and as many targets, "
                f"got inputs of shape {inputs.shape} and {len(targets)} targets",
                hint="prepare the rows as for training; scores compare rows with each other",
            )
        self.spec = spec
        self.inputs = _wide(inputs)
        self.targets = _wide(targets)
        self.criterion = criterion
        self._rng = rng

    @classmethod
    def of(cls, spec: ModelSpec, inputs: np.ndarray, targets: np.ndarray, *, seed: int, task_kind: TaskKind) -> Probe:
        """With the usual loss of a kind of task, and the weights that training with `seed` would start from."""
        if task_kind not in ("classification", "regression"):
            raise ConfigError(f"expected task_kind 'classification' or 'regression', got {task_kind!r}")
        criterion: Criterion = CrossEntropy() if task_kind == "classification" else MeanSquaredError()
        return cls(spec, inputs, targets, criterion, derive_rng(seed, "weights"))

    @cached_property
    def model(self) -> nn.Sequential:
        """The network, built when a score first looks at it."""
        model = build(self.spec, self._rng)
        for _, tensor in model.named_tensors():
            if tensor.dtype == np.float32:
                _widen(tensor)
        for module in model.modules():
            module.training = isinstance(module, nn.BatchNorm)
        return model

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The matrices and kernels that layers multiply by; no biases, no scales of a normalisation."""
        return {
            f"{prefix}.{name}": tensor
            for prefix, module in self.model.named_modules()
            if not isinstance(module, nn.PositionalEncoding)
            for name, tensor in vars(module).items()
            if isinstance(tensor, nn.Parameter) and name.endswith("weight") and tensor.ndim >= 2
        }

    @cached_property
    def weight_gradients(self) -> list[np.ndarray]:
        """The gradient of the minibatch's loss by each of `weights`, in their order."""
        loss = self.criterion.loss(self.model(Tensor(self.inputs)), self.targets)
        return [gradient.numpy() for gradient in grad(loss, list(self.weights.values()))] if self.weights else []


@contextmanager
def shadowed(replaced: Sequence[tuple[nn.Module, Shadow]]) -> Generator[None]:
    """A block in which modules compute something else than their forward."""
    for module, forward in replaced:
        vars(module)["forward"] = forward
    try:
        yield
    finally:
        for module, _ in replaced:
            del vars(module)["forward"]


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _widen(tensor: Tensor) -> None:
    wanted = tensor.requires_grad
    tensor.requires_grad = False  # a leaf knows its dtype: it is made anew
    tensor.data = tensor.data.astype(np.float64)
    tensor.requires_grad = wanted

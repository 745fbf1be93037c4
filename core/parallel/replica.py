"""`Replica`: one rank's copy of a model, trained on shares of whole batches as if there were one copy.

Each rank computes a part of every batch. The gradient of the batch's mean loss is the sum over the ranks of the
gradients of their parts of it, so one `all_reduce` gives every rank the same gradient and, by the same optimiser step,
the same parameters for ever. Two kinds of layers look beyond their own rows, and are made to see the whole batch:

- Batch normalisation takes mean and variance over all ranks' rows, forward and backward (known as synchronised batch
  norm). With statistics of its own rows, each rank would train another network.
- Dropout of all kinds draws the mask of the whole batch on every rank and uses its rows of it, so that the same
  elements are dropped as in one process.

What differs from one process is rounding. It stays rounding except in parameters whose true gradient is zero, such as
a bias in front of batch norm: there is nothing but rounding in it, which Adam and its kin scale up to whole steps.
Training does not feel such a bias, but running means follow it. Leave it out (`bias=False`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from .. import ops
from ..autograd import grad
from ..custom import custom_vjp
from ..errors import ConfigError
from ..nn.dropout import Dropout
from ..nn.module import Module
from ..nn.norm import BatchNorm
from ..random import part_of_batch
from ..shapes import accumulate_dtype
from ..tensor import Tensor
from .communicator import Communicator


class Replica:
    """A model that stays equal on all ranks of a group.

    Everything that trains it must go through `batch` and `gradients`, in the same order on every rank. Evaluation needs
    neither: a model in evaluation mode computes each row by itself.

    Args:
        model: takes over parameters and buffers of rank 0; its batch norms and dropouts are connected to the other
            ranks until `release`.
        communicator: connects the ranks.

    What every rank runs, with a communicator of its own:

    >>> from nasturtium.core import ModelSpec, build, optim
    >>> from nasturtium.core.nn import layer_spec
    >>> from nasturtium.core.parallel import SingleCommunicator
    >>> spec = ModelSpec((3,), (layer_spec("batch_norm"), layer_spec("linear", out_features=2)))
    >>> model = build(spec, np.random.default_rng(0))
    >>> inputs, labels = np.ones((8, 3), np.float32), np.zeros(8, np.int64)
    >>> replica = Replica(model, SingleCommunicator())
    >>> optimizer = optim.SGD(learning_rate=0.1)
    >>> state = optimizer.init(model.parameters())
    >>> for rows in np.arange(8).reshape(2, 4):  # the same order on every rank
    ...     with replica.batch(len(rows)) as share:
    ...         loss = ops.cross_entropy(model(Tensor(inputs[rows[share]])), labels[rows[share]])
    ...         value, gradients = replica.gradients(loss, model.parameters())
    ...     state = optimizer.step(state, gradients)
    >>> state.step
    2
    """

    def __init__(self, model: Module, communicator: Communicator) -> None:
        self.model = model
        self.communicator = communicator
        self._rows: int | None = None
        self._standardize = _standardizer(communicator)
        for _, tensor in model.named_tensors():
            communicator.broadcast(tensor.data)
        self._connected: list[tuple[Module, str]] = []
        for module in model.modules():
            if isinstance(module, BatchNorm):
                self._connect(module, "forward", self._normalize)
            elif isinstance(module, Dropout) and type(module).drop is Dropout.drop:
                # The others draw by a key, for which `part_of_batch` does it.
                self._connect(module, "drop", self._drop)

    def release(self) -> None:
        """Make the layers ordinary ones again."""
        for module, name in self._connected:
            vars(module).pop(name, None)

    @contextmanager
    def batch(self, rows: int) -> Generator[slice]:
        """A block that computes one batch of `rows` rows; gives the part of them that is this rank's, possibly none.

        Raises:
            ConfigError: there is no row.
        """
        if rows < 1:
            raise ConfigError(f"expected a batch of at least one row, got {rows}")
        self._rows = rows
        share = self._share(rows)
        try:
            with part_of_batch(share, rows):
                yield share
        finally:
            self._rows = None

    def gradients(self, loss: Tensor, parameters: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """The mean loss of the whole batch and its gradients, the same on every rank; inside `batch`.

        Args:
            loss: see `part`.
            parameters: what to differentiate by; on the same device, floating.

        Raises:
            ConfigError: called outside of `batch`.
        """
        part = self.part(loss)
        return self._reduce(part, grad(part, list(parameters)))

    def part(self, loss: Tensor) -> Tensor:
        """The part of the whole batch's mean loss that is this rank's: their sum is the mean; inside `batch`.

        Args:
            loss: the mean over this rank's rows; where it has none, any finite number that the model has part in, so
                that its layers answer the other ranks' in the backward pass too.

        Raises:
            ConfigError: called outside of `batch`.
        """
        rows = self._batch_rows()
        share = self._share(rows)
        return loss * ((share.stop - share.start) / rows)

    def _connect(self, module: Module, method: str, replacement: Callable[..., Tensor]) -> None:
        """Let a method of one module be another's; the class, and so its state and its other methods, stay."""
        vars(module)[method] = partial(replacement, module)
        self._connected.append((module, method))

    def _batch_rows(self) -> int:
        if self._rows is None:
            raise ConfigError(
                "a replica computes a training step outside of its `batch` block",
                hint="the layers must know how many rows the whole batch has: `with replica.batch(rows) as share:`",
            )
        return self._rows

    def _share(self, rows: int) -> slice:
        rank, size = self.communicator.rank, self.communicator.size
        return slice(rows * rank // size, rows * (rank + 1) // size)

    def _reduce(self, loss: Tensor, gradients: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """Sums over the ranks, in one flat buffer: a collective for every tensor would cost its latency each time."""
        place = loss.device
        with place.active():
            flat = place.xp.concatenate([*(gradient.data.reshape(-1) for gradient in gradients), loss.data.reshape(1)])
            self.communicator.all_reduce(flat)
            ends = np.cumsum([gradient.size for gradient in gradients]).tolist()
            parts = [
                Tensor(flat[end - gradient.size : end].reshape(gradient.shape).astype(gradient.dtype, copy=False))
                for gradient, end in zip(gradients, ends, strict=True)
            ]
            return float(flat[-1]), parts

    def _normalize(self, layer: BatchNorm, x: Tensor) -> Tensor:
        """`BatchNorm.forward`, with the statistics of all ranks' rows."""
        if not layer.training:
            return type(layer).forward(layer, x)
        over = (0, *range(2, x.ndim))
        count = self._batch_rows() * int(np.prod(x.shape[2:], dtype=np.int64))
        half = accumulate_dtype(x.dtype) != x.dtype  # sums of squares leave the range of float16
        wide = x.astype("float32") if half else x
        y, mean, variance = self._standardize(wide, over=over, count=count, epsilon=layer.epsilon)
        unbiased = variance.data * (count / max(count - 1, 1))
        for running, batch in ((layer.running_mean, mean.data), (layer.running_var, unbiased)):
            running.data += layer.momentum * (batch.reshape(-1) - running.data)
        y = y.astype(x.dtype.name) if half else y
        spread = (-1, *(1,) * (x.ndim - 2))
        return y * layer.weight.reshape(*spread) + layer.bias.reshape(*spread)

    def _drop(self, layer: Dropout, x: Tensor) -> Tensor:
        """`Dropout.drop`, with this rank's rows of the whole batch's mask."""
        rows = self._batch_rows()
        share = self._share(rows)
        if x.shape[:1] != (share.stop - share.start,):
            return type(layer).drop(layer, x)  # its first axis is not that of the rows
        kept = layer.rng.random((rows, *x.shape[1:]), np.float32)[share] >= layer.rate
        return ops.dropped(x, x.device.put(kept), float(np.float32(1) / np.float32(1 - layer.rate)))


def _standardizer(communicator: Communicator) -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """`ops.standardize` over the rows of all ranks, as a function of this rank's: (x - mean) / sqrt(variance +
    epsilon), mean, and biased variance, the last two with axes of length 1 for those summed over.

    It is called with the axes to sum over, the number of elements that are summed on all ranks, and epsilon. Gradients
    are those of the first result only.
    """
    total = _sum_over(communicator)

    def whole(x: Tensor, over: tuple[int, ...], count: int, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        # In two passes, as in one process: the difference of large sums would lose the variance of small numbers.
        mean = total(ops.sum(x, axis=over, keepdims=True)) / count
        centred = x - mean
        variance = total(ops.sum(centred * centred, axis=over, keepdims=True)) / count
        return centred * (variance + epsilon) ** -0.5, mean, variance

    def rule(g: Any, out: Any, x: Any, *, over: tuple[int, ...], count: int, epsilon: float) -> Any:
        gradient = g[0]
        again = isinstance(gradient, Tensor)  # the pass is recorded in turn, and what was saved has no history
        y, _, variance = whole(x, over, count, epsilon) if again else out
        # dL/dx = (g - mean(g) - y mean(g y)) / sqrt(var + epsilon), Ioffe & Szegedy 2015, section 3.
        sums = ops.concatenate(
            ops.sum(gradient, axis=over, keepdims=True), ops.sum(gradient * y, axis=over, keepdims=True), axis=0
        )
        means = (total(sums) if again else communicator.all_reduce(sums)) / count
        return (gradient - means[:1] - y * means[1:]) * (variance + epsilon) ** -0.5

    @custom_vjp(rule)
    def standardize(x: Tensor, *, over: tuple[int, ...], count: int, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        return whole(x, over, count, epsilon)

    return standardize


def _sum_over(communicator: Communicator) -> Callable[[Tensor], Tensor]:
    """The sum over the ranks as a differentiable function.

    Every rank's output depends on every rank's input, so the gradient of an input is the sum of the ranks' output
    gradients: the same function again.
    """

    def rule(g: Any, y: Any, x: Any) -> Any:
        return total(g) if isinstance(g, Tensor) else total(Tensor(g)).data

    @custom_vjp(rule, saves=())
    def total(x: Tensor) -> Tensor:
        return Tensor(communicator.all_reduce(x.data.copy()))

    return total

"""One training step: loss and gradient of a batch, scaling, clipping, the optimiser, the average of parameters."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ..autograd import grad
from ..device import Array
from ..nn.module import Module
from ..optim import (
    EMA,
    Average,
    GradientAccumulator,
    LossScaler,
    Optimizer,
    OptimizerState,
    ScalerState,
    clip_by_norm,
    swapped,
)
from ..tensor import Tensor
from .compiled import CompiledStep
from .config import TrainingConfig, half_dtype
from .criterion import Criterion
from .snapshot import SnapshotReader


class TrainingStep:
    """What happens to a batch, and the state of all that takes part.

    Args:
        model: trained in place.
        config: precision, clipping and micro-batches are taken from it.
        criterion: the loss.
        optimizer: takes the steps.
        average: averages the parameters after each, or None.
        scaler: scales the loss, or None.

    Attributes:
        state: of the optimiser.
        loss: of the last batch; NaN before the first.
        learning_rate: of the last step taken; NaN before the first.
        planned: steps of the whole run; it says whether compiling is worth it.
        gradient_norm: L2 norm of the last gradient before clipping; NaN where nothing is clipped.
    """

    def __init__(
        self,
        model: Module,
        config: TrainingConfig,
        criterion: Criterion,
        optimizer: Optimizer,
        *,
        average: EMA | None,
        scaler: LossScaler | None,
    ) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.state: OptimizerState = optimizer.init(self.parameters)
        self.loss = self.learning_rate = self.gradient_norm = float("nan")
        self.planned = 0
        self._model = model
        self._config = config
        self._criterion = criterion
        self._optimizer = optimizer
        self._averaging = average
        self._scaling = scaler
        self._average = average.init(self.state) if average else None
        self._scale = scaler.init() if scaler else None
        self._accumulator: GradientAccumulator | None = None
        self._compiled = CompiledStep(self._whole_step()) if self._is_plain else None

    def run(self, inputs: Array, targets: Array, factor: float) -> float:
        """Take one step on a batch, within `computing`; it is left out where a scaled gradient overflows.

        Args:
            inputs: of the batch.
            targets: of as many rows.
            factor: on the optimiser's learning rate.

        Returns:
            The sum of the rows' losses.
        """
        rate = self._optimizer.learning_rate * factor
        if self._compiled is not None and len(targets):
            found = self._compiled.run(inputs, targets, rate, done=self.state.step, planned=self.planned)
            if found is not None:
                self.loss, self.gradient_norm = found
                self.learning_rate = rate
                return self.loss * len(targets)
        gradient, loss_sum = self._gradient(inputs, targets)
        self.loss = loss_sum / max(len(targets), 1)  # a sampled batch may be empty
        if self._scaling and self._scale:
            self._scale, finite = self._scaling.unscale(self._scale, gradient)
            if not finite:
                return loss_sum
        if self._config.clip_norm is not None:
            self.gradient_norm = clip_by_norm(gradient, self._config.clip_norm)
        self.learning_rate = rate
        self.state = self._optimizer.step(self.state, gradient, learning_rate=self.learning_rate)
        if self._averaging and self._average:
            self._average = self._averaging.step(self._average, self.state)
        return loss_sum

    def computing(self) -> AbstractContextManager[None]:
        """A block in which the parameters have the config's precision."""
        if self._config.precision == "float32":
            return nullcontext()
        return self.state.buffer.lowered(half_dtype(self._config.precision))

    @contextmanager
    def averaged(self) -> Generator[None]:
        """A block in which the model has the averaged parameters, where an average is kept."""
        with swapped(self._average, self.state) if self._average else nullcontext():
            yield

    def arrays(self) -> dict[str, Array]:
        """What a checkpoint holds of this; not copied."""
        arrays = {f"optimizer.{name}": array for name, array in self.state.arrays().items()}
        return arrays if self._average is None else {**arrays, "average": self._average.values}

    def numbers(self) -> dict[str, Any]:
        """What a checkpoint holds of this as JSON."""
        return {
            "step": self.state.step,
            "average_step": self._average.step if self._average else 0,
            "scale": self._scale.scale if self._scale else 1.0,
            "good_steps": self._scale.good_steps if self._scale else 0,
        }

    def restoring(self, found: SnapshotReader) -> Callable[[], None]:
        """Check what a checkpoint holds; the function returned puts it into place, and cannot fail.

        Raises:
            FormatError: it does not fit.
        """
        step, average_step, good_steps = (found.count(name) for name in ("step", "average_step", "good_steps"))
        scale = found.value("scale", float)
        arrays = {name: found.like(f"optimizer.{name}", array) for name, array in self.state.arrays().items()}
        values = found.like("average", self._average.values) if self._average else None

        def apply() -> None:
            self.state = self.state.restored(step, arrays)
            if self._average is not None:
                self._average.values[...] = self.state.buffer.device.put(values)
                self._average = Average(average_step, self._average.values)
            if self._scale is not None:
                self._scale = ScalerState(scale, good_steps)

        return apply

    @property
    def _is_plain(self) -> bool:
        """Whether a step is one gradient of one batch: what the compiler is for."""
        config = self._config
        plain = config.precision == "float32" and config.micro_batch_size is None and not self._scaling
        return plain and type(self) is TrainingStep and self.state.buffer.device.kind == "cpu"

    def _whole_step(self) -> Callable[[Tensor, Tensor, float], tuple[Tensor, ...]]:
        """The step as one function: its loss, and the norm of the gradient where it is clipped."""
        model, criterion, optimizer, bound = self._model, self._criterion, self._optimizer, self._config.clip_norm
        parameters, state, averaging, average = self.parameters, self.state, self._averaging, self._average

        def step(inputs: Tensor, targets: Tensor, rate: float) -> tuple[Tensor, ...]:
            loss = criterion.loss(model(inputs), targets)
            gradient = state.gather(grad(loss, parameters))
            norm = loss * float("nan") if bound is None else clip_by_norm(gradient, bound)
            optimizer.step(state, gradient, learning_rate=rate)
            if averaging and average:
                averaging.step(average, state)
            return loss, norm  # pyright: ignore[reportReturnType] - while it is traced, a norm is a tensor

        return step

    def _gradient(self, inputs: Array, targets: Array) -> tuple[Array, float]:
        """The (scaled) gradient of the batch's mean loss as one vector, and the sum of its losses."""
        rows = len(targets)
        size = self._config.micro_batch_size or rows
        if size >= rows:
            gradients, loss_sum = self._backward(inputs, targets)
            return self.state.gather(gradients), loss_sum
        accumulator = self._accumulator = self._accumulator or GradientAccumulator(self.state)
        loss_sum = 0.0
        for start in range(0, rows, size):
            part = slice(start, start + size)
            gradients, part_sum = self._backward(inputs[part], targets[part])
            accumulator.add(gradients, len(targets[part]))
            loss_sum += part_sum
        return accumulator.mean(), loss_sum

    def _backward(self, inputs: Array, targets: Array) -> tuple[list[Tensor], float]:
        loss = self._loss(inputs, targets)
        gradients = grad(loss * self._scale.scale if self._scale else loss, self.parameters)
        return gradients, float(loss) * len(targets)

    def _loss(self, inputs: Array, targets: Array) -> Tensor:
        """The mean loss of a batch; what data-parallel training overrides."""
        return self._criterion.loss(self._outputs(inputs), targets)

    def _outputs(self, inputs: Array) -> Tensor:
        lowered = self._config.precision != "float32"
        if lowered and inputs.dtype.kind == "f":
            inputs = inputs.astype(half_dtype(self._config.precision))
        outputs = self._model(Tensor(inputs))
        return outputs.astype("float32") if lowered else outputs

"""`torch_model`: a function that makes a PyTorch module becomes a model of a federation.

Parameters travel as levels, floating buffers (running means) exactly. Integer buffers stay at each site: they count
batches, `num_batches_tracked` say, their mean means nothing, and no prediction depends on them.

PyTorch has one source of randomness in a process, so modules are made and trained one at a time here. Modules of one
seed begin alike wherever PyTorch draws alike; a site where it does not is told apart by its model's tag in the first
round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, cast

import numpy as np

from ...core import DataError, MissingExtraError, ShapeError, derive_seed
from ...core.data import Task
from ..protocol.rounds import LocalTraining
from ..updates.model_tensors import ModelTensor, ModelTensors
from .base import LocalExamples, ModelAdapter, Tensors

try:
    import torch as _torch
except ImportError as exc:
    raise MissingExtraError("a PyTorch module", "torch") from exc

torch: Any = _torch  # its stubs leave most of what is used here unknown
P = ParamSpec("P")
# Makes an optimiser of the parameters of a module, as the plan wants it.
MakeOptimizer = Callable[[Iterable[Any], LocalTraining], Any]
_ONE_AT_A_TIME: Final = threading.RLock()
_BATCH: Final = 1024  # rows that are looked at at once
_NORMALISATION: Final = (
    torch.nn.modules.batchnorm._NormBase,
    torch.nn.LayerNorm,
    torch.nn.GroupNorm,
)


def planned_optimizer(parameters: Iterable[Any], training: LocalTraining) -> Any:
    """What the plan says, as for networks of the core."""
    rates = {"lr": training.learning_rate, "weight_decay": training.weight_decay}
    if training.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=0.9, nesterov=True, **rates)
    return torch.optim.AdamW(parameters, **rates)


def torch_model(
    make: Callable[Concatenate[Task, P], Any], *, optimizer: MakeOptimizer = planned_optimizer
) -> Callable[Concatenate[Task, P], ModelAdapter]:
    """A model whose module a function makes; a decorator.

    Args:
        make: given a task, and options as keywords that say their types, makes a module that takes (N,
            *task.input_shape) float32 and gives logits (N, classes).
        optimizer: what sites train it with.
    """

    @wraps(make)
    def build(task: Task, /, *args: P.args, **options: P.kwargs) -> ModelAdapter:
        return _TorchAdapter(task, lambda: make(task, *args, **options), optimizer)

    return build


class _TorchAdapter:
    """See `ModelAdapter`."""

    in_the_clear = ""

    def __init__(self, task: Task, make: Callable[[], Any], optimizer: MakeOptimizer) -> None:
        if task.kind != "classification":
            raise DataError("the model tells classes apart, and there are none")
        self._classes = len(task.classes)
        self._make = make
        self._optimizer = optimizer
        self._tensors = _tensors_of(self._built(0))

    @property
    def tensors(self) -> ModelTensors:
        """See `ModelAdapter`."""
        return self._tensors

    def initial(self, seed: int) -> Tensors:
        """What the module begins with under a seed."""
        return _state(self._built(derive_seed(seed, "weights")))

    def train(
        self, tensors: Tensors, examples: LocalExamples, training: LocalTraining, rng: np.random.Generator
    ) -> Tensors:
        """Epochs of mini-batches by cross-entropy; see `ModelAdapter`."""
        inputs, labels = torch.from_numpy(np.array(examples.inputs)), torch.from_numpy(np.array(examples.labels))
        with _seeded(int(rng.integers(2**63))):
            module = _load(self._make(), tensors).train()
            optimizer = self._optimizer(module.parameters(), training)
            loss = torch.nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)
            for _ in range(training.epochs):
                order = torch.from_numpy(rng.permutation(len(labels)))
                for start in range(0, len(labels), training.batch_size):
                    rows = order[start : start + training.batch_size]
                    if len(rows) == 1 and start:
                        continue  # one row has no variance, which batch norm divides by
                    optimizer.zero_grad()
                    loss(self._checked(module(inputs[rows]), len(rows)), labels[rows]).backward()
                    optimizer.step()
        return _state(module)

    def logits(self, tensors: Tensors, inputs: np.ndarray) -> np.ndarray:
        """See `ModelAdapter`."""
        module = self.native(tensors)
        rows, parts = torch.from_numpy(np.array(inputs)), [np.zeros((0, self._classes), np.float32)]
        with torch.no_grad():
            for start in range(0, len(inputs), _BATCH):
                batch = rows[start : start + _BATCH]
                parts.append(self._checked(cast(Any, module)(batch), len(batch)).float().numpy())
        return np.concatenate(parts)

    def native(self, tensors: Tensors) -> object:
        """The module, in evaluation mode."""
        return _load(self._built(0), tensors).eval()

    def save(self, tensors: Tensors, folder: Path) -> None:
        """Nothing: the tensors are the module's state dict, by its names."""

    def _built(self, seed: int) -> Any:
        with _seeded(seed):
            return self._make()

    def _checked(self, logits: Any, rows: int) -> Any:
        if tuple(logits.shape) != (rows, self._classes):
            raise ShapeError(f"the module gives {tuple(logits.shape)}, expected ({rows}, {self._classes}) logits")
        return logits


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """PyTorch draws from a seed inside, and goes on as before behind."""
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed % 2**63)
        yield


def _tensors_of(module: Any) -> ModelTensors:
    """What a module has, by the names of its state dict."""
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    normalising = {
        f"{prefix}.{name}" if prefix else name
        for prefix, each in module.named_modules()
        if isinstance(each, _NORMALISATION)
        for name in each.state_dict()
    }
    return ModelTensors(
        tuple(
            ModelTensor(
                name=name,
                shape=tuple(tensor.shape),
                kind="parameter" if name in parameters else "buffer" if tensor.is_floating_point() else "local",
                dtype="float32" if tensor.is_floating_point() else "int64",
                normalises=name in normalising,
            )
            for name, tensor in module.state_dict().items()
        )
    )


def _state(module: Any) -> dict[str, np.ndarray]:
    """Copies of a module's tensors."""
    return {
        name: tensor.detach().to(torch.float32 if tensor.is_floating_point() else torch.int64).numpy(force=True).copy()
        for name, tensor in module.state_dict().items()
    }


def _load(module: Any, tensors: Tensors) -> Any:
    """The module with other tensors; each becomes of the dtype that the module has it in."""
    module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in tensors.items()})
    return module

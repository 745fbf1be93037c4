"""Our side of the comparison of whole training steps with PyTorch and JAX: models written with `nn`, steps compiled.

A worker of the runner that `bench_compile.py` drives: `python w_nasturtium.py WORKLOAD MODE`, where the mode is
`compile` (default) or `eager`. The module `common` is the runner's: the work, its parameters and data.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import common
import numpy as np

from nasturtium.core import Tensor, compile, grad, nn, ops
from nasturtium.core.optim import SGD, Adam


def linear(inputs: int, outputs: int, rng: np.random.Generator) -> nn.Linear:
    return nn.Linear(inputs, outputs, rng=rng)


def mlp(rng: np.random.Generator) -> nn.Module:
    return nn.Sequential(
        linear(64, 128, rng),
        nn.Activation("relu"),
        linear(128, 128, rng),
        nn.Activation("relu"),
        linear(128, 10, rng),
    )


def lenet(rng: np.random.Generator) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2, rng=rng),
        nn.Activation("relu"),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2, rng=rng),
        nn.Activation("relu"),
        nn.MaxPool2d(2),
        nn.Flatten(),
        linear(1568, 128, rng),
        nn.Activation("relu"),
        linear(128, 10, rng),
    )


class Cell(nn.Module):
    """A cell of NAS-Bench-201: a skip, an average pool, and four convolutions."""

    def __init__(self, channels: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.edge01 = unit(channels, channels, 3, rng)
        self.edge12 = unit(channels, channels, 1, rng)
        self.edge13 = unit(channels, channels, 3, rng)
        self.edge23 = unit(channels, channels, 1, rng)
        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        first = self.edge01(x)
        second = x + self.edge12(first)
        return self.pool(x) + self.edge13(first) + self.edge23(second)


class Reduction(nn.Module):
    """Half the size, twice the channels."""

    def __init__(self, channels: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.first = unit(channels, 2 * channels, 3, rng, stride=2)
        self.second = unit(2 * channels, 2 * channels, 3, rng)
        self.shortcut = nn.Conv2d(channels, 2 * channels, 1, bias=False, rng=rng)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x)) + self.shortcut(self.pool(x))


def unit(inputs: int, outputs: int, kernel: int, rng: np.random.Generator, *, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution, batch norm."""
    return nn.Sequential(
        nn.Activation("relu"),
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False, rng=rng),
        nn.BatchNorm(outputs),
    )


def nb201(rng: np.random.Generator) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False, rng=rng), nn.BatchNorm(16)]
    for stage, channels in enumerate((16, 32, 64)):
        if stage:
            layers.append(Reduction(channels // 2, rng))
        layers.append(Cell(channels, rng))
    layers += [nn.BatchNorm(64), nn.Activation("relu"), nn.GlobalAvgPool(), linear(64, 10, rng)]
    return nn.Sequential(*layers)


def separable(rng: np.random.Generator) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False, rng=rng),
        nn.BatchNorm(64),
        nn.Activation("relu"),
        nn.Conv2d(64, 64, 1, bias=False, rng=rng),
        nn.BatchNorm(64),
        nn.Activation("relu"),
        nn.GlobalAvgPool(),
        linear(64, 10, rng),
    )


class Transformer(nn.Module):
    """Two encoder layers, a norm, the mean over the steps, and a classifier."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.layers = [nn.TransformerEncoderLayer(128, 4, hidden=512, activation="gelu_erf", rng=rng) for _ in range(2)]
        self.norm = nn.LayerNorm(128, over="last")
        self.mean = nn.SequenceMean()
        self.classifier = linear(128, 10, rng)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.classifier(self.mean(self.norm(x)))


MODELS: dict[str, Callable[[np.random.Generator], nn.Module]] = {
    "a": mlp,
    "b": lenet,
    "c": nb201,
    "d": separable,
    "e": Transformer,
}


def in_order(name: str, given: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
    """The shared parameters in the order of our models'."""
    if name == "c":
        stages = ["stem"]
        for stage in range(3):
            if stage:
                stages += [f"r{stage}a", f"r{stage}b", f"r{stage}s"]
            stages += [f"s{stage}.{edge}" for edge in ("01", "12", "13", "23")]
        for unit_name in [*stages, "last", "fc"]:
            yield from (given[f"{unit_name}.{part}"] for part in "wgb" if f"{unit_name}.{part}" in given)
        return
    for key, value in given.items():
        yield from np.split(value, 3) if ".qkv." in key else [value]


def load(name: str, model: nn.Module) -> None:
    """Give a model the shared parameters."""
    given = list(in_order(name, common.params(name)))
    if name == "e":  # q, k, v: weight and bias of each, where the shared ones are three weights and three biases
        given = [array for layer in (given[:16], given[16:32]) for array in _paired(layer)] + given[32:]
    parameters = model.parameters()
    for parameter, array in zip(parameters, given, strict=True):
        assert parameter.size == array.size, (parameter.shape, array.shape)
        parameter.data[...] = array.reshape(parameter.shape)


def _paired(layer: list[np.ndarray]) -> list[np.ndarray]:
    norm1, weights, biases, rest = layer[:2], layer[2:5], layer[5:8], layer[8:]
    pairs = [array for pair in zip(weights, biases, strict=True) for array in pair]
    out, norm2, maps = rest[:2], rest[2:4], rest[4:]
    return [*pairs, *out, *maps, *norm1, *norm2]


def make_step(name: str, mode: str) -> Callable[[], Tensor]:
    """One whole training step, or value and gradients where the workload has no optimiser."""
    x, y = common.data(name)
    run = (lambda step: step) if mode == "eager" else compile
    if name in "fg":
        return without_optimizer(name, x, y, run)
    model = MODELS[name](np.random.default_rng(0))
    load(name, model)
    parameters = model.parameters()
    rate = common.LR[name]
    optimizer = SGD(learning_rate=rate, momentum=0.9) if common.OPT[name] == "sgd" else Adam(learning_rate=rate)
    state = optimizer.init(parameters)

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = ops.cross_entropy(model(x), y)
        optimizer.step(state, grad(loss, parameters))
        return loss

    compiled, x, y = run(step), Tensor(x), Tensor(y)
    return lambda: compiled(x, y)


def without_optimizer(name: str, x: np.ndarray, y: np.ndarray, run: Callable) -> Callable[[], Tensor]:
    given = {key: Tensor(value, requires_grad=True) for key, value in common.params(name).items()}
    x = Tensor(x, requires_grad=name == "f")
    wanted = [*given.values(), x] if name == "f" else list(given.values())

    def step(*inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        if name == "f":
            x, y = inputs
            h = ops.gelu_erf(x * given["a"] + given["b"])
            loss = ops.sum(ops.layer_norm(h, given["ln.g"], given["ln.b"]) * y)
        else:
            (h,) = inputs
            for _ in range(1000):
                h = h + given["w"]
            loss = ops.sum(h)
        return loss, grad(loss, wanted)

    compiled = run(step)
    inputs = (x,) if y is None else (x, Tensor(y))
    return lambda: compiled(*inputs)[0]


def make(name: str, mode: str) -> tuple[Callable[[], Tensor], Callable[[Tensor], float]]:
    """What the runner calls."""
    return make_step(name, mode), float


if __name__ == "__main__":
    common.worker_main(make, sys.argv[1:])

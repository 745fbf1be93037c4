"""Mixtures: layers of which several are computed and added, by weights that gradients reach.

A mixture's weights are a softmax over logits, one vector for each decision; or one option alone with a weight of 1,
sampled (Gumbel-softmax, straight through).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from ...core import Tensor, no_grad, ops, stop_gradient
from ...core.nn import Module, Parameter, Sequential

Shape = tuple[int, ...]


@dataclass(eq=False)
class Mixing:
    """The logits of all decisions, and the weights of the options as the network is computed.

    Attributes:
        options: of each decision, by path.
        logits: of each decision, float32, shape (options,).
        weights: what the mixtures multiply by, of the same shapes; see `soften` and `sample`.
        chosen: the one option of each decision that is computed; empty if all are.
    """

    options: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    logits: dict[str, Parameter] = field(default_factory=dict[str, Parameter])
    weights: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    chosen: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, path: str, options: Sequence[str]) -> None:
        """A decision, all of its options alike; one that is known already is shared."""
        if path not in self.options:
            self.options[path] = tuple(options)
            self.logits[path] = Parameter(np.zeros(len(options), np.float32))

    def soften(self) -> None:
        """All options count, by the softmax of their logits: Liu et al. 2019, https://arxiv.org/abs/1806.09055."""
        self.chosen = {}
        self.weights = {path: ops.softmax(logits) for path, logits in self.logits.items()}

    def sample(self, rng: np.random.Generator, temperature: float) -> None:
        """One option of each decision counts, with a weight of 1 and the gradient of a softmax: Dong & Yang 2019,
        https://arxiv.org/abs/1910.04465, equations 3 to 5.
        """
        for path, logits in self.logits.items():
            noise = rng.gumbel(size=logits.shape).astype(logits.dtype)
            soft = ops.softmax((ops.log_softmax(logits) + Tensor(noise)) / temperature)
            chosen = int(np.argmax(soft.data))
            hard = np.zeros(logits.shape, logits.dtype)
            hard[chosen] = 1
            self.chosen[path] = chosen
            self.weights[path] = Tensor(hard) - stop_gradient(soft) + soft

    def probabilities(self) -> dict[str, dict[str, float]]:
        """Softmax of the logits: decision -> option -> probability."""
        with no_grad():
            return {
                path: dict(zip(self.options[path], map(float, ops.softmax(logits).data), strict=True))
                for path, logits in self.logits.items()
            }


class Mixture(Module):
    """The options of one decision at one place, added by their weights.

    Args:
        path: of the decision.
        alternatives: in the order of its options; None gives zeros.
        shape: of what each gives, without the batch axis.
        mixing: has the weights.
    """

    def __init__(self, path: str, alternatives: Sequence[Sequential | None], shape: Shape, mixing: Mixing) -> None:
        self.path = path
        self.alternatives = [module for module in alternatives if module is not None]
        self._shape = shape
        self._mixing = mixing
        self._numbers = [number for number, module in enumerate(alternatives) if module is not None]

    def forward(self, x: Tensor) -> Tensor:
        """Mix (N, ...)."""
        weights, chosen = self._mixing.weights[self.path], self._mixing.chosen.get(self.path)
        parts = [
            module(x) * weights[number]
            for number, module in zip(self._numbers, self.alternatives, strict=True)
            if chosen is None or chosen == number
        ]
        return reduce(ops.add, parts) if parts else Tensor(np.zeros((x.shape[0], *self._shape), x.dtype))


class MixedResidual(Module):
    """`body(x) + shortcut(x)`."""

    def __init__(self, body: Sequential, shortcut: Sequential) -> None:
        self.body = body
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Add the branches."""
        return self.body(x) + self.shortcut(x)


class MixedCell(Module):
    """A cell with a mixture on every edge: each node is the sum of what comes in.

    Args:
        inputs: how many nodes are given.
        nodes: all of them, with those given.
        edges: mixtures by (from, to).
        joined: the output is all computed nodes side by side, else the last one.
    """

    def __init__(self, inputs: int, nodes: int, edges: Mapping[tuple[int, int], Mixture], *, joined: bool) -> None:
        self.edges = {f"{i}-{j}": mixture for (i, j), mixture in edges.items()}
        self._inputs = inputs
        self._nodes = nodes
        self._joined = joined

    def forward(self, *inputs: Tensor) -> Tensor:
        """Compute every node."""
        values = list(inputs)
        for node in range(self._inputs, self._nodes):
            values.append(reduce(ops.add, [self.edges[f"{i}-{node}"](values[i]) for i in range(node)]))
        return ops.concatenate(*values[self._inputs :], axis=1) if self._joined else values[-1]


class MixedStack(Module):
    """Cells of two inputs, each fed by the two before it.

    Args:
        cells: each with what its two inputs go through first.
    """

    def __init__(self, cells: Sequence[tuple[Sequential, Sequential, MixedCell]]) -> None:
        self.first = [cell[0] for cell in cells]
        self.second = [cell[1] for cell in cells]
        self.cells = [cell[2] for cell in cells]

    def forward(self, x: Tensor) -> Tensor:
        """Run all cells."""
        before, now = x, x
        for first, second, cell in zip(self.first, self.second, self.cells, strict=True):
            before, now = now, cell(first(before), second(now))
        return now

"""`summary`: what a network is made of and costs, by looking at shapes alone."""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..abstract import infer_shapes
from ..op import OpDef
from ..shapes import Spec
from .init import weightless
from .module import Module, Parameter

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One module of a network.

    Attributes:
        name: dotted path; empty for the network itself.
        kind: the class.
        output_shape: with the batch axis; of the first output if there are several.
        parameters: trainable elements, of the module and all below it.
        macs: multiply-accumulates of the batch, likewise.
        activation_bytes: memory of all results of ops, likewise: what training holds at most, before anything is freed.
    """

    name: str
    kind: str
    output_shape: Shape
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All modules of a network in the order they finish, the network itself last."""

    rows: tuple[Row, ...]

    @property
    def total(self) -> Row:
        """The network as a whole."""
        return self.rows[-1]

    def __str__(self) -> str:
        lines = [("module", "kind", "output", "parameters", "MACs", "activations")]
        for row in self.rows:
            size = f"{row.activation_bytes / 1e6:.3f} MB"
            lines.append(
                (row.name or "total", row.kind, str(row.output_shape), f"{row.parameters:,}", f"{row.macs:,}", size)
            )
        widths = [max(len(line[i]) for line in lines) for i in range(6)]
        return "\n".join(
            "  ".join(
                cell.ljust(w) if i < 3 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )


def summary(network: Module | Callable[[np.random.Generator], Module], *input_shapes: Shape) -> Summary:
    """Shapes, parameters, multiply-accumulates and memory of a network, without computing and without its weights.

    Args:
        network: a module; or a function of a generator that builds one, which is then called in such a way that its
            initial weights (those made by `nn.init`) take no memory, however large the network.
        input_shapes: of each input, with the batch axis; float32.

    Raises:
        ShapeError: an input does not fit; names the op.
    """
    if not isinstance(network, Module):
        with weightless(), np.errstate(all="ignore"):  # zeros are no sensible weights
            network = network(np.random.default_rng(0))
    was_training = [module.training for module in network.modules()]
    network.eval()
    rows: list[Row] = []
    macs = [0]
    memory = [0]
    begun: list[tuple[int, int]] = []

    def note(op: OpDef, specs: Sequence[Spec], params: Mapping[str, Any], result: Any) -> None:
        for spec in (result,) if isinstance(result, Spec) else result:
            memory[0] += spec.size * spec.dtype.itemsize
        if op.macs is not None:
            macs[0] += op.macs(specs, result, **params)

    def watched(name: str, module: Module) -> Callable[[], None]:
        inner = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            begun.append((macs[0], memory[0]))
            output = inner(*args, **kwargs)
            macs_before, memory_before = begun.pop()
            first = output[0] if isinstance(output, tuple) else output
            shape: Shape = first.shape
            found = {id(t): t.size for _, t in module.named_tensors(Parameter)}
            rows.append(
                Row(
                    name,
                    type(module).__name__,
                    shape,
                    sum(found.values()),
                    macs[0] - macs_before,
                    memory[0] - memory_before,
                )
            )
            return output

        vars(module)["forward"] = forward  # shadows the method of this one object

        def restore() -> None:
            del vars(module)["forward"]

        return restore

    restores = [watched(name, module) for name, module in network.named_modules()]
    try:
        with np.errstate(all="ignore"):
            infer_shapes(network, *input_shapes, note=note)
    finally:
        for restore in restores:
            restore()
        for module, training in zip(network.modules(), was_training, strict=True):
            module.training = training
    return Summary(tuple(rows))

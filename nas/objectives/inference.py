"""A network ready to be measured: built, in evaluation mode, on its device, with a batch to run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...core import ConfigError, Device, ModelSpec, Tensor, build, no_grad
from ...core.nn import LayerSpec, Module, Node


def ready(
    network: Module | ModelSpec,
    *,
    device: Device,
    batch: int,
    rng: np.random.Generator,
    inputs: Sequence[np.ndarray[Any, Any]] | None,
) -> tuple[Callable[[], None], int]:
    """Prepare an inference.

    Args:
        network: a specification, which is built with weights from `rng`; or a module, which is switched to evaluation
            and moved to `device`.
        device: where to run.
        batch: samples at once, >= 1.
        rng: of weights and inputs: standard normal, or tokens where an embedding reads them.
        inputs: arrays (batch, ...) to run on in their place; a module needs them.

    Returns:
        A function that runs the network once and drops the result, and the bytes of its inputs.

    Raises:
        ConfigError: a module without inputs, or a batch below 1.
    """
    if batch < 1:
        raise ConfigError(f"expected batch >= 1, got {batch}")
    if inputs is None:
        if not isinstance(network, ModelSpec):
            raise ConfigError("a module does not know its inputs", hint="pass inputs=..., or the ModelSpec")
        inputs = random_inputs(network, batch, rng)
    model = build(network, rng) if isinstance(network, ModelSpec) else network
    model.eval().to(device)
    arrays = [device.put(array) for array in inputs]
    tensors = [Tensor(array) for array in arrays]

    def infer() -> None:
        with no_grad():
            model(*tensors)

    return infer, sum(int(array.nbytes) for array in arrays)


def random_inputs(spec: ModelSpec, batch: int, rng: np.random.Generator) -> list[np.ndarray[Any, Any]]:
    """A batch for every input of a network: float32, or int64 where an embedding reads it."""
    first = spec.layers[0]
    names: tuple[str, ...] = first.options.get("inputs", ("input",)) if first.kind == "graph" else ("input",)
    inputs: list[np.ndarray[Any, Any]] = []
    for name, shape in zip(names, (spec.input_shape, *spec.other_shapes), strict=True):
        tokens = _tokens(first, name)
        whole = (batch, *shape)
        inputs.append(
            rng.standard_normal(whole, np.float32) if tokens is None else rng.integers(0, tokens, whole, np.int64)
        )
    return inputs


def _tokens(layer: LayerSpec, name: str) -> int | None:
    """How many tokens a layer knows that reads an input; None for one that reads numbers."""
    if layer.kind == "embedding":
        return int(layer.options["tokens"])
    nodes: tuple[Node, ...] = layer.options["nodes"] if layer.kind == "graph" else ()
    for node in nodes:
        if isinstance(node.layer, LayerSpec) and node.inputs == (name,):
            inner: tuple[str, ...] = node.layer.options.get("inputs", ("input",))
            tokens = _tokens(node.layer, inner[0])
            if tokens is not None:
                return tokens
    return None

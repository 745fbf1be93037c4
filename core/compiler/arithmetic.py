"""How much arithmetic a node is: multiply-accumulates, and operations of one element at a time."""

from __future__ import annotations

import re
from math import prod
from typing import Final

from ..shapes import Spec
from .graph import Input, Node, Value, weak_dtype
from .llvm.costs import COSTS

WORD: Final = re.compile(r"([A-Za-z_]\w*)\s*\(")
SIGN: Final = re.compile(r"[-+*/<>?]|[=!]=|&&|\|\|")
# Of an element that goes in, for ops that are not elementwise.
REDUCTIONS: Final = {
    "sum": 1,
    "mean": 1,
    "max": 1,
    "min": 1,
    "mean_nll": 1,
    "max_pool": 1,
    "avg_pool": 1,
    "channel_moments": 4,
    "standardize": 6,
    "rms_standardize": 4,
    "log_softmax": 3 + COSTS["exp"],
}
ATTENTIONS: Final = frozenset({"flash_attention", "masked_flash_attention", "attention_gradient"})
OF_A_SCORE: Final = 4 + COSTS["exp"]  # beside its products


def macs_of(node: Node) -> int:
    """Multiply-accumulates of products, convolutions and what the op table counts; 0 for all else."""
    if node.op.macs is not None:
        made = tuple(output.spec for output in node.outputs)
        specs = [_spec(item, node) for item in node.inputs]
        return int(node.op.macs(specs, made[0] if len(made) == 1 else made, **node.params))
    if not node.op.name.startswith("conv"):
        return 0
    first, *others = [value.shape for value in node.values]
    match node.op.name:
        case "conv":
            return prod(node.outputs[0].shape) * prod(others[0][1:])
        case "conv_input_grad":
            return prod(first) * prod(others[0][1:])
        case "conv_weight_grad":
            return prod(others[0]) * first[1] // node.params["groups"] * prod(node.params["size"])
        case _:
            return 0


def operations_of(node: Node) -> int:
    """Operations of one element at a time, a dear one, such as an exponential, as many as it costs additions."""
    if node.op.elementwise:
        return node.outputs[0].spec.size * _per_element(node)
    if node.op.name in REDUCTIONS:
        return max((value.spec.size for value in node.values), default=0) * REDUCTIONS[node.op.name]
    if node.op.name in ATTENTIONS:
        _, keys, *_ = node.values
        return prod(node.outputs[0].shape[:-1]) * keys.shape[-2] * OF_A_SCORE
    return 0


def _per_element(node: Node) -> int:
    if node.op.kernel is None:
        return COSTS.get(node.op.name, 1)
    if node.op.name == "power" and abs(node.inputs[1] if isinstance(node.inputs[1], float) else 0) == 0.5:
        return COSTS["rsqrt"]
    words = WORD.findall(node.op.kernel)
    return max(1, sum(COSTS.get(word, 1) for word in words) + len(SIGN.findall(node.op.kernel)))


def _spec(item: Input, node: Node) -> Spec:
    if isinstance(item, Value):
        return item.spec
    return Spec((), weak_dtype(item, [value.dtype for value in node.values]))

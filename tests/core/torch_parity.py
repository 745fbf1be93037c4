"""Ours against PyTorch on the CPU: values, and gradients along random weights, in float64 and float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nasturtium.core import Tensor, grad, nn, ops

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")

DTYPES = ("float64", "float32")
# (relative, absolute); float32 differs by the order of sums.
TOLERANCE = {"float64": (1e-9, 1e-11), "float32": (2e-4, 2e-5)}


def draw(seed: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Standard normal arrays in float64."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def outputs_of(result: Any) -> tuple:
    """A result as a tuple of tensors."""
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def assert_close(actual: Any, expected: Any, dtype: str, what: str = "") -> None:
    """Equal within the tolerance of a dtype."""
    rtol, atol = TOLERANCE[dtype]
    expected = np.asarray(expected)
    scale = float(np.abs(expected).max(initial=1.0))
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=rtol, atol=atol * scale, err_msg=what)


def agree(
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    arrays: Sequence[np.ndarray],
    *,
    dtype: str,
) -> None:
    """The outputs, and the gradients of <random weights, outputs> for every floating input."""
    arrays = [array.astype(dtype) if array.dtype.kind == "f" else array for array in arrays]
    smooth = [array.dtype.kind == "f" for array in arrays]
    tensors = [Tensor(array, requires_grad=flag) for array, flag in zip(arrays, smooth, strict=True)]
    references = [torch.tensor(array, requires_grad=flag) for array, flag in zip(arrays, smooth, strict=True)]
    results, expected = outputs_of(ours(*tensors)), outputs_of(theirs(*references))
    assert len(results) == len(expected)
    rng = np.random.default_rng(99)
    total, reference_total = Tensor(np.zeros((), dtype)), torch.zeros((), dtype=getattr(torch, dtype))
    for result, wanted in zip(results, expected, strict=True):
        assert result.shape == tuple(wanted.shape)
        assert result.dtype.name == dtype
        assert_close(result.detach().data, wanted.detach().numpy(), dtype, "output")
        weights = rng.standard_normal(result.shape).astype(dtype)
        total = total + (result * Tensor(weights)).sum()
        reference_total = reference_total + (wanted * torch.tensor(weights)).sum()
    inputs = [tensor for tensor, flag in zip(tensors, smooth, strict=True) if flag]
    reference_total.backward()
    gradients = grad(total, inputs)
    wanted = [reference.grad for reference, flag in zip(references, smooth, strict=True) if flag]
    for position, (gradient, reference) in enumerate(zip(gradients, wanted, strict=True)):
        assert_close(gradient.data, reference.numpy(), dtype, f"gradient {position}")


def agree_as_layers(
    layer: nn.Module,
    theirs: Callable[..., Any],
    pairs: Sequence[tuple[Tensor, Any]],
    x: np.ndarray,
    *,
    dtype: str,
    ours: Callable[..., Any] | None = None,
) -> None:
    """A layer with PyTorch's weights: outputs, and the gradients for the input and for every weight.

    Args:
        layer: ours; its tensors are changed to `dtype`.
        theirs: PyTorch's layer, of `dtype`, or a function that calls it.
        pairs: a tensor of ours and PyTorch's tensor of the same elements, for every parameter.
        x: the input.
        dtype: name of a floating dtype.
        ours: what to call instead of the layer.
    """
    for _, tensor in layer.named_tensors():
        tensor.data = tensor.data.astype(dtype)
        tensor.requires_grad = False
    for mine, reference in pairs:
        mine.data = reference.detach().numpy().astype(dtype).reshape(mine.shape)
    own = [mine for mine, _ in pairs]
    for mine in own:
        mine.requires_grad = True
    smooth = x.dtype.kind == "f"
    x = x.astype(dtype) if smooth else x
    tensor, reference_x = Tensor(x, requires_grad=smooth), torch.tensor(x, requires_grad=smooth)
    results, expected = outputs_of((ours or layer)(tensor)), outputs_of(theirs(reference_x))
    total, reference_total = Tensor(np.zeros((), dtype)), torch.zeros((), dtype=getattr(torch, dtype))
    rng = np.random.default_rng(98)
    for result, wanted in zip(results, expected, strict=True):
        assert_close(result.detach().data, wanted.detach().numpy(), dtype, "output")
        weights = rng.standard_normal(result.shape).astype(dtype)
        total = total + ops.sum(result * Tensor(weights))
        reference_total = reference_total + (wanted * torch.tensor(weights)).sum()
    reference_total.backward()
    gradients = grad(total, [*own, tensor] if smooth else own)
    wanted = [reference.grad for _, reference in pairs] + ([reference_x.grad] if smooth else [])
    for position, (gradient, reference) in enumerate(zip(gradients, wanted, strict=True)):
        expected = np.zeros(gradient.shape) if reference is None else reference.numpy().reshape(gradient.shape)
        assert_close(gradient.data, expected, dtype, f"gradient {position}")

"""`Tensor`: an array, the device it lives on, and the node that made it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from .device import Array, Device, device, device_of
from .errors import ConfigError, DeviceError, GradientError, NasturtiumError, ShapeError
from .op import OPS, OpDef
from .tape import Node, is_recording, pullback

Axes = int | Sequence[int] | None
Scalar = bool | int | float


class Tensor:
    """An n-dimensional array that remembers how it was computed.

    Args:
        data: a NumPy or CuPy array (shared, not copied), a number, or nested sequences of numbers. Python floats
            become float32, Python ints int64.
        dtype: converts `data` first.
        device: moves `data` first; by default it stays where it is.
        requires_grad: True makes this a leaf that gradients are wanted for; floating dtypes only.
    """

    __slots__ = ("data", "grad", "node", "requires_grad")
    # NumPy must leave `array + tensor` to us instead of broadcasting over our elements.
    __array_ufunc__ = None

    def __init__(
        self,
        data: Any,
        *,
        dtype: Any = None,
        device: str | Device | None = None,
        requires_grad: bool = False,
    ) -> None:
        array = _as_array(data)
        if dtype is not None:
            array = array.astype(dtype, copy=False)
        if device is not None:
            array = _resolve(device).put(array)
        if requires_grad and array.dtype.kind != "f":
            raise GradientError(f"only floating tensors have gradients, got dtype {array.dtype}")
        self.data: Array = array
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.node: Node | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(self.data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        return self.data.dtype

    @property
    def device(self) -> Device:
        """Where the elements live."""
        return device_of(self.data)

    def numpy(self) -> np.ndarray:
        """The elements as a NumPy array, shared where they are on the CPU; a tensor with a graph must be detached."""
        if self.node is not None:
            raise GradientError(
                "this tensor is part of a graph; its array would lose the gradient", hint="call .detach() first"
            )
        return _resolve("cpu").put(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        # Without this, NumPy would make an array of tensors.
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> float:
        """The value of a tensor with one element."""
        if self.size != 1:
            raise ShapeError(f"item: expected one element, got shape {self.shape}")
        return self.data.item()

    def detach(self) -> Tensor:
        """The same elements, cut off from the graph."""
        return _wrap(self.data)

    def to(self, target: str | Device) -> Tensor:
        """Move to a device. The result is a new leaf: gradients do not cross devices yet."""
        return Tensor(self.data, device=target, requires_grad=self.requires_grad)

    def astype(self, dtype: Any) -> Tensor:
        """Convert the element type; gradients are converted back."""
        return apply(OPS["astype"], self, dtype=np.dtype(dtype).name)

    def backward(self, gradient: Tensor | None = None) -> None:
        """Add the gradient of this tensor to the `grad` of every leaf it was computed from.

        Args:
            gradient: gradient with respect to this tensor; may be left out for a tensor with one element.

        Raises:
            GradientError: nothing here needs a gradient, or the tensor has several elements and no `gradient`.
        """
        seed = _seed(self, gradient)
        for leaf, gradient_of_leaf in pullback(
            self, seed, create_graph=False, keep=lambda tensor: tensor.node is None
        ).values():
            leaf.grad = gradient_of_leaf if leaf.grad is None else _wrap(leaf.grad.data + gradient_of_leaf.data)

    def __repr__(self) -> str:
        suffix = ", requires_grad=True" if self.requires_grad else ""
        place = "" if self.device.kind == "cpu" else f", device={self.device}"
        body = np.array2string(_resolve("cpu").put(self.data), separator=", ", prefix="Tensor(")
        return f"Tensor({body}, dtype={self.dtype}{place}{suffix})"

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("a 0-d tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[position] for position in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    # Comparisons yield plain boolean tensors and are never differentiated; like NumPy's, they make tensors unhashable
    # by value, so identity is what dictionaries see.
    __hash__ = object.__hash__

    def __gt__(self, other: Tensor | Scalar) -> Tensor:
        return _wrap(self.data > _raw(other))

    def __lt__(self, other: Tensor | Scalar) -> Tensor:
        return _wrap(self.data < _raw(other))

    def __ge__(self, other: Tensor | Scalar) -> Tensor:
        return _wrap(self.data >= _raw(other))

    def __le__(self, other: Tensor | Scalar) -> Tensor:
        return _wrap(self.data <= _raw(other))

    def __add__(self, other: Tensor | Scalar) -> Tensor:
        return apply(OPS["add"], self, other)

    def __radd__(self, other: Scalar) -> Tensor:
        return apply(OPS["add"], other, self)

    def __sub__(self, other: Tensor | Scalar) -> Tensor:
        return apply(OPS["subtract"], self, other)

    def __rsub__(self, other: Scalar) -> Tensor:
        return apply(OPS["subtract"], other, self)

    def __mul__(self, other: Tensor | Scalar) -> Tensor:
        return apply(OPS["multiply"], self, other)

    def __rmul__(self, other: Scalar) -> Tensor:
        return apply(OPS["multiply"], other, self)

    def __truediv__(self, other: Tensor | Scalar) -> Tensor:
        return apply(OPS["divide"], self, other)

    def __rtruediv__(self, other: Scalar) -> Tensor:
        return apply(OPS["divide"], other, self)

    def __neg__(self) -> Tensor:
        return apply(OPS["negative"], self)

    def __pow__(self, exponent: float) -> Tensor:
        return apply(OPS["power"], self, exponent=float(exponent))

    def __matmul__(self, other: Tensor) -> Tensor:
        return apply(OPS["matmul"], self, other)

    def __rmatmul__(self, other: Array) -> Tensor:
        return apply(OPS["matmul"], other, self)

    def __getitem__(self, key: Any) -> Tensor:
        return apply(OPS["getitem"], self, key=key)

    def sum(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
        """Sum over `axis` (all axes by default)."""
        return apply(OPS["sum"], self, axis=_axes(axis), keepdims=keepdims)

    def mean(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
        """Arithmetic mean over `axis` (all axes by default)."""
        return apply(OPS["mean"], self, axis=_axes(axis), keepdims=keepdims)

    def max(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
        """Largest element over `axis` (all axes by default); equal maxima share the gradient."""
        return apply(OPS["max"], self, axis=_axes(axis), keepdims=keepdims)

    def reshape(self, *shape: int) -> Tensor:
        """The same elements in another shape; one length may be -1."""
        return apply(OPS["reshape"], self, shape=shape)

    def transpose(self, *axes: int) -> Tensor:
        """Axes in another order; reversed when none are given."""
        return apply(OPS["transpose"], self, axes=axes or tuple(reversed(range(self.ndim))))

    @property
    def T(self) -> Tensor:  # noqa: N802 - the field's name
        """The matrix transposed: the last two axes exchanged."""
        if self.ndim < 2:
            raise ShapeError(f"T: expected at least two axes, got shape {self.shape}")
        return self.transpose(*range(self.ndim - 2), self.ndim - 1, self.ndim - 2)


def apply(op: OpDef, *inputs: Tensor | Scalar | Array, **params: Any) -> Tensor:
    """Run an op on tensors and record it where a gradient may be wanted. The one place that dispatches.

    Raises:
        DeviceError: the inputs live on different devices.
        ShapeError: the inputs do not fit the op or each other; names the op and what it was given.
    """
    tensors = _as_tensors(op, inputs)
    arrays = [tensor.data for tensor in tensors]
    place = device_of(arrays[0])
    for array in arrays[1:]:
        if device_of(array) != place:
            raise DeviceError(
                f"{op.name}: inputs live on different devices: {', '.join(str(device_of(a)) for a in arrays)}",
                hint="move them to one device with .to()",
            )
    try:
        result = op.forward(place.xp, *arrays, **params)
    except NasturtiumError:
        raise
    except (ValueError, IndexError) as exc:
        given = ", ".join(f"{array.shape} {array.dtype}" for array in arrays)
        raise ShapeError(f"{op.name}: {exc}; got {given} with {params}") from exc
    output = _wrap(result)
    if is_recording() and any(tensor.requires_grad for tensor in tensors) and output.dtype.kind == "f":
        output.requires_grad = True
        output.node = Node(op, tensors, params)
    return output


def grad(output: Tensor, inputs: Sequence[Tensor], *, create_graph: bool = False) -> list[Tensor]:
    """Gradients of a scalar with respect to some tensors it was computed from.

    Args:
        output: a tensor with one element.
        inputs: leaves or intermediate tensors; one that was not used gets zeros.
        create_graph: record the pass, so that the result can be differentiated again.

    Raises:
        GradientError: `output` has several elements, or an input does not require a gradient.
    """
    for position, tensor in enumerate(inputs):
        if not tensor.requires_grad:
            raise GradientError(
                f"grad: input {position} of shape {tensor.shape} does not require a gradient",
                hint="make it with requires_grad=True",
            )
    wanted = {id(tensor) for tensor in inputs}
    found = pullback(output, _seed(output, None), create_graph=create_graph, keep=lambda tensor: id(tensor) in wanted)
    return [
        found[id(tensor)][1] if id(tensor) in found else _wrap(tensor.device.xp.zeros_like(tensor.data))
        for tensor in inputs
    ]


def result_dtype(*arrays: Array) -> np.dtype[Any]:
    """The dtype of a result of several arrays: NumPy's promotion, the one rule of the library."""
    return np.result_type(*(array.dtype for array in arrays))


def _seed(output: Tensor, gradient: Tensor | None) -> Tensor:
    if not output.requires_grad:
        raise GradientError(
            "there is no gradient: no tensor it was computed from requires one",
            hint="set requires_grad=True on a leaf, and compute outside no_grad()",
        )
    if gradient is None:
        if output.size != 1:
            raise GradientError(f"expected a tensor with one element, got shape {output.shape}", hint="sum it first")
        return _wrap(output.device.xp.ones_like(output.data))
    if gradient.shape != output.shape:
        raise ShapeError(f"the gradient's shape is {gradient.shape}, the tensor's {output.shape}")
    return gradient


def _wrap(array: Array) -> Tensor:
    """A tensor around an array, without the constructor's conversions; NumPy scalars become 0-d arrays."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = np.asarray(cast(Any, array)) if isinstance(array, np.generic) else array
    tensor.requires_grad = False
    tensor.grad = None
    tensor.node = None
    return tensor


def _as_array(data: Any) -> Array:
    if isinstance(data, Tensor):
        return data.data
    on_gpu = hasattr(data, "__cuda_array_interface__")
    try:
        array: Array = data if on_gpu else np.asarray(data)
    except ValueError as exc:
        raise ShapeError(f"not an array: {exc}", hint="nested sequences must have equal lengths") from exc
    if array.dtype.kind not in "fiub":
        raise ConfigError(f"expected numbers, got dtype {array.dtype}")
    typed = on_gpu or isinstance(data, np.ndarray | np.generic)
    return array if typed or array.dtype.kind != "f" else array.astype(np.float32)


def _as_tensors(op: OpDef, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    """Inputs as tensors. A Python number takes the device and dtype of the first tensor, so that it does not promote
    it; a float beside an integer tensor is a float32, and promotes as NumPy says.
    """
    first = next((value for value in inputs if isinstance(value, Tensor)), None)
    if first is None:
        return tuple(Tensor(value) for value in inputs)
    return tuple(value if isinstance(value, Tensor) else _beside(first, value) for value in inputs)


def _beside(first: Tensor, value: Any) -> Tensor:
    if isinstance(value, bool | int | float):
        dtype = np.float32 if isinstance(value, float) and first.dtype.kind != "f" else first.dtype
        return _wrap(first.device.xp.asarray(value, dtype=dtype))
    return Tensor(value)


def _raw(value: Tensor | Scalar) -> Array:
    return value.data if isinstance(value, Tensor) else value


def _axes(axis: Axes) -> tuple[int, ...] | None:
    if axis is None:
        return None
    return (axis,) if isinstance(axis, int) else tuple(axis)


# `device` is also the name of a constructor argument above.
_resolve = device

"""`Tensor`: an array, and the node that gradients reach it by.

A tensor is a value: nothing changes its elements but `t[key] = value`, which gives the tensor a changed copy, and the
optimisers, which own the buffers of the parameters. Operators and methods that compute are bound to ops in
`ops/methods.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from .device import Array, Device, device, device_of
from .errors import ConfigError, DTypeError, GradientError, ShapeError
from .shapes import as_dtype, is_floating, is_inexact
from .tape import Node, current_mode, is_leaf, leaf_node

Axes = int | Sequence[int] | None
Scalar = bool | int | float | complex
Operand = Any  # Tensor | Scalar | Array; an array is the foreign edge

# Tensor classes whose `data` is an array: what the dispatcher is fast for. Filled as classes are made, at import.
PLAIN: set[type] = set()


if TYPE_CHECKING:
    _TensorType = type
else:

    class _TensorType(type):
        """`Tensor(x)` of a tensor inside a transformation is that tensor: it has no array to make another one of."""

        def __call__(cls, data: Any, *args: Any, **options: Any) -> Any:
            if (
                cls is Tensor
                and isinstance(data, Tensor)
                and data.traced
                and not args
                and not options.get("requires_grad")
            ):
                dtype = options.get("dtype")
                return data if dtype is None else data.astype(dtype)
            return super().__call__(data, *args, **options)


class Tensor(metaclass=_TensorType):
    """An n-dimensional array that remembers how it was computed.

    Args:
        data: a NumPy or CuPy array (shared, not copied), a number, nested sequences of numbers, or anything with
            `__dlpack__`. Python floats become float32, complex numbers complex64, ints int64.
        dtype: converts `data` first; "bfloat16" is known beside NumPy's names.
        device: moves `data` first. By default tensors and arrays of a GPU stay where they are, and what lies on the
            host goes to the device of the innermost `with device(...)` block.
        requires_grad: True makes this a leaf that gradients are wanted for; floating and complex dtypes only.
    """

    __slots__ = ("__weakref__", "data", "node")
    # NumPy must leave `array + tensor` to us instead of broadcasting over our elements.
    __array_ufunc__ = None
    traced: ClassVar[bool] = False

    data: Any
    node: Node | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.traced:
            PLAIN.add(cls)

    def __init__(
        self,
        data: Any,
        *,
        dtype: Any = None,
        device: str | Device | None = None,
        requires_grad: bool = False,
    ) -> None:
        array = as_array(data, exact=dtype is not None)
        if dtype is not None:
            array = array.astype(as_dtype(dtype), copy=False)
        place = _resolve(device) if device is not None or not isinstance(data, Tensor) else None
        if place is not None and (device is not None or (place.kind != "cpu" and device_of(array).kind == "cpu")):
            array = place.put(array)
        self.data = array
        self.node = None
        if requires_grad:
            self.requires_grad = True

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """The memory of the elements in bytes."""
        return self.size * self.dtype.itemsize

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        return self.data.dtype

    @property
    def device(self) -> Device:
        """Where the elements live."""
        return device_of(self.data)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients can be asked for: true for leaves made so and for what was recorded from them."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self.node is not None and not is_leaf(self.node):
            raise GradientError("requires_grad can be set on leaves only", hint="use .detach() for a leaf")
        if not wanted:
            self.node = None
        elif not is_inexact(self.dtype):
            raise GradientError(f"only floating tensors have gradients, got dtype {self.dtype}")
        elif self.node is None:
            self.node = leaf_node(self.shape, self.dtype)

    @property
    def grad(self) -> Tensor | None:
        """What `backward` has added up for this leaf."""
        return self.node.grad if self.node is not None and is_leaf(self.node) else None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if self.node is None or not is_leaf(self.node):
            raise GradientError("only a leaf that requires a gradient has .grad")
        self.node.grad = value

    def numpy(self) -> np.ndarray:
        """The elements as a NumPy array, shared where they are on the CPU; a tensor with a graph must be detached."""
        _refuse_on_stage("array")
        if self.node is not None and not is_leaf(self.node):
            raise GradientError(
                "this tensor is part of a graph; its array would lose the gradient", hint="call .detach() first"
            )
        return _resolve("cpu").put(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        # Without this, NumPy would make an array of tensors.
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """The value of a tensor with one element."""
        _refuse_on_stage("value")
        if self.size != 1:
            raise ShapeError(f"item: expected one element, got shape {self.shape}")
        value = self.data.item()
        return value if isinstance(value, Scalar) else float(value)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        return self.detach().numpy().tolist()

    def detach(self) -> Self | Tensor:
        """The same elements, cut off from the graph."""
        return wrap(self.data)

    def backward(self, gradient: Tensor | None = None, *, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor to the `grad` of every leaf it was computed from.

        Args:
            gradient: gradient with respect to this tensor; may be left out for a tensor with one element.
            retain_graph: keep what was saved for the pass, so that the graph can be walked again.

        Raises:
            GradientError: nothing here needs a gradient, or the tensor has several elements and no `gradient`, or an
                earlier pass has freed the graph.
        """
        from .autograd import accumulate  # imports the ops, which import this module

        accumulate(self, gradient, retain_graph=retain_graph)

    def __repr__(self) -> str:
        suffix = ", requires_grad=True" if self.requires_grad else ""
        place = "" if self.device.kind == "cpu" else f", device={self.device}"
        host = _resolve("cpu").put(self.data)
        body = np.array2string(host, separator=", ", prefix=f"{type(self).__name__}(")
        return f"{type(self).__name__}({body}, dtype={self.dtype}{place}{suffix})"

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

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.ndim or self.dtype.kind not in "iu":
            raise DTypeError(f"an index is a 0-d tensor of integers, got shape {self.shape} and dtype {self.dtype}")
        return int(self.item())

    # `==` compares elements; dictionaries and sets see identity.
    __hash__ = object.__hash__

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[Any, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule that shares the memory; see `dlpack.py`."""
        from .dlpack import export

        if self.node is not None and not is_leaf(self.node):
            raise GradientError("this tensor is part of a graph and cannot be exported", hint="call .detach() first")
        return export(self.data, stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's device type and number: (1, 0) is the CPU, (2, i) CUDA device i."""
        return (1, 0) if self.device.kind == "cpu" else (2, self.device.index)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        """The Python Array API over tensors, `nasturtium.core.array_api`."""
        from . import array_api

        if api_version is not None and api_version not in array_api.SUPPORTED_VERSIONS:
            raise ConfigError(
                f"array API version {api_version!r} is not implemented: "
                f"expected one of {', '.join(array_api.SUPPORTED_VERSIONS)}"
            )
        return array_api

    if TYPE_CHECKING:  # bound to ops in `ops/methods.py`

        def __add__(self, other: Operand, /) -> Tensor: ...
        def __radd__(self, other: Operand, /) -> Tensor: ...
        def __sub__(self, other: Operand, /) -> Tensor: ...
        def __rsub__(self, other: Operand, /) -> Tensor: ...
        def __mul__(self, other: Operand, /) -> Tensor: ...
        def __rmul__(self, other: Operand, /) -> Tensor: ...
        def __truediv__(self, other: Operand, /) -> Tensor: ...
        def __rtruediv__(self, other: Operand, /) -> Tensor: ...
        def __floordiv__(self, other: Operand, /) -> Tensor: ...
        def __rfloordiv__(self, other: Operand, /) -> Tensor: ...
        def __mod__(self, other: Operand, /) -> Tensor: ...
        def __rmod__(self, other: Operand, /) -> Tensor: ...
        def __pow__(self, other: Operand, /) -> Tensor: ...
        def __rpow__(self, other: Operand, /) -> Tensor: ...
        def __matmul__(self, other: Tensor | Array, /) -> Tensor: ...
        def __rmatmul__(self, other: Tensor | Array, /) -> Tensor: ...
        def __and__(self, other: Operand, /) -> Tensor: ...
        def __rand__(self, other: Operand, /) -> Tensor: ...
        def __or__(self, other: Operand, /) -> Tensor: ...
        def __ror__(self, other: Operand, /) -> Tensor: ...
        def __xor__(self, other: Operand, /) -> Tensor: ...
        def __rxor__(self, other: Operand, /) -> Tensor: ...
        def __lshift__(self, other: Operand, /) -> Tensor: ...
        def __rlshift__(self, other: Operand, /) -> Tensor: ...
        def __rshift__(self, other: Operand, /) -> Tensor: ...
        def __rrshift__(self, other: Operand, /) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __eq__(self, other: object, /) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: object, /) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Operand, /) -> Tensor: ...
        def __le__(self, other: Operand, /) -> Tensor: ...
        def __gt__(self, other: Operand, /) -> Tensor: ...
        def __ge__(self, other: Operand, /) -> Tensor: ...
        def __getitem__(self, key: Any, /) -> Tensor: ...
        def __setitem__(self, key: Any, value: Operand, /) -> None: ...
        def to(self, target: str | Device) -> Tensor:
            """Move to a device; gradients move back."""
            ...

        def to_device(self, target: str | Device, /, *, stream: None = None) -> Tensor:
            """The same as `to`, under the array API's name; the current stream is the only one."""
            ...

        def astype(self, dtype: Any) -> Tensor:
            """Convert the element type; gradients are converted back."""
            ...

        def sum(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
            """Sum over `axis` (all axes by default)."""
            ...

        def mean(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
            """Arithmetic mean over `axis` (all axes by default)."""
            ...

        def max(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
            """Largest element over `axis` (all axes by default); equal maxima share the gradient."""
            ...

        def min(self, axis: Axes = None, *, keepdims: bool = False) -> Tensor:
            """Smallest element over `axis` (all axes by default); equal minima share the gradient."""
            ...

        def reshape(self, *shape: int | Sequence[int]) -> Tensor:
            """The same elements in another shape; one length may be -1."""
            ...

        def transpose(self, *axes: int) -> Tensor:
            """Axes in another order; reversed when none are given."""
            ...

        @property
        def T(self) -> Tensor:  # noqa: N802 - the field's name
            """The matrix transposed: the last two axes exchanged."""
            ...

        @property
        def mT(self) -> Tensor:  # noqa: N802 - the standard's name
            """The same as `T`, under the array API's name."""
            ...


PLAIN.add(Tensor)


def _refuse_on_stage(what: str) -> None:
    """Elements may change from run to run of what is being compiled: they cannot be looked at."""
    stage = current_mode().stage
    if stage is not None:
        raise stage.unknown(f"the {what} of a tensor", "return the tensor and look at it there")


def wrap(array: Array, node: Node | None = None) -> Tensor:
    """A tensor around an array, without the constructor's conversions; NumPy scalars become 0-d arrays."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = np.asarray(cast(Any, array)) if isinstance(array, np.generic) else array
    tensor.node = node
    return tensor


def as_array(data: Any, *, exact: bool = False) -> Array:
    """The array of a tensor, of anything that exports one, or of nested sequences of numbers.

    Args:
        data: see `Tensor`.
        exact: leave Python floats and complex numbers in 64 bits per part; the caller will choose their dtype.

    Raises:
        ShapeError: nested sequences of unequal lengths.
        DTypeError: not numbers.
    """
    if isinstance(data, Tensor):
        return data.data
    if isinstance(data, np.ndarray | np.generic):
        return _checked(np.asarray(cast(Any, data)))
    if hasattr(data, "__cuda_array_interface__") and hasattr(getattr(data, "device", None), "id"):
        return data  # CuPy's; PyTorch's tensors on a GPU have the interface too, but a device without a number
    if hasattr(data, "__dlpack__"):
        from .dlpack import from_dlpack

        try:
            return from_dlpack(data)
        except (BufferError, TypeError):
            if not hasattr(data, "__array__"):
                raise
    try:
        array = np.asarray(_unwrap(data))
    except ValueError as exc:
        raise ShapeError(f"not an array: {exc}", hint="nested sequences must have equal lengths") from exc
    default = {"f": np.float32, "c": np.complex64}.get(array.dtype.kind)
    if default is not None and not exact and not hasattr(data, "dtype"):
        array = array.astype(default)
    return _checked(array)


def _unwrap(data: Any) -> Any:
    if isinstance(data, list | tuple):
        return [_unwrap(item) for item in data]  # pyright: ignore[reportUnknownVariableType]
    return data.data if isinstance(data, Tensor) else data


def _checked(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiubc" and not is_floating(array.dtype):
        raise DTypeError(f"expected numbers, got dtype {array.dtype}")
    return array


# `device` is also the name of a constructor argument above.
_resolve = device

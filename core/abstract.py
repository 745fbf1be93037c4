"""Running a function on shapes alone: `infer_shapes` and the tensors without elements that it passes through ops."""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import tree
from .device import CPU, Device
from .dispatch import Traced, explained
from .errors import GradientError
from .forward import next_level
from .op import Flags, OpDef
from .shapes import Spec, as_dtype, spec_of
from .tape import recording
from .tensor import Scalar, Tensor


class Abstract(Traced):
    """A tensor of which only shape and dtype are known; `data` is its `Spec`."""

    __slots__ = ("macs",)

    macs: Callable[[OpDef, Sequence[Spec], Mapping[str, Any], Any], None] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape

    @property
    def device(self) -> Device:
        """Nowhere in particular: the CPU."""
        return CPU

    @classmethod
    def make(cls, level: int, spec: Spec, note: Any = None) -> Abstract:
        """A tensor that would have this shape and dtype."""
        tensor = cls.__new__(cls)
        tensor.data, tensor.level, tensor.node, tensor.macs = spec, level, None, note
        return tensor

    @classmethod
    def process(cls, level: int, op: OpDef, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """The op's inference."""
        if op.flags & Flags.DATA_DEPENDENT:
            raise GradientError(f"{op.name}: the shape of its result depends on values, of which there are none")
        specs = [Spec((), _weak(value, inputs)) if isinstance(value, Scalar) else spec_of(value) for value in inputs]
        try:
            result = op.infer(*specs, **params)
        except Exception as exc:
            raise explained(op, inputs, params, exc) from exc
        note = next(value.macs for value in inputs if isinstance(value, Abstract))
        if note is not None:
            note(op, specs, params, result)
        if isinstance(result, Spec):
            return cls.make(level, result, note)
        return tuple(cls.make(level, item, note) for item in result)

    @staticmethod
    def stopped(x: Traced) -> Tensor:
        """Itself: there is no gradient."""
        return x


def _weak(value: Any, inputs: Sequence[Any]) -> np.dtype[Any]:
    """The dtype a Python number takes beside tensors."""
    dtypes = [item.dtype for item in inputs if not isinstance(item, Scalar)]
    if dtypes[0].kind in "iub" and isinstance(value, float):
        return np.dtype(np.float32)
    return dtypes[0]


def infer_shapes(function: Callable[..., Any], *args: Any, note: Any = None) -> Any:
    """What a function would return, as `Spec`s, without computing anything.

    Args:
        function: takes tensors or trees of them; its control flow may depend on shapes, not on values.
        args: tensors, specs or shapes (tuples of ints, taken as float32), or trees of them.
        note: called with (op, input specs, parameters, output spec) for every op.
    """
    level = next_level()

    def enter(value: Any) -> Any:
        return Abstract.make(level, value if isinstance(value, Spec) else spec_of(value), note)

    given = [
        Spec(value, as_dtype("float32"))
        if isinstance(value, tuple) and all(isinstance(n, int) for n in value)
        else value
        for value in args
    ]
    with recording(False):
        result = function(*(enter(v) if isinstance(v, Spec) else tree.mapped(enter, v) for v in given))
    return tree.mapped(_leave, result)


def _leave(item: Any) -> Any:
    return spec_of(item) if isinstance(item, Tensor) else item

"""Finding where numbers go wrong: `check_numerics` names the op and the line where a NaN or an infinity is born."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .device import device_of
from .dispatch import user_line
from .errors import NumericsError
from .op import OpDef
from .shapes import is_inexact
from .tape import Mode, Node, current_mode, mode
from .tensor import Scalar


class _Numerics:
    """Raises at the first op that makes a NaN (or an infinity) of finite numbers."""

    def __init__(self, *, infinities: bool) -> None:
        self._infinities = infinities
        self._node: Node | None = None

    def enter(self, node: Node) -> None:
        """Remember whose gradient is being computed."""
        self._node = node

    def leave(self) -> None:
        """Back to the forward pass."""
        self._node = None

    def see(self, op: OpDef, values: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Look at an op's results."""
        for output in outputs:
            found = self._bad(output)
            if found is None:
                continue
            if any(self._bad(value) is not None for value in values):
                return  # it came in; what made it has been reported, or it was in the data
            names = op.inputs if not op.variadic else tuple(f"input {i}" for i in range(len(values)))
            given = ", ".join(f"{name} {_summary(value)}" for name, value in zip(names, values, strict=False))
            if self._node is None:
                raise NumericsError(f"{op.name} made {found} of finite numbers: {given}; at {user_line()}")
            behind = self._node.op.name if self._node.op is not None else "a leaf"
            raise NumericsError(
                f"{op.name} made {found} of finite numbers: {given}; in the backward pass of {behind}, "
                f"which ran at {self._node.where}"
            )

    def _bad(self, value: Any) -> str | None:
        """What is wrong with the elements of an array or number, if anything."""
        if isinstance(value, Scalar):
            value = np.asarray(value)
        if not is_inexact(value.dtype) or not value.size:
            return None
        if value.dtype.itemsize == 2:
            value = value.astype(np.float32)
        xp = device_of(value).xp
        nans = int(xp.isnan(value).sum())
        if nans:
            return f"{nans} NaN among {value.size} elements"
        infinities = int(xp.isinf(value).sum()) if self._infinities else 0
        return f"{infinities} infinite among {value.size} elements" if infinities else None


def _summary(value: Any) -> str:
    if isinstance(value, Scalar):
        return repr(value)
    if not value.size or not is_inexact(value.dtype) or value.dtype.kind == "c":
        return f"{tuple(value.shape)} {value.dtype}"
    return f"{tuple(value.shape)} {value.dtype} in [{float(value.min()):.4g}, {float(value.max()):.4g}]"


@contextmanager
def check_numerics(*, infinities: bool = True) -> Generator[None]:
    """A block in which the first NaN or infinity that an op makes of finite numbers is an error, in either pass.

    Every result is looked at: computing is some times slower, and on a GPU waits for each op. Numbers that come in
    broken pass: they were not born here.

    Args:
        infinities: False looks for NaN only, for code that computes with infinities on purpose.

    Raises:
        NumericsError: names the op, what went in, and the line it ran at (in the backward pass, the line of the
            forward op whose gradient it is).
    """
    changed = Mode(recording=current_mode().recording, watch=_Numerics(infinities=infinities))
    with mode(changed), np.errstate(all="ignore"):
        yield

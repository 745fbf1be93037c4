"""Running an op: on tensors (recorded), on plain arrays (computed), on traced tensors (transformed).

`apply` is the one way in. Elementwise ops of one and two inputs have a shorter one, `unary` and `binary`: they are most
of what a small network calls, and Python is most of what they cost.
"""

# Values are arrays or tensors and results single or tuples: a checker cannot see through the `isinstance` tests.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .determinism import require_allowed
from .device import Device, current_device, device_of
from .errors import DeviceError, DTypeError, NasturtiumError, ShapeError
from .native import accelerate
from .op import Flags, OpDef
from .shapes import Spec, is_floating, is_inexact, result_dtype, spec_of, to_floating
from .tape import (
    RECORDING,
    SILENT,
    Leaf,
    Node,
    PlainNode,
    collect,
    current_mode,
    mode_variable,
    next_number,
    output_node,
    propagate,
    raise_freed,
)
from .tensor import PLAIN, Scalar, Tensor, as_array, wrap

_ndarray = np.ndarray
_new = Tensor.__new__
_new_node = object.__new__
_new_spec: Any = tuple.__new__
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)
_PACKAGE = str(Path(__file__).parent.parent)
_TESTS = str(Path(_PACKAGE, "tests"))


class Traced(Tensor):
    """A tensor inside a transformation: `data` is a tensor of the level below, not an array.

    Sub-classes say what an op on them means. The innermost transformation, which has the highest level, is asked
    first; tensors of other levels are constants to it.
    """

    __slots__ = ("level",)
    traced: ClassVar[bool] = True
    stateful: ClassVar[bool] = False  # state may follow its values: there is one of them in every run

    data: Any
    level: int

    @classmethod
    def process(cls, level: int, op: OpDef, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
        """Run `op` at `level`: the result (or tuple of results) as traced tensors, not recorded yet."""
        raise NotImplementedError

    @staticmethod
    def stopped(x: Traced) -> Tensor:
        """The same elements as a constant, at this level and below."""
        raise NotImplementedError

    def constant(self, array: Any) -> Tensor:
        """An array that nobody will change, as a tensor beside this one."""
        return wrap(array)

    def assigned(self, target: Tensor) -> None:
        """Overwrite `target`, a tensor from outside the transformation, with these elements."""
        raise NotImplementedError

    @classmethod
    def recorded(cls, node: Node, level: int, inputs: Sequence[Any]) -> None:
        """Called with the node of an op that was recorded at `level`, for what a transformation wants to remember."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis, as the transformed function sees it."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        return self.data.dtype

    @property
    def device(self) -> Device:
        """Where the elements live."""
        return self.data.device

    def detach(self) -> Tensor:
        """The same elements, cut off from the graph of this level."""
        cut = _new(type(self))
        for name in ("data", "level", *type(self).__slots__):
            setattr(cut, name, getattr(self, name))
        cut.node = None
        return cut

    def item(self) -> Any:
        """Refused: inside a transformation there is no single value."""
        from .errors import GradientError

        raise GradientError(
            f"the value of a tensor is not known inside {type(self).__name__.lower()} transformations",
            hint="use ops.where instead of an if on values",
        )

    def numpy(self) -> np.ndarray:
        """Refused: inside a transformation there is no array."""
        return self.item()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype}, level={self.level})"


def callable_for(op: OpDef) -> Callable[..., Any]:
    """The function that users call for an op."""
    if op.defaults or op.variadic or not op.differentiable or not (op.elementwise or op.flags & Flags.SAVED_ONLY):
        return single(op) if len(op.inputs) == 1 and not op.variadic else general(op)
    if len(op.inputs) == 1:
        return unary(op)
    return binary(op) if len(op.inputs) == 2 else ternary(op)


def single(op: OpDef) -> Callable[..., Any]:
    """The function of an op of one input with parameters: reductions, movements."""
    defaults = dict(op.defaults)
    wanted = len(defaults)
    forward, differentiable, widens, keep = op.forward, op.differentiable, op.widens, op.keeps[0]
    slow = general(op)

    def call(*inputs: Any, **params: Any) -> Any:
        if len(inputs) != 1:
            return slow(*inputs, **params)
        if len(params) != wanted:
            params = {**defaults, **params}
            if len(params) != wanted:
                raise _unknown(op, params)
        x = inputs[0]
        if x.__class__ is _ndarray:
            return slow(x, **params) if widens and x.dtype.itemsize == 2 else forward(np, x, **params)
        data: Any = getattr(x, "data", None)
        mode = current_mode()
        if data.__class__ is not _ndarray or (mode is not RECORDING and mode is not SILENT):
            return slow(x, **params)
        dtype = data.dtype
        if widens and dtype.itemsize == 2:
            return slow(x, **params)
        try:
            out = forward(np, data, **params)
        except Exception as exc:
            if params.keys() != defaults.keys():
                raise _unknown(op, params) from None
            raise explained(op, (data,), params, exc) from exc
        if out.__class__ is not _ndarray:
            if out.__class__ is tuple:
                record = x.node is not None and mode is RECORDING and differentiable
                return _wrapped(op, (x.node,), (data,), out, params, record=record)
            if isinstance(out, np.generic):  # else an array that was moved to another device
                out = np.asarray(out)
        result = _new(Tensor)
        result.data = out
        edge = x.node
        if edge is None or mode is SILENT or not differentiable or not is_inexact(out.dtype):
            result.node = None
            return result
        result.node = node = _new_node(Node)
        node.number = next_number()
        node.op = op
        node.edges = (edge,)
        node.saved = (data,) if keep else (_new_spec(Spec, (data.shape, dtype)),)
        node.output = out if op.keeps_output else None
        node.params = params
        node.shapes = None
        node.shape = out.shape
        node.dtype = out.dtype
        node.casts = out.dtype is not dtype
        return result

    return call


def general(op: OpDef) -> Callable[..., Any]:
    """The function of any op: short ways for tensors on the CPU and for plain arrays, `apply` for the rest."""
    defaults = dict(op.defaults)
    count, wanted, variadic = len(op.inputs), len(op.defaults), op.variadic
    forward, differentiable, widens = op.forward, op.differentiable, op.widens

    def call(*inputs: Any, **params: Any) -> Any:
        if len(inputs) != count and not variadic:
            inputs, params = _bind(op, inputs, params)
        if len(params) != wanted:
            params = {**defaults, **params}
            if len(params) != wanted:
                raise _unknown(op, params)
        elif params.keys() != defaults.keys():
            raise _unknown(op, params)
        for value in inputs:
            if value.__class__ is not _ndarray and value.__class__ not in _SCALARS:
                break
        else:  # a rule in a pass on arrays
            first: Any = inputs[0] if inputs else None
            if first.__class__ is _ndarray and not (widens and first.dtype.itemsize == 2):
                return forward(np, *inputs, **params)
        mode = current_mode()
        if mode.watch is not None or mode.stage is not None:
            return apply(op, inputs, params)
        arrays: list[Any] = []
        edges: list[Node | None] = []
        record = False
        for value in inputs:
            if value.__class__ not in PLAIN or value.data.__class__ is not _ndarray:
                return apply(op, inputs, params)
            array = value.data
            if widens and array.dtype.itemsize == 2:
                return apply(op, inputs, params)
            arrays.append(array)
            edges.append(value.node)
            if value.node is not None:
                record = True
        if not arrays:
            return apply(op, inputs, params)
        try:
            out = forward(np, *arrays, **params)
        except Exception as exc:
            raise explained(op, arrays, params, exc) from exc
        if out.__class__ is not _ndarray:
            if out.__class__ is tuple:
                return _wrapped(op, edges, arrays, out, params, record=record and mode.recording and differentiable)
            if isinstance(out, np.generic):  # else an array that was moved to another device
                out = np.asarray(out)
        result = _new(Tensor)
        result.data = out
        result.node = None
        if record and differentiable and mode.recording and is_inexact(out.dtype):
            result.node = _record(op, edges, arrays, out, params)
        return result

    return call


def _unknown(op: OpDef, params: Mapping[str, Any]) -> TypeError:
    unknown = sorted(params.keys() - op.defaults.keys())
    return TypeError(f"{op.name}: unknown parameters {unknown}; expected {sorted(op.defaults)}")


def _bind(op: OpDef, inputs: tuple[Any, ...], params: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs given by name, and parameters given by position after them."""
    names = (*op.inputs, *op.defaults)
    if len(inputs) > len(names):
        raise TypeError(f"{op.name}: expected at most {len(names)} arguments {names}, got {len(inputs)}")
    bound = dict(zip(names, inputs, strict=False))
    twice = bound.keys() & params.keys()
    missing = [name for name in op.inputs if name not in bound and name not in params]
    if twice or missing:
        raise TypeError(f"{op.name}: expected the inputs {op.inputs}, got {missing=} and {sorted(twice)} twice")
    bound.update(params)
    return tuple(bound.pop(name) for name in op.inputs), bound


def unary(op: OpDef) -> Callable[[Any], Any]:
    """The function of an elementwise op of one input and no parameters."""
    keep, keep_output = op.keeps[0], op.keeps_output
    forward: Callable[..., Any] = getattr(np, op.ufunc) if op.ufunc else partial(op.forward, np)
    if accelerate is not None:
        return accelerate.Dispatcher(op, forward, general(op), 1, False, keep, False, keep_output)

    def call(x: Any) -> Any:
        if x.__class__ is _ndarray:
            return forward(x)
        data: Any = getattr(x, "data", None)
        mode = current_mode()
        if data.__class__ is not _ndarray or (mode is not RECORDING and mode is not SILENT):
            return apply(op, (x,), _NO_PARAMS)
        dtype = data.dtype
        if dtype is not _SINGLE and dtype is not _DOUBLE:
            return apply(op, (x,), _NO_PARAMS)
        try:
            out = forward(data)
        except Exception as exc:
            raise explained(op, (data,), {}, exc) from exc
        if out.__class__ is not _ndarray:
            out = np.asarray(out)
        result = _new(Tensor)
        result.data = out
        edge = x.node
        if edge is None or mode is SILENT:
            result.node = None
            return result
        result.node = node = _new_node(PlainNode)
        node.number = next_number()
        node.op = op
        node.edges = (edge,)
        node.saved = (data,) if keep else _NOTHING
        node.output = out if keep_output else None
        node.dtype = dtype
        return result

    return call


def binary(op: OpDef) -> Callable[[Any, Any], Any]:
    """The function of an op of two inputs and no parameters: elementwise, or whose rules read only what is saved."""
    keep_a, keep_b = op.keeps
    keep, keep_output, broadcasts = keep_a or keep_b, op.keeps_output, op.elementwise
    forward: Callable[..., Any] = getattr(np, op.ufunc) if op.ufunc else partial(op.forward, np)
    if accelerate is not None:
        return accelerate.Dispatcher(op, forward, general(op), 2, op.elementwise, keep_a, keep_b, keep_output)

    def call(a: Any, b: Any) -> Any:
        kind = b.__class__
        if not broadcasts and a.__class__ is _ndarray and kind is _ndarray:
            return forward(a, b)
        # An array has a `data` too, but that is no array.
        x: Any = getattr(a, "data", None)
        mode = current_mode()
        if x.__class__ is not _ndarray or (mode is not RECORDING and mode is not SILENT):
            return apply(op, (a, b), _NO_PARAMS)
        dtype = x.dtype
        if kind is float or kind is int:
            if dtype is not _SINGLE and dtype is not _DOUBLE:
                return apply(op, (a, b), _NO_PARAMS)
            y = _number(b, dtype)
            other = None
        else:
            y: Any = getattr(b, "data", None)
            if y.__class__ is not _ndarray or y.dtype is not dtype or (dtype is not _SINGLE and dtype is not _DOUBLE):
                return apply(op, (a, b), _NO_PARAMS)
            other = b.node
        try:
            out = forward(x, y)
        except Exception as exc:
            raise explained(op, (x, y), {}, exc) from exc
        if out.__class__ is not _ndarray:
            out = np.asarray(out)
        result = _new(Tensor)
        result.data = out
        edge = a.node
        if (edge is None and other is None) or mode is SILENT:
            result.node = None
            return result
        if not broadcasts or kind is float or kind is int or x.shape == y.shape:
            node = _new_node(PlainNode)
        else:
            node = _new_node(Node)
            node.params = _NO_PARAMS
            node.shapes = (x.shape, y.shape)
            node.casts = False
        result.node = node
        node.number = next_number()
        node.op = op
        node.edges = (edge, other)
        node.saved = (x if keep_a else None, y if keep_b else None) if keep else _NO_PAIR
        node.output = out if keep_output else None
        node.dtype = dtype
        return result

    return call


def ternary(op: OpDef) -> Callable[..., Any]:
    """The function of an op of three inputs and no parameters, whose rules read only the first two of them."""
    keep_a, keep_b, keep_c = op.keeps
    if op.elementwise or keep_c or op.keeps_output:
        return general(op)
    slow = general(op)
    forward: Callable[..., Any] = partial(op.forward, np)
    if accelerate is not None:
        return accelerate.Dispatcher(op, forward, slow, 3, False, keep_a, keep_b, False)

    def call(*inputs: Any, **params: Any) -> Any:
        arrays: list[Any] = [getattr(value, "data", None) for value in inputs]
        mode = current_mode()
        if len(arrays) != 3 or params or (mode is not RECORDING and mode is not SILENT):
            return slow(*inputs, **params)
        if any(array.__class__ is not _ndarray for array in arrays):
            return slow(*inputs)
        dtype = arrays[0].dtype
        if (dtype is not _SINGLE and dtype is not _DOUBLE) or any(array.dtype is not dtype for array in arrays):
            return slow(*inputs)
        try:
            out = forward(*arrays)
        except Exception as exc:
            raise explained(op, arrays, {}, exc) from exc
        result = wrap(out)
        edges = tuple([value.node for value in inputs])
        if mode is SILENT or edges == (None, None, None):
            return result
        result.node = node = _new_node(PlainNode)
        node.number = next_number()
        node.op = op
        node.edges = edges
        node.saved = (arrays[0] if keep_a else None, arrays[1] if keep_b else None, None)
        node.output = None
        node.dtype = dtype
        return result

    return call


def _number(value: float, dtype: np.dtype[Any]) -> Any:
    """A Python number as a 0-d array, which NumPy adds in half the time; those met before are kept."""
    known = _NUMBERS[dtype is _DOUBLE]
    array = known.get(value)
    if array is None:
        try:
            array = np.asarray(value, dtype)
        except OverflowError:
            return value  # an integer beyond the floats: the op will say so
        array.flags.writeable = False
        if len(known) < 256 and value != 0.0:  # 0.0 and -0.0 are one key
            known[value] = array
    return array


_NUMBERS: tuple[dict[float, Any], dict[float, Any]] = ({}, {})
_NOTHING = (None,)
_NO_PAIR = (None, None)
_NO_PARAMS: dict[str, Any] = {}


def apply(op: OpDef, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Run an op and record it where a gradient may be wanted.

    Args:
        op: what to run.
        inputs: tensors, arrays and Python numbers. Numbers take the dtype and the device of the tensors beside them.
        params: all parameters of the op, defaults filled in.

    Returns:
        A tensor (or a tuple of them); an array when no input is a tensor but some are arrays.

    Raises:
        DeviceError: the inputs live on different devices.
        ShapeError, DTypeError: the inputs do not fit the op or each other; names the op and what it was given.
    """
    if Flags.NONDETERMINISTIC in op.flags:
        require_allowed(op.name)
    tensors = arrays_given = False
    for value in inputs:
        if value.__class__ in PLAIN:
            tensors = True
        elif isinstance(value, Traced):
            return _trace(op, inputs, params)
        elif value.__class__ not in _SCALARS:  # np.float64, what 0-d arithmetic gives, is a float to isinstance
            arrays_given = True
    mode = current_mode()
    if tensors and mode.stage is not None:
        return _trace(op, inputs, params)
    nodes: list[Node | None] = []
    values: list[Any] = []
    for value in inputs:
        if value.__class__ in PLAIN:
            nodes.append(value.node)
            values.append(value.data)
        else:
            nodes.append(None)
            values.append(value if value.__class__ in _SCALARS else as_array(value))
    place, values = _prepare(op, values)
    try:
        with place.active():
            out = _half(op, place.xp, values, params) if op.widens else op.forward(place.xp, *values, **params)
    except Exception as exc:
        raise explained(op, values, params, exc) from exc
    if mode.watch is not None:
        mode.watch.see(op, values, out if isinstance(out, tuple) else (out,))
    if not tensors and arrays_given:
        return out
    record = mode.recording and op.differentiable and any(node is not None for node in nodes)
    if isinstance(out, tuple):
        return _wrapped(op, nodes, values, out, params, record=record)
    result = wrap(out)
    if record and is_inexact(result.dtype):
        result.node = _record(op, nodes, values, result.data, params)
    return result


def _wrapped(
    op: OpDef,
    nodes: Sequence[Node | None],
    values: Sequence[Any],
    outs: tuple[Any, ...],
    params: Mapping[str, Any],
    *,
    record: bool,
) -> tuple[Tensor, ...]:
    """Several outputs as tensors."""
    results = tuple(wrap(item) for item in outs)
    if record:
        node = _record(op, nodes, values, tuple(result.data for result in results), params)
        for index, result in enumerate(results):
            if is_inexact(result.dtype):
                result.node = output_node(node, index)
    return results


def _record(
    op: OpDef, nodes: Sequence[Node | None], values: Sequence[Any], out: Any, params: Mapping[str, Any]
) -> Node:
    keeps = op.keeps if not op.variadic else ("inputs" in op.saves,) * len(values)
    node = _new_node(Node)
    node.number = next_number()
    node.op = op
    node.edges = tuple(nodes)
    node.saved = tuple(
        [
            value if keep or value.__class__ in _SCALARS else _new_spec(Spec, (value.shape, value.dtype))
            for value, keep in zip(values, keeps, strict=True)
        ]
    )
    node.output = out if op.keeps_output else None
    node.params = params
    node.shapes = None
    if out.__class__ is tuple:
        node.shape, node.dtype = tuple(item.shape for item in out), tuple(item.dtype for item in out)
        node.casts = True
    else:
        node.shape = out.shape
        node.dtype = dtype = out.dtype
        node.casts = any(edge is not None and edge.dtype is not dtype for edge in nodes)
        if op.elementwise:
            shapes = tuple(() if value.__class__ in _SCALARS else value.shape for value in values)
            node.shapes = None if all(shape == out.shape for shape in shapes) else shapes
    if current_mode().watch is not None:
        node.where = user_line()
    return node


def _trace(op: OpDef, inputs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    traced = [value for value in inputs if isinstance(value, Traced)]
    top: Any = max(traced, key=lambda value: value.level) if traced else current_mode().stage
    kind = type(top) if traced else top.kind
    inputs = [value if isinstance(value, Tensor | Scalar) else wrap(as_array(value)) for value in inputs]
    try:
        out = kind.process(top.level, op, inputs, params)
    except NasturtiumError:
        raise
    except Exception as exc:
        raise explained(op, inputs, params, exc) from exc
    nodes = [value.node if isinstance(value, Tensor) else None for value in inputs]
    if current_mode().recording and op.differentiable and any(node is not None for node in nodes):
        if isinstance(out, tuple):
            node = _record(op, nodes, inputs, out, params)
            for index, result in enumerate(out):
                if is_inexact(result.dtype):
                    result.node = output_node(node, index)
            kind.recorded(node, top.level, inputs)
        elif is_inexact(out.dtype):
            out.node = _record(op, nodes, inputs, out.detach(), params)
            kind.recorded(out.node, top.level, inputs)
    return out


_SCALARS = frozenset({bool, int, float, complex})


def _prepare(op: OpDef, values: list[Any]) -> tuple[Device, list[Any]]:
    """The device of the inputs, and the inputs with numbers and mixed dtypes made fit for each other."""
    place: Device | None = None
    for value in values:
        if value.__class__ in _SCALARS:
            continue
        found = device_of(value)
        if place is None:
            place = found
        elif found != place:
            given = ", ".join(
                f"{name} on {device_of(item)}"
                for name, item in zip(names_of(op, len(values)), values, strict=True)
                if item.__class__ not in _SCALARS
            )
            raise _located(
                DeviceError(f"{op.name}: inputs live on different devices: {given}", hint="move them with .to()")
            )
    if place is None:  # numbers only
        place = current_device()
        return place, [place.put(as_array(value)) for value in values]
    if any(value.__class__ in _SCALARS for value in values):
        dtype = result_dtype(*(value for value in values if value.__class__ not in _SCALARS))
        if dtype.kind in "iub" and any(value.__class__ is float or value.__class__ is complex for value in values):
            # A float beside integers makes float32, a complex number complex64; NumPy would make 64-bit parts.
            dtype = to_floating(dtype)
            values = [value if value.__class__ in _SCALARS else value.astype(dtype) for value in values]
    return place, values


def _half(op: OpDef, xp: Any, values: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Run an op on 16-bit floats in float32, and round its results to their common dtype; on other dtypes as it is."""
    halves = [value.dtype for value in values if value.__class__ not in _SCALARS and _is_half(value.dtype)]
    if not halves:
        return op.forward(xp, *values, **params)
    wide = [
        value.astype(xp.float32)
        if value.__class__ not in _SCALARS
        and (_is_half(value.dtype) or (op.elementwise and value.dtype.kind in "iu"))  # which would make it float64
        else value
        for value in values
    ]
    out = op.forward(xp, *wide, **params)
    inexact = [value.dtype for value in values if value.__class__ not in _SCALARS and is_inexact(value.dtype)]
    target = result_dtype(*inexact)

    def rounded(item: Any) -> Any:
        return item.astype(target) if item.dtype == np.float32 and target != item.dtype else item

    return tuple(rounded(item) for item in out) if isinstance(out, tuple) else rounded(out)


def _is_half(dtype: np.dtype[Any]) -> bool:
    return dtype.itemsize == 2 and is_floating(dtype)


def names_of(op: OpDef, count: int) -> tuple[str, ...]:
    """What the inputs of a call are called in messages."""
    return op.inputs if not op.variadic else (*op.inputs, *(f"input {i}" for i in range(len(op.inputs), count)))


def user_line() -> str | None:
    """File and line of the innermost caller outside this package, with its source text."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if _is_users(name):
            return _line(name, frame.f_lineno)
        frame = frame.f_back
    return None


@lru_cache(1024)
def _line(file: str, number: int) -> str:
    """A line of source code, with its place."""
    import linecache

    text = linecache.getline(file, number).strip()
    return f"{file}:{number}" + (f": {text}" if text else "")


@lru_cache(1024)
def _is_users(file: str) -> bool:
    """Whether code is neither this package's nor what calls it on its behalf."""
    inside = file.startswith(_PACKAGE) and not file.startswith(_TESTS)
    return not inside and "functools" not in file and "contextlib" not in file


def explained(op: OpDef, values: Sequence[Any], params: Mapping[str, Any], exc: Exception) -> Exception:
    """What to raise for an op that failed: as precise as inference can make it, with what was given and where."""
    if not isinstance(exc, NasturtiumError | ValueError | TypeError | IndexError | ZeroDivisionError):
        return exc  # LinAlgError is a ValueError
    specs = [Spec((), np.dtype(type(value))) if value.__class__ in _SCALARS else spec_of(value) for value in values]
    error = exc
    if not isinstance(exc, NasturtiumError):
        try:
            op.infer(*specs, **params)
        except NasturtiumError as precise:
            error = precise
        except Exception as failure:
            exc.add_note(f"inference failed too: {failure!r}")
    if not isinstance(error, NasturtiumError):
        error = DTypeError(str(exc)) if isinstance(exc, TypeError) else ShapeError(str(exc))
    if error.where is not None:
        return error  # from an op inside this one, which has said it all
    given = ", ".join(
        f"{name} {repr(value) if value.__class__ in _SCALARS else f'{spec.shape} {spec.dtype}'}"
        for name, spec, value in zip(names_of(op, len(specs)), specs, values, strict=False)
    )
    place = next(
        (
            str(value.device if isinstance(value, Tensor) else device_of(value))
            for value in values
            if value.__class__ not in _SCALARS
        ),
        "cpu",
    )
    shown = f" with {', '.join(f'{name}={value!r}' for name, value in params.items())}" if params else ""
    message = error.message.removeprefix("elementwise: ").removeprefix("reduction: ").removeprefix("op: ")
    message = message if message.startswith(f"{op.name}: ") else f"{op.name}: {message}"
    return _located(type(error)(f"{message}; got {given} on {place}{shown}", hint=error.hint))


def _fail(op: OpDef, values: Sequence[Any], exc: Exception) -> None:
    raise explained(op, values, {}, exc) from exc


def _located(error: NasturtiumError) -> NasturtiumError:
    if error.where is None:
        error.where = user_line()
    return error


if accelerate is not None:
    accelerate.configure(
        ndarray=np.ndarray,
        tensor=Tensor,
        node=Node,
        plain=PlainNode,
        leaf=Leaf,
        single=_SINGLE,
        double=_DOUBLE,
        mode=mode_variable,
        recording=RECORDING,
        silent=SILENT,
        next_number=next_number,
        as_array=np.asarray,
        number_array=_number,
        numbers_single=_NUMBERS[False],
        numbers_double=_NUMBERS[True],
        fail=_fail,
        freed=raise_freed,
        collect=collect,
        propagate=propagate,
        no_params=_NO_PARAMS,
    )

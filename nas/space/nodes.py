"""What a search space is written with: layers as ordinary code, with choices in the places of their arguments.

A template is a tree of these values. It is plain data: nothing is traced and nothing of it is code, so it can be
stored, sent and read back, and whoever has it can build every network of the space.

Nodes with the same `name` are the same decision wherever they stand; one without a name is decided where it stands.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from math import isfinite
from typing import Any, cast

from ...core import ConfigError
from ...core.nn import LAYERS

Scalar = bool | int | float | str
NONE = "none"  # the operation of a cell that is no edge
MAX_NAME = 100  # characters
MAX_TEXT = 1000  # characters of a value
MAX_COPIES = 1000
MAX_WHOLE = 2**31  # of a whole number, either sign: what options of layers can hold


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values, or of some layers by name.

    >>> width = Choice((16, 32, 64), name="width")
    >>> Choice({"wide": layers.linear(out_features=width), "nothing": Chain()}).values
    ('wide', 'nothing')
    """

    options: tuple[Scalar, ...] | Mapping[str, Node]
    name: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.options, Mapping):
            object.__setattr__(self, "options", dict(self.options))
        else:
            object.__setattr__(self, "options", tuple(self.options))
        if not self.options:
            raise ConfigError("a choice has no options: expected at least one")
        values = self.values
        for value in values:
            if not _is_scalar(value):
                raise ConfigError(f"expected options that are numbers, texts or true and false, got {shown(value)}")
        if len({(type(value), value) for value in values}) != len(values):
            raise ConfigError(f"an option stands twice in {shown(values)}")
        check_name(self.name)
        if isinstance(self.options, Mapping):
            check_keys(self.options)

    @property
    def values(self) -> tuple[Scalar, ...]:
        """What is chosen among: the values themselves, or the names of the layers."""
        return tuple(self.options)

    @property
    def of_layers(self) -> bool:
        """Whether it stands in the place of a layer."""
        return isinstance(self.options, Mapping)


@dataclass(frozen=True, slots=True)
class Int:
    """A whole number from `low` to `high` in steps of `step`; with `log`, uniform in the logarithm."""

    low: int
    high: int
    step: int = 1
    log: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        for value in (self.low, self.high, self.step):
            if type(value) is not int or abs(value) > MAX_WHOLE:
                raise ConfigError(
                    f"expected whole numbers within {MAX_WHOLE}, got low, high and step as "
                    f"{shown(self.low)}, {shown(self.high)} and {shown(self.step)}"
                )
        _check_flag(self.log, "log")
        check_name(self.name)
        if self.low > self.high or self.step < 1:
            raise ConfigError(f"expected low <= high and step >= 1, got {self.low}, {self.high} and {self.step}")
        if self.log and (self.low < 1 or self.step != 1):
            raise ConfigError(f"expected low >= 1 and step 1 for a logarithm, got {self.low} and {self.step}")

    @property
    def values(self) -> range:
        """All of them."""
        return range(self.low, self.high + 1, self.step)


@dataclass(frozen=True, slots=True)
class Float:
    """A real number, low <= x <= high, uniform or, with `log`, uniform in the logarithm."""

    low: float
    high: float
    log: bool = False
    name: str | None = None

    def __post_init__(self) -> None:
        if not (_is_number(self.low) and _is_number(self.high) and self.low <= self.high):
            raise ConfigError(f"expected finite numbers, low <= high, got {shown(self.low)} and {shown(self.high)}")
        _check_flag(self.log, "log")
        check_name(self.name)
        if self.log and self.low <= 0:
            raise ConfigError(f"expected low > 0 for a logarithm, got {self.low}")
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))


@dataclass(frozen=True, slots=True)
class Incoming:
    """In the place of an option: as many channels (of an image) or features as come in, times a factor."""

    times: float = 1.0

    def __post_init__(self) -> None:
        _check_times(self.times)


@dataclass(frozen=True, slots=True)
class Multiple:
    """In the place of an option: another decision between whole numbers times a factor, rounded, at least 1."""

    of: Choice | Int
    times: float

    def __post_init__(self) -> None:
        _check_times(self.times)
        if isinstance(self.of, Choice) and any(type(value) is not int for value in self.of.values):
            raise ConfigError(f"expected a multiple of a decision between whole numbers, got one of {shown(self.of)}")


@dataclass(frozen=True, slots=True)
class Outputs:
    """In the place of an option: what the task wants of a network, a logit per class or a number per target."""


@dataclass(frozen=True, slots=True)
class Stride:
    """In the place of an option: the stride at that place of a cell, 2 where a reduction cell takes its inputs."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer whose options may be decisions; see `layers`."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        # An option that is null is one that is not given; documents in TOML cannot say null.
        given = {name: _frozen(value) for name, value in self.options.items() if value is not None}
        object.__setattr__(self, "options", given)
        if self.kind not in LAYERS:
            raise ConfigError(
                f"unknown layer kind {shown(self.kind)}", hint=f"known kinds: {', '.join(sorted(LAYERS))}"
            )
        unknown = self.options.keys() - LAYERS[self.kind].options.keys()
        missing = LAYERS[self.kind].required - self.options.keys()
        if unknown or missing:
            raise ConfigError(
                f"layer {self.kind!r}: unknown options {sorted(unknown)}, missing options {sorted(missing)}",
                hint=f"its options are: {', '.join(LAYERS[self.kind].options) or 'none'}",
            )
        for option, value in self.options.items():
            if not _is_option(value):
                raise ConfigError(
                    f"layer {self.kind!r}: option {option!r} cannot be {shown(value)}",
                    hint="expected a number, a text, true or false, a decision, or a list of these or of layers",
                )


@dataclass(frozen=True, slots=True)
class Chain:
    """Parts one after the other; an empty one passes everything through."""

    parts: tuple[Node, ...] = ()

    def __init__(self, *parts: Node) -> None:
        object.__setattr__(self, "parts", parts)


@dataclass(frozen=True, slots=True)
class Repeat:
    """Between `low` and `high` copies of a node, one after the other, each decided on its own."""

    low: int
    high: int
    node: Node
    name: str | None = None

    def __post_init__(self) -> None:
        if not (type(self.low) is int and type(self.high) is int and 0 <= self.low <= self.high <= MAX_COPIES):
            raise ConfigError(
                f"expected 0 <= low <= high <= {MAX_COPIES} copies, got {shown(self.low)} and {shown(self.high)}"
            )
        check_name(self.name)


@dataclass(frozen=True, slots=True)
class Optional:
    """A node that may be left out."""

    node: Node
    name: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True, slots=True)
class Residual:
    """`body(x) + shortcut(x)`; without a shortcut x itself, through a projection where the body changes the shape.

    With `optional`, whether there is a skip connection at all is a decision.
    """

    body: Node
    optional: bool = False
    shortcut: Node | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """A small graph of operations whose wiring is searched.

    Two kinds. With `picks` = 0 every pair of nodes i < j has an operation, and a node is the sum of what its operations
    give (NAS-Bench-201, Dong & Yang 2020, https://arxiv.org/abs/2001.00326); node 0 is the input, the last one the
    output. An operation named `none` is no edge. With `picks` = 2 a node takes that many different nodes before it,
    each through an operation, and adds them (DARTS, Liu et al. 2019, https://arxiv.org/abs/1806.09055); the cell has
    two inputs, the outputs of the two cells before it, and its output is all its nodes side by side. What is not picked
    is no edge there, and no operation is named `none`. Such cells stand in a `CellStack`.

    Args:
        nodes: with `picks` = 0 all of them, input and output included; else those between inputs and output.
        operations: by name; each keeps the shape (or strides as `Stride` says). An empty `Chain` is a skip.
        picks: 0, or inputs of a node.
        name: cells of one name have the same wiring, each with weights of its own.
    """

    nodes: int
    operations: Mapping[str, Node]
    picks: int = 0
    name: str | None = None

    def __post_init__(self) -> None:
        if self.nodes < (1 if self.picks else 2) or self.nodes > 16 or not 0 <= self.picks <= 4:
            raise ConfigError(f"expected 2 to 16 nodes and 0 to 4 picks, got {self.nodes} and {self.picks}")
        if not self.operations or (self.picks and NONE in self.operations):
            raise ConfigError(
                f"expected at least one operation, and with picks none called {NONE!r}, got {shown([*self.operations])}"
            )
        check_name(self.name)
        check_keys(self.operations)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Every pair i < j of a cell without picks, by j, then i."""
        return tuple((i, j) for j in range(1, self.nodes) for i in range(j))

    def sources(self, node: int) -> dict[str, tuple[int, ...]]:
        """The nodes that a node of a cell with picks may take, as in {"0_1": (0, 1), "0_2": (0, 2), "1_2": (1, 2)}.

        Args:
            node: 0 is the first behind the inputs, which are 0 and 1 in the answer.
        """
        picks = combinations(range(node + 2), min(self.picks, node + 2))
        return {"_".join(map(str, pick)): pick for pick in picks}


@dataclass(frozen=True, slots=True)
class StackPart:
    """One cell of a stack: how many channels its nodes have, and whether it halves the sides."""

    cell: Cell
    channels: int
    reduce: bool = False


@dataclass(frozen=True, slots=True)
class CellStack:
    """Cells of two inputs, each fed by the two before it; the first gets its input twice.

    Both inputs of a cell go through a 1 x 1 convolution first, which brings them to its channels (and, after a
    reduction, to its sides).
    """

    parts: tuple[StackPart, ...]

    def __post_init__(self) -> None:
        if not self.parts or any(part.cell.picks == 0 for part in self.parts):
            raise ConfigError("expected at least one cell, each with picks > 0")
        for part in self.parts:
            if type(part.channels) is not int or not 1 <= part.channels <= MAX_WHOLE:
                raise ConfigError(f"expected cells of at least one channel, got {shown(part.channels)}")


Leaf = Choice | Int | Float
Value = Scalar | tuple[int, ...] | Leaf | Incoming | Multiple | Outputs | Stride
Node = Layer | Chain | Choice | Repeat | Optional | Residual | Cell | CellStack
NODES = (Layer, Chain, Choice, Repeat, Optional, Residual, Cell, CellStack)


class _Layers:
    """`layers.linear(out_features=Choice((16, 32)))`: any layer kind of the registry, its options as keywords."""

    def __getattr__(self, kind: str) -> Any:
        if kind.startswith("_"):
            raise AttributeError(kind)

        def make(**options: Any) -> Layer:
            return Layer(kind, options)

        return make

    def __dir__(self) -> Iterator[str]:
        return iter(LAYERS)


layers = _Layers()


def node_of(value: object) -> Node | None:
    """The value if it is a node that stands in the place of a layer."""
    if isinstance(value, Choice):
        return value if value.of_layers else None
    return value if isinstance(value, NODES) else None


def shown(value: object) -> str:
    """A value for a message, however long or deep it is."""
    return _REPR.repr(value)


_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother, _REPR.maxlong = 3, 80, 80, 40


def _frozen(value: object) -> object:
    return tuple(cast(list[object], value)) if isinstance(value, list) else value


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def _is_scalar(value: object) -> bool:
    if type(value) is int:
        return abs(value) <= MAX_WHOLE
    if isinstance(value, str):
        return len(value) <= MAX_TEXT and value.isprintable()
    return type(value) is bool or (type(value) is float and isfinite(value))


def _is_option(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_option, cast(tuple[object, ...], value)))
    return (
        value is None
        or _is_scalar(value)
        or isinstance(value, (*NODES, Int, Float, Incoming, Multiple, Outputs, Stride))
    )


def _check_times(times: object) -> None:
    if not (_is_number(times) and 0 < cast(float, times) < 1e6):
        raise ConfigError(f"expected 0 < times < 1e6, got {shown(times)}")


def _check_flag(value: object, name: str) -> None:
    if type(value) is not bool:
        raise ConfigError(f"expected {name} as true or false, got {shown(value)}")


def check_name(name: object) -> None:
    """Names stand in paths and in constraints."""
    if name is not None and not (
        isinstance(name, str)
        and 1 <= len(name) <= MAX_NAME
        and name.isprintable()
        and not any(c.isspace() or c == "/" for c in name)
    ):
        raise ConfigError(
            f"expected a name of 1 to {MAX_NAME} characters without spaces and slashes, got {shown(name)}"
        )


def check_keys(names: Iterable[object]) -> None:
    """Names of alternatives stand in paths; spaces in them do no harm."""
    for name in names:
        if not (isinstance(name, str) and 1 <= len(name) <= MAX_NAME and name.isprintable() and "/" not in name):
            raise ConfigError(f"expected names of 1 to {MAX_NAME} characters without slashes, got {shown(name)}")


def check_paths(names: Iterable[object]) -> None:
    """Names of the decisions of a table, which may be paths: what stands between the slashes are names."""
    check_keys(part for name in names for part in (name.split("/") if isinstance(name, str) else (name,)))

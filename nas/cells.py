"""Cells: small directed acyclic graphs whose edges carry operations, and when two of them are the same.

Node j of a cell is the sum over its edges (i, j) of the edge's operation applied to node i. There are two equalities:

- `expression`: the output as an expression in the input, like terms collected and sorted. Edges that give zero,
  whatever does not reach the output, skip edges and the numbers of the nodes leave no trace.
- `key`: the string by which NAS-Bench-201 tells its cells apart. It writes zeros out ("#") and does not open the sum
  that a skip edge passes on, so it is finer: 6,466 of the benchmark's 15,625 cells differ, in 4,930 expressions. Equal
  keys have equal expressions.

In both, two operations of one kind on one expression are the same, whether or not they share weights.

Source: Dong and Yang 2020, https://arxiv.org/abs/2001.00326, section 3 and its `to_unique_str(consider_zero=True)`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256

from ..core import ConfigError

Edge = tuple[int, int]

NB201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
NB201_EDGES: tuple[Edge, ...] = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # in the order of the string form

ZERO = "#"
LONGEST = 400  # characters; a longer expression stands in others as its hash, or dense cells would have endless keys


@dataclass(frozen=True, slots=True)
class CanonicalCell:
    """What a cell computes.

    Attributes:
        key: NAS-Bench-201's string for the output, "0" being the input (the inputs: "0", "1", ...) and "#" zero.
        expression: the output as a reduced sum in the input(s); "0": the output is always zero.
        labels: one per node of the expression's graph: the inputs ("input", or "input0", "input1", ...), one node for
            every distinct operation on a sum, in topological order, and last "output".
        edges: (from, to) node indices, from < to; a term that counts n times in a sum has n edges.

    The graph is that of `expression`.
    """

    key: str
    expression: str
    labels: tuple[str, ...]
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class _Term:
    """An input (no `op`) or an operation on a sum of terms."""

    key: str  # alone tells terms apart
    depth: int = field(compare=False)
    op: str | None = field(compare=False)
    arguments: tuple[tuple[_Term, int], ...] = field(default=(), compare=False)  # (term, how often), sorted by key


_Sum = Counter[_Term]  # the zero sum is empty


def canonical_cell(
    nodes: int,
    ops: Sequence[str],
    *,
    edges: Sequence[Edge],
    none: str = "none",
    skip: str = "skip_connect",
    inputs: int = 1,
) -> CanonicalCell:
    """The canonical form of a cell.

    Args:
        nodes: number of nodes; the first `inputs` are inputs, the last one is the output.
        ops: the operation of every edge.
        edges: (i, j) with i < j, in the order of `ops`; j is no input. Several edges may join the same two nodes.
        none: the operation that gives zero.
        skip: the operation that passes its node on.
        inputs: number of input nodes, told apart by their number.

    Returns:
        Its two keys and its graph; remembered, so that asking again is cheap.

    Raises:
        ConfigError: `ops` and `edges` differ in length, or an edge does not lead forward to a node that has inputs.

    Example:
        >>> a = canonical_cell(3, ["conv", "none", "skip_connect"], edges=[(0, 1), (0, 2), (1, 2)])
        >>> b = canonical_cell(3, ["none", "conv", "conv"], edges=[(0, 1), (0, 2), (1, 2)])
        >>> a.expression, a.key, a == b
        ('conv(input)', '#+(0)@conv', True)
    """
    return _canonical_cell(nodes, tuple(ops), tuple((i, j) for i, j in edges), none, skip, inputs)


def nb201_cell(ops: Sequence[str]) -> CanonicalCell:
    """The canonical form of a NAS-Bench-201 cell: six of `NB201_OPS` in the order of `NB201_EDGES`.

    Raises:
        ConfigError: not six, or not of those names.
    """
    _check_nb201(ops)
    return canonical_cell(4, ops, edges=NB201_EDGES)


def format_nb201(ops: Sequence[str]) -> str:
    """The string form of NAS-Bench-201, `|a~0|+|b~0|c~1|+|d~0|e~1|f~2|`, of six operations.

    Raises:
        ConfigError: as `nb201_cell`.
    """
    _check_nb201(ops)
    a, b, c, d, e, f = ops
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def parse_nb201(text: str) -> tuple[str, ...]:
    """The six operations of a cell in the string form of NAS-Bench-201.

    Raises:
        ConfigError: the text has another form.
    """
    ops = tuple(re.findall(r"\|?([^|~+]+)~\d\|", text))
    if len(ops) != len(NB201_EDGES) or not set(ops) <= set(NB201_OPS) or format_nb201(ops) != text:
        raise ConfigError(
            f"not a cell of NAS-Bench-201: {text!r}",
            hint=f"expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of {', '.join(NB201_OPS)}",
        )
    return ops


def _check_nb201(ops: Sequence[str]) -> None:
    if len(ops) != len(NB201_EDGES) or not set(ops) <= set(NB201_OPS):
        raise ConfigError(
            f"expected {len(NB201_EDGES)} operations of NAS-Bench-201, got {list(ops)}",
            hint=f"one of {', '.join(NB201_OPS)} for each of the edges {', '.join(map(str, NB201_EDGES))}",
        )


@lru_cache(maxsize=100_000)
def _canonical_cell(
    nodes: int, ops: tuple[str, ...], edges: tuple[Edge, ...], none: str, skip: str, inputs: int
) -> CanonicalCell:
    if inputs < 1 or nodes <= inputs:
        raise ConfigError(f"a cell needs 1 <= inputs < nodes, got {inputs=}, {nodes=}")
    if len(ops) != len(edges):
        raise ConfigError(f"expected one operation for each of the {len(edges)} edges, got {len(ops)}")
    for i, j in edges:
        if not (0 <= i < j < nodes and j >= inputs):
            raise ConfigError(
                f"edge {(i, j)} of a cell with {nodes} nodes and {inputs} input(s): expected 0 <= i < j < {nodes}"
                f" and j >= {inputs}",
                hint="number the nodes so that every edge leads forward",
            )
    names = ["input"] if inputs == 1 else [f"input{index}" for index in range(inputs)]
    sources = [_Term(name, 0, None) for name in names]
    sums: list[_Sum] = [Counter([source]) for source in sources] + [Counter() for _ in range(nodes - inputs)]
    texts = [str(index) for index in range(inputs)]
    for node in range(inputs, nodes):
        written: list[str] = []
        for op, (i, j) in zip(ops, edges, strict=True):
            if j != node:
                continue
            zero = op == none or texts[i] == ZERO
            written.append(ZERO if zero else texts[i] if op == skip else f"({texts[i]})@{op}")
            if op != none and sums[i]:
                sums[j].update(sums[i] if op == skip else [_apply(op, sums[i])])
        texts.append(_shortened("+".join(sorted(written))) or ZERO)
    output = _sorted(sums[-1])
    return CanonicalCell(texts[-1], _expression(output) or "0", *_graph(sources, output))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else sha256(text.encode()).hexdigest()


def _sorted(total: _Sum) -> tuple[tuple[_Term, int], ...]:
    return tuple(sorted(total.items(), key=lambda item: item[0].key))


def _expression(arguments: tuple[tuple[_Term, int], ...]) -> str:
    return "+".join(term.key if times == 1 else f"{times}*{term.key}" for term, times in arguments)


def _apply(op: str, total: _Sum) -> _Term:
    arguments = _sorted(total)
    return _Term(f"{op}({_shortened(_expression(arguments))})", 1 + max(term.depth for term in total), op, arguments)


def _graph(sources: list[_Term], output: tuple[tuple[_Term, int], ...]) -> tuple[tuple[str, ...], tuple[Edge, ...]]:
    """Labels and edges; equal terms are one node."""
    found = {term.key: term for term in sources}
    waiting = [term for term, _ in output]
    while waiting:
        term = waiting.pop()
        if term.key not in found:
            found[term.key] = term
            waiting.extend(argument for argument, _ in term.arguments)
    order = sorted(found.values(), key=lambda term: (term.depth, term.key))
    place = {term.key: index for index, term in enumerate(order)}
    labels = tuple(term.op or term.key for term in order)
    ends = [(term.arguments, place[term.key]) for term in order] + [(output, len(order))]
    edges = [(place[term.key], end) for arguments, end in ends for term, times in arguments for _ in range(times)]
    return (*labels, "output"), tuple(sorted(edges))

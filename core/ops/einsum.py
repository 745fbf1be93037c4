"""Sums of products by Einstein's convention: `einsum` splits any expression into contractions of two tensors, each a
matrix product, in a cheap order. Gradients are contractions again.
"""

# The tables below are lambdas over arrays, which a checker cannot infer parameters for.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# pyright: reportUnknownMemberType=false, reportGeneralTypeIssues=false

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from ..device import Array, ArrayModule
from ..errors import ConfigError, ShapeError
from ..op import Invalid, Jvp, Sample, complex_normal, normal
from ..shapes import Spec, result_dtype
from .declare import op
from .elementwise import astype
from .matrix import diagonal
from .reduce import sum as sum_op
from .shape import reshape, transpose

_LETTERS = string.ascii_letters


@dataclass(frozen=True, slots=True)
class _Plan:
    """The labels of a product of two tensors, by what becomes of them.

    Attributes:
        left, right, out: of both operands and of the result.
        batch: in all three, in the result's order.
        free_a, free_b: in one operand and the result.
        summed: in both operands, but not in the result.
    """

    left: str
    right: str
    out: str
    batch: str
    free_a: str
    free_b: str
    summed: str


@lru_cache(maxsize=4096)
def _plan(equation: str) -> _Plan:
    terms, _, out = equation.partition("->")
    left, _, right = terms.partition(",")
    for one, other, name in ((left, right + out, "a"), (right, left + out, "b"), (out, left + right, "the result")):
        if len(set(one)) != len(one) or not set(one) <= set(other):
            raise ConfigError(
                f"contract: expected each label once in {name} and again elsewhere, got {equation!r}",
                hint="use einsum, which takes any equation",
            )
    batch = "".join(label for label in out if label in left and label in right)
    free_a = "".join(label for label in out if label in left and label not in right)
    free_b = "".join(label for label in out if label in right and label not in left)
    summed = "".join(label for label in left if label in right and label not in out)
    return _Plan(left, right, out, batch, free_a, free_b, summed)


@dataclass(frozen=True, slots=True)
class _Product:
    """How to make the matrix product of two tensors of known shapes, or None where there is none: the order of the axes
    of both operands and of the product, the shapes of both as matrices, and the shape of the product taken apart.
    """

    shape: tuple[int, ...]
    first: tuple[tuple[int, ...], tuple[int, ...]] | None
    second: tuple[tuple[int, ...], tuple[int, ...]] | None
    product: tuple[tuple[int, ...], tuple[int, ...]] | None


@lru_cache(maxsize=4096)
def _product(equation: str, a: tuple[int, ...], b: tuple[int, ...]) -> _Product:
    plan = _plan(equation)
    if (len(a), len(b)) != (len(plan.left), len(plan.right)):
        raise ShapeError(f"contract: expected {len(plan.left)} and {len(plan.right)} axes for {equation!r}")
    lengths = dict(zip(plan.left, a, strict=True))
    for label, length in zip(plan.right, b, strict=True):
        if lengths.setdefault(label, length) != length:
            raise ShapeError(f"contract: label {label!r} of {equation!r} is {lengths[label]} and {length} long")
    shape = tuple(lengths[label] for label in plan.out)
    if not plan.summed or not (plan.free_a or plan.free_b):
        return _Product(shape, None, None, None)
    batch, rows, columns, summed = (
        tuple(lengths[label] for label in labels) for labels in (plan.batch, plan.free_a, plan.free_b, plan.summed)
    )
    apart = plan.batch + plan.free_a + plan.free_b
    return _Product(
        shape,
        (_axes(plan.left, plan.batch + plan.free_a + plan.summed), (*batch, prod(rows), prod(summed))),
        (_axes(plan.right, plan.batch + plan.summed + plan.free_b), (*batch, prod(summed), prod(columns))),
        ((*batch, *rows, *columns), _axes(apart, plan.out)),
    )


def _axes(labels: str, wanted: str) -> tuple[int, ...]:
    """The order of axes that makes `wanted` of `labels`."""
    return tuple(labels.index(label) for label in wanted)


def _contract_spec(a: Spec, b: Spec, *, equation: str) -> Spec:
    return Spec(_product(equation, a.shape, b.shape).shape, result_dtype(a.dtype, b.dtype))


def _contract_batch(size: int, batched: Sequence[bool], a: Any, b: Any, *, equation: str) -> Any:
    plan = _plan(equation)
    new = next(letter for letter in _LETTERS if letter not in plan.left + plan.right)
    left, right = (new * own + labels for own, labels in zip(batched, (plan.left, plan.right), strict=True))
    return contract(a, b, equation=f"{left},{right}->{new}{plan.out}")


def _contract_apart(carries: Sequence[bool], a: Spec, b: Spec, *, equation: str) -> bool:
    plan = _plan(equation)
    return bool(plan.out) and all(
        labels[:1] == plan.out[0] if carried else plan.out[0] not in labels
        for labels, carried in zip((plan.left, plan.right), carries, strict=True)
    )


def _contract_macs(specs: Sequence[Spec], out: Spec, *, equation: str) -> int:
    plan = _plan(equation)
    return prod(dict(zip(plan.left + plan.right, specs[0].shape + specs[1].shape, strict=True)).values())


def _contract_left(g: Any, y: Any, a: Any, b: Any, *, equation: str) -> Any:
    plan = _plan(equation)
    return contract(g, b, equation=f"{plan.out},{plan.right}->{plan.left}")


def _contract_right(g: Any, y: Any, a: Any, b: Any, *, equation: str) -> Any:
    plan = _plan(equation)
    return contract(a, g, equation=f"{plan.left},{plan.out}->{plan.right}")


@op(
    onnx="Einsum",
    infer=_contract_spec,
    reference=lambda a, b, equation: np.einsum(equation, a, b),
    vjp=(_contract_left, _contract_right),
    saves=("a", "b"),
    jvp=Jvp.MULTILINEAR,
    batch=_contract_batch,
    per_sample=_contract_apart,
    macs=_contract_macs,
    samples=(
        Sample(normal(3, 4), normal(4, 2), equation="ij,jk->ik"),
        Sample(normal(2, 3, 4), normal(2, 4, 5), equation="bij,bjk->bik"),
        Sample(normal(2, 3, 4), normal(4, 5, 3), equation="aij,jki->ka"),
        Sample(normal(5, 3), normal(5, 3), equation="bi,bi->b"),
        Sample(normal(3, 2), normal(4, 3), equation="ij,ki->kji"),
        Sample(normal(4), normal(3), equation="i,j->ij"),
        Sample(normal(4), normal(4), equation="i,i->"),
        Sample(normal(), normal(3), equation=",i->i"),
        Sample(complex_normal(3, 4), complex_normal(4, 2), equation="ij,jk->ki"),
        Sample(normal(0, 4), normal(4, 2), equation="ij,jk->ik"),
        Sample(normal(3, 0), normal(0, 2), equation="ij,jk->ik"),
    ),
    invalid=(
        Invalid(normal(3, 4), normal(3, 2), equation="ij,jk->ik", error=ShapeError, match="'j' of .* is 4 and 3 long"),
        Invalid(normal(3), normal(3, 2), equation="ij,jk->ik", error=ShapeError, match="expected 2 and 2 axes"),
        Invalid(normal(3, 3), normal(3), equation="ii,i->i", error=ConfigError, match="each label once"),
        Invalid(normal(3, 3), normal(3), equation="ij,i->i", error=ConfigError, match="again elsewhere"),
    ),
)
def contract(xp: ArrayModule, a: Array, b: Array, *, equation: str) -> Array:
    """Sum of products of two tensors, as a matrix product where there is one.

    Args:
        a, b: tensors with one axis per label.
        equation: as in "bij,bjk->bik". No label is repeated within a term, and each is in at least two of the three;
            `einsum` takes any equation.
    """
    product = _product(equation, a.shape, b.shape)
    if a.dtype != b.dtype:
        dtype = result_dtype(a, b)
        a, b = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    if product.first is None or product.second is None or product.product is None:
        plan = _plan(equation)
        if plan.summed:
            return xp.einsum(equation, a, b)
        return xp.multiply(_aligned(a, plan.left, plan.out), _aligned(b, plan.right, plan.out))
    (axes_a, shape_a), (axes_b, shape_b), (apart, axes) = product.first, product.second, product.product
    matrices = xp.matmul(a.transpose(axes_a).reshape(shape_a), b.transpose(axes_b).reshape(shape_b))
    return matrices.reshape(apart).transpose(axes)


def _aligned(x: Array, labels: str, wanted: str) -> Array:
    """The axes of an array in the order of the labels `wanted`, with length 1 where it has no such label."""
    present = "".join(label for label in wanted if label in labels)
    x = x.transpose(_axes(labels, present))
    lengths = dict(zip(present, x.shape, strict=True))
    return x.reshape(tuple(lengths.get(label, 1) for label in wanted))


def einsum(subscripts: Any, *operands: Any, optimize: str | bool = "greedy") -> Any:
    """Sum of products by Einstein's convention, with NumPy's full syntax.

    >>> import numpy as np
    >>> einsum("ij,jk->ik", np.ones((2, 3)), np.ones((3, 4))).shape
    (2, 4)

    Args:
        subscripts: labels of the axes of each operand and of the result, as in "bij,bjk->bik". A label that is repeated
            within a term takes the diagonal; one that is not in the result is summed over; "..." stands for any axes,
            which broadcast. Without "->", the result has the labels that appear once, in alphabetical order. NumPy's
            other form, operand and list of integers in turn, works too.
        operands: tensors. Axes of length 1 broadcast.
        optimize: the order of contractions: "greedy", "optimal" (exhaustive search), or False for left to right.

    Raises:
        ConfigError: an equation that cannot be read.
        ShapeError: operands that do not fit it.

    The order is found by `numpy.einsum_path` (Smith & Gray 2018, https://doi.org/10.21105/joss.00753), once per
    equation and shapes.
    """
    if optimize not in ("greedy", "optimal", True, False):
        raise ConfigError(f"einsum: expected optimize 'greedy', 'optimal' or False, got {optimize!r}")
    if not isinstance(subscripts, str):
        subscripts, operands = _from_lists((subscripts, *operands))
    if len(operands) == 2:
        simple = _simple(subscripts, tuple(operands[0].shape), tuple(operands[1].shape))
        if simple:
            return contract(*operands, equation=simple)
    terms, out = _parsed(subscripts, tuple(len(operand.shape) for operand in operands))
    lengths = _lengths(terms, [tuple(operand.shape) for operand in operands], subscripts)
    pairs = [_plain(x, labels, lengths) for x, labels in zip(operands, terms, strict=True)]
    counts = Counter(label for _, labels in pairs for label in labels)
    alone = {label for label, count in counts.items() if count == 1 and label not in out}
    pairs = [_summed(x, labels, alone & set(labels)) for x, labels in pairs]
    shapes = tuple(tuple(x.shape) for x, _ in pairs)
    for group in _order(tuple(labels for _, labels in pairs), out, shapes, optimize):
        chosen = [pairs.pop(position) for position in sorted(group, reverse=True)][::-1]
        x, labels = chosen[0]
        for position, (other, more) in enumerate(chosen[1:], 2):
            later = out + "".join(rest for _, rest in [*chosen[position:], *pairs])
            kept = "".join(label for label in dict.fromkeys(labels + more) if label in later)
            kept = "".join(label for label in out if label in kept) if set(kept) <= set(out) else kept
            x, labels = contract(x, other, equation=f"{labels},{more}->{kept}"), kept
        pairs.append((x, labels))
    ((result, labels),) = pairs
    return result if labels == out else transpose(result, axes=tuple(labels.index(label) for label in out))


@lru_cache(maxsize=4096)
def _simple(subscripts: str, a: tuple[int, ...], b: tuple[int, ...]) -> str:
    """The equation of one contraction, if that is all there is to do; else an empty string."""
    (left, right), out = _parsed(subscripts, (len(a), len(b)))
    equation = f"{left},{right}->{out}"
    try:
        _product(equation, a, b)
    except (ConfigError, ShapeError):  # a diagonal, a sum or a broadcast; or an error, which will be found again
        return ""
    return equation


def _from_lists(items: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Operands and lists of integers in turn, as an equation and operands."""

    def term(labels: Sequence[Any]) -> str:
        return "".join("..." if label is Ellipsis else _LETTERS[label] for label in labels)

    operands, lists = items[: len(items) // 2 * 2 : 2], items[1::2]
    out = f"->{term(items[-1])}" if len(items) % 2 else ""
    return ",".join(term(labels) for labels in lists) + out, tuple(operands)


@lru_cache(maxsize=1024)
def _parsed(subscripts: str, ranks: tuple[int, ...]) -> tuple[tuple[str, ...], str]:
    """The labels of each operand and of the result, with letters for the axes behind "..."."""
    text = subscripts.replace(" ", "").replace("...", ".")
    inputs, arrow, out = text.partition("->")
    terms = inputs.split(",")
    if len(terms) != len(ranks):
        raise ConfigError(f"einsum: {subscripts!r} has {len(terms)} terms for {len(ranks)} operands")
    wrong = set(text.replace("->", "", 1)) - set(_LETTERS + ".,")
    if wrong or "," in out or any(term.count(".") > 1 for term in [*terms, out]):
        raise ConfigError(
            f"einsum: cannot read {subscripts!r}: expected letters, commas, one '->' and '...' once per term"
        )
    unused = [letter for letter in _LETTERS if letter not in text]
    hidden = [rank - len(term) + 1 if "." in term else 0 for term, rank in zip(terms, ranks, strict=True)]
    for term, rank, missing in zip(terms, ranks, hidden, strict=True):
        if missing < 0 or ("." not in term and len(term) != rank):
            shown = term.replace(".", "...")
            raise ShapeError(f"einsum: the term {shown!r} of {subscripts!r} does not fit an operand with {rank} axes")
    common = "".join(unused[: max(hidden, default=0)])
    full = tuple(
        term.replace(".", common[len(common) - missing :]) for term, missing in zip(terms, hidden, strict=True)
    )
    if arrow:
        result = out.replace(".", common)
        if len(set(result)) != len(result) or not set(result) <= set("".join(full)):
            raise ConfigError(f"einsum: expected each label of the result once, and in an operand, got {subscripts!r}")
        return full, result
    counts = Counter("".join(terms).replace(".", ""))
    return full, common + "".join(sorted(label for label, count in counts.items() if count == 1))


def _lengths(terms: Sequence[str], shapes: Sequence[tuple[int, ...]], subscripts: str) -> dict[str, int]:
    """The length of each label's axes; those of length 1 broadcast."""
    lengths: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for label, length in zip(term, shape, strict=True):
            known = lengths.get(label, 1)
            if 1 not in (known, length) and known != length:
                given = ", ".join(map(str, shapes))
                raise ShapeError(
                    f"einsum: label {label!r} of {subscripts!r} is both {known} and {length} long, got {given}"
                )
            lengths[label] = length if known == 1 else known
    return lengths


def _plain(x: Any, labels: str, lengths: dict[str, int]) -> tuple[Any, str]:
    """An operand without repeated labels (diagonals are taken) and without axes that broadcast."""
    while len(set(labels)) < len(labels):
        label = next(label for label, count in Counter(labels).items() if count > 1)
        first, second = labels.index(label), labels.rindex(label)
        if x.shape[first] != x.shape[second]:
            raise ShapeError(f"einsum: the diagonal of axes {x.shape[first]} and {x.shape[second]} long was asked for")
        x = diagonal(x, axis1=first, axis2=second)
        labels = labels[:first] + labels[first + 1 : second] + labels[second + 1 :] + label
    kept = "".join(label for label, length in zip(labels, x.shape, strict=True) if length == lengths[label])
    return (x, labels) if kept == labels else (reshape(x, shape=tuple(lengths[label] for label in kept)), kept)


def _summed(x: Any, labels: str, gone: set[str]) -> tuple[Any, str]:
    """An operand summed over the axes that nothing else has."""
    if not gone:
        return x, labels
    total = sum_op(x, axis=tuple(labels.index(label) for label in gone))
    total = total if total.dtype == x.dtype else astype(total, dtype=x.dtype.name)
    return total, "".join(label for label in labels if label not in gone)


@lru_cache(maxsize=1024)
def _order(
    terms: tuple[str, ...], out: str, shapes: tuple[tuple[int, ...], ...], optimize: str | bool
) -> tuple[tuple[int, ...], ...]:
    """Which operands are contracted in each step; the result of a step goes to the end of the list."""
    if len(terms) <= 2 or optimize is False:
        return (tuple(range(len(terms))),)
    likes = [np.broadcast_to(np.zeros(()), shape) for shape in shapes]
    how = "greedy" if optimize is True else optimize
    path, _ = np.einsum_path(f"{','.join(terms)}->{out}", *likes, optimize=(how, 2**62))
    return tuple(tuple(step) for step in path[1:])

"""Linear algebra and einsum against PyTorch and NumPy, laws of decompositions, and where they degenerate."""

from __future__ import annotations

import string
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import (
    ConfigError,
    DataError,
    ShapeError,
    Tensor,
    grad,
    jvp,
    ops,
    per_sample_gradients,
    vmap,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
INF = float("inf")


def draw(*shape: int, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    return (values + 1j * rng.standard_normal(shape)).astype(dtype) if dtype.startswith("c") else values.astype(dtype)


def definite(*shape: int, dtype: str = "float64") -> np.ndarray:
    """Hermitian matrices with eigenvalues above 1."""
    x = draw(*shape, dtype=dtype)
    return x @ np.conj(x.swapaxes(-1, -2)) + np.eye(shape[-1])


def weighted(values, weights) -> Tensor:
    """The real inner product of tensors with arrays of weights."""
    total = Tensor(np.float64(0))
    for value, weight in zip(values, weights, strict=True):
        product = value * Tensor(np.conj(weight))
        total = total + (ops.real(product) if product.dtype.kind == "c" else product).sum()
    return total


def as_tuple(result) -> tuple:
    return tuple(result) if isinstance(result, tuple | list) else (result,)


def check_equal(ours, theirs, *arrays: np.ndarray, rtol: float = 1e-9, gradients: bool = True) -> None:
    """Values, and the gradients of <weights, values> by every input, in double precision. PyTorch's gradients of
    complex tensors have the same meaning as ours.
    """
    leaves = [Tensor(array, requires_grad=True) for array in arrays]
    references = [torch.tensor(array, requires_grad=True) for array in arrays]
    results, expected = as_tuple(ours(*leaves)), as_tuple(theirs(*references))
    assert len(results) == len(expected)
    for result, reference in zip(results, expected, strict=True):
        assert result.shape == tuple(reference.shape)
        np.testing.assert_allclose(result.data, reference.detach().resolve_conj().numpy(), rtol=rtol, atol=1e-10)
    if not gradients:
        return
    weights = [draw(*r.shape, seed=7, dtype="complex128" if r.dtype.kind == "c" else "float64") for r in results]
    loss = sum(
        (torch.real(e * torch.tensor(np.conj(w))) if e.is_complex() else e * torch.tensor(w)).sum()
        for e, w in zip(expected, weights, strict=True)
    )
    loss.backward()
    for gradient, reference in zip(grad(weighted(results, weights), leaves), references, strict=True):
        np.testing.assert_allclose(gradient.data, reference.grad.resolve_conj().numpy(), rtol=rtol, atol=1e-9)


def symmetric(x):
    """The Hermitian part, for tensors of both libraries: PyTorch reads one triangle only."""
    if isinstance(x, torch.Tensor):
        return (x + x.mH) / 2
    return (x + ops.swap_last(ops.conjugate(x))) / 2.0


DTYPES = pytest.mark.parametrize("dtype", ["float64", "complex128"])
LA = torch.linalg


# --- products ---


@DTYPES
@pytest.mark.parametrize(
    ("a", "b"),
    [((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((5, 3, 4), (4,)), ((4,), (5, 4, 2)), ((2, 1, 3, 4), (5, 4, 2))],
    ids=str,
)
def test_matmul_takes_vectors_on_either_side(a, b, dtype):
    a, b = draw(*a, dtype=dtype), draw(*b, seed=1, dtype=dtype)
    check_equal(ops.matmul, torch.matmul, a, b)
    np.testing.assert_allclose((Tensor(a) @ Tensor(b)).data, a @ b)


@DTYPES
@pytest.mark.parametrize(
    ("ours", "theirs", "shapes"),
    [
        pytest.param(ops.vecdot, LA.vecdot, [(3, 4), (3, 4)], id="vecdot"),
        pytest.param(ops.vecdot, LA.vecdot, [(2, 1, 4), (3, 4)], id="vecdot-broadcast"),
        pytest.param(
            lambda a, b: ops.vecdot(a, b, axis=-2),
            lambda a, b: LA.vecdot(a, b, dim=-2),
            [(3, 4), (2, 3, 4)],
            id="vecdot-axis",
        ),
        pytest.param(ops.outer, torch.outer, [(3,), (4,)], id="outer"),
        pytest.param(ops.cross, LA.cross, [(2, 3), (2, 3)], id="cross"),
        pytest.param(
            lambda a, b: ops.cross(a, b, axis=0), lambda a, b: LA.cross(a, b, dim=0), [(3, 2), (3, 2)], id="cross-axis"
        ),
        pytest.param(ops.cross, lambda a, b: LA.cross(a, b[None]), [(4, 1, 3), (2, 3)], id="cross-broadcast"),
        pytest.param(ops.tensordot, torch.tensordot, [(2, 3, 4), (3, 4, 5)], id="tensordot"),
        pytest.param(
            lambda a, b: ops.tensordot(a, b, axes=0),
            lambda a, b: torch.tensordot(a, b, 0),
            [(2, 3), (4,)],
            id="tensordot-0",
        ),
        pytest.param(
            lambda a, b: ops.tensordot(a, b, axes=([0, 2], [1, -1])),
            lambda a, b: torch.tensordot(a, b, ([0, 2], [1, 2])),
            [(2, 3, 4), (5, 2, 4)],
            id="tensordot-axes",
        ),
    ],
)
def test_products_are_torchs(ours, theirs, shapes, dtype):
    check_equal(ours, theirs, *(draw(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)))


@pytest.mark.parametrize("function", [ops.vecdot, ops.matmul, lambda a, b: ops.tensordot(a, b, axes=1)])
def test_products_of_integers_stay_integers(function):
    a = Tensor(np.array([1, 2, 3], np.int8))
    result = function(a, a)
    assert (result.dtype, result.item()) == (np.int8, 14)


# --- einsum ---


EQUATIONS = [
    ("ij,jk->ik", [(2, 3), (3, 4)]),
    ("ij,jk", [(2, 3), (3, 4)]),
    ("ba,cb", [(2, 3), (4, 2)]),
    ("ii", [(3, 3)]),
    ("ii->i", [(3, 3)]),
    ("iij->j", [(3, 3, 2)]),
    ("iji->j", [(3, 2, 3)]),
    ("iiii->i", [(2, 2, 2, 2)]),
    ("ij->ji", [(2, 3)]),
    ("ij->", [(2, 3)]),
    ("ij->j", [(2, 3)]),
    ("i,j->ij", [(2,), (3,)]),
    ("i,i", [(3,), (3,)]),
    ("i->i", [(3,)]),
    (",ij->ij", [(), (2, 3)]),
    ("bij,bjk->bik", [(4, 2, 3), (4, 3, 5)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 3, 4), (2, 2, 5, 4)]),
    ("ij,kj->", [(2, 3), (4, 3)]),
    ("ij,k->i", [(2, 3), (4,)]),
    ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]),
    ("i,i,i->i", [(3,), (3,), (3,)]),
    ("ij,ij,jk,k->i", [(2, 3), (2, 3), (3, 4), (4,)]),
    ("abc,bd,ce,de->a", [(2, 3, 4), (3, 5), (4, 2), (5, 2)]),
    ("ii,ij,jj->i", [(3, 3), (3, 2), (2, 2)]),
    ("...ij,...jk->...ik", [(5, 1, 2, 3), (4, 3, 2)]),
    ("i...,i...->...", [(3, 2, 4), (3, 2, 4)]),
    ("...i,...i", [(2, 3), (2, 3)]),
    ("...ii->...i", [(2, 3, 3)]),
    ("...->...", [(2, 3)]),
    ("i...j->j...i", [(2, 3, 4)]),
    ("ij, jk -> ik", [(2, 3), (3, 4)]),
    ("ij,jk->ik", [(2, 0), (0, 4)]),
    ("ij,jk->ik", [(0, 3), (3, 4)]),
]


@DTYPES
@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS, ids=[f"{e} {s}" for e, s in EQUATIONS])
def test_einsum_is_torchs(equation, shapes, dtype):
    arrays = [draw(*shape, seed=i, dtype=dtype) for i, shape in enumerate(shapes)]
    check_equal(lambda *x: ops.einsum(equation, *x), lambda *x: torch.einsum(equation.replace(" ", ""), *x), *arrays)


def test_axes_of_length_1_broadcast():
    """NumPy broadcasts any label; the gradient of the short axis is summed."""
    a, b = draw(3, 1), draw(4, 2, seed=1)
    check_equal(
        lambda a, b: ops.einsum("ij,jk->ik", a, b),
        lambda a, b: torch.einsum("ij,jk->ik", a.expand(3, 4), b),
        a,
        b,
    )


@st.composite
def equations(draw_):
    """A random equation over up to four operands, with lengths for its labels."""
    labels = string.ascii_lowercase[: draw_(st.integers(1, 5))]
    lengths = {label: draw_(st.integers(1, 3)) for label in labels}
    terms = draw_(st.lists(st.text(labels, min_size=0, max_size=3), min_size=1, max_size=4))
    present = sorted(set("".join(terms)))
    out = "".join(draw_(st.permutations(draw_(st.lists(st.sampled_from(present), unique=True))))) if present else ""
    implicit = draw_(st.booleans())
    return ",".join(terms) + ("" if implicit else f"->{out}"), [[lengths[label] for label in term] for term in terms]


@settings(deadline=None, max_examples=150)
@given(equations(), st.sampled_from(["greedy", "optimal", False]))
def test_any_equation_is_numpys(drawn, optimize):
    equation, shapes = drawn
    arrays = [draw(*shape, seed=i) for i, shape in enumerate(shapes)]
    result = ops.einsum(equation, *map(Tensor, arrays), optimize=optimize)
    expected = np.einsum(equation, *arrays)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.data, expected, rtol=1e-10, atol=1e-12)


def test_einsum_takes_lists_of_integers():
    a, b = draw(2, 3), draw(3, 4, seed=1)
    for arguments in (
        (a, [0, 1], b, [1, 2], [0, 2]),
        (a, [0, 1], b, [1, 2]),
        (a, [Ellipsis, 1], b, [1, 2], [Ellipsis, 2]),
    ):
        tensors = [Tensor(item) if isinstance(item, np.ndarray) else item for item in arguments]
        np.testing.assert_allclose(ops.einsum(*tensors).data, np.einsum(*arguments))


def test_a_chain_is_contracted_in_a_cheap_order(monkeypatch):
    """Left to right would make a 1000 x 1000 matrix; in the good order there is none."""
    row, column = Tensor(draw(1, 1000)), Tensor(draw(1000, 1))
    place = sys.modules["nasturtium.core.ops.einsum"]  # the function hides the module
    original, sizes = place.contract, []

    def watched(*args, **kwargs):
        result = original(*args, **kwargs)
        sizes.append(result.size)
        return result

    monkeypatch.setattr(place, "contract", watched)
    ops.einsum("ab,bc,cd->ad", column, row, column)
    assert max(sizes) <= 1000


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int32", "bool"])
def test_einsum_keeps_the_dtype(dtype):
    x = Tensor(np.ones((2, 3))).astype(dtype)
    assert ops.einsum("ij,kj->ik", x, x).dtype == x.dtype
    assert ops.einsum("ij->i", x).dtype == x.dtype


def test_einsum_inside_transformations():
    a, b = draw(4, 2, 3), draw(3, 2, seed=1)

    def function(a):
        return ops.einsum("ij,jk,kl->il", a, Tensor(b), a)

    expected = np.einsum("nij,jk,nkl->nil", a, b, a)
    np.testing.assert_allclose(vmap(function)(Tensor(a)).data, expected)
    _, tangent = jvp(function, [Tensor(a[0])], [Tensor(a[1])])
    wanted = np.einsum("ij,jk,kl->il", a[1], b, a[0]) + np.einsum("ij,jk,kl->il", a[0], b, a[1])
    np.testing.assert_allclose(tangent.data, wanted)


def test_per_sample_gradients_through_einsum_are_a_loop():
    x, w = draw(5, 3, 4), Tensor(draw(4, 2, seed=1), requires_grad=True)

    def losses(x):
        y = ops.einsum("nti,io->nto", x, w)
        return (y * y).sum((1, 2))

    _, (gradients,) = per_sample_gradients(losses, [w], Tensor(x))
    alone = [grad(losses(Tensor(row[None])).sum(), [w])[0].data for row in x]
    np.testing.assert_allclose(gradients.data, alone, rtol=1e-12)


@pytest.mark.parametrize(
    ("equation", "shapes", "error", "match"),
    [
        pytest.param("ij,jk", [(2, 3)], ConfigError, "2 terms for 1 operands", id="too-few"),
        pytest.param("ij", [(2, 3), (2, 3)], ConfigError, "1 terms for 2 operands", id="too-many"),
        pytest.param("ijk", [(2, 3)], ShapeError, "'ijk' of 'ijk' does not fit an operand with 2 axes", id="rank"),
        pytest.param("...ijk", [(2, 3)], ShapeError, r"'\.\.\.ijk' .* does not fit", id="rank-of-ellipsis"),
        pytest.param("ij,jk", [(2, 3), (4, 5)], ShapeError, "label 'j' of 'ij,jk' is both 3 and 4 long", id="lengths"),
        pytest.param("ij->k", [(2, 3)], ConfigError, "each label of the result once, and in an operand", id="unknown"),
        pytest.param("ij->ii", [(2, 3)], ConfigError, "each label of the result once", id="repeated"),
        pytest.param("i1->i", [(2, 3)], ConfigError, "cannot read 'i1->i'", id="digit"),
        pytest.param("i......j", [(2, 3)], ConfigError, "cannot read", id="two-ellipses"),
        pytest.param("ii", [(2, 3)], ShapeError, "label 'i' of 'ii' is both 2 and 3 long", id="diagonal"),
    ],
)
def test_equations_that_do_not_fit_are_refused(equation, shapes, error, match):
    with pytest.raises(error, match=match):
        ops.einsum(equation, *(Tensor(np.zeros(shape)) for shape in shapes))


# --- systems, inverses, determinants ---


@DTYPES
@pytest.mark.parametrize("stack", [(), (2,), (2, 3)], ids=str)
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(ops.inv, LA.inv, id="inv"),
        pytest.param(ops.det, LA.det, id="det"),
        pytest.param(ops.slogdet, lambda x: tuple(LA.slogdet(x)), id="slogdet"),
        pytest.param(lambda x: ops.matrix_power(x, 5), lambda x: LA.matrix_power(x, 5), id="power"),
        pytest.param(lambda x: ops.matrix_power(x, -2), lambda x: LA.matrix_power(x, -2), id="negative-power"),
        pytest.param(lambda x: ops.matrix_power(x, 1), lambda x: LA.matrix_power(x, 1), id="first-power"),
        pytest.param(ops.pinv, LA.pinv, id="pinv"),
        pytest.param(ops.svdvals, LA.svdvals, id="svdvals"),
        pytest.param(ops.trace, lambda x: x.diagonal(dim1=-2, dim2=-1).sum(-1), id="trace"),
        pytest.param(
            lambda x: ops.cholesky(symmetric(x @ ops.swap_last(ops.conjugate(x)))),
            lambda x: LA.cholesky(x @ x.mH),
            id="cholesky",
        ),
        pytest.param(
            lambda x: ops.cholesky(symmetric(x @ ops.swap_last(ops.conjugate(x))), upper=True),
            lambda x: LA.cholesky(x @ x.mH, upper=True),
            id="cholesky-upper",
        ),
        pytest.param(lambda x: ops.eigvalsh(symmetric(x)), lambda x: LA.eigvalsh(symmetric(x)), id="eigvalsh"),
        pytest.param(ops.qr, lambda x: tuple(LA.qr(x)), id="qr"),
    ],
)
def test_functions_of_square_matrices_are_torchs(ours, theirs, stack, dtype):
    x = 0.5 * draw(*stack, 3, 3, dtype=dtype) + 2.0 * np.eye(3)
    check_equal(ours, theirs, x)


@DTYPES
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 3), (3,)), ((2, 3, 3), (3,)), ((2, 3, 3), (2, 3, 2)), ((3, 3), (4, 3, 2)), ((2, 3, 3), (3, 2))],
    ids=str,
)
def test_solve_takes_vectors_matrices_and_stacks(a, b, dtype):
    """A right side with one axis is one vector for all matrices, as in the array API; PyTorch sees a stack there."""
    a, b = draw(*a, dtype=dtype) + 3.0 * np.eye(3), draw(*b, seed=1, dtype=dtype)

    def theirs(a, b):
        return LA.solve(a, b.expand(*a.shape[:-2], *b.shape) if b.ndim == 1 and a.ndim > 2 else b)

    check_equal(ops.solve, theirs, a, b)


@DTYPES
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 5, 3)], ids=str)
def test_pinv_and_its_gradient_are_torchs(shape, dtype):
    check_equal(ops.pinv, LA.pinv, draw(*shape, dtype=dtype))


def test_pinv_of_a_deficient_matrix_leaves_out_small_singular_values():
    x = draw(4, 2) @ draw(2, 5, seed=1)
    np.testing.assert_allclose(ops.pinv(Tensor(x)).data, np.linalg.pinv(x), atol=1e-12)
    assert ops.matrix_rank(Tensor(x)).item() == 2
    assert ops.matrix_rank(Tensor(np.stack([x, np.zeros_like(x)]))).tolist() == [2, 0]
    assert ops.matrix_rank(Tensor(np.diag([1.0, 0.1, 0.01])), rtol=0.05).item() == 2
    each = ops.pinv(Tensor(np.stack([np.diag([1.0, 0.1])] * 2)), rtol=Tensor(np.array([0.01, 0.5])))
    np.testing.assert_allclose(each.data, [np.diag([1.0, 10.0]), np.diag([1.0, 0.0])])


@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (2, 6, 3)], ids=str)
def test_lstsq_is_torchs(shape):
    a, b = draw(*shape), draw(*shape[:-1], 2, seed=1)
    check_equal(ops.lstsq, lambda a, b: LA.lstsq(a, b, driver="gelsd").solution, a, b, gradients=shape[-2] >= shape[-1])
    np.testing.assert_allclose(
        ops.lstsq(Tensor(a[..., :3, :3]), Tensor(np.ones(3))).data,
        np.linalg.solve(a[..., :3, :3], np.ones((*a.shape[:-2], 3, 1)))[..., 0],
        rtol=1e-8,
    )


def test_the_gradient_of_the_determinant_of_a_singular_matrix():
    """det(x) x^-T does not exist; the matrix of cofactors does."""
    x = Tensor(np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]]), requires_grad=True)
    (gradient,) = grad(ops.det(x), [x])
    np.testing.assert_allclose(gradient.data, [[4.0, 4.0, -4.0], [-2.0, -2.0, 2.0], [0.0, 0.0, 0.0]], atol=1e-12)


def test_powers_keep_the_dtype_and_the_zeroth_is_the_identity():
    x = Tensor(np.array([[[1, 1], [0, 1]]]))
    assert ops.matrix_power(x, 0).tolist() == [[[1, 0], [0, 1]]]
    assert ops.matrix_power(x, 10).tolist() == [[[1, 10], [0, 1]]]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda: ops.inv(Tensor(np.ones((2, 2)))), "inv: the matrix is singular.*hint: use pinv", id="inv"),
        pytest.param(
            lambda: ops.solve(Tensor(np.ones((2, 2))), Tensor(np.ones(2))), "solve: the matrix is sing", id="solve"
        ),
        pytest.param(
            lambda: ops.cholesky(Tensor(-np.eye(2))), "cholesky: matrix is not positive definite", id="cholesky"
        ),
        pytest.param(lambda: ops.svd(Tensor(np.full((2, 2), np.nan))), "svd: svd did not converge", id="svd"),
        pytest.param(lambda: ops.eigvals(Tensor(np.full((2, 2), np.nan))), "eigvals: .*infs or nans", id="eigvals"),
        pytest.param(lambda: ops.pinv(Tensor(np.full((2, 2), np.nan))), "pinv: svd did not converge", id="pinv"),
    ],
)
def test_a_matrix_that_has_none_is_an_error_of_the_data(call, match):
    with pytest.raises(DataError, match=match):
        call()


# --- decompositions ---


@DTYPES
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4), (2, 4, 3), (0, 3), (3, 0)], ids=str)
def test_qr_and_its_gradient_are_torchs(shape, dtype):
    x = draw(*shape, dtype=dtype)
    if 0 in shape:
        q, r = ops.qr(Tensor(x))
        assert (q.shape, r.shape) == ((shape[0], 0), (0, shape[1]))
        return
    check_equal(ops.qr, lambda x: tuple(LA.qr(x)), x)


@DTYPES
@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3), (2, 5, 3)], ids=str)
def test_complete_factors_are_bases(shape, dtype):
    x = draw(*shape, dtype=dtype)
    q, r = (part.data for part in ops.qr(Tensor(x), mode="complete"))
    u, s, vh = (part.data for part in ops.svd(Tensor(x)))
    for basis in (q, u, vh):
        np.testing.assert_allclose(
            basis @ np.conj(basis.swapaxes(-1, -2)), np.broadcast_to(np.eye(basis.shape[-1]), basis.shape), atol=1e-12
        )
    np.testing.assert_allclose(q @ r, x, atol=1e-12)
    k = s.shape[-1]
    np.testing.assert_allclose((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, atol=1e-12)


def invariant_of_svd(library):
    """Of singular vectors what does not depend on their phases."""

    def function(x):
        u, s, vh = (ops.svd if library is ops else LA.svd)(x, full_matrices=False)
        absolute = library.absolute if library is ops else torch.abs
        return absolute(u), s, absolute(vh), (u * s[..., None, :] ** 2) @ vh

    return function


@DTYPES
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4), (2, 4, 3)], ids=str)
def test_the_gradient_of_svd_is_torchs(shape, dtype):
    check_equal(invariant_of_svd(ops), invariant_of_svd(torch), draw(*shape, dtype=dtype), rtol=1e-7)


@DTYPES
@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4)], ids=str)
def test_the_gradient_of_eigh_is_torchs(shape, dtype):
    def ours(x):
        values, vectors = ops.eigh(symmetric(x))
        return (
            values,
            ops.absolute(vectors),
            (vectors * values[..., None, :] ** 3) @ ops.swap_last(ops.conjugate(vectors)),
        )

    def theirs(x):
        values, vectors = LA.eigh(symmetric(x))
        return values, vectors.abs(), (vectors * values[..., None, :] ** 3) @ vectors.mH

    check_equal(ours, theirs, draw(*shape, dtype=dtype), rtol=1e-7)


@DTYPES
def test_the_gradient_of_eig_is_torchs(dtype):
    """Values in the order of LAPACK, which both use; of the vectors what does not depend on phases."""

    def ours(x):
        values, vectors = ops.eig(x)
        return values, ops.eigvals(x), ops.absolute(vectors)

    def theirs(x):
        values, vectors = LA.eig(x)
        return values, LA.eigvals(x), vectors.abs()

    check_equal(ours, theirs, draw(2, 4, 4, dtype=dtype), rtol=1e-7)


def test_eigenvalues_of_a_real_matrix_are_complex_in_its_precision():
    for dtype, expected in (("float32", "complex64"), ("float64", "complex128"), ("int64", "complex64")):
        values, vectors = ops.eig(Tensor(np.diag([1, 2]).astype(dtype)))
        assert (values.dtype, vectors.dtype) == (np.dtype(expected), np.dtype(expected))
        assert ops.eigvals(Tensor(np.diag([1, 2]).astype(dtype))).dtype == np.dtype(expected)


@DTYPES
@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 5))
def test_decompositions_are_inverses_of_products(dtype, seed, n):
    x = draw(n, n, seed=seed, dtype=dtype)
    hermitian = x + np.conj(x.T)
    values, vectors = (part.data for part in ops.eigh(Tensor(hermitian)))
    np.testing.assert_allclose((vectors * values) @ np.conj(vectors.T), hermitian, atol=1e-10)
    np.testing.assert_allclose(ops.eigvalsh(Tensor(hermitian)).data, values, atol=1e-10)
    lower = ops.cholesky(Tensor(x @ np.conj(x.T) + np.eye(n))).data
    np.testing.assert_allclose(lower @ np.conj(lower.T), x @ np.conj(x.T) + np.eye(n), atol=1e-9)
    values, vectors = (part.data for part in ops.eig(Tensor(x)))
    np.testing.assert_allclose(x @ vectors, vectors * values, atol=1e-8)
    np.testing.assert_allclose(np.prod(values), ops.det(Tensor(x)).data, rtol=1e-7, atol=1e-7)


def test_values_that_repeat_have_gradients():
    """Of the values themselves, and of what does not depend on the choice of vectors."""
    x = Tensor(np.eye(3), requires_grad=True)
    np.testing.assert_allclose(grad(ops.eigvalsh(x).sum(), [x])[0].data, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(grad(ops.svdvals(x).sum(), [x])[0].data, np.eye(3), atol=1e-15)

    def rebuilt(x):
        values, vectors = ops.eigh(x)
        return (vectors * values[None, :]) @ ops.swap_last(vectors)

    weights = draw(3, 3)
    (gradient,) = grad((rebuilt(x) * Tensor(weights)).sum(), [x])
    np.testing.assert_allclose(np.diag(gradient.data), np.diag(weights), atol=1e-12)


def test_second_derivatives_of_a_loss_through_several_decompositions():
    """log det by Cholesky: the Hessian is -x^-1 (.) x^-1."""
    x, v = definite(3, 3), draw(3, 3, seed=1)
    v = v + v.T

    def logdet(x):
        return 2.0 * ops.log(ops.diagonal(ops.cholesky(x))).sum()

    _, product = jvp(grad(logdet), [Tensor(x)], [Tensor(v)])
    inverse = np.linalg.inv(x)
    np.testing.assert_allclose(product.data, -inverse @ v @ inverse, rtol=1e-9)


# --- norms ---


@DTYPES
@pytest.mark.parametrize("order", [2, 1, 3, 0.5, INF, -INF, 0, -1, -2], ids=str)
@pytest.mark.parametrize("axis", [None, 0, (0, 2)], ids=str)
@pytest.mark.parametrize("keepdims", [False, True], ids=["", "keepdims"])
def test_vector_norms_are_torchs(order, axis, keepdims, dtype):
    check_equal(
        lambda x: ops.vector_norm(x, ord=order, axis=axis, keepdims=keepdims),
        lambda x: LA.vector_norm(x, order, dim=axis, keepdim=keepdims),
        draw(2, 3, 4, dtype=dtype),
        gradients=order != 0,
    )


@DTYPES
@pytest.mark.parametrize("order", ["fro", "nuc", 2, -2, 1, -1, INF, -INF], ids=str)
@pytest.mark.parametrize("keepdims", [False, True], ids=["", "keepdims"])
def test_matrix_norms_are_torchs(order, keepdims, dtype):
    check_equal(
        lambda x: ops.matrix_norm(x, ord=order, keepdims=keepdims),
        lambda x: LA.matrix_norm(x, order, keepdim=keepdims),
        draw(2, 3, 4, dtype=dtype),
    )


@pytest.mark.parametrize("order", [2, 3])
def test_the_norm_of_zeros_has_the_gradient_zero(order):
    x = Tensor(np.zeros((2, 3)), requires_grad=True)
    norms = ops.vector_norm(x, axis=1, ord=order)
    np.testing.assert_array_equal(norms.data, [0.0, 0.0])
    np.testing.assert_array_equal(grad(norms.sum(), [x])[0].data, np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(lambda x: ops.outer(x, x), ShapeError, r"outer: expected two vectors, got \(2, 3\)", id="outer"),
        pytest.param(lambda x: ops.cross(x, x, axis=0), ShapeError, "cross: expected 3 components", id="cross"),
        pytest.param(
            lambda x: ops.vecdot(x, x[:, :2]), ShapeError, "vecdot: expected vectors of one length", id="vecdot"
        ),
        pytest.param(lambda x: ops.tensordot(x, x, axes=3), ShapeError, "expected 0 <= axes <= 2", id="tensordot"),
        pytest.param(lambda x: ops.tensordot(x, x, axes=([0], [1])), ShapeError, "do not fit each other", id="axes"),
        pytest.param(lambda x: ops.matmul(x, x.sum()), ShapeError, "matmul: expected at least one axis", id="matmul"),
        pytest.param(lambda x: ops.matrix_power(x, 2), ShapeError, "matrix_power: expected square", id="power"),
        pytest.param(
            lambda x: ops.matrix_norm(x, ord=3), ConfigError, "matrix_norm: expected 'fro', .*got 3", id="norm"
        ),
        pytest.param(lambda x: ops.matrix_norm(x[0]), ShapeError, "at least two axes", id="norm-of-vector"),
        pytest.param(
            lambda x: ops.qr(x, mode="raw"), ConfigError, "the mode 'reduced' or 'complete', got 'raw'", id="qr"
        ),
        pytest.param(lambda x: ops.einsum("ij", x, optimize="best"), ConfigError, "got 'best'", id="optimize"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call(Tensor(np.zeros((2, 3))))


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: ops.einsum("...ij,...jk,ik->i", x, x, x), id="einsum"),
        pytest.param(lambda x: ops.einsum("iij->j", ops.stack([x, x, x])), id="einsum-diagonal"),
        pytest.param(lambda x: ops.tensordot(x, x, axes=1), id="tensordot"),
        pytest.param(lambda x: ops.cross(x, x + 1.0), id="cross"),
        pytest.param(lambda x: ops.matrix_power(x, 0) + ops.matrix_power(x, -3), id="power"),
        pytest.param(lambda x: ops.vector_norm(x, axis=0, ord=3), id="vector-norm"),
        pytest.param(lambda x: ops.matrix_norm(x, ord="nuc"), id="nuclear-norm"),
        pytest.param(lambda x: ops.lstsq(x, x[0]), id="lstsq"),
        pytest.param(lambda x: ops.solve(x, x[0]), id="solve"),
        pytest.param(lambda x: ops.matrix_rank(x), id="rank"),
        pytest.param(lambda x: ops.absolute(ops.qr(x[:, :2], mode="complete")[0][:, :2]), id="qr-complete"),
        pytest.param(lambda x: ops.svd(x[:2])[1], id="svd-full"),
        pytest.param(lambda x: ops.trace(x, offset=1), id="trace"),
        pytest.param(lambda x: ops.irfft(ops.rfft(x, n=5), n=7), id="rfft"),
        pytest.param(lambda x: ops.real(ops.ifftn(ops.fftn(x, s=(4, 2)))), id="fftn"),
        pytest.param(lambda x: ops.hfft(ops.ihfft(x)), id="hfft"),
    ],
)
def test_compositions_agree_on_the_stand_in_for_a_gpu(function, strict_cupy):
    """Nothing leaves the device on the way, and the gradients agree too."""
    array = 0.4 * draw(3, 3) + 2.0 * np.eye(3)
    here, there = Tensor(array, requires_grad=True), Tensor(strict_cupy.asarray(array), requires_grad=True)
    expected, result = function(here), function(there)
    assert (str(result.device), result.dtype) == ("cuda:0", expected.dtype)
    np.testing.assert_allclose(strict_cupy.asnumpy(result.data), expected.data, rtol=1e-12, atol=1e-13)
    if expected.requires_grad:
        (wanted,), (found,) = grad((expected * expected).sum(), [here]), grad((result * result).sum(), [there])
        np.testing.assert_allclose(strict_cupy.asnumpy(found.data), wanted.data, rtol=1e-10, atol=1e-12)

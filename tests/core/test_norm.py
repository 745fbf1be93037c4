"""Normalisation: functions against PyTorch, running statistics, and which of them keep samples apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import GradientError, ShapeError, Tensor, grad, jvp, nn, ops, per_sample_gradients, vmap

from .torch_parity import DTYPES, agree, assert_close, draw, torch

F = torch.nn.functional
SEEDS = st.integers(0, 2**32 - 1)
SPATIAL = st.lists(st.integers(1, 4), max_size=3).map(tuple)

each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@each_dtype
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(2, 5), channels=st.integers(1, 4), spatial=SPATIAL, affine=st.booleans(), seed=SEEDS)
def test_batch_norm_by_the_batch(rows, channels, spatial, affine, seed, dtype):
    arrays = draw(seed, (rows, channels, *spatial), *[(channels,)] * (2 * affine))
    agree(
        lambda x, *wb: ops.batch_norm(x, *wb, epsilon=1e-2),
        lambda x, *wb: F.batch_norm(x, None, None, *wb, training=True, eps=1e-2),
        arrays,
        dtype=dtype,
    )


@each_dtype
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 5), channels=st.integers(1, 4), spatial=SPATIAL, seed=SEEDS)
def test_batch_norm_by_given_statistics(rows, channels, spatial, seed, dtype):
    x, weight, bias, mean, variance = draw(seed, (rows, channels, *spatial), *[(channels,)] * 4)
    m, v = mean.astype(dtype), (np.abs(variance) + 0.1).astype(dtype)
    agree(
        lambda x, w, b: ops.batch_norm(x, w, b, statistics=(Tensor(m), Tensor(v))),
        lambda x, w, b: F.batch_norm(x, torch.tensor(m), torch.tensor(v), w, b),
        [x, weight, bias],
        dtype=dtype,
    )


@each_dtype
@settings(max_examples=10, deadline=None)
@given(
    lead=st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple),
    inner=st.lists(st.integers(1, 5), min_size=1, max_size=2).map(tuple),
    affine=st.booleans(),
    seed=SEEDS,
)
def test_layer_norm(lead, inner, affine, seed, dtype):
    agree(
        lambda x, *wb: ops.layer_norm(x, *wb, axes=len(inner), epsilon=1e-2),
        lambda x, *wb: F.layer_norm(x, inner, *wb, eps=1e-2),
        draw(seed, (*lead, *inner), *[inner] * (2 * affine)),
        dtype=dtype,
    )


@each_dtype
@settings(max_examples=10, deadline=None)
@given(
    lead=st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple),
    inner=st.lists(st.integers(1, 5), min_size=1, max_size=2).map(tuple),
    affine=st.booleans(),
    seed=SEEDS,
)
def test_rms_norm(lead, inner, affine, seed, dtype):
    agree(
        lambda x, *w: ops.rms_norm(x, *w, axes=len(inner), epsilon=1e-2),
        lambda x, *w: F.rms_norm(x, inner, *w, eps=1e-2),
        draw(seed, (*lead, *inner), *[inner] * affine),
        dtype=dtype,
    )


@each_dtype
@settings(max_examples=10, deadline=None)
@given(
    rows=st.integers(1, 3),
    groups=st.integers(1, 3),
    size=st.integers(1, 3),
    spatial=SPATIAL,
    affine=st.booleans(),
    seed=SEEDS,
)
def test_group_norm(rows, groups, size, spatial, affine, seed, dtype):
    channels = groups * size
    if size * int(np.prod(spatial, dtype=int)) == 1:
        spatial = (2, *spatial[1:])  # PyTorch refuses to normalise one element
    agree(
        lambda x, *wb: ops.group_norm(x, groups, *wb, epsilon=1e-2),
        lambda x, *wb: F.group_norm(x, groups, *wb, eps=1e-2),
        draw(seed, (rows, channels, *spatial), *[(channels,)] * (2 * affine)),
        dtype=dtype,
    )


@each_dtype
@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 3), channels=st.integers(1, 3), affine=st.booleans(), seed=SEEDS, data=st.data())
def test_instance_norm(rows, channels, affine, seed, data, dtype):
    spatial = data.draw(st.lists(st.integers(2, 4), min_size=1, max_size=3).map(tuple))
    arrays = draw(seed, (rows, channels, *spatial), *[(channels,)] * (2 * affine))
    agree(
        lambda x, *wb: ops.instance_norm(x, *wb, epsilon=1e-2),
        lambda x, w=None, b=None: F.instance_norm(x, weight=w, bias=b, eps=1e-2),
        arrays,
        dtype=dtype,
    )


@each_dtype
@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 3), channels=st.integers(1, 6), size=st.integers(1, 5), seed=SEEDS, data=st.data())
def test_local_response_norm(rows, channels, size, seed, data, dtype):
    spatial = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple))
    options = {"alpha": 0.5, "beta": 0.6, "k": 2.0}
    agree(
        lambda x: ops.local_response_norm(x, size=size, **options),
        lambda x: F.local_response_norm(x, size, **options),
        draw(seed, (rows, channels, *spatial)),
        dtype=dtype,
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits_are_normalised_in_thirty_two(dtype):
    """The squares of 300 overflow float16; their mean does not, in float32."""
    x = Tensor(np.full((2, 8), 300.0, np.float32)).astype(dtype)
    y = ops.rms_norm(x)
    assert y.dtype.name == dtype
    np.testing.assert_allclose(np.asarray(y.data, np.float32), 1, rtol=1e-2)


def norms() -> list:
    """A layer of each kind that treats samples one by one, on images of four channels."""
    return [
        pytest.param(nn.LayerNorm(4), id="layer"),
        pytest.param(nn.LayerNorm(3, over="last"), id="layer-last"),
        pytest.param(nn.GroupNorm(4, 2), id="group"),
        pytest.param(nn.InstanceNorm(4), id="instance"),
        pytest.param(nn.RMSNorm(3), id="rms"),
        pytest.param(nn.LocalResponseNorm(3), id="local-response"),
        pytest.param(nn.BatchNorm(4).eval(), id="batch-evaluated"),
    ]


@pytest.mark.parametrize("layer", norms())
def test_what_treats_samples_one_by_one_has_per_sample_gradients(layer):
    (x,) = draw(0, (5, 4, 2, 3))
    parameters = layer.parameters()
    if not parameters:
        return
    loss = lambda x: ops.sum(layer(x) ** 3, axis=(1, 2, 3))  # noqa: E731
    _, apart = per_sample_gradients(loss, parameters, Tensor(x))
    for row in range(5):
        alone = grad(loss(Tensor(x[row : row + 1])).sum(), parameters)
        for mine, reference in zip(apart, alone, strict=True):
            np.testing.assert_allclose(mine.data[row], reference.data, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layer", norms())
def test_what_treats_samples_one_by_one_can_be_mapped(layer):
    (x,) = draw(0, (3, 2, 4, 2, 3))
    mapped = vmap(layer)(Tensor(x))
    np.testing.assert_allclose(mapped.data, np.stack([layer(Tensor(part)).data for part in x]), rtol=1e-12)


def test_batch_norm_in_training_says_what_to_use_for_per_sample_gradients():
    layer = nn.BatchNorm(4)
    with pytest.raises(GradientError, match="GroupNorm"):
        per_sample_gradients(
            lambda x: ops.sum(layer(x), axis=(1, 2, 3)), layer.parameters(), Tensor(draw(0, (5, 4, 2, 3))[0])
        )


def test_batch_norm_in_training_can_be_pushed_forward():
    """Running statistics follow the values, not the tangents."""
    x, t = draw(0, (6, 4), (6, 4))
    layer, other = nn.BatchNorm(4), nn.BatchNorm(4)
    value, tangent = jvp(layer, [Tensor(x)], [Tensor(t)])
    np.testing.assert_allclose(value.data, other(Tensor(x)).data)
    np.testing.assert_array_equal(layer.running_mean.data, other.running_mean.data)
    step = 1e-6
    difference = (other(Tensor(x + step * t)).data - other(Tensor(x - step * t)).data) / (2 * step)
    np.testing.assert_allclose(tangent.data, difference, rtol=1e-5, atol=1e-7)


@each_dtype
@pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0])
@pytest.mark.parametrize(
    ("shape", "name"), [((6, 3), "1d"), ((4, 3, 5), "1d"), ((4, 3, 2, 2), "2d"), ((2, 3, 2, 2, 2), "3d")]
)
def test_running_statistics(shape, name, momentum, dtype):
    """Three steps of training move them as PyTorch's do, the variance without bias; evaluation uses them."""
    ours = nn.BatchNorm(3, momentum=momentum, epsilon=1e-3)
    theirs = getattr(torch.nn, f"BatchNorm{name}")(3, momentum=momentum, eps=1e-3).to(getattr(torch, dtype))
    for _, tensor in ours.named_tensors():
        tensor.data = tensor.data.astype(dtype)
    for seed in range(3):
        x = 3 * draw(seed, shape)[0].astype(dtype) + 1
        ours(Tensor(x))
        theirs(torch.tensor(x))
    assert_close(ours.running_mean.data, theirs.running_mean.numpy(), dtype)
    assert_close(ours.running_var.data, theirs.running_var.numpy(), dtype)
    x = draw(7, shape)[0].astype(dtype)
    assert_close(ours.eval()(Tensor(x)).data, theirs.eval()(torch.tensor(x)).detach().numpy(), dtype)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda x: ops.batch_norm(x, Tensor(np.ones(2))), "each of 3 channels", id="weight"),
        pytest.param(lambda x: ops.batch_norm(x[0, 0]), r"\(N, C, ...\)", id="vector"),
        pytest.param(lambda x: ops.group_norm(x, 2), "divides 3 channels, got 2", id="groups"),
        pytest.param(lambda x: ops.instance_norm(x[..., 0]), "with positions", id="no-positions"),
        pytest.param(lambda x: ops.layer_norm(x, axes=4), "1 to 3 axes", id="axes"),
        pytest.param(lambda x: ops.layer_norm(x, Tensor(np.ones(3))), r"of shape \(4,\), got \(3,\)", id="trailing"),
        pytest.param(lambda x: ops.rms_norm(x, axes=0), "1 to 3 axes", id="no-axes"),
        pytest.param(lambda x: ops.local_response_norm(x, size=0), "size >= 1", id="window"),
    ],
)
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(ShapeError, match=match):
        call(Tensor(np.zeros((2, 3, 4))))

"""NaN and infinities are reported where they are born."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import NumericsError, Tensor, check_numerics, grad, no_grad, ops


def test_the_op_the_values_and_the_line_are_named():
    def compute(x: Tensor) -> Tensor:
        y = x * 2.0
        y = ops.sqrt(y)  # born here
        return (y + 1.0).sum()

    with check_numerics(), pytest.raises(NumericsError) as caught:
        compute(Tensor([4.0, -1.0]))
    message = str(caught.value)
    assert "sqrt made 1 NaN among 2 elements" in message
    assert "in [-2, 8]" in message
    assert "ops.sqrt(y)  # born here" in message


def test_a_gradient_names_the_forward_line():
    with check_numerics():
        y = ops.sqrt(Tensor([0.0, 1.0], requires_grad=True)).sum()  # fine forward, infinite slope at 0
        with pytest.raises(NumericsError) as caught:
            y.backward()
    message = str(caught.value)
    assert "infinite among 2" in message
    assert "in the backward pass of sqrt" in message
    assert "fine forward, infinite slope at 0" in message


def test_numbers_that_come_in_broken_are_not_born_here():
    with check_numerics():
        assert np.isnan(float((Tensor([np.nan, 1.0]) * 2.0).sum()))


def test_infinities_can_be_allowed():
    with check_numerics(infinities=False):
        assert np.isinf((Tensor([1.0]) / Tensor([0.0])).item())
        with pytest.raises(NumericsError, match="divide made 1 NaN"):
            Tensor([0.0]) / Tensor([0.0])


def test_everything_computes_as_before_inside():
    x = Tensor(np.random.default_rng(0).standard_normal((3, 4)), requires_grad=True)

    def value() -> Tensor:
        return (ops.softmax(x @ x.T) * ops.tanh(x).sum()).sum()

    (plain,) = grad(value(), [x])
    with check_numerics():
        (watched,) = grad(value(), [x])
    np.testing.assert_array_equal(plain.data, watched.data)


def test_recording_can_still_be_switched_off_inside():
    x = Tensor([1.0], requires_grad=True)
    with check_numerics(), no_grad():
        assert not (x * 2.0).requires_grad
        with np.errstate(all="ignore"), pytest.raises(NumericsError):
            ops.log(x * 0.0)

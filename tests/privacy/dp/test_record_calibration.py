"""How much noise a budget asks for; that it is the least is in test_second_accountant."""

from __future__ import annotations

import math

import pytest

from nasturtium.core import ConfigError
from nasturtium.privacy.dp.record_calibration import noise_multiplier_for


def test_more_steps_and_less_privacy_loss_ask_for_more_noise():
    def noise(epsilon: float, steps: int, chance: float) -> float:
        return noise_multiplier_for(epsilon, 1e-5, steps=steps, sampling_probability=chance)

    usual = noise(0.5, 200, 0.02)
    assert noise(0.25, 200, 0.02) > usual
    assert noise(0.5, 400, 0.02) > usual
    assert noise(0.5, 200, 0.04) > usual


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"epsilon": 0.0}, id="no-epsilon"),
        pytest.param({"epsilon": math.inf}, id="no-privacy"),
        pytest.param({"epsilon": math.nan}, id="not-a-number"),
        pytest.param({"delta": 0.0}, id="no-delta"),
        pytest.param({"delta": 1.0}, id="delta-of-one"),
        pytest.param({"steps": 0}, id="no-steps"),
        pytest.param({"sampling_probability": 0.0}, id="no-chance"),
        pytest.param({"sampling_probability": 1.5}, id="more-than-certain"),
    ],
)
def test_what_is_out_of_range_is_refused(changed):
    asked = {"epsilon": 1.0, "delta": 1e-5, "steps": 10, "sampling_probability": 0.1} | changed
    with pytest.raises(ConfigError, match="expected"):
        noise_multiplier_for(asked.pop("epsilon"), asked.pop("delta"), **asked)

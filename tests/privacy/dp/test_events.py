"""Events of privacy: checked when made, and the same after a round trip through JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from nasturtium.core import ConfigError, FormatError
from nasturtium.privacy.dp.events import (
    DiscreteGaussianSum,
    Event,
    ExactRelease,
    GaussianRelease,
    SkellamSum,
    event_from_json,
    event_to_json,
    integer_l1,
)

GAUSSIANS: dict[str, Any] = {"sigma": 2.0, "sites": 9, "l2": 10.5, "dimension": 100, "tail_delta": 1e-12}
SKELLAM: dict[str, Any] = {"variance": 40.0, "l1": 105.0, "l2": 10.5, "dimension": 100, "tail_delta": 0.0}


@pytest.mark.parametrize(
    "event",
    [
        GaussianRelease(noise_multiplier=1.1, sampling_probability=0.01),
        DiscreteGaussianSum(**GAUSSIANS),
        SkellamSum(**SKELLAM),
        ExactRelease(what="counts"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_is_the_same_after_json(event: Event) -> None:
    assert event_from_json(json.loads(json.dumps(event_to_json(event)))) == event


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        pytest.param(GaussianRelease, {"noise_multiplier": 0.0}, id="no-noise"),
        pytest.param(GaussianRelease, {"noise_multiplier": math.inf}, id="infinite-noise"),
        pytest.param(GaussianRelease, {"noise_multiplier": 1.0, "sampling_probability": 0.0}, id="never-sampled"),
        pytest.param(GaussianRelease, {"noise_multiplier": 1.0, "sampling_probability": math.nan}, id="nan-sampled"),
        pytest.param(DiscreteGaussianSum, GAUSSIANS | {"sigma": 0.49}, id="below-half-a-step"),
        pytest.param(DiscreteGaussianSum, GAUSSIANS | {"sites": 0}, id="no-sites"),
        pytest.param(DiscreteGaussianSum, GAUSSIANS | {"sites": 2.5}, id="sites-not-integer"),
        pytest.param(DiscreteGaussianSum, GAUSSIANS | {"l2": -1.0}, id="negative-norm"),
        pytest.param(DiscreteGaussianSum, GAUSSIANS | {"tail_delta": 1.0}, id="all-tail"),
        pytest.param(SkellamSum, SKELLAM | {"variance": math.nan}, id="variance-nan"),
        pytest.param(SkellamSum, SKELLAM | {"l1": 0.0}, id="no-l1"),
        pytest.param(SkellamSum, SKELLAM | {"dimension": 0}, id="no-dimension"),
        pytest.param(ExactRelease, {"what": ""}, id="nameless"),
    ],
)
def test_an_event_out_of_range_is_refused(kind: type[Event], fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected"):
        kind(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="empty"),
        pytest.param({"event": "LaplaceRelease", "scale": 1.0}, id="unknown"),
        pytest.param({"event": "GaussianRelease"}, id="missing-field"),
        pytest.param({"event": "GaussianRelease", "noise_multiplier": 1.0, "more": 1}, id="foreign-field"),
        pytest.param({"event": "GaussianRelease", "noise_multiplier": "1"}, id="text-for-number"),
        pytest.param({"event": "GaussianRelease", "noise_multiplier": -1.0}, id="out-of-range"),
        pytest.param({"event": ["GaussianRelease"]}, id="name-is-a-list"),
    ],
)
def test_json_that_is_no_event_is_refused(fields: Mapping[str, Any]) -> None:
    with pytest.raises(FormatError, match="no "):
        event_from_json(fields)


def test_the_l1_norm_of_integers_is_bounded_both_ways() -> None:
    assert integer_l1(3.0, 10**6) == 9.0  # nine ones
    assert integer_l1(30.0, 4) == 60.0  # (15, 15, 15, 15)

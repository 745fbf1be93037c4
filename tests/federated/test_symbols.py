"""The symbols of updates: sums come out as said, ranges speak of sums alone, and nothing false gets in unseen."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import Metrics, ModelSpec, ParameterLayout, build, derive_rng
from nasturtium.core.nn import Buffer, Parameter, layer_spec
from nasturtium.federated.updates.symbols import RANGE_PER_RMS, Contribution, Total, UpdateSymbols
from nasturtium.privacy import PrivacyError, smallest_preset

BITS = [1, 2, 4, 8, 16]
LEVELS = {bits: smallest_preset(3, bits).levels for bits in BITS}
# Two layers of weights and biases, and two buffers between them: running mean and variance.
SPEC = ModelSpec(
    (1, 4, 4),
    (
        layer_spec("conv2d", out_channels=2, kernel=3),
        layer_spec("batch_norm"),
        layer_spec("activation", function="relu"),
        layer_spec("flatten"),
        layer_spec("linear", out_features=2),
    ),
)
MODEL = build(SPEC, derive_rng(0, "weights"))
LAYOUT = ParameterLayout.of(MODEL)
PARAMETERS = {name for name, _ in MODEL.named_tensors(Parameter)}
PARTS: dict[str, slice] = {}
for _name, _shape, _ in LAYOUT.entries:
    _start = next(reversed(PARTS.values())).stop if PARTS else 0
    PARTS[_name] = slice(_start, _start + int(np.prod(_shape)))
QUANTISED = [PARTS[name] for name in PARTS if name in PARAMETERS]
EXACT = [PARTS[name] for name in PARTS if name not in PARAMETERS]


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def contributions(seed: int, sites: int, scale: float = 0.01) -> list[Contribution]:
    """Changes of both signs of about `scale`, those of buffers a thousand times as large."""
    rng = rng_of(seed)
    made: list[Contribution] = []
    for _ in range(sites):
        change = scale * rng.standard_normal(LAYOUT.size)
        for part in EXACT:
            change[part] *= 1000
        rows = int(rng.integers(1, 10**6))
        measured = Metrics(float(rng.uniform(0, 5000)), int(rng.integers(0, rows + 1)), rows)
        made.append(Contribution(change, float(rng.uniform(0, 1)), measured))
    return made


def summed(symbols: UpdateSymbols, said: list[Contribution], ranges: np.ndarray, seed: int = 0) -> np.ndarray:
    encoded = [symbols.encode(one, ranges, rng_of(seed + i)) for i, one in enumerate(said)]
    return np.sum(encoded, axis=0, dtype=np.uint32)


def total_of(symbols: UpdateSymbols, said: list[Contribution], ranges: np.ndarray, seed: int = 0) -> Total:
    return symbols.decode(summed(symbols, said, ranges, seed), len(said), ranges)


def steps_of(levels: int, ranges: np.ndarray) -> np.ndarray:
    """Of each element the distance of two levels; 0 where it travels exactly."""
    steps = np.zeros(LAYOUT.size)
    for part, bound in zip(QUANTISED, ranges, strict=True):
        steps[part] = 2 * bound / (levels - 1)
    return steps


def test_the_model_under_test_has_both_kinds_of_tensors():
    assert len(QUANTISED) == 6
    assert len(EXACT) == 2
    assert {name for name, _ in MODEL.named_tensors(Buffer)} == PARTS.keys() - PARAMETERS


@pytest.mark.parametrize("bits", BITS)
@given(seed=st.integers(0, 2**32), sites=st.integers(1, 9), bound=st.sampled_from([0.05, 0.25, 1.0]))
@settings(max_examples=25)
def test_a_decoded_sum_is_the_sum(bits, seed, sites, bound):
    """Parameters to less than a step a site, all else to what fixed point and float32 can hold."""
    symbols = UpdateSymbols(MODEL, LEVELS[bits])
    ranges = symbols.first_ranges(bound)
    said = contributions(seed, sites)
    total = total_of(symbols, said, ranges, seed)
    expected = np.sum([one.change for one in said], axis=0)
    for part in QUANTISED:
        inside = np.clip([one.change[part] for one in said], -bound, bound)
        expected[part] = inside.sum(axis=0)
    error = np.abs(total.change - expected)
    largest = sites * (steps_of(LEVELS[bits], ranges) + 2.0**-25) + np.abs(expected) * 2.0**-23
    assert (error <= largest + 1e-7 * bound * sites).all()
    assert abs(total.weight - sum(one.weight for one in said)) <= sites * 2.0**-25
    measured = sum((one.measured for one in said), Metrics(0.0, 0, 0))
    assert (total.measured.rows, total.measured.correct) == (measured.rows, measured.correct)
    assert abs(total.measured.loss_sum - measured.loss_sum) <= sites * 2.0**-11


@pytest.mark.parametrize("bits", BITS)
def test_symbols_are_below_the_levels_and_as_many_as_said(bits):
    symbols = UpdateSymbols(MODEL, LEVELS[bits])
    [said] = contributions(1, 1, scale=0.05)
    encoded = symbols.encode(said, symbols.first_ranges(0.01), rng_of(0))
    assert encoded.shape == (symbols.values,)
    assert encoded.dtype.kind == "u"
    assert encoded.max() == LEVELS[bits] - 1


@pytest.mark.parametrize("bits", BITS)
def test_rounding_has_no_bias(bits):
    """The mean of many roundings is the value, to five times its standard deviation."""
    symbols, sites = UpdateSymbols(MODEL, LEVELS[bits]), 2000
    ranges = symbols.first_ranges(0.05)
    [said] = contributions(2, 1)
    mean = total_of(symbols, [said] * sites, ranges).change / sites
    steps = steps_of(LEVELS[bits], ranges)
    inside = np.where(steps > 0, np.clip(said.change, -0.05, 0.05), said.change)
    assert (np.abs(mean - inside) <= 5 * steps / 2 / np.sqrt(sites) + 1e-6 + np.abs(inside) * 2.0**-22).all()


@pytest.mark.parametrize("bits", [bits for bits in BITS if bits > 1])
def test_a_weight_that_nobody_moved_stays_where_it_is(bits):
    symbols = UpdateSymbols(MODEL, LEVELS[bits])
    still = [replace(one, change=np.zeros(LAYOUT.size)) for one in contributions(3, 4)]
    assert not total_of(symbols, still, symbols.first_ranges(0.1)).change.any()


@pytest.mark.parametrize("bits", BITS)
def test_buffers_are_not_cut_off(bits):
    symbols = UpdateSymbols(MODEL, LEVELS[bits])
    change = np.full(LAYOUT.size, 200.0)
    said = [Contribution(change * sign, 0.5, Metrics(1.0, 1, 2)) for sign in (1, 1, -1)]
    total = total_of(symbols, said, symbols.first_ranges(1e-3))
    for part in EXACT:
        np.testing.assert_array_equal(total.change[part], np.float32(200.0))
    for part in QUANTISED:
        np.testing.assert_allclose(total.change[part], 1e-3, rtol=1e-5)


@pytest.mark.parametrize("bits", BITS)
@given(seed=st.integers(0, 2**32), sites=st.integers(1, 5))
@settings(max_examples=10)
def test_fills_are_the_mean_squares_in_units_of_the_range(bits, seed, sites):
    symbols = UpdateSymbols(MODEL, LEVELS[bits])
    ranges = symbols.first_ranges(0.02)
    said = contributions(seed, sites)
    fills = total_of(symbols, said, ranges).fills
    for fill, part in zip(fills, QUANTISED, strict=True):
        used = np.clip([one.change[part] / 0.02 for one in said], -1, 1)
        assert abs(fill - np.mean(used * used)) <= 2.0**-30


def test_ranges_are_the_same_at_every_site_and_speak_of_the_sum_alone():
    """Sites that said something else, but with the same sum, go on with the same ranges."""
    symbols = UpdateSymbols(MODEL, 255)
    ranges = symbols.first_ranges(0.05)
    encoded = np.array([symbols.encode(one, ranges, rng_of(4)) for one in contributions(4, 3)], np.uint32)
    mixed = rng_of(5).permuted(encoded, axis=0)
    assert (mixed != encoded).any()
    following = [
        symbols.next_ranges(ranges, symbols.decode(said.sum(axis=0, dtype=np.uint32), 3, ranges))
        for said in (encoded, mixed, encoded[::-1])
    ]
    np.testing.assert_array_equal(following[0], following[1])
    np.testing.assert_array_equal(following[0], following[2])
    assert (following[0] != ranges).all()


def test_a_range_follows_the_changes_of_its_own_tensor():
    symbols = UpdateSymbols(MODEL, 255)
    ranges = symbols.first_ranges(0.05)
    rng = rng_of(5)
    scales = np.geomspace(1e-3, 8e-3, len(QUANTISED))
    change = np.zeros(LAYOUT.size)
    for part, scale in zip(QUANTISED, scales, strict=True):
        change[part] = scale * np.where(rng.random(part.stop - part.start) < 0.5, -1, 1)
    total = total_of(symbols, [Contribution(change, 1.0, Metrics(1.0, 1, 2))] * 3, ranges)
    np.testing.assert_allclose(symbols.next_ranges(ranges, total), RANGE_PER_RMS * scales, rtol=1e-3)


@given(
    bound=st.floats(1e-9, 1e6),
    fills=st.lists(st.floats(0, 1), min_size=len(QUANTISED), max_size=len(QUANTISED)),
)
def test_a_range_grows_and_shrinks_within_bounds(bound, fills):
    symbols = UpdateSymbols(MODEL, 255)
    ranges = symbols.first_ranges(bound)
    total = Total(np.zeros(LAYOUT.size, np.float32), 1.0, Metrics(0.0, 0, 0), np.array(fills))
    following = symbols.next_ranges(ranges, total)
    assert (following > 0).all()
    assert np.isfinite(following).all()
    assert (following <= 8 * ranges).all()
    assert ((following >= ranges / 8) | (following == 2.0**-40)).all()
    unknown = np.array(fills) == 0
    np.testing.assert_array_equal(following[unknown], ranges[unknown])


def test_a_range_that_was_too_small_recovers():
    symbols = UpdateSymbols(MODEL, 255)
    ranges = symbols.first_ranges(1e-6)
    said = contributions(6, 3)
    for _ in range(12):
        ranges = symbols.next_ranges(ranges, total_of(symbols, said, ranges))
    for bound, part in zip(ranges, QUANTISED, strict=True):
        changes = np.array([one.change[part] for one in said])
        assert np.abs(changes).max() <= bound <= 1.01 * RANGE_PER_RMS * np.sqrt(np.mean(changes**2))


def test_a_range_does_not_vanish_where_nothing_moves():
    symbols = UpdateSymbols(MODEL, 255)
    ranges = symbols.first_ranges(1.0)
    said = contributions(7, 3, scale=1e-20)
    for _ in range(40):
        ranges = symbols.next_ranges(ranges, total_of(symbols, said, ranges))
    assert (ranges >= 2.0**-40).all()


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize("part", [QUANTISED[0], QUANTISED[-1], EXACT[0]], ids=["first", "last", "buffer"])
def test_a_change_that_is_not_finite_is_refused(part, value):
    symbols = UpdateSymbols(MODEL, 255)
    [said] = contributions(8, 1)
    said.change[part.stop - 1] = value
    with pytest.raises(PrivacyError, match="not finite"):
        symbols.encode(said, symbols.first_ranges(0.1), rng_of(0))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"weight": nan}, id="weight-nan"),
        pytest.param({"weight": 1e6}, id="weight-too-large"),
        pytest.param({"measured": Metrics(nan, 1, 2)}, id="loss-nan"),
        pytest.param({"measured": Metrics(1e9, 1, 2)}, id="loss-too-large"),
        pytest.param({"measured": Metrics(1.0, 1, 2**33)}, id="rows-too-many"),
        pytest.param({"change": np.full(LAYOUT.size, 257.0)}, id="buffer-too-large"),
    ],
)
def test_an_exact_value_too_large_is_refused_and_not_cut_off(changes):
    symbols = UpdateSymbols(MODEL, 255)
    [said] = contributions(9, 1)
    with pytest.raises(PrivacyError, match="not finite or beyond"):
        symbols.encode(replace(said, **changes), symbols.first_ranges(0.1), rng_of(0))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("end", ["zeros", "largest"])
def test_sums_that_contributions_cannot_add_up_to_are_refused(bits, end):
    symbols = UpdateSymbols(MODEL, LEVELS[bits])
    sums = np.full(symbols.values, 0 if end == "zeros" else 3 * (LEVELS[bits] - 1), np.uint32)
    with pytest.raises(PrivacyError):
        symbols.decode(sums, 3, symbols.first_ranges(0.1))


@given(seed=st.integers(0, 2**32), bits=st.sampled_from(BITS))
def test_any_sum_is_refused_or_says_something_that_can_be(seed, bits):
    symbols = UpdateSymbols(MODEL, LEVELS[bits])
    sums = rng_of(seed).integers(0, 3 * (LEVELS[bits] - 1), symbols.values, np.uint32, endpoint=True)
    try:
        total = symbols.decode(sums, 3, symbols.first_ranges(0.1))
    except PrivacyError:
        return
    assert 0 <= total.weight <= 3
    assert 0 <= total.measured.correct <= total.measured.rows
    assert ((total.fills >= 0) & (total.fills <= 1)).all()


@given(
    st.integers(0, 10**4),
    st.integers(1, 1000),
)
def test_a_thousand_sites_do_not_overflow(rows, sites):
    """The limbs hold the largest values of as many sites as a preset can have."""
    symbols = UpdateSymbols(MODEL, LEVELS[8])
    ranges = symbols.first_ranges(0.1)
    change = np.full(LAYOUT.size, 256.0)
    said = Contribution(change, 1.0, Metrics(4_000_000.0, rows, rows + 4_000_000_000))
    sums = symbols.encode(said, ranges, rng_of(0)).astype(np.uint32) * np.uint32(sites)
    total = symbols.decode(sums, sites, ranges)
    assert total.measured == Metrics(4_000_000.0 * sites, rows * sites, (rows + 4_000_000_000) * sites)
    assert total.weight == sites
    for part in EXACT:
        np.testing.assert_array_equal(total.change[part], np.float32(256.0 * sites))


def other_model(*layers) -> UpdateSymbols:
    return UpdateSymbols(build(ModelSpec((1, 4, 4), layers), derive_rng(0, "weights")), 255)


def test_the_hash_names_what_the_symbols_mean():
    same = UpdateSymbols(build(SPEC, derive_rng(1, "weights")), 255)
    ours = UpdateSymbols(MODEL, 255)
    assert same.sha256 == ours.sha256
    others = [
        UpdateSymbols(MODEL, 15),
        other_model(layer_spec("flatten"), layer_spec("linear", out_features=2)),
        other_model(layer_spec("flatten"), layer_spec("linear", out_features=3)),
    ]
    assert len({ours.sha256, *(one.sha256 for one in others)}) == 4

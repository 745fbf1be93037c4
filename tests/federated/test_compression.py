"""Compressions: what they keep, what they leave for later, how many bytes that takes, and that all sites agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, Metrics, ModelSpec, build, derive_rng
from nasturtium.core.nn import layer_spec
from nasturtium.federated.compression import (
    COMPRESSIONS,
    ChangedOnly,
    Compression,
    LowRank,
    NoCompression,
    TopK,
    compression_from_dict,
)
from nasturtium.federated.strategies import FedAvg
from nasturtium.federated.updates.exchange import Exchange
from nasturtium.federated.updates.layout import UpdateLayout
from nasturtium.federated.updates.symbols import Contribution, UpdateSymbols
from nasturtium.privacy import PlainCipher, smallest_preset

SPEC = ModelSpec(
    (1, 6, 6),
    (
        layer_spec("conv2d", out_channels=8, kernel=3),
        layer_spec("batch_norm"),
        layer_spec("flatten"),
        layer_spec("linear", out_features=12),
        layer_spec("linear", out_features=5),
    ),
)
MODEL = build(SPEC, derive_rng(0, "weights"))
FULL = UpdateLayout.of(MODEL)
PRESET = smallest_preset(5, 8)
seeds = st.integers(0, 2**32)


def make_update(seed: int, scale: float = 0.01) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal(FULL.size)


def exchange_of(made: Compression) -> Exchange:
    return Exchange.of(MODEL, PRESET, None, FedAvg(), made)


@pytest.mark.parametrize("made", [NoCompression(), ChangedOnly()], ids=["none", "changed"])
def test_what_loses_nothing_says_everything(made):
    update = make_update(1)
    np.testing.assert_array_equal(made.compress(update, FULL, {}), update)
    assert made.layout(FULL) is FULL


@given(seed=seeds, fraction=st.floats(0.01, 1.0))
def test_top_k_says_the_largest_and_all_buffers(seed, fraction):
    update, made = make_update(seed), TopK(fraction=fraction)
    said = made.compress(update, FULL, {})
    places = FULL.parameters
    kept = np.flatnonzero(said[places])
    assert len(kept) == max(1, round(fraction * len(places)))
    np.testing.assert_array_equal(said[places][kept], update[places][kept])
    left_out = np.setdiff1d(np.arange(len(places)), kept)
    if len(left_out):
        assert np.abs(update[places][left_out]).max() <= np.abs(update[places][kept]).min()
    buffers = np.setdiff1d(np.arange(FULL.size), places)
    np.testing.assert_array_equal(said[buffers], update[buffers])


def test_low_rank_says_less_and_what_is_of_low_rank_exactly():
    """A matrix of rank one, again and again: the bases find its rows and columns, and nothing is left out."""
    made = LowRank(rank=2)
    assert made.layout(FULL).size < FULL.size
    update = np.zeros(FULL.size)
    rng = np.random.default_rng(0)
    for part, place in zip(FULL.parts, FULL.slices, strict=True):
        rows = part.shape[0]
        update[place] = np.outer(rng.standard_normal(rows), rng.standard_normal(part.size // rows)).ravel()
    bases = made.init(FULL, 3)
    for _ in range(3):
        said = made.compress(update, FULL, bases).astype(np.float32)
        meant = made.expand(said, FULL, bases)
        bases = made.advance(said, FULL, bases)
    np.testing.assert_allclose(meant, update, rtol=0, atol=1e-5)


@given(seed=seeds)
@settings(max_examples=20)
def test_the_bases_become_the_largest_singular_vectors(seed):
    """As PowerSGD's do: what is left of a fixed matrix comes close to what the best of that rank leaves."""
    made, update = LowRank(rank=3), make_update(seed, 1.0)
    bases = made.init(FULL, 3)
    for _ in range(60):
        said = made.compress(update, FULL, bases).astype(np.float32)
        meant = made.expand(said, FULL, bases)
        bases = made.advance(said, FULL, bases)
    for part, place in zip(FULL.parts, FULL.slices, strict=True):
        if part.name in bases:
            matrix = update[place].reshape(part.shape[0], -1)
            values = np.linalg.svd(matrix, compute_uv=False)
            left = np.linalg.norm(matrix - meant[place].reshape(matrix.shape))
            assert left <= 1.1 * np.sqrt((values[3:] ** 2).sum())


@given(seed=seeds, sites=st.integers(2, 5))
@settings(max_examples=20)
def test_what_low_rank_says_of_a_sum_is_the_sum_of_what_it_says(seed, sites):
    """So sums may be encrypted, and all sites find the same bases from them."""
    made = LowRank(rank=2)
    bases = made.init(FULL, seed)
    if seed % 2:
        bases = made.advance(made.compress(make_update(seed), FULL, bases).astype(np.float32), FULL, bases)
    updates = [make_update(seed + i) for i in range(sites)]
    total = made.compress(np.sum(updates, axis=0), FULL, bases)
    np.testing.assert_allclose(
        total, np.sum([made.compress(each, FULL, bases) for each in updates], axis=0), atol=1e-12
    )


def test_bases_are_orthonormal_also_where_what_was_said_is_not_enough():
    made = LowRank(rank=4)
    bases = made.init(FULL, 0)
    for update in (make_update(0), np.zeros(FULL.size), np.ones(FULL.size)):
        bases = made.advance(made.compress(update, FULL, bases).astype(np.float32), FULL, bases)
        for name, basis in bases.items():
            if name != "rounds":
                np.testing.assert_allclose(basis @ basis.T, np.eye(4), rtol=0, atol=1e-12)
    assert bases["rounds"] == 3


@pytest.mark.parametrize("made", [TopK(fraction=0.1), LowRank(rank=1)], ids=["top-k", "low-rank"])
def test_everything_is_said_in_the_end(made):
    """The sum of what was meant over the rounds, and what is left, is the sum of all changes."""
    exchange = exchange_of(made)
    server, own = exchange.begin(7), {}
    ranges = exchange.symbols.first_ranges(0.05)
    meant, changes = np.zeros(FULL.size), np.zeros(FULL.size)
    left: list[float] = []
    for number in range(60):
        change = make_update(number) if number < 20 else np.zeros(FULL.size)
        changes += change
        said = Contribution(change, 1.0, Metrics(0.0, 0, 1))
        symbols, pending = exchange.say(said, server, own, ranges, np.random.default_rng(number))
        assert isinstance(exchange.symbols, UpdateSymbols)
        total = exchange.symbols.decode(symbols, 1, ranges)
        moved, server = exchange.move(np.zeros(FULL.size, np.float32), server, total, 1)
        ranges = exchange.symbols.next_ranges(ranges, total)
        meant += moved
        own |= pending
        left.append(float(np.abs(own["residual"]).max()))
    np.testing.assert_allclose(meant + own["residual"], changes, rtol=0, atol=1e-5)
    assert left[-1] < 0.05 * left[19]


def test_bytes_are_those_of_what_is_said():
    sizes = {}
    for name in COMPRESSIONS:
        made = compression_from_dict({"name": name, **({"fraction": 0.02} if name == "top-k" else {})})
        exchange = exchange_of(made)
        change = make_update(3)
        change[FULL.parameters[: len(FULL.parameters) // 2]] = 0.0
        said = Contribution(change, 1.0, Metrics(0.0, 0, 1))
        ranges = exchange.symbols.first_ranges(0.05)
        symbols, _ = exchange.say(said, exchange.begin(1), {}, ranges, np.random.default_rng(0))
        sizes[name] = len(PlainCipher(PRESET, sparse=made.sparse).encrypt(symbols))
    assert sizes["changed"] < 0.75 * sizes["none"]
    assert sizes["top-k"] < sizes["changed"] / 2
    assert sizes["low-rank"] < sizes["none"]


def test_a_name_or_a_number_that_cannot_be_is_refused():
    for said in ({"name": "zip"}, {"name": "top-k", "fraction": 2.0}, {"name": "low-rank", "rank": 1.5}):
        with pytest.raises(ConfigError):
            compression_from_dict(said)

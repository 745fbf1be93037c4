"""Poisson samples: every row with the same chance, on its own."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from nasturtium.core import CPU
from nasturtium.privacy.dp.poisson_feed import PoissonFeed

RNG = np.random.default_rng(0)  # a feed does not ask it


def feed(rows: int, batch_size: int, **options: Callable[[int], bytes]) -> PoissonFeed:
    inputs = np.arange(rows, dtype=np.float32)[:, None]
    return PoissonFeed(inputs, np.arange(rows), batch_size, CPU, np.dtype(np.float32), **options)


def test_every_row_is_chosen_as_often_and_independently():
    rows, batch_size, epochs = 40, 5, 500
    source = feed(rows, batch_size, random_bytes=np.random.default_rng(1).bytes)
    chosen = np.zeros((epochs * source.batches, rows))
    for epoch in range(epochs):
        for number, (inputs, targets) in enumerate(source.rest(source.begin(RNG), 0)):
            np.testing.assert_array_equal(inputs[:, 0], targets)
            chosen[epoch * source.batches + number, targets] = 1
    chance, count = batch_size / rows, len(chosen)
    spread = np.sqrt(chance * (1 - chance))
    assert np.abs(chosen.mean(0) - chance).max() < 4 * spread / np.sqrt(count)
    # Batches of one size, or shuffled ones, would have other variances and correlations.
    sizes = chosen.sum(1)
    assert sizes.var() == pytest.approx(rows * spread**2, rel=0.1)
    correlation = np.corrcoef(chosen, rowvar=False)[~np.eye(rows, dtype=bool)]
    assert np.abs(correlation).max() < 5 / np.sqrt(count)
    assert (sizes == 0).any()


def test_the_chance_is_never_more_than_is_accounted_for():
    third = int(1 / 3 * 2**64)  # of the float 1/3, which is exact
    words = struct.pack("<3Q", third - 1, third, 2**64 - 1)
    ((_, targets),) = list(feed(3, 1, random_bytes=lambda count: words[:count]).rest(0, 2))
    assert targets.tolist() == [0]


@pytest.mark.parametrize("batch_size", [3, 5])
def test_all_rows_are_chosen_where_there_are_no_more(batch_size):
    source = feed(3, batch_size)
    assert source.expected_rows == 3
    assert [targets.tolist() for _, targets in source.rest(source.begin(RNG), 0)] == [[0, 1, 2]]


def test_an_epoch_can_go_on_in_the_middle():
    source = feed(10, 3)
    assert source.batches == 4
    assert [len(list(source.rest(0, done))) for done in range(5)] == [4, 3, 2, 1, 0]


def test_the_operating_system_gives_other_batches_each_time():
    source = feed(400, 200)
    first, second = (next(source.rest(0, 0))[1].tolist() for _ in range(2))
    assert first != second

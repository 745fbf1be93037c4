"""Masks of dropout are those of the eager op, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core.compiler.llvm.dropout import emit_dropout_mask, signed
from nasturtium.core.random import dropout_mask, key_from

from .fused import run, target


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 1000, 4096])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.999999])
def test_masks_equal_those_of_the_op(count: int, rate: float):
    for seed in (0, 7, 2**60):
        key = key_from(np.random.default_rng(seed))
        words = key.words
        expected, scale = dropout_mask(key, count, rate=rate)
        for threads in (1, 3):
            mask = np.full(count + 32, 9, np.uint8)
            slots = {"count": count, "key0": signed(words[0]), "key1": signed(words[1]), "kept": round(2**16 / scale)}
            run(emit_dropout_mask(target()), {**slots, "mask": mask}, threads=threads)
            np.testing.assert_array_equal(mask[:count], expected)
            assert (mask[count:] == 9).all()

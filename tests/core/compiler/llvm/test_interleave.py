"""Images copied from channels outside to channels last."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core.compiler.llvm import KernelCache
from nasturtium.core.compiler.llvm.interleave import MOST_CHANNELS, interleave
from nasturtium.core.compiler.llvm.launch import Images

from .launching import memory, pixels_of, run, target_of, untouched


@pytest.mark.parametrize("width", [None, 4])
@pytest.mark.parametrize("pixels", [1, 5, 16, 32, 37])
@pytest.mark.parametrize("channels", range(2, MOST_CHANNELS + 1))
def test_interleave(kernel_cache: KernelCache, channels: int, pixels: int, width: int | None):
    """Of a part of larger images, to images with a border."""
    whole = np.random.default_rng(0).standard_normal((3, channels, 9, pixels + 3)).astype(np.float32)
    source, images = whole[:, :, 2:, 1 : 1 + pixels], Images.dense(3, 7, pixels, channels, border=(1, 0, 2, 1))
    image, channel, row, _ = (stride // 4 for stride in source.strides)
    start = 2 * row + 1
    launch = interleave(target_of(kernel_cache, width), images, image=image, channel=channel, row=row, start=start)
    for threads in (1, 2, 50):
        to = memory(images.size)
        run(kernel_cache, [launch], threads=threads, **{"from": memory(whole), "to": to})
        np.testing.assert_array_equal(pixels_of(to, images), source.transpose(0, 2, 3, 1))
        assert untouched(to, images)

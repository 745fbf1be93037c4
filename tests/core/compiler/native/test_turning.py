"""Copies that exchange the innermost axis, against NumPy's, of views with gaps and any order of axes."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasturtium.core.compiler.llvm import default_cache
from nasturtium.core.compiler.native.place import Buffer, Place
from nasturtium.core.compiler.native.turning import turned_copy

CALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
BEHIND = 64  # floats that may be read behind a source
LENGTHS = st.sampled_from([1, 2, 3, 8, 11, 16, 32])


def places(shape: tuple[int, ...], order: list[int], gap: int) -> Place:
    """Axes from the outermost to the innermost in `order`, `gap` floats between rows."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step = step * shape[axis] + gap
    return Place(Buffer("m", step + 3), shape, tuple(strides), 3)


def view(memory: np.ndarray, place: Place) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(memory[place.origin :], place.shape, [4 * step for step in place.strides])


def run(place: Place, to: Place, threads: int) -> np.ndarray | None:
    """What the memory of `to` is afterwards; None where there is no such copy."""
    cache = default_cache()
    launch = turned_copy(cache.engine.target, place, to)
    if launch is None:
        return None
    source = np.arange(place.buffer.elements + BEHIND, dtype=np.float32)
    result = np.full(to.buffer.elements, -1, np.float32)
    memory = {"source": source, "result": result}
    slots = [
        memory[slot.name].ctypes.data + 4 * launch.offsets[slot.name]
        if slot.kind == "ptr"
        else launch.numbers[slot.name]
        for slot in launch.kernel.slots
    ]
    numbers = np.array(slots, np.int64)
    for thread in range(threads):
        CALL(cache.addresses([launch.kernel])[0])(numbers.ctypes.data, thread, threads)
    wanted = np.full_like(result, -1)
    view(wanted, to)[...] = view(source, place)
    np.testing.assert_array_equal(result, wanted)
    return result


@settings(deadline=None)
@given(st.lists(LENGTHS, min_size=2, max_size=4).map(tuple), st.data())
def test_any_order_of_axes(shape: tuple[int, ...], data: st.DataObject):
    orders = st.permutations(range(len(shape)))
    here, there = (places(shape, data.draw(orders), data.draw(st.sampled_from([0, 5]))) for _ in range(2))
    run(here, there, data.draw(st.integers(1, 3)))


@pytest.mark.parametrize(
    ("shape", "here", "there", "is_turned"),
    [
        pytest.param((2, 32, 5, 9), [0, 1, 2, 3], [0, 2, 3, 1], True, id="channels-first-to-last"),
        pytest.param((4, 3, 16, 8), [0, 2, 1, 3], [0, 1, 3, 2], True, id="heads-of-attention"),
        pytest.param((2, 2, 2, 16, 8), [0, 1, 2, 3, 4], [2, 0, 1, 4, 3], True, id="five-axes-that-lie-as-four"),
        pytest.param((2, 2, 2, 16, 8), [0, 1, 2, 3, 4], [2, 1, 0, 4, 3], False, id="five-axes"),
        pytest.param((2, 3, 5, 9), [0, 1, 2, 3], [0, 2, 3, 1], False, id="too-few-channels"),
        pytest.param((16, 16), [0, 1], [0, 1], False, id="the-same-order"),
    ],
)
def test_what_is_turned(shape: tuple[int, ...], here: list[int], there: list[int], is_turned: bool):
    assert (run(places(shape, here, 0), places(shape, there, 0), 2) is not None) == is_turned

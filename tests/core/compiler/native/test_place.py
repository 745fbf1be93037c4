"""Places are NumPy's views: the same rules, without memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core.compiler.native.arena import ALIGNMENT, bound, plan
from nasturtium.core.compiler.native.place import Buffer, Place

SHAPE = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
KEYS = [
    1,
    -1,
    slice(None),
    slice(1, None),
    slice(None, None, 2),
    slice(3, 1),
    None,
    ...,
    (0, ..., None),
    (slice(1, 3), 0),
]


def place_of(array, memory):
    start = array.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
    steps = (step // 8 if length > 1 else 0 for step, length in zip(array.strides, array.shape, strict=True))
    return Place(Buffer("m", memory.size), array.shape, tuple(steps), start // 8 if array.size else 0)


def same(place, array, memory):
    """Whether a place finds the elements of a view of memory that counts."""
    assert place.shape == array.shape
    found = np.lib.stride_tricks.as_strided(memory[place.origin :], place.shape, [8 * s for s in place.strides])
    np.testing.assert_array_equal(found, array)


@given(shape=SHAPE, data=st.data())
def test_views_of_views(shape, data):
    memory = np.arange(np.prod(shape), dtype=np.int64)
    array, place = memory.reshape(shape), Place.dense(Buffer("m", memory.size), shape)
    for _ in range(data.draw(st.integers(1, 4))):
        match data.draw(st.sampled_from(["transpose", "broadcast", "index", "reshape"])):
            case "transpose":
                axes = data.draw(st.permutations(range(array.ndim)))
                array, place = array.transpose(axes), place.transposed(axes)
            case "broadcast":
                wanted = (2, *(3 if n == 1 else n for n in array.shape))
                if len(wanted) <= 6:
                    array, place = np.broadcast_to(array, wanted), place.broadcast(wanted)
            case "index":
                key = data.draw(st.sampled_from([key for key in KEYS if array.ndim >= 2 or not isinstance(key, tuple)]))
                try:
                    array, place = array[key], place.indexed(key)
                except IndexError:
                    continue
            case _:
                wanted = data.draw(
                    st.sampled_from([(array.size,), array.shape[::-1], (1, *array.shape), (*array.shape, 1)])
                )
                moved = place.reshaped(wanted)
                view = array.view()
                if moved is None:
                    assert not np.shares_memory(array.reshape(wanted), memory) or array.size <= 1
                    continue
                array, place = view.reshape(wanted), moved
        if array.ndim == 0:
            array, place = array.reshape(1), place.reshaped((1,))
        same(place, array, memory)


@pytest.mark.parametrize("key", [np.array([0, 1]), [0, 1], True])
def test_other_keys_are_no_views(key):
    assert Place.dense(Buffer("m", 12), (3, 4)).indexed(key) is None


def test_what_is_dense():
    place = Place.dense(Buffer("m", 24), (2, 3, 4))
    assert place.is_dense
    assert not place.transposed((0, 2, 1)).is_dense
    assert not place.broadcast((5, 2, 3, 4)).is_dense
    assert Place.dense(place.buffer, (2, 3, 4), order=(0, 2, 1)).order() == (0, 2, 1)


LIVES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20), st.integers(0, 6)), max_size=40)


@given(LIVES)
def test_what_lives_at_the_same_time_does_not_overlap(lives):
    buffers = [Buffer("arena", size, first=first, last=first + more) for size, first, more in lives]
    size = plan(buffers)
    for number, one in enumerate(buffers):
        assert one.offset % ALIGNMENT == 0
        assert one.offset + one.nbytes <= size
        for other in buffers[:number]:
            apart = one.offset + one.nbytes <= other.offset or other.offset + other.nbytes <= one.offset
            assert apart or one.last < other.first or other.last < one.first or not one.nbytes or not other.nbytes
    assert bound(buffers) <= size <= sum(-(-each.nbytes // ALIGNMENT) * ALIGNMENT for each in buffers)


def test_memory_is_used_again():
    buffers = [Buffer("arena", 1024, first=moment, last=moment + 1) for moment in range(10)]
    assert plan(buffers) == bound(buffers) == 2 * 4096

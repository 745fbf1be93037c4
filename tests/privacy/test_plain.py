"""The scheme without protection sums the same integers, in bodies of the fewest bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.privacy.errors import MalformedUpdateError, PrivacyError
from nasturtium.privacy.plain import PlainAdder, PlainCipher
from nasturtium.privacy.presets import Preset, smallest_preset

PRESETS = [
    smallest_preset(2, 1),
    smallest_preset(10, 8),
    smallest_preset(1000, 4),
    smallest_preset(1000, 16),
    Preset(clients=3, levels=5, packing=2, noise_bound=3),
    Preset(clients=1000, levels=2, packing=1, noise_bound=1_000_000),
]


class Zeros:
    """A mask of nothing."""

    def take(self, count: int) -> np.ndarray:
        return np.zeros(count, np.uint64)


@given(
    preset=st.sampled_from(PRESETS),
    count=st.integers(1, 40),
    fill=st.sampled_from(["largest", "zero", "mixed"]),
    data=st.data(),
)
def test_a_sum_of_any_number_of_updates_is_exact(preset, count, fill, data):
    summands = data.draw(st.integers(1, min(preset.clients, 20)) | st.just(preset.clients))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    cipher, adder = PlainCipher(preset), PlainAdder(preset)
    updates = rng.integers(0, preset.symbols, (summands, count)).astype(np.min_scalar_type(preset.symbols - 1))
    if fill != "mixed":
        updates[:] = preset.symbols - 1 if fill == "largest" else 0
    total = adder.start(count)
    for update in updates:
        body = cipher.encrypt(update)
        assert len(body) == adder.update_bytes(count)
        total.add(memoryview(body))
    assert len(total.body()) == adder.sum_bytes(count)
    opened = cipher.decrypt(total.body(), count)
    assert (opened.shape, opened.dtype) == ((count,), np.uint32)
    np.testing.assert_array_equal(opened, updates.sum(axis=0, dtype=np.int64))


@pytest.mark.parametrize(
    ("bits", "count", "update", "total"),
    [
        pytest.param(4, 8, 4, 8, id="4-bit"),  # sums of ten reach 140
        pytest.param(8, 8, 8, 12, id="8-bit"),  # 2540
        pytest.param(8, 9, 16, 24, id="rounded-up-to-eight"),
        pytest.param(16, 16, 32, 40, id="16-bit"),
    ],
)
def test_bodies_have_no_bit_to_spare(bits, count, update, total):
    adder = PlainAdder(smallest_preset(10, bits))
    assert (adder.update_bytes(count), adder.sum_bytes(count)) == (update, total)


def test_there_are_no_ciphertexts_and_no_key():
    for side in (PlainCipher(PRESETS[0]), PlainAdder(PRESETS[0])):
        assert side.scheme == "plain"
        assert side.key_id == "0" * 32
        assert side.ciphertexts(10_000) == 0
    assert PlainAdder(PRESETS[0]).parameters_sha256 is None
    assert PlainCipher(PRESETS[0]).derive_key(b"a purpose") is None


def test_there_are_no_masks():
    with pytest.raises(PrivacyError, match="masks go under an encryption"):
        PlainCipher(PRESETS[0]).encrypt(np.zeros(3, np.uint8), Zeros())
    with pytest.raises(PrivacyError, match="masks go under an encryption"):
        PlainAdder(PRESETS[0]).start(3).remove(Zeros())


@pytest.mark.parametrize(
    "symbols",
    [
        pytest.param(np.array([], np.uint8), id="none"),
        pytest.param(np.array([0, -1]), id="negative"),
        pytest.param(np.array([0.5]), id="floating"),
        pytest.param(np.zeros((2, 2), np.uint8), id="two-axes"),
        pytest.param(np.array([0, 255], np.uint8), id="too-large"),
    ],
)
def test_what_are_no_symbols_is_refused(symbols):
    with pytest.raises(PrivacyError, match=r"expected unsigned integers|beyond the 255"):
        PlainCipher(smallest_preset(10, 8)).encrypt(symbols)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "expected 8 bytes, got 0", id="none"),
        pytest.param(bytes(7), "expected 8 bytes, got 7", id="short"),
        pytest.param(bytes(9), "expected 8 bytes, got 9", id="long"),
        pytest.param(bytes(2) + b"\xff" + bytes(5), "a symbol is beyond the 255", id="too-large"),
    ],
)
def test_what_is_no_update_is_refused_and_leaves_the_sum(body, message):
    preset = smallest_preset(10, 8)
    total = PlainAdder(preset).start(3)
    total.add(memoryview(bytes([1, 2, 254]) + bytes(5)))
    with pytest.raises(MalformedUpdateError, match=message):
        total.add(memoryview(body))
    assert PlainCipher(preset).decrypt(total.body(), 3).tolist() == [1, 2, 254]


@pytest.mark.parametrize(("length", "count"), [(0, 0), (0, -1), (11, 8), (13, 8), (12, 9)])
def test_a_sum_of_another_length_is_not_opened(length, count):
    with pytest.raises(PrivacyError, match="cannot be opened"):
        PlainCipher(smallest_preset(10, 8)).decrypt(bytes(length), count)

"""How large updates are, before there are any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.privacy import Identity, PackedCipher, SecretKey, Sitting, UpdateSize, protect, smallest_preset
from nasturtium.privacy.sum_tag import tag_symbols

KEY, IDENTITY = SecretKey.generate(), Identity.generate("site")


@pytest.mark.parametrize("bits", [1, 2, 8, 16])
@pytest.mark.parametrize("quantised", [0, 1, 9000])
def test_the_bytes_are_those_of_a_protected_update(bits, quantised):
    size = UpdateSize(quantised=quantised, tensors=3, exact=8)
    preset = size.preset(5, bits)
    sitting = Sitting(run="01JRUN", round=1, layout="0" * 64, values=size.symbols(preset.levels))
    symbols = np.zeros(sitting.values, np.uint16)
    sealed = protect(PackedCipher(KEY, preset), sitting, symbols, signer=IDENTITY).to_bytes()
    assert size.upload_bytes(5, bits) == len(sealed)


@given(st.integers(2, 60), st.integers(1, 12), st.integers(0, 10**6), st.integers(0, 200), st.integers(0, 2000))
def test_the_preset_is_the_smallest_for_as_many_symbols(clients, bits, quantised, tensors, exact):
    size = UpdateSize(quantised=quantised, tensors=tensors, exact=exact)
    preset = size.preset(clients, bits)
    symbols = size.symbols(preset.levels) + tag_symbols(preset)
    assert preset == smallest_preset(clients, bits, values=symbols)
    assert symbols <= preset.ciphertexts(symbols) * preset.block


def test_more_to_say_never_takes_fewer_symbols():
    size = UpdateSize(quantised=10, tensors=2, exact=3)
    for more in ({"quantised": 11}, {"tensors": 3}, {"exact": 4}):
        fields = {"quantised": 10, "tensors": 2, "exact": 3} | more
        assert UpdateSize(**fields).symbols(255) > size.symbols(255)


@pytest.mark.parametrize("field", ["quantised", "tensors", "exact"])
def test_negative_counts_are_refused(field):
    with pytest.raises(ConfigError, match=">= 0"):
        UpdateSize(**{"quantised": 1, "tensors": 1, "exact": 1} | {field: -1})

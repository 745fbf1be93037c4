"""A federation in small: keys, identities, and both sides of the schemes."""

from __future__ import annotations

import pytest

from nasturtium.privacy import (
    Adder,
    Cipher,
    Identity,
    PackedAdder,
    PackedCipher,
    PlainAdder,
    PlainCipher,
    Preset,
    SecretKey,
    smallest_preset,
)


@pytest.fixture(scope="session")
def key() -> SecretKey:
    """The key of the federation under test."""
    return SecretKey.generate()


@pytest.fixture(scope="session")
def other_key() -> SecretKey:
    """The key of another federation."""
    return SecretKey.generate()


@pytest.fixture(scope="session")
def preset() -> Preset:
    """For at most four updates."""
    return smallest_preset(4, 8)


@pytest.fixture(scope="session")
def sites() -> list[Identity]:
    """One more than the preset's sums are exact for."""
    return [Identity(f"site-{number}", bytes([number]) * 64) for number in range(1, 6)]


@pytest.fixture(scope="session")
def coordinator() -> Identity:
    return Identity("coordinator", bytes([9]) * 64)


@pytest.fixture(params=["plain", "packed"])
def scheme(request: pytest.FixtureRequest, key: SecretKey, preset: Preset) -> tuple[Cipher, Adder]:
    """The sites' and the coordinator's side."""
    if request.param == "plain":
        return PlainCipher(preset), PlainAdder(preset)
    return PackedCipher(key, preset), PackedAdder(preset, key.key_id)

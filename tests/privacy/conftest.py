"""Keys, headers and updates to try the protected sum with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from nasturtium.privacy import Adder, Cipher, CkksAdder, CkksCipher, Header, PlainAdder, PlainCipher, SecretKey
from nasturtium.privacy.fixed_point import MAX_BITS


@pytest.fixture(scope="session")
def key() -> SecretKey:
    """The key of the federation under test."""
    return SecretKey.generate()


@pytest.fixture(scope="session")
def other_key() -> SecretKey:
    """The key of another federation."""
    return SecretKey.generate()


@pytest.fixture(params=["plain", "ckks"])
def scheme(request: pytest.FixtureRequest, key: SecretKey) -> tuple[Cipher, Adder]:
    """Both sides of every scheme."""
    if request.param == "plain":
        return PlainCipher(), PlainAdder()
    return CkksCipher(key), CkksAdder(key.public())


@pytest.fixture(scope="session")
def draw_vectors() -> Callable[..., list[np.ndarray]]:
    def draw(count: int, size: int, *, seed: int = 0) -> list[np.ndarray]:
        """Integers over the whole range of one summand, both ends among them."""
        rng = np.random.default_rng(seed)
        vectors = rng.integers(-(2**MAX_BITS), 2**MAX_BITS + 1, size=(count, size))
        vectors[:, ::3] = rng.choice([-(2**MAX_BITS), 2**MAX_BITS], size=vectors[:, ::3].shape)
        return list(vectors)

    return draw


@pytest.fixture(scope="session")
def header() -> Header:
    """Of a valid update."""
    return Header(
        scheme="plain",
        key_id="",
        run="01JRUN",
        round=3,
        sender="site-1",
        layout="ab" * 32,
        values=7,
        summands=1,
    )

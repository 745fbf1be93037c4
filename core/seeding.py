"""Seeds for independent streams of randomness, derived from one seed and a path of names."""

from __future__ import annotations

import hashlib

import numpy as np

from .errors import ConfigError
from .spec import canonical_json


def derive_seed(seed: int, *path: int | str) -> int:
    """A seed in [0, 2**63) for one purpose: equal arguments give equal seeds, others unrelated ones.

    Args:
        seed: the run's seed, in [0, 2**63).
        path: what the stream is for, as in `("trial", 3)`.

    Raises:
        ConfigError: the seed is out of range.
    """
    if not 0 <= seed < 2**63:
        raise ConfigError(f"expected 0 <= seed < 2**63, got {seed}")
    digest = hashlib.sha256(canonical_json([seed, *path]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def derive_rng(seed: int, *path: int | str) -> np.random.Generator:
    """A generator for one purpose; see `derive_seed`."""
    return np.random.default_rng(derive_seed(seed, *path))

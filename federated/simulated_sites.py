"""The parties of a simulated federation: both sides of a scheme, and the sites with their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ..core import (
    canonical_json,
    derive_rng,
)
from ..privacy import (
    Adder,
    ApproximateCkksAdder,
    ApproximateCkksCipher,
    AttemptJournal,
    Budget,
    Cipher,
    CkksSecretKey,
    Identity,
    PackedAdder,
    PackedCipher,
    PlainAdder,
    PlainCipher,
    Preset,
    PublicIdentity,
    SecretKey,
)
from .simulation_config import Scheme
from .simulation_setup import SimulationSetup
from .site import Site
from .site_masks import SiteMasks

VALIDATION_FRACTION = 0.2  # of a site's rows, on which it measures


def make_scheme(scheme: Scheme, preset: Preset) -> tuple[Cipher, Adder]:
    """The sites' and the coordinator's side of a scheme. The key is made among the sites; only its name leaves."""
    if scheme == "plain":
        return PlainCipher(preset), PlainAdder(preset)
    if scheme == "packed":
        key = SecretKey.generate()
        return PackedCipher(key, preset), PackedAdder(preset, key.key_id)
    ckks_key = CkksSecretKey.generate()
    return ApproximateCkksCipher(ckks_key, preset), ApproximateCkksAdder(preset, ckks_key.key_id)


def make_sites(setup: SimulationSetup, cipher: Cipher, coordinator: PublicIdentity) -> list[Site]:
    """The sites, each with its rows, of which it measures on some; with masks and a budget where they are asked for."""
    config = setup.config
    identities = [Identity.generate(f"site-{i + 1}") for i in range(config.clients)]
    members = {identity.public.id: identity.public for identity in identities}
    sites: list[Site] = []
    for identity, share in zip(identities, setup.shares, strict=True):
        rows = derive_rng(config.seed, "validation", identity.public.name).permutation(len(share))
        measured = max(1, round(VALIDATION_FRACTION * len(share)))
        train, validation = share.take(rows[measured:]), share.take(rows[:measured])
        journal = AttemptJournal(None)
        masks = SiteMasks(identity, members, roster_sha256(members), journal) if config.masked else None
        budget = None if config.epsilon is None else Budget(config.epsilon, config.delta)
        sites.append(
            Site(
                identity,
                train,
                validation,
                cipher,
                coordinator=coordinator,
                journal=journal,
                masks=masks,
                budget=budget,
            )
        )
    return sites


def roster_sha256(members: Iterable[str]) -> str:
    """Stands for a roster, which nobody signs where all parties are one."""
    return hashlib.sha256(canonical_json(sorted(members)).encode()).hexdigest()

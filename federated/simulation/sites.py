"""The parties of a simulated federation: both sides of a scheme, and sites that are made when they are first asked.

Threat model: none. All parties are one here; what travels is what would travel between real ones.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ...core import SavedModel, canonical_json, derive_rng
from ...core.data import Dataset
from ...privacy import (
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
from ..adapters.saved import AdaptedModel
from ..protocol.rounds import ClientUpdate, RoundPlan
from ..site.masks import SiteMasks
from ..site.shared_models import SharedModels
from ..site.site import Site
from ..site_data.rows import RowsView
from .config import Scheme, SimulationConfig, site_name
from .setup import SimulationSetup

VALIDATION_FRACTION = 0.2  # of a site's rows, on which it measures


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedParties:
    """All that the sites of a simulation are made of, in this process or another one of its own.

    Attributes:
        config: what is simulated.
        pool: the rows they share.
        rows: indices into it of each site's.
        preset: of the scheme.
        key: of the sites, as bytes; empty where there is none.
        secret: what their identities are derived from, 32 bytes.
        coordinator: whom they follow.
        heads: the folder in which they keep what they saw of the privacy ledger; None keeps nothing.
    """

    config: SimulationConfig
    pool: Dataset
    rows: Sequence[np.ndarray]
    preset: Preset
    key: bytes = field(repr=False)
    secret: bytes = field(repr=False)
    coordinator: PublicIdentity
    heads: Path | None = None

    @classmethod
    def make(cls, setup: SimulationSetup, preset: Preset, coordinator: PublicIdentity) -> SimulatedParties:
        """Parties with fresh keys. The key is made among the sites; only its name leaves."""
        return cls(
            config=setup.config,
            pool=setup.pool,
            rows=setup.shares.indices,
            preset=preset,
            key=_make_key(setup.config.scheme),
            secret=secrets.token_bytes(32),
            coordinator=coordinator,
        )

    def identity(self, index: int) -> Identity:
        """Of the site with an index, from 0."""
        name = site_name(index)
        return Identity(name, hashlib.sha512(b"simulated site\0" + self.secret + name.encode()).digest())

    def make_cipher(self) -> Cipher:
        """The sites' side of the scheme."""
        match self.config.scheme:
            case "plain":
                return PlainCipher(self.preset, sparse=self.config.make_compression().sparse)
            case "packed":
                return PackedCipher(SecretKey.from_bytes(self.key), self.preset)
            case _:
                return ApproximateCkksCipher(CkksSecretKey.from_bytes(self.key), self.preset)

    def make_adder(self) -> Adder:
        """The coordinator's side, which has no key."""
        match self.config.scheme:
            case "plain":
                return PlainAdder(self.preset, sparse=self.config.make_compression().sparse)
            case "packed":
                return PackedAdder(self.preset, SecretKey.from_bytes(self.key).key_id)
            case _:
                return ApproximateCkksAdder(self.preset, CkksSecretKey.from_bytes(self.key).key_id)


class SimulatedSites:
    """The sites by index, from 0; each is made when it is first asked for.

    Safe to call from several threads, if each site is used by one at a time.
    """

    def __init__(self, parties: SimulatedParties) -> None:
        self._parties = parties
        self._cipher = parties.make_cipher()
        self._shared = SharedModels()
        self._journal = AttemptJournal(None)
        self._sites: dict[int, Site] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return self._parties.config.clients

    def __getitem__(self, index: int) -> Site:
        with self._lock:
            site = self._sites.get(index)
            if site is None:
                site = self._sites[index] = self._make(index)
        return site

    def release(self, index: int) -> SavedModel | AdaptedModel:
        """The model of one of them."""
        return self[index].release()

    @cached_property
    def _members(self) -> Mapping[str, PublicIdentity]:
        public = (self._parties.identity(index).public for index in range(len(self)))
        return {each.id: each for each in public}

    @cached_property
    def _roster(self) -> str:
        return roster_sha256(self._members)

    def _make(self, index: int) -> Site:
        parties, config = self._parties, self._parties.config
        identity = parties.identity(index)
        share = parties.rows[index]
        order = derive_rng(config.seed, "validation", identity.public.name).permutation(len(share))
        measured = max(1, round(VALIDATION_FRACTION * len(share)))
        journal = self._journal.of(identity.public.name)
        return _SimulatedSite(
            identity,
            RowsView(parties.pool, share[order[measured:]]),
            RowsView(parties.pool, share[order[:measured]]),
            self._cipher,
            coordinator=parties.coordinator,
            journal=journal,
            masks=SiteMasks(identity, self._members, self._roster, journal) if config.masked else None,
            budget=None if config.epsilon is None else Budget(config.epsilon, config.delta),
            models=config.catalogue,
            shared=self._shared,
            heads=parties.heads,
        )


class PublicIdentities(Mapping[int, PublicIdentity]):
    """Who the sites are, by Flower's node; each is worked out when it is first asked for.

    Args:
        parties: of the simulation.
        first: the node of the first site.
    """

    def __init__(self, parties: SimulatedParties, first: int) -> None:
        self._parties = parties
        self._nodes = range(first, first + parties.config.clients)
        self._known: dict[int, PublicIdentity] = {}

    def __getitem__(self, node: int) -> PublicIdentity:
        if node not in self._nodes:
            raise KeyError(node)
        if node not in self._known:
            self._known[node] = self._parties.identity(node - self._nodes.start).public
        return self._known[node]

    def __iter__(self) -> Iterator[int]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node: object) -> bool:
        return node in self._nodes


def roster_sha256(members: Iterable[str]) -> str:
    """Stands for a roster, which nobody signs where all parties are one."""
    return hashlib.sha256(canonical_json(sorted(members)).encode()).hexdigest()


class _SimulatedSite(Site):
    """Keeps what it saw of the ledger where its operator would find it."""

    def __init__(self, *arguments: Any, heads: Path | None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._heads = heads

    def follow(self, plan: RoundPlan) -> ClientUpdate:
        before = self.ledger_head
        try:
            return super().follow(plan)
        finally:
            if self._heads is not None and self.ledger_head is not None and self.ledger_head is not before:
                self._heads.mkdir(parents=True, exist_ok=True)
                draft = self._heads / f".{self.name}.draft"
                draft.write_text(self.ledger_head.to_json() + "\n")
                draft.replace(self._heads / f"{self.name}.head.json")


def _make_key(scheme: Scheme) -> bytes:
    if scheme == "plain":
        return b""
    return (SecretKey if scheme == "packed" else CkksSecretKey).generate().to_bytes()

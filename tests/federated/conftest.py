"""A federation of three small sites, of which some may misbehave."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from nasturtium.core import ModelSpec, canonical_json
from nasturtium.core.data import Dataset, Preprocessing, Task
from nasturtium.core.nn import layer_spec
from nasturtium.federated import Closing, FederationPlan, LocalTraining, Quantisation, RoundPlan, Site
from nasturtium.privacy import (
    ApproximateCkksAdder,
    ApproximateCkksCipher,
    AttemptJournal,
    CkksSecretKey,
    Identity,
    PackedAdder,
    PackedCipher,
    PlainAdder,
    PlainCipher,
    Preset,
    SecretKey,
    smallest_preset,
)

TASK = Task(input_shape=(3,), features=("a", "b", "c"), classes=("no", "yes"))
SPEC = ModelSpec((3,), (layer_spec("linear", out_features=2),))
RUN = "01JRUN"
BOUND = 0.05  # no site moves a weight further in a round


def make_rows(count: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, 3)).astype(np.float32)
    return Dataset("rows", inputs, (inputs.sum(axis=1) > 0).astype(np.int64), TASK)


PREPROCESSING = Preprocessing.fit(make_rows(99, 9).inputs, TASK)


def make_identity(name: str) -> Identity:
    """The same one for the same name, which real ones are not."""
    return Identity(name, hashlib.sha512(name.encode()).digest())


@pytest.fixture(scope="session")
def preset() -> Preset:
    return smallest_preset(5, 8)


@pytest.fixture(scope="session")
def key() -> SecretKey:
    return SecretKey.generate()


@pytest.fixture(scope="session")
def ckks_key() -> CkksSecretKey:
    return CkksSecretKey.generate()


@pytest.fixture(scope="session")
def coordinator() -> Identity:
    return make_identity("coordinator")


@pytest.fixture(scope="session")
def stranger() -> Identity:
    """Somebody who calls itself coordinator."""
    return Identity.generate("coordinator")


@pytest.fixture
def make_plan(preset):
    def make(round: int = 1, **changes: object) -> RoundPlan:
        fields = {
            "run": RUN,
            "round": round,
            "phase": "train",
            "spec": SPEC.to_json(),
            "preprocessing": canonical_json(PREPROCESSING.to_dict()),
            "seed": 5,
            "training": LocalTraining(epochs=1, batch_size=4, max_rows=100),
            "quantisation": Quantisation(preset=preset.name, bound=BOUND),
            "total": b"",
        }
        return RoundPlan(**fields | changes)

    return make


@pytest.fixture
def make_site(preset, coordinator):
    def make(
        index: int = 1,
        *,
        rows: int = 12,
        measured: int = 5,
        cipher=None,
        masks=None,
        budget=None,
        journal=None,
        shared=None,
        **more: object,
    ) -> Site:
        train, validation = make_rows(rows, index), make_rows(measured, 100 + index)
        return Site(
            make_identity(f"site-{index}"),
            train,
            validation,
            cipher or PlainCipher(preset),
            coordinator=coordinator.public,
            journal=journal or AttemptJournal(None),
            masks=masks,
            budget=budget,
            shared=shared,
            **more,
        )

    return make


@pytest.fixture
def make_federation_plan(preset):
    def make(**changes: object) -> FederationPlan:
        fields = {
            "run": RUN,
            "spec": SPEC,
            "preprocessing": canonical_json(PREPROCESSING.to_dict()),
            "seed": 5,
            "rounds": 2,
            "training": LocalTraining(epochs=1, batch_size=4, max_rows=100),
            "quantisation": Quantisation(preset=preset.name, bound=BOUND),
            # Everybody is waited for, and nothing is tried again.
            "closing": Closing(deadline=600.0, min_replies=99),
            "attempts": 1,
            "retry_wait": 0.0,
            "patience": 0.0,
        }
        return FederationPlan(**{"masks": None} | fields | changes)

    return make


@pytest.fixture
def make_scheme(key, ckks_key):
    """The sites' and the coordinator's side of a scheme."""

    def make(name: str, preset: Preset):
        if name == "plain":
            return PlainCipher(preset), PlainAdder(preset)
        if name == "packed":
            return PackedCipher(key, preset), PackedAdder(preset, key.key_id)
        return ApproximateCkksCipher(ckks_key, preset), ApproximateCkksAdder(preset, ckks_key.key_id)

    return make


@pytest.fixture(params=["plain", "packed", "ckks-approximate"])
def scheme(request, make_scheme, preset):
    """Both sides of every scheme."""
    return make_scheme(request.param, preset)

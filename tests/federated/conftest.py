"""A federation of three small sites, of which some may misbehave."""

from __future__ import annotations

import numpy as np
import pytest

from nasturtium.core import ModelSpec, canonical_json
from nasturtium.core.data import Dataset, Preprocessing, Task
from nasturtium.core.nn import layer_spec
from nasturtium.federated import FederationPlan, LocalTraining, RoundPlan, Site
from nasturtium.privacy import CkksAdder, CkksCipher, PlainAdder, PlainCipher, SecretKey

TASK = Task(input_shape=(3,), features=("a", "b", "c"), classes=("no", "yes"))
SPEC = ModelSpec((3,), (layer_spec("linear", out_features=2),))
RUN = "01JRUN"


def make_rows(count: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, 3)).astype(np.float32)
    return Dataset("rows", inputs, (inputs.sum(axis=1) > 0).astype(np.int64), TASK)


PREPROCESSING = Preprocessing.fit(make_rows(99, 9).inputs, TASK)


@pytest.fixture(scope="session")
def key() -> SecretKey:
    return SecretKey.generate()


@pytest.fixture
def make_plan():
    def make(round: int = 1, **changes: object) -> RoundPlan:
        fields = {
            "run": RUN,
            "round": round,
            "phase": "train",
            "spec": SPEC.to_json(),
            "preprocessing": canonical_json(PREPROCESSING.to_dict()),
            "seed": 5,
            "training": LocalTraining(epochs=1, batch_size=4, max_rows=100),
            "total": b"",
        }
        return RoundPlan(**fields | changes)

    return make


@pytest.fixture
def make_site():
    def make(index: int = 1, *, rows: int = 12, measured: int = 5, cipher=None) -> Site:
        train, validation = make_rows(rows, index), make_rows(measured, 100 + index)
        return Site(f"site-{index}", train, validation, cipher or PlainCipher())

    return make


@pytest.fixture
def make_federation_plan():
    def make(**changes: object) -> FederationPlan:
        fields = {
            "run": RUN,
            "spec": SPEC,
            "preprocessing": canonical_json(PREPROCESSING.to_dict()),
            "seed": 5,
            "rounds": 2,
            "training": LocalTraining(epochs=1, batch_size=4, max_rows=100),
        }
        return FederationPlan(**fields | changes)

    return make


@pytest.fixture(params=["plain", "ckks"])
def scheme(request, key):
    """The sites' and the coordinator's side of every scheme."""
    if request.param == "plain":
        return PlainCipher(), PlainAdder()
    return CkksCipher(key), CkksAdder(key.public())

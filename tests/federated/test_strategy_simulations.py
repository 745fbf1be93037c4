"""Whole federations on digits that are spread unevenly: every strategy learns, robust ones with a liar among them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core import ConfigError, ModelSpec, load_model
from nasturtium.core.nn import layer_spec
from nasturtium.federated import SimulationConfig, SimulationResult, SimulationSetup, simulate
from nasturtium.federated.site.local_training import NetworkTrainer
from nasturtium.federated.strategies import STRATEGIES
from nasturtium.storage import open_database

NORMED = ModelSpec(
    (1, 8, 8),
    (
        layer_spec("flatten"),
        layer_spec("linear", out_features=32),
        layer_spec("batch_norm"),
        layer_spec("activation", function="relu"),
        layer_spec("linear", out_features=10),
    ),
)
LINEAR = ModelSpec((1, 8, 8), (layer_spec("flatten"), layer_spec("linear", out_features=10)))
TWO = ModelSpec(
    (1, 8, 8), (layer_spec("flatten"), layer_spec("linear", out_features=16), layer_spec("linear", out_features=10))
)
IN_THE_CLEAR = [name for name, each in STRATEGIES.items() if each.in_the_clear]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with open_database(tmp_path_factory.mktemp("simulations") / "history.db") as database:
        yield database


@pytest.fixture
def run(database):
    def run(spec: ModelSpec = LINEAR, **changes: object) -> SimulationResult:
        fields = {"data": "digits", "clients": 7, "rounds": 5, "seed": 1, "epochs": 3, "alpha": 0.5, "workers": 1}
        return simulate(SimulationSetup.load(SimulationConfig(**fields | changes), spec=spec), database)

    return run


def last_accuracy(result: SimulationResult) -> float:
    """Of the sites' own rows, on which each measures the model it has."""
    return [each.accuracy for each in result.rounds if each.accuracy is not None][-1]


def weights(result: SimulationResult) -> bytes:
    return b"".join(array.tobytes() for _, array in sorted(load_model(result.model).model.state().items()))


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_strategy_learns_the_digits(run, name):
    changes = {"scheme": "plain", "bits": 12} if name in IN_THE_CLEAR else {}
    rounds = 10 if name == "fedbuff" else 5  # of which each has half of the changes
    fewest = 0.3 if name == "krum" else 0.5  # which takes one site's change of the round
    assert last_accuracy(run(NORMED, strategy=name, rounds=rounds, **changes)) > fewest


def test_what_is_left_out_is_learned_later(run):
    plain = run(NORMED, scheme="plain", rounds=8)
    for name, options in (("top-k", {"fraction": 0.2}), ("low-rank", {"rank": 3})):
        result = run(NORMED, scheme="plain", rounds=8, compression=name, compression_options=options)
        assert last_accuracy(result) > 0.5, name
        assert sum(each.bytes_up for each in result.rounds) < 0.6 * sum(each.bytes_up for each in plain.rounds), name


@pytest.fixture
def a_liar(monkeypatch):
    """The first site says the opposite of what it learned, and as much of it as fits."""
    honest = NetworkTrainer.train

    def lie(self, session, plan, rows):
        said = honest(self, session, plan, rows)
        return replace(said, change=-1e3 * said.change) if rows.site == "site-1" else said

    monkeypatch.setattr(NetworkTrainer, "train", lie)


def test_a_liar_ruins_a_mean_and_no_robust_rule(run, a_liar):
    plain = last_accuracy(run(scheme="plain", bits=12))
    for name in ("median", "trimmed-mean", "krum", "bulyan"):
        options = {"chosen": 4} if name == "krum" else {}
        robust = last_accuracy(run(scheme="plain", bits=12, strategy=name, strategy_options=options))
        assert robust > plain + 0.1
        assert robust > 0.35


@pytest.mark.parametrize("name", ["fedadam", "scaffold", "fedbn", "fedper"])
def test_every_scheme_and_masks_release_the_same_bits(run, name):
    fields = {"strategy": name, "rounds": 2, "clients": 3, "epochs": 1}
    packed = run(NORMED, **fields)
    for changes in ({"scheme": "plain"}, {"scheme": "ckks-approximate"}, {"masked": True}):
        assert weights(run(NORMED, **fields, **changes)) == weights(packed)


def test_processes_release_the_same_bits_as_threads(run):
    fields = {"strategy": "scaffold", "rounds": 2, "clients": 3, "epochs": 1}
    assert weights(run(processes=1, **fields)) == weights(run(**fields))


def test_normalisation_that_stays_local_can_have_differential_privacy(run):
    private = {"epsilon": 20.0, "bits": 4, "clients": 20, "rounds": 1}
    with pytest.raises(ConfigError, match="running means of its data"):
        run(NORMED, **private)
    result = run(NORMED, strategy="fedbn", **private)
    assert np.isfinite(result.test.loss)


@pytest.mark.parametrize("name", ["fedavgm", "fedadam", "fedprox", "fedper"])
def test_steps_of_the_server_go_with_differential_privacy(run, name):
    result = run(TWO, strategy=name, epsilon=20.0, bits=4, clients=20, rounds=1)
    assert np.isfinite(result.test.loss)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"strategy": "median"}, "not under the scheme packed", id="encrypted"),
        pytest.param({"strategy": "scaffold", "epsilon": 9.0}, "has no differential privacy", id="scaffold"),
        pytest.param({"compression": "low-rank", "epsilon": 9.0}, "noise fills", id="low-rank"),
        pytest.param({"strategy": "krum", "scheme": "plain", "clients": 4}, "needs 5 updates", id="few"),
        pytest.param({"strategy": "fedbuff", "scheme": "plain", "participants": 3}, "that is idle", id="sampled"),
        pytest.param({"compression": "top-k", "scheme": "plain", "bits": 1}, "a level for zero", id="one-bit"),
        pytest.param({"strategy": "fedavg", "strategy_options": {"mu": 1}}, "has no parameter 'mu'", id="unknown"),
    ],
)
def test_what_cannot_be_is_refused_before_any_data_is_read(changes, told):
    with pytest.raises(ConfigError, match=told):
        SimulationConfig(data="absent.csv", **changes)

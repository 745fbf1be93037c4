"""Strategies and compressions as data: named once, checked, the same after a round trip."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError
from nasturtium.federated.compression import COMPRESSIONS, LowRank, TopK, compression_from_json
from nasturtium.federated.protocol.rounds import FEDAVG, UNCOMPRESSED
from nasturtium.federated.strategies import (
    STRATEGIES,
    FedAdam,
    FedAvgM,
    FedBuff,
    FedPer,
    FedProx,
    Krum,
    Scaffold,
    TrimmedMean,
    strategy,
    strategy_from_dict,
    strategy_from_json,
)
from nasturtium.federated.updates.exchange import check_scheme, check_together

EXPECTED = {
    *("fedavg", "fedprox", "fedavgm", "fedadam", "fedyogi", "fedadagrad", "scaffold", "fedbn", "fedper"),
    *("median", "trimmed-mean", "krum", "bulyan", "fedbuff"),
}
IN_THE_CLEAR = {"median", "trimmed-mean", "krum", "bulyan", "fedbuff"}
PLAIN = compression_from_json(UNCOMPRESSED)


def test_all_strategies_are_there():
    assert STRATEGIES.keys() == EXPECTED
    assert COMPRESSIONS.keys() == {"none", "changed", "top-k", "low-rank"}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_strategy_says_where_it_is_from_and_what_its_parameters_are(name):
    cls = STRATEGIES[name]
    told = inspect.getdoc(cls) or ""
    assert "Source: " in told
    assert "https://" in told
    for field in fields(cls):
        assert f"{field.name}: " in told


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_strategy_survives_json(name):
    made = STRATEGIES[name]()
    assert made.to_dict()["name"] == name
    assert strategy_from_json(made.to_json()) == made
    assert strategy_from_dict({"name": name}) == made


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_compression_survives_json(name):
    made = COMPRESSIONS[name]()
    assert compression_from_json(made.to_json()) == made


@given(st.floats(1e-6, 1e6), st.floats(0, 1, exclude_max=True))
def test_every_digit_of_a_parameter_survives_json(rate, momentum):
    made = FedAvgM(learning_rate=rate, momentum=momentum)
    assert strategy_from_json(made.to_json()) == made


def test_the_default_of_a_plan_is_federated_averaging():
    assert strategy_from_json(FEDAVG).to_json() == FEDAVG
    assert PLAIN.to_json() == UNCOMPRESSED


@pytest.mark.parametrize(
    ("said", "told"),
    [
        pytest.param({"name": "fedsgd"}, "unknown federated strategy 'fedsgd': expected one of", id="unknown-name"),
        pytest.param({"name": "fedprox", "nu": 1}, "fedprox has no parameter 'nu': it has mu", id="unknown-parameter"),
        pytest.param({"name": "fedavg", "mu": 1}, "fedavg has no parameter 'mu': it has none", id="of-another"),
        pytest.param({"name": "fedprox", "mu": "1"}, "expected a number for mu, got '1'", id="text"),
        pytest.param({"name": "fedprox", "mu": True}, "expected a number for mu, got True", id="truth-value"),
        pytest.param({"name": "krum", "liars": 1.0}, "expected a whole number for liars", id="fraction"),
        pytest.param({"name": "fedprox", "mu": -1.0}, "expected mu >= 0", id="out-of-range"),
        pytest.param({"name": "fedprox", "mu": 10**400}, "mu is beyond what a number can be", id="enormous"),
    ],
)
def test_what_is_no_strategy_is_refused(said, told):
    with pytest.raises(ConfigError, match=told):
        strategy_from_dict(said)


@pytest.mark.parametrize("said", [None, [], "fedavg", {}, {"name": 3}])
def test_what_is_no_object_with_a_name_is_refused(said):
    with pytest.raises(FormatError, match="as an object with a 'name'"):
        strategy_from_dict(said)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: FedAvgM(momentum=1.0), id="momentum"),
        pytest.param(lambda: FedAvgM(learning_rate=0.0), id="rate"),
        pytest.param(lambda: FedAdam(tau=0.0), id="tau"),
        pytest.param(lambda: FedAdam(beta2=float("nan")), id="beta"),
        pytest.param(lambda: FedProx(mu=float("inf")), id="mu"),
        pytest.param(lambda: Scaffold(sites=-1), id="sites"),
        pytest.param(lambda: FedPer(layers=0), id="layers"),
        pytest.param(lambda: TrimmedMean(fraction=0.5), id="fraction"),
        pytest.param(lambda: Krum(chosen=0), id="chosen"),
        pytest.param(lambda: FedBuff(buffer=2), id="buffer"),
        pytest.param(lambda: TopK(fraction=0.0), id="top-k"),
        pytest.param(lambda: LowRank(rank=0), id="rank"),
    ],
)
def test_parameters_are_checked(make):
    with pytest.raises(ConfigError):
        make()


def test_a_name_is_declared_once():
    with pytest.raises(ValueError, match="federated strategy 'fedavg' is declared twice"):
        strategy("fedavg")(FedProx)
    assert FedProx.name == "fedprox"


@pytest.mark.parametrize("scheme", ["packed", "ckks-approximate"])
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_only_what_must_see_single_updates_is_refused_under_encryption(name, scheme):
    made = STRATEGIES[name]()
    if name in IN_THE_CLEAR:
        with pytest.raises(ConfigError, match=f"the strategy {name} .* not under the scheme {scheme}"):
            check_scheme(made, PLAIN, scheme)
    else:
        check_scheme(made, PLAIN, scheme)
    check_scheme(made, PLAIN, "plain")
    check_scheme(made, PLAIN, "plain-sparse")


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_compression_of_which_bytes_tell_is_refused_under_encryption(name):
    made, fedavg = COMPRESSIONS[name](), strategy_from_json(FEDAVG)
    if name in {"changed", "top-k"}:
        with pytest.raises(ConfigError, match=f"the compression {name} tells which elements changed"):
            check_scheme(fedavg, made, "packed")
    else:
        check_scheme(fedavg, made, "packed")


def test_what_cannot_go_together_is_refused():
    fedavg = strategy_from_json(FEDAVG)
    with pytest.raises(ConfigError, match="scaffold has no differential privacy: a site's control"):
        check_together(Scaffold(), PLAIN, private=True)
    with pytest.raises(ConfigError, match="noise fills what it leaves out"):
        check_together(fedavg, LowRank(), private=True)
    for one in (Krum(), Scaffold(), FedBuff()):
        with pytest.raises(ConfigError, match="needs whole updates"):
            check_together(one, TopK(), private=False)
    for name in EXPECTED - {"scaffold"}:
        check_together(STRATEGIES[name](), PLAIN, private=True)

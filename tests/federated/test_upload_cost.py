"""What a search thinks an upload costs is what a site then sends."""

from __future__ import annotations

import pytest

from nasturtium.core import ModelSpec
from nasturtium.core.nn import layer_spec
from nasturtium.federated import SimulationConfig, SimulationSetup, simulate
from nasturtium.nas.costs import costs
from nasturtium.storage import History, open_database

RELU = layer_spec("activation", function="relu")
WIDE = ModelSpec(
    (1, 8, 8),
    (layer_spec("flatten"), layer_spec("linear", out_features=200), RELU, layer_spec("linear", out_features=10)),
)
NORMED = ModelSpec(
    (1, 8, 8),
    (
        layer_spec("conv2d", out_channels=8, kernel=3, bias=False),
        layer_spec("batch_norm"),
        RELU,
        layer_spec("mbconv", out_channels=8),
        layer_spec("global_avg_pool"),
        layer_spec("linear", out_features=10),
    ),
)


@pytest.mark.parametrize(
    ("spec", "clients", "bits"),
    [
        pytest.param(WIDE, 3, 8, id="linear-8-bits"),
        pytest.param(NORMED, 4, 8, id="batch-norm-8-bits"),
        pytest.param(NORMED, 3, 4, id="batch-norm-4-bits"),
    ],
)
def test_the_upload_is_as_large_as_planned(tmp_path, spec, clients, bits):
    config = SimulationConfig(data="digits", clients=clients, bits=bits, rounds=1, epochs=1)
    with open_database(tmp_path / "history.db") as database:
        result = simulate(SimulationSetup.load(config, spec=spec), database)
        sent = {each.bytes_up for each in History(database).contributions(result.run.uid, 1)}
    assert sent == {costs(spec, clients=clients, bits=bits).upload_bytes}

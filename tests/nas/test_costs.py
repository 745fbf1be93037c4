"""What networks cost, before they are built, against the built ones. Uploads: tests/federated/test_upload_cost.py."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from nasturtium.core import CPU, ConfigError, ModelSpec, build, derive_rng, read_tensor_header, save_tensors
from nasturtium.core.nn import Buffer, Node, layer_spec, summary
from nasturtium.nas.costs import Costs, costs
from nasturtium.nas.objectives import OBJECTIVES, measure_peak_memory

RELU = layer_spec("activation", function="relu")
CELL = layer_spec(
    "graph",
    nodes=(
        Node("conv", layer_spec("conv2d", out_channels=8, kernel=3, bias=False), ("input",)),
        Node("norm", layer_spec("batch_norm"), ("conv",)),
        Node("again", "conv", ("norm",)),
        Node("sum", layer_spec("add"), ("input", "norm", "again")),
    ),
)
SPECS = {
    "mlp": ModelSpec((20,), (layer_spec("linear", out_features=30), RELU, layer_spec("linear", out_features=3))),
    "cnn": ModelSpec(
        (3, 16, 16),
        (
            layer_spec("conv2d", out_channels=8, kernel=3),
            layer_spec("batch_norm"),
            CELL,
            layer_spec("mbconv", out_channels=12, stride=2),
            layer_spec("mbconv", out_channels=12),
            layer_spec("residual", body=(RELU, layer_spec("conv2d", out_channels=12, kernel=3))),
            layer_spec("global_avg_pool"),
            layer_spec("linear", out_features=10),
        ),
    ),
    "transformer": ModelSpec(
        (16, 12),
        (
            layer_spec("positional_encoding", learned=True),
            layer_spec("transformer_encoder", heads=3),
            layer_spec("lstm", hidden=8, bidirectional=True, sequences=False),
            layer_spec("linear", out_features=2),
        ),
    ),
}
CASES = [pytest.param(spec, id=name) for name, spec in SPECS.items()]


@pytest.mark.parametrize("spec", CASES)
def test_parameters_buffers_and_bytes_are_those_of_the_saved_model(tmp_path, spec):
    model, found = build(spec, derive_rng(0, "weights")), costs(spec)
    assert found.parameters == sum(tensor.size for tensor in model.parameters())
    assert found.buffers == sum(tensor.size for _, tensor in model.named_tensors(Buffer))
    path = save_tensors(tmp_path / "weights.safetensors", model.state())
    held = sum(entry.size * entry.dtype.itemsize for entry in read_tensor_header(path).specs.values())
    assert found.model_bytes == held
    header = path.stat().st_size - held
    assert 0 < header < 120 * (1 + len(model.state()))


@pytest.mark.parametrize("spec", CASES)
def test_a_summary_of_the_built_network_agrees(spec):
    found = summary(lambda rng: build(spec, rng), (1, *spec.input_shape)).total
    assert costs(spec).parameters == found.parameters
    assert costs(spec).peak_activation_bytes <= found.activation_bytes + 4 * np.prod(spec.input_shape)


def test_the_peak_of_a_chain_is_its_widest_pair():
    assert costs(SPECS["mlp"]).peak_activation_bytes == 4 * (30 + 30)


def test_the_peak_of_a_residual_layer_counts_what_waits():
    wide = (layer_spec("linear", out_features=50), RELU, layer_spec("linear", out_features=10))
    chain, residual = ModelSpec((10,), wide), ModelSpec((10,), (layer_spec("residual", body=wide),))
    assert costs(chain).peak_activation_bytes == 4 * 100
    assert costs(residual).peak_activation_bytes == 4 * 110


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_the_peak_is_within_reach_of_what_an_inference_takes(name):
    """Measured is more: patches of convolutions, and what Python still names; but not several times more."""
    spec, batch = SPECS[name], 16
    planned = batch * costs(spec).peak_activation_bytes
    measured = measure_peak_memory(spec, device=CPU, batch=batch, rng=derive_rng(0, "measure"))
    assert planned <= measured < 6 * planned


def test_more_clients_and_more_bits_take_more_bytes():
    spec = SPECS["cnn"]
    few, many = costs(spec, clients=3).upload_bytes, costs(spec, clients=300).upload_bytes
    assert few < many
    assert costs(spec, bits=4).upload_bytes < costs(spec, bits=8).upload_bytes < costs(spec, bits=16).upload_bytes
    assert costs(spec) == costs(spec, clients=10, bits=8)


def test_what_an_upload_carries_decides_its_bytes_and_nothing_else_changes():
    one, other = costs(SPECS["cnn"], clients=3, bits=2), costs(SPECS["cnn"], clients=30, bits=16)
    assert {name for name, value in asdict(one).items() if value != asdict(other)[name]} == {"upload_bytes"}


@pytest.mark.parametrize("options", [{"clients": 1}, {"bits": 0}, {"bits": 17}, {"clients": 1001}])
def test_what_no_encryption_is_for_is_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        costs(SPECS["mlp"], **options)


def test_every_cost_is_an_objective():
    declared = {name for name, objective in OBJECTIVES.items() if objective.source == "costs"}
    assert declared == set(Costs.__dataclass_fields__) == costs(SPECS["mlp"]).figures().keys()

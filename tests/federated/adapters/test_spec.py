"""How a plan names a model: as data, within bounds, and the same after a journey."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError, ModelSpec, build, derive_rng
from nasturtium.core.nn import layer_spec
from nasturtium.federated.adapters import AdapterSpec, read_model
from nasturtium.federated.adapters.spec import tensors_of
from nasturtium.federated.updates.model_tensors import ModelTensor, ModelTensors

TENSORS = ModelTensors((ModelTensor(name="a.weight", shape=(2, 3)), ModelTensor(name="a.bias", shape=())))
SPEC = AdapterSpec(name="my-net", options={"hidden": 3, "names": ("a", "b")}, tensors=TENSORS)
one = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True)
tensors = st.lists(
    st.builds(
        ModelTensor,
        name=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9),
        shape=st.lists(st.integers(1, 9), max_size=4).map(tuple),
        kind=st.sampled_from(["parameter", "buffer", "local"]),
        normalises=st.booleans(),
        first_range=st.none() | st.floats(1e-6, 1e6),
    ),
    min_size=1,
    unique_by=lambda each: each.name,
)


@given(st.dictionaries(names, one | st.lists(one).map(tuple), max_size=5), tensors)
def test_a_model_comes_back_from_its_text(options, tensors):
    spec = AdapterSpec(name="m", options=options, tensors=ModelTensors(tuple(tensors)))
    assert read_model(spec.to_json()) == spec
    assert read_model(spec.to_json()).to_json() == spec.to_json()


def test_a_network_of_the_core_is_read_as_before():
    spec = ModelSpec((3,), (layer_spec("linear", out_features=2),))
    assert read_model(spec.to_json()) == spec
    assert tensors_of(spec) == ModelTensors.of(build(spec, derive_rng(0, "any")))
    assert tensors_of(SPEC) is TENSORS


def changed(**fields: object) -> str:
    return json.dumps(SPEC.to_dict() | fields)


def tensor(**fields: object) -> list[object]:
    return [SPEC.to_dict()["tensors"][0] | fields]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(changed(version=2), "upgrade", id="newer"),
        pytest.param(changed(name="os:system"), "name of a model", id="code"),
        pytest.param(changed(name="../a"), "name of a model", id="path"),
        pytest.param(changed(name=3), "expected a text", id="number"),
        pytest.param(changed(code="import os"), "expected format, version", id="more"),
        pytest.param(changed(options=[]), "expected a text", id="no-options"),
        pytest.param(changed(options={"a": {"b": 1}}), "the option a", id="nested"),
        pytest.param(changed(options={"a": [[1]]}), "the option a", id="list-of-lists"),
        pytest.param(changed(options={"a b": 1}), "name of an option", id="no-identifier"),
        pytest.param(changed(options={"a": 10**400}), "the option a", id="huge"),
        pytest.param(changed(options={"a": "x" * 999}), "the option a", id="long"),
        pytest.param(changed(options={f"a{i}": 1 for i in range(99)}), "at most 64 options", id="many"),
        pytest.param(changed(tensors=[]), "1 to 10000 tensors", id="none"),
        pytest.param(changed(tensors=tensor() * 2), "same name", id="twice"),
        pytest.param(changed(tensors=tensor() * 10_001), "at most 10000", id="too-many"),
        pytest.param(changed(tensors=tensor(shape=[2**31, 2])), "elements in all", id="large"),
        pytest.param(changed(tensors=tensor(shape=[-1])), "no tensor can be", id="negative"),
        pytest.param(changed(tensors=tensor(shape=[2.0])), "no tensor can be", id="fraction"),
        pytest.param(changed(tensors=tensor(shape=[1] * 9)), "no tensor can be", id="axes"),
        pytest.param(changed(tensors=tensor(kind="code")), "expected a kind", id="kind"),
        pytest.param(changed(tensors=tensor(dtype="object")), "expected float32", id="dtype"),
        pytest.param(changed(tensors=tensor(dtype="int64")), "expected float32", id="travelling-integers"),
        pytest.param(changed(tensors=tensor(first_range=0)), "first range", id="range"),
        pytest.param(changed(tensors=[3]), "expected name, shape", id="no-tensor"),
    ],
)
def test_what_is_no_model_is_refused(text, message):
    with pytest.raises((ConfigError, FormatError)) as caught:
        read_model(text)
    assert message in f"{caught.value} {caught.value.hint}"

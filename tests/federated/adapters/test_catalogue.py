"""Only what the owner of a site has installed runs there, under the name they gave it, with options it has."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint

import pytest

from nasturtium.core import ConfigError, MissingExtraError
from nasturtium.federated import PlanError, Refusal
from nasturtium.federated.adapters import AdapterSpec, ModelCatalogue, catalogue
from nasturtium.federated.adapters.base import read_options
from nasturtium.federated.site.config import SiteConfig

from ..conftest import TASK


def build(task, *, count: int, rate: float = 0.5, flag: bool = False, name: str = "", sizes: tuple[int, ...] = ()):
    """A model that is not made."""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "needs the option count"),
        ({"count": 1, "cuont": 1}, "no option 'cuont'"),
        ({"count": 1.0}, "expected int for the option count"),
        ({"count": True}, "expected int for the option count"),
        ({"count": 1, "rate": "0.1"}, "expected float for the option rate"),
        ({"count": 1, "flag": 1}, "expected bool for the option flag"),
        ({"count": 1, "name": 3}, "expected str for the option name"),
        ({"count": 1, "sizes": (1, 2.5)}, "expected int for the option sizes"),
    ],
)
def test_options_that_a_model_does_not_have_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        read_options(build, given)


def test_options_become_what_the_model_says_they_are():
    read = read_options(build, {"count": 2, "rate": 1, "sizes": [3, 4]})
    assert read == {"count": 2, "rate": 1.0, "sizes": (3, 4)}
    assert read_options(build, {"count": 2, "sizes": 3})["sizes"] == (3,)


@pytest.mark.parametrize("wrong", [lambda task, hidden=3: None, lambda task, *, hidden=3: None])
def test_a_model_must_say_the_types_of_its_options(wrong):
    with pytest.raises(ConfigError, match=r"must say its type|options are keywords"):
        read_options(wrong, {})


def test_names_are_those_of_the_owner_of_installed_packages_and_of_ours(monkeypatch, module, models):
    points = [
        EntryPoint("installed", f"{module}:centroids", catalogue.GROUP),
        EntryPoint("centroids", f"{module}:union", catalogue.GROUP),
        EntryPoint("twice", f"{module}:union", catalogue.GROUP),
        EntryPoint("twice", f"{module}:centroids", catalogue.GROUP),
    ]
    monkeypatch.setattr(catalogue, "entry_points", lambda group: points)
    assert models.names == ("centroids", "installed", "sklearn-linear", "sklearn-mlp", "union", "xgboost")
    assert models.find("installed") is sys.modules[module].centroids
    assert models.find("centroids") is sys.modules[module].centroids  # what the owner wrote comes first
    with pytest.raises(ConfigError, match="no model is called 'twice'"):
        models.find("twice")
    with pytest.raises(ConfigError, match="no model is called"):
        ModelCatalogue(installed=False).find("installed")


@pytest.mark.parametrize("name", ["os:system", "subprocess", "nasturtium_test_models:centroids", ""])
def test_a_plan_cannot_name_code(models, name):
    with pytest.raises(ConfigError, match="no model is called"):
        models.find(name)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param("no_such_module:f", "cannot be loaded", id="no-module"),
        pytest.param("nasturtium_test_models:other", "cannot be loaded", id="no-function"),
        pytest.param("nasturtium_test_models:number", "no function", id="a-number"),
    ],
)
def test_a_place_where_nothing_is_says_so(module, place, message):
    with pytest.raises(ConfigError, match=message):
        ModelCatalogue({"m": place}).find("m")


@pytest.mark.parametrize("place", ["", "module", "a b:c", "a:b()", "a:b;c", 3, ".a:b"])
def test_a_place_that_can_be_none_is_refused(place):
    with pytest.raises(ConfigError, match="expected where its function is"):
        ModelCatalogue({"m": place})


def asked(models, **changes) -> AdapterSpec:
    fields = models.describe("centroids", {}, TASK).to_dict() | changes
    return AdapterSpec.from_dict(fields)


def other_shape(models) -> AdapterSpec:
    told = models.describe("centroids", {}, TASK).to_dict()
    told["tensors"][0]["shape"] = [2, 4]
    return AdapterSpec.from_dict(told)


@pytest.mark.parametrize(
    ("ask", "code", "message"),
    [
        pytest.param(lambda m: asked(m, name="nobodys"), Refusal.NOT_READY, "no model is called", id="unknown"),
        pytest.param(lambda m: asked(m, options={"scael": 1}), Refusal.MESSAGE, "no option 'scael'", id="option"),
        pytest.param(lambda m: asked(m, options={"scale": "2"}), Refusal.MESSAGE, "expected float", id="type"),
        pytest.param(lambda m: asked(m, options={"scale": -1.0}), Refusal.MESSAGE, "expected scale > 0", id="range"),
        pytest.param(lambda m: asked(m, options={"wide": True}), Refusal.VERSION, "other tensors here", id="tensors"),
        pytest.param(other_shape, Refusal.VERSION, r"parameter of \(2, 4\) there", id="shape"),
        pytest.param(lambda m: asked(m, name="union"), Refusal.MESSAGE, "is a union", id="clear"),
    ],
)
def test_a_site_refuses_a_model_with_a_code(models, ask, code, message):
    with pytest.raises(PlanError, match=message) as caught:
        models.open(ask(models), TASK, plain=False)
    assert caught.value.refusal is code


def test_a_union_is_taken_where_updates_are_in_the_clear(models):
    assert models.open(asked(models, name="union"), TASK, plain=True)


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [("sklearn-mlp", "sklearn.linear_model", "sklearn"), ("xgboost", "xgboost", "xgboost")],
)
def test_a_library_that_is_not_installed_names_the_extra(monkeypatch, name, library, extra):
    place = catalogue.BUILT_IN[name].partition(":")[0]
    monkeypatch.delitem(sys.modules, place, raising=False)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=extra) as caught:
        ModelCatalogue().find(name)
    assert caught.value.extra == extra
    monkeypatch.delitem(sys.modules, place, raising=False)


def test_torch_that_is_not_installed_names_the_extra(monkeypatch):
    place = "nasturtium.federated.adapters.torch_modules"
    monkeypatch.delitem(sys.modules, place, raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match="torch"):
        __import__(place)
    monkeypatch.delitem(sys.modules, place, raising=False)


def test_no_library_is_loaded_before_it_is_asked_for():
    import subprocess

    code = (
        "import sys, nasturtium.federated.site.site, nasturtium.federated.adapters as a; a.ModelCatalogue().names;"
        "assert not {'torch', 'sklearn', 'xgboost'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# --- site.toml ---

SITE = 'version = 1\nname = "a"\nkeys = "k"\nstate = "s"\nadmission = "x"\n[data]\nkind = "csv"\npath = "d.csv"\n'
SITE += 'target = "y"\n'


def test_the_owner_writes_models_into_site_toml(tmp_path):
    path = tmp_path / "site.toml"
    path.write_text(SITE + '[models]\nmy-net = "my_models:my_net"\n')
    path.chmod(0o600)
    config = SiteConfig.load(path)
    assert config.models == {"my-net": "my_models:my_net"}
    path.write_text(config.to_toml())
    assert SiteConfig.load(path) == config
    path.write_text(SITE)
    assert SiteConfig.load(path).models == {}


@pytest.mark.parametrize(
    "table",
    [
        '[models]\nm = "my_models"',
        "[models]\nm = 3",
        '[models]\n"a b" = "x:y"',
        '[models.m]\nplace = "x:y"',
        "[[models]]",
    ],
)
def test_a_models_table_that_is_none_is_refused(tmp_path, table):
    path = tmp_path / "site.toml"
    path.write_text(SITE + table)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=r"site\.toml: \[models\]"):
        SiteConfig.load(path)

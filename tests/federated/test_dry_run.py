"""What would leave a site: the same code on the same data as in a run, and nothing is sent, spent or written."""

from __future__ import annotations

import json
import socket
from dataclasses import replace

import numpy as np
import pytest

from nasturtium.core import ConfigError, DataError
from nasturtium.federated.deployment.dry_run import run_dry
from nasturtium.federated.errors import Refusal
from nasturtium.federated.site.config import SiteConfig

SECRETS = ("Mustermann", "4711.25")


@pytest.fixture
def make_config(tmp_path):
    def make(rows: int = 120, **policy) -> SiteConfig:
        rng = np.random.default_rng(0)
        lines = ["age,name,weight,ill"]
        for i in range(rows):
            name = SECRETS[0] if i % 3 else "Doe"
            weight = SECRETS[1] if i == 5 else f"{rng.normal(70, 9):.2f}"
            lines.append(f"{20 + i % 60},{name},{weight},{('no', 'yes')[i % 2]}")
        (tmp_path / "clinic-data.csv").write_text("\n".join(lines))
        (tmp_path / "site.toml").write_text(SiteConfig.template("hospital-a", data="clinic-data.csv", target="ill"))
        config = SiteConfig.load(tmp_path / "site.toml")
        return replace(config, policy=replace(config.policy, **policy))

    return make


def test_all_that_would_leave_is_there_and_nothing_of_the_rows(make_config, monkeypatch):
    def connect(*args, **kwargs):
        raise AssertionError("a dry run has no network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "bind", connect)
    said = run_dry(make_config())
    assert said.rows == {"train": 70, "validation": 26, "test": 24}
    assert said.columns == (("age", "numeric"), ("name", "categorical"), ("weight", "numeric"))
    assert said.hello["columns"] == said.columns
    assert (said.hello["rows"], said.rows_are_told, said.columns_are_told) == (None, False, True)
    assert {message.action for message in said.messages} == {"hello", "agree", "masks", "train", "evaluate", "report"}
    assert said.bytes_per_round > said.parameters  # about two bytes a parameter, and masks
    assert not said.refused
    text = json.dumps(said.to_dict())
    assert json.loads(text)["bytes_per_round"] == said.bytes_per_round
    assert not any(secret in text for secret in (*SECRETS, "clinic-data", "Doe"))
    assert not any("not described" in words for message in said.messages for words in message.holds)
    assert all(code in text for code in Refusal)


def test_nothing_is_written(make_config, tmp_path):
    config = make_config()
    before = sorted(tmp_path.rglob("*"))
    run_dry(config)
    assert sorted(tmp_path.rglob("*")) == before


def test_what_the_policy_lets_it_tell(make_config):
    said = run_dry(make_config(tell_rows=True, tell_columns=False, tell_norms=True))
    assert (said.hello["rows"], said.hello["columns"], said.columns_are_told) == (70, (), False)
    [update] = [message for message in said.messages if message.action == "train"]
    assert any("the number of training rows; how large the change was" in words for words in update.holds)
    assert any(words.startswith("names and kinds of the columns") for words in said.stays)


@pytest.mark.parametrize(
    ("policy", "refused"),
    [
        (
            {"min_rows": 1000},
            "masks, agree, train, evaluate, report: this site has 70 training rows, of at least 1000 (min_rows)",
        ),
        ({"actions": ("train",)}, "evaluate: asked to evaluate, which is none of train (actions)"),
        ({"strategies": ("fedadam",)}, "train, evaluate, report: the strategy fedavg, of fedadam (strategies)"),
    ],
)
def test_what_the_policy_would_refuse_is_told(policy, refused, make_config):
    assert refused in run_dry(make_config(**policy)).refused


def test_many_sites(make_config):
    assert not run_dry(make_config(min_sites=5)).refused
    assert not run_dry(make_config(min_sites=500)).refused


def test_a_budget_makes_a_run_with_noise(make_config):
    said = run_dry(make_config(max_epsilon=8.0))
    assert not said.refused
    assert {message.action for message in said.messages} == {"hello", "masks", "train", "report"}


def test_sizes_do_not_depend_on_the_rows(make_config):
    few, many = (run_dry(make_config(rows=rows)) for rows in (60, 1500))
    assert few.rows["train"] < many.rows["train"]
    sizes = [[message.bytes for message in each.messages if message.action == "masks"] for each in (few, many)]
    assert sizes[0] == sizes[1]
    updates = [
        [words.partition(":")[0] for words in message.holds if words.startswith("update")]
        for each in (few, many)
        for message in each.messages
        if message.action == "train"
    ]
    assert updates[0] == updates[1]


def test_data_that_cannot_be_used(make_config, tmp_path):
    config = make_config()
    with pytest.raises(ConfigError, match="is for a regression"):
        run_dry(replace(config, data=replace(config.data, target="age", task="regression")))
    (tmp_path / "clinic-data.csv").write_text("age,ill\n1,no\n")
    with pytest.raises(DataError):
        run_dry(config)
    (tmp_path / "clinic-data.csv").unlink()
    with pytest.raises(ConfigError, match="no such file"):
        run_dry(config)

"""`federate simulate --model-adapter`: a model of one's own, its options, and what cannot be done with it."""

from __future__ import annotations

import json

import pytest

from nasturtium.cli.options import settings
from nasturtium.core import ConfigError

SIMULATE = ("federate", "simulate", "--data", "digits", "--rounds", 1, "--epochs", 1, "--clients", 3)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("a=3", 3),
        ("a=-3", -3),
        ("a=0.5", 0.5),
        ("a=1e-3", 0.001),
        ("a=true", True),
        ("a=false", False),
        ("a=relu", "relu"),
        ("a=", ""),
        ("a=64,32", [64, 32]),
        ("a=x, y", ["x", "y"]),
        ("a=b=c", "b=c"),
    ],
)
def test_an_option_is_what_it_looks_like(word, value):
    [(name, read)] = settings("--model-option", [word]).items()
    assert (name, read, type(read)) == ("a", value, type(value))


@pytest.mark.parametrize(("words", "message"), [(["a"], "NAME=VALUE"), (["=3"], "NAME=VALUE"), (["a=1", "a=2"], "one")])
def test_what_is_no_option_is_refused(words, message):
    with pytest.raises(ConfigError, match=f"--model-option: expected {message}"):
        settings("--model-option", words)


def test_a_model_of_ones_own_is_trained_kept_and_said_to_be_no_network(command):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    answer = command(*SIMULATE, "--model-adapter", "sklearn-mlp", "--model-option", "hidden=16,8")
    assert answer.code == 0, answer.err
    shown = json.loads(command("history", "show", "@last", "--json").out)
    assert (shown["config"]["model_adapter"], shown["config"]["model_options"]) == ("sklearn-mlp", {"hidden": [16, 8]})
    assert shown["metrics"]["parameters"] == 64 * 16 + 16 + 16 * 8 + 8 + 8 * 10 + 10
    again = command(*SIMULATE, "--model", "@last")
    assert again.code == 1
    assert "holds a model of its owner's" in again.err
    assert "load_adapted" in again.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model-adapter", "nobodys"), "no model is called 'nobodys' here"),
        (("--model-adapter", "no_such_module:net"), "cannot be loaded"),
        (("--model-adapter", "a b:c"), "expected the name of a model|expected where its function is"),
        (("--model-option", "a=3"), "options of a model, and there is no model"),
    ],
)
def test_a_model_that_is_not_there_is_refused(command, words, message):
    answer = command(*SIMULATE, *words)
    assert answer.code == 2
    assert any(each in answer.err for each in message.split("|"))

"""`nasturtium federate simulate` with masks and with noise: the options reach the run, and what it cost is said."""

from __future__ import annotations

import json

import pytest

SIMULATE = ("federate", "simulate", "--data", "digits", "--rounds", 1, "--epochs", 1, "--clients", 5)


def test_a_masked_run_says_so_and_is_the_same(command):
    told, figures = [], []
    for options in ((), ("--masked",)):
        answer = command(*SIMULATE, *options)
        assert answer.code == 0
        [told_of_updates] = [line for line in answer.out.splitlines() if line.startswith("updates under packed")]
        told.append(told_of_updates)
        shown = json.loads(command("history", "show", "@last", "--json").out)
        assert shown["config"]["masked"] is bool(options)
        figures.append(shown["metrics"]["test_loss"])
    assert ["updates under packed, masked: " in line for line in told] == [False, True]
    assert figures[0] == figures[1]


def test_what_a_run_cost_is_said_in_its_last_lines(command):
    noisy = command(*SIMULATE, "--epsilon", 8, "--delta", "1e-6", "--clip", 0.5, "--bits", 4)
    assert noisy.code == 0
    assert "privacy: 1 releases about" in noisy.out
    assert "delta 1e-06" in noisy.out
    shown = json.loads(command("history", "show", "@last", "--json").out)
    assert {name: shown["config"][name] for name in ("epsilon", "delta", "clip")} == {
        "epsilon": 8.0,
        "delta": 1e-6,
        "clip": 0.5,
    }
    assert "without noise: epsilon is unbounded" in command(*SIMULATE).out


def test_noise_costs_a_finite_epsilon_within_the_budget(command):
    assert command(*SIMULATE, "--epsilon", 8, "--bits", 4, "--rounds", 2).code == 0
    [spent] = json.loads(command("history", "show", "@last", "--json").out)["privacy"]
    assert spent["releases"] == 2
    assert 7.9 < spent["epsilon"] <= 8.0
    assert spent["delta"] == 1e-5


def test_masks_and_noise_go_together(command):
    answer = command(*SIMULATE, "--masked", "--epsilon", 8, "--bits", 4)
    assert answer.code == 0
    assert "packed, masked" in answer.out


def test_a_round_beyond_the_budget_of_the_data_is_not_begun(command):
    assert command(*SIMULATE, "--epsilon", 8, "--bits", 4).code == 0
    assert command("privacy", "budget", "1", "--epsilon", 12, "--delta", "1e-4").code == 0
    refused = command(*SIMULATE, "--epsilon", 8, "--bits", 4)
    assert refused.code == 7
    assert "round 1 is not begun: it releases a sum beyond what is left" in refused.err
    assert command(*SIMULATE, "--epsilon", 3, "--bits", 4).code == 0
    assert command(*SIMULATE).code == 7  # without noise


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(("--masked", "--plain"), "masks go under the packed encryption", id="masked-in-the-clear"),
        pytest.param(("--masked", "--ckks"), "masks go under the packed encryption", id="masked-ckks"),
        pytest.param(("--delta", "1e-6"), "--delta and --clip belong to a privacy budget", id="delta-alone"),
        pytest.param(("--clip", 2), "--delta and --clip belong to a privacy budget", id="clip-alone"),
        pytest.param(("--epsilon", 0), "0 < epsilon", id="epsilon-zero"),
        pytest.param(("--epsilon", "inf"), "0 < epsilon", id="epsilon-without-end"),
        pytest.param(("--epsilon", "nan"), "0 < epsilon", id="epsilon-nan"),
        pytest.param(("--epsilon", 8, "--delta", 1), "0 < delta < 1", id="delta-of-one"),
        pytest.param(("--epsilon", 8, "--clip", 0), "0 < clip", id="clip-zero"),
        pytest.param(("--epsilon", 8, "--bits", 1), "2 to 16 bits", id="one-bit"),
    ],
)
def test_what_cannot_be_is_wrong_usage_and_nothing_is_written(command, options, reason):
    answer = command(*SIMULATE, *options)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err
    assert json.loads(command("history", "list", "--json").out) == []

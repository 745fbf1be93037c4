"""`nasturtium federate simulate` with masks and with noise: the options reach the run, and what it cost is said."""

from __future__ import annotations

import json

import pytest

import nasturtium
from nasturtium.cli.progress import FederationProgress, noise_line
from nasturtium.core import ConfigError

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
    assert [line.split(":")[0] for line in told] == [
        "updates under packed, 8 bits",
        "updates under packed, 8 bits, masked",
    ]
    assert figures[0] == figures[1]


def test_how_many_take_part_and_where_they_train_reach_the_run(command):
    answer = command(*SIMULATE, "--participants", 4, "--processes", 1)
    assert answer.code == 0
    shown = json.loads(command("history", "show", "@last", "--json").out)
    assert {name: shown["config"][name] for name in ("participants", "processes", "ray")} == {
        "participants": 4,
        "processes": 1,
        "ray": None,
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(("--participants", 2), "expected 3 to 5 participants in a round, got 2", id="two"),
        pytest.param(("--clients", 2000), "add --participants", id="more-than-a-sum"),
        pytest.param(("--processes", 1000), "expected 0 to 256 processes, got 1000", id="processes"),
        pytest.param(("--processes", 1, "--ray", "local"), "leave one of them out", id="both"),
    ],
)
def test_a_crowd_that_cannot_be_is_refused(command, options, said):
    answer = command(*SIMULATE, *options)
    assert answer.code == 2
    assert said in answer.err


def test_a_strategy_and_a_compression_reach_the_run(command):
    answer = command(*SIMULATE, "--strategy", "fedprox", "--strategy-option", "mu=1", "--compression", "low-rank")
    assert answer.code == 0
    shown = json.loads(command("history", "show", "@last", "--json").out)
    assert {name: shown["config"][name] for name in ("strategy", "strategy_options", "compression")} == {
        "strategy": "fedprox",
        "strategy_options": {"mu": 1},
        "compression": "low-rank",
    }
    assert shown["federation"]["strategy"] == "fedprox"


def test_strategies_are_listed_with_their_parameters(command):
    rows = json.loads(command("federate", "strategies", "--json").out)
    assert [row["strategy"] for row in rows if row["default"]] == ["fedavg"]
    [krum] = [row for row in rows if row["strategy"] == "krum"]
    assert krum["in_the_clear"]
    assert krum["parameters"] == {"liars": 1, "chosen": 1}
    assert "fedadagrad" in command("federate", "strategies").out


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
    assert "updates under packed, 4 bits, masked, epsilon 8 at delta 1e-05: " in answer.out


def test_a_round_beyond_the_budget_of_the_data_is_not_begun(command):
    assert command(*SIMULATE, "--epsilon", 8, "--bits", 4).code == 0
    assert command("privacy", "budget", "1", "--epsilon", 12, "--delta", "1e-4").code == 0
    refused = command(*SIMULATE, "--epsilon", 8, "--bits", 4)
    assert refused.code == 7
    assert "the run needs epsilon 8, delta 1e-05; left are " in refused.err
    assert ": epsilon is what is missing" in refused.err
    assert command(*SIMULATE, "--epsilon", 3, "--bits", 4).code == 0
    assert command(*SIMULATE).code == 7  # without noise


def test_the_protection_is_said_at_the_start_and_in_the_history(command):
    answer = command(*SIMULATE, "--masked", "--epsilon", 8, "--bits", 4)
    protected = "updates under packed, 4 bits, masked, epsilon 8 at delta 1e-05"
    assert protected in answer.err.splitlines()[0]
    assert protected in command("history", "show", 1).out
    assert "updates under plain, 8 bits\n" in command(*SIMULATE, "--plain").err
    assert "updates under plain, 8 bits, alpha 0.5" in command("history", "show", 2).out


def test_with_noise_its_length_is_said_before_and_why_rounds_have_no_accuracy_after(command):
    noisy = command(*SIMULATE, "--epsilon", 8, "--bits", 4)
    [told] = [line for line in noisy.err.splitlines() if line.startswith("noise: ")]
    assert "in the mean of 5 sites it is " in told
    assert "times as long as the longest change, the clip, and hides what they learn" in told
    assert noisy.err.index(told) < noisy.err.index("round 1/1")
    why = "loss and accuracy of the rounds are not known"
    assert why in noisy.out
    assert why in command("history", "show", 1).out
    exact = command(*SIMULATE)
    assert "noise: " not in exact.err
    assert why not in exact.out + command("history", "show", 2).out


@pytest.mark.parametrize(
    ("noise_to_clip", "clients", "told"),
    [
        (
            41.7,
            5,
            "it is 42 times as long as the longest change, the clip, and hides what they learn: it would be as long",
        ),
        (41.7, 5, "as that with some 200 sites"),
        (0.164, 1000, "in the mean of 1000 sites it is 0.16 times as long as the longest change, the clip"),
    ],
    ids=["few-sites", "enough-sites", "many-sites"],
)
def test_the_length_of_noise_in_words(noise_to_clip, clients, told):
    line = noise_line(noise_to_clip, clients)
    assert told in line
    assert ("hides" in line) == (noise_to_clip > 1)


@pytest.mark.parametrize("options", [(), ("--epsilon", 8, "--bits", 4)], ids=["exact", "noise"])
@pytest.mark.parametrize("done", [0, 1, 2])
def test_an_interrupted_run_says_what_is_kept_and_what_was_spent(command, monkeypatch, done, options):
    watch = FederationProgress.__call__

    def interrupt(self, event):
        watch(self, event)
        if self.done == done:
            raise KeyboardInterrupt

    monkeypatch.setattr(FederationProgress, "__call__", interrupt)
    answer = command(*SIMULATE, "--rounds", 3, *options)
    assert answer.code == 130
    told = {
        0: "interrupted in its first round\n",
        1: "interrupted after 1 round, whose figures are kept; the model is not\n",
        2: "interrupted after 2 rounds, whose figures are kept; the model is not\n",
    }
    assert told[done] in answer.err
    assert "more: nasturtium history show 1" in answer.err
    assert ("kept" in answer.err) == (done > 0)
    assert (f"privacy: {done} releases" in answer.err) == bool(done and options)
    predicted = command("predict", 1, "rows.csv")
    assert predicted.code == 3
    assert "--resume" not in predicted.err
    assert "begin another with nasturtium federate simulate" in predicted.err


def test_a_budget_given_as_text_is_refused_in_python(tmp_path):
    with pytest.raises(ConfigError, match="expected epsilon > 0 and finite, got '8'"):
        nasturtium.federate("digits", epsilon="8", db=tmp_path / "history.db")
    assert not (tmp_path / "history.db").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param(("--masked", "--plain"), "masks go under the packed encryption", id="masked-in-the-clear"),
        pytest.param(("--masked", "--ckks"), "masks go under the packed encryption", id="masked-ckks"),
        pytest.param(("--delta", "1e-6"), "--delta belongs to a privacy budget", id="delta-alone"),
        pytest.param(("--clip", 2), "--clip belongs to a privacy budget", id="clip-alone"),
        pytest.param(("--epsilon", 0), "expected epsilon > 0 and finite, got 0.0", id="epsilon-zero"),
        pytest.param(("--epsilon", "inf"), "expected epsilon > 0 and finite, got inf", id="epsilon-without-end"),
        pytest.param(("--epsilon", "nan"), "expected epsilon > 0 and finite, got nan", id="epsilon-nan"),
        pytest.param(("--epsilon", 8, "--delta", 1), "0 < delta < 1", id="delta-of-one"),
        pytest.param(("--epsilon", 8, "--clip", 0), "expected clip from 1e-06 to 1e+06, got 0.0", id="clip-zero"),
        pytest.param(
            ("--epsilon", 8, "--clip", "1e20"), "expected clip from 1e-06 to 1e+06, got 1e+20", id="clip-vast"
        ),
        pytest.param(("--plain", "--epsilon", 8), "hint: leave out --plain", id="noise-in-the-clear"),
        pytest.param(("--plain", "--masked"), "hint: leave out --plain", id="masked-in-the-clear-hint"),
        pytest.param(("--epsilon", 8, "--bits", 16), "hint: fewer bits (3 or 4 are enough)", id="noise-without-room"),
        pytest.param(("--epsilon", 8, "--bits", 1), "2 to 16 bits", id="one-bit"),
    ],
)
def test_what_cannot_be_is_wrong_usage_and_nothing_is_written(command, options, reason):
    answer = command(*SIMULATE, *options)
    assert (answer.code, answer.out) == (2, "")
    assert reason in answer.err
    assert json.loads(command("history", "list", "--json").out) == []

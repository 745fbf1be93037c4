"""What a plan says of local training reaches the optimiser and the loss."""

from __future__ import annotations

import pytest

from nasturtium.core import ConfigError
from nasturtium.core.optim import SGD, AdamW
from nasturtium.federated import LocalTraining
from nasturtium.federated.protocol.records import plan_from_content, plan_to_content
from nasturtium.federated.site.local_training import training_config
from nasturtium.federated.strategies import STRATEGIES


def test_the_plan_says_which_optimiser():
    fedavg = STRATEGIES["fedavg"]()
    adamw = fedavg.optimizer(LocalTraining(learning_rate=0.01, weight_decay=0.1))
    assert adamw == AdamW(learning_rate=0.01, weight_decay=0.1)
    sgd = fedavg.optimizer(LocalTraining(optimizer="sgd", learning_rate=0.01, weight_decay=0.1))
    assert sgd == SGD(learning_rate=0.01, weight_decay=0.1, momentum=0.9, nesterov=True)


def test_the_loss_is_smoothed_where_the_plan_says_so():
    assert training_config(LocalTraining(label_smoothing=0.1)).label_smoothing == 0.1


def test_it_travels(make_plan):
    plan = make_plan(training=LocalTraining(optimizer="sgd", label_smoothing=0.1))
    assert plan_from_content(plan_to_content(plan)) == plan


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"optimizer": "lion"}, "expected an optimizer of adamw, sgd"),
        ({"label_smoothing": 1.0}, "label_smoothing < 1"),
        ({"label_smoothing": float("nan")}, "label_smoothing < 1"),
    ],
)
def test_what_cannot_be_is_refused(said, expected):
    with pytest.raises(ConfigError, match=expected):
        LocalTraining(**said)

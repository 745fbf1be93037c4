"""What a site has from a federation: measured on rows that no round has seen, against a model of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest

from nasturtium.core import ConfigError, SavedModel, Trainer, TrainingConfig, build, derive_rng
from nasturtium.core.data import Dataset, Preprocessing, Task
from nasturtium.federated.default_model import default_spec
from nasturtium.federated.errors import AgreementError
from nasturtium.federated.site.gain import _sign_test, measure_gain
from nasturtium.federated.site_data.config import SplitConfig
from nasturtium.federated.site_data.sources import SiteData, split_rows

TASK = Task(input_shape=(4,), features=("a", "b", "c", "d"), classes=("no", "yes"))


def rows_of(count: int, seed: int) -> Dataset:
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((count, 4)).astype(np.float32)
    return Dataset("rows", inputs, (inputs[:, 0] * inputs[:, 1] + inputs[:, 2] > 0).astype(np.int64), TASK)


def train_on(data: Dataset) -> SavedModel:
    spec, prepare = default_spec(data.task), Preprocessing.fit(data.inputs, data.task)
    model = build(spec, derive_rng(0, "weights"))
    config = TrainingConfig(epochs=25, patience=None)
    Trainer(model, config, derive_rng(0, "shuffle")).fit(prepare.apply(data.inputs), data.labels)
    return SavedModel(spec, model.eval(), prepare, {})


@pytest.fixture(scope="module")
def federated() -> SavedModel:
    """Of many sites' rows."""
    return train_on(rows_of(3000, 1))


def test_a_small_site_gains(federated):
    data = split_rows(rows_of(200, 2), SplitConfig(validation=0.1, test=0.6))
    gain = measure_gain(data, federated)
    assert gain.rows == len(data.test)
    assert gain.federated_accuracy > gain.local_accuracy + 0.03
    difference = gain.federated_accuracy - gain.local_accuracy
    assert (gain.only_federated - gain.only_local) / gain.rows == pytest.approx(difference)
    assert 0 < gain.p_value < 0.2
    assert measure_gain(data, federated) == gain
    assert gain.to_dict()["rows"] == gain.rows


def test_a_site_with_rows_of_one_class_is_told_what_it_gains(federated):
    whole = rows_of(400, 2)
    data = split_rows(whole.take(np.flatnonzero(whole.labels == 1)), SplitConfig(test=0.5))
    gain = measure_gain(data, federated)
    assert gain.rows == len(data.test)
    assert gain.local_accuracy == 1.0  # it has never seen another class
    assert gain.only_federated == 0


def test_columns_may_stand_in_another_order(federated):
    data = rows_of(200, 2)
    order = [2, 0, 3, 1]
    task = replace(TASK, features=tuple(TASK.features[place] for place in order), classes=("yes", "no"))
    other = Dataset("rows", data.inputs[:, order], 1 - data.labels, task)
    gain = measure_gain(split_rows(other, SplitConfig(test=0.5)), federated)
    assert gain.federated_accuracy > 0.85


def test_what_cannot_be_compared(federated):
    data = split_rows(rows_of(60, 2), SplitConfig())
    with pytest.raises(ConfigError, match="no test rows"):
        measure_gain(SiteData(data.train, data.validation, None), federated)
    other = replace(TASK, features=("a", "b", "c", "e"))
    strange = SiteData(*(replace(part, task=other) for part in (data.train, data.validation, data.test)))
    with pytest.raises(AgreementError, match="column 'd' is missing"):
        measure_gain(strange, federated)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (1, 0), (3, 9), (9, 3), (20, 20), (0, 40), (300, 350)])
def test_the_test_is_that_of_scipy(one, other):
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert _sign_test(one, other) == pytest.approx(expected)

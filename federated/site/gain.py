"""`measure_gain`: what a site has from the federation, told to itself: the federated model against one of its own.

Both are measured on the site's test rows, which no round has seen. The site's own model is the same one, trained on its
training rows alone, as long as its validation rows let it get better. Nothing of this leaves.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ...core import ConfigError, Metrics, SavedModel, Trainer, TrainingConfig, build, derive_rng, evaluate
from ...core.data import Preprocessing
from ..adapters.base import LocalExamples, evaluate_adapter
from ..adapters.catalogue import start_tensors
from ..adapters.saved import AdaptedModel
from ..agreement import conform
from ..protocol.rounds import LocalTraining
from ..site_data.rows import Rows
from ..site_data.sources import SiteData

PATIENCE = 8  # passes over the rows without a better validation loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """What a site has from the federation.

    Attributes:
        rows: of the test; the fewer, the less the figures say.
        local_accuracy, federated_accuracy: part of them classified correctly.
        local_loss, federated_loss: mean cross-entropy, nats.
        only_local, only_federated: how many rows only one of the two got right: differences are made of these.
        p_value: chance of so different numbers of these, or more so, if the models were equally good (exact McNemar
            test).
    """

    rows: int
    local_accuracy: float
    federated_accuracy: float
    local_loss: float
    federated_loss: float
    only_local: int
    only_federated: int
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def measure_gain(
    data: SiteData, federated: SavedModel | AdaptedModel, *, seed: int = 0, epochs: int = 50, site: str = ""
) -> Gain:
    """Train the site's own model, and compare.

    Args:
        data: of the site.
        federated: the run's model, as `Site.release` gives it out.
        seed: of the site's own training.
        epochs: at most; training ends when the validation loss has not got better for eight.
        site: its name, which some models ask for.

    Raises:
        ConfigError: the split has no test rows, or the model is none of classes.
        AgreementError: the data is not what the model is for.

    Source of the test: McNemar 1947, https://doi.org/10.1007/BF02295996; exact, two-sided.
    """
    task = federated.preprocessing.task
    if data.test is None:
        raise ConfigError("the site has no test rows", hint="set test in the [split] table of site.toml")
    if task.kind != "classification":
        raise ConfigError("the model predicts measurements, expected classes")
    train, validation, test = (conform(part, task) for part in (data.train, data.validation, data.test))
    # The site's own preprocessing: with the federation's it would have something of the others.
    prepare = Preprocessing.fit(train.inputs, task)
    if isinstance(federated, AdaptedModel):
        own: SavedModel | AdaptedModel = _train_alone(federated, prepare, train, validation, seed, epochs, site)
    else:
        model = build(federated.spec, derive_rng(seed, "local model"))
        trainer = Trainer(model, TrainingConfig(epochs=epochs), derive_rng(seed, "local shuffle"))
        trainer.fit(prepare.apply(train.inputs), train.labels, (prepare.apply(validation.inputs), validation.labels))
        trainer.restore_best()
        own = SavedModel(federated.spec, model.eval(), prepare, {})
    local, right_locally = _measure(own, test)
    together, right_together = _measure(federated, test)
    only_local = sum(a and not b for a, b in zip(right_locally, right_together, strict=True))
    only_federated = sum(b and not a for a, b in zip(right_locally, right_together, strict=True))
    return Gain(
        rows=len(test),
        local_accuracy=local.accuracy,
        federated_accuracy=together.accuracy,
        local_loss=local.loss,
        federated_loss=together.loss,
        only_local=only_local,
        only_federated=only_federated,
        p_value=_sign_test(only_local, only_federated),
    )


def _train_alone(
    federated: AdaptedModel, prepare: Preprocessing, train: Rows, validation: Rows, seed: int, epochs: int, site: str
) -> AdaptedModel:
    """The same model of the site's owner, of its rows alone."""
    adapter, inputs = federated.adapter, prepare.apply(validation.inputs)
    examples = LocalExamples(site, prepare.apply(train.inputs), np.asarray(train.labels))
    tensors = best = start_tensors(adapter, seed)
    lowest, waited, rng = math.inf, 0, derive_rng(seed, "local shuffle")
    for _ in range(epochs):
        tensors = adapter.tensors.check(adapter.train(tensors, examples, LocalTraining(epochs=1), rng))
        loss = evaluate_adapter(adapter, tensors, inputs, np.asarray(validation.labels)).loss_sum
        waited = 0 if loss < lowest else waited + 1
        if loss < lowest:
            lowest, best = loss, tensors
        if waited == PATIENCE:
            break
    return replace(federated, tensors=best, preprocessing=prepare)


def _measure(saved: SavedModel | AdaptedModel, test: Rows) -> tuple[Metrics, list[bool]]:
    """How a model does on rows, and which it gets right."""
    if isinstance(saved, AdaptedModel):
        metrics = saved.evaluate(test.inputs, test.labels)
    else:
        metrics = evaluate(saved.model, saved.preprocessing.apply(test.inputs), test.labels)
    names = saved.predict(test.inputs)
    classes = test.task.classes
    return metrics, [name == classes[label] for name, label in zip(names, test.labels.tolist(), strict=True)]


def _sign_test(one: int, other: int) -> float:
    """Two-sided chance that a fair coin falls as unequally as `one` to `other`, or more so."""
    tosses = one + other
    tail = sum(math.comb(tosses, k) for k in range(min(one, other) + 1))
    return min(1.0, 2 * tail / 2**tosses)

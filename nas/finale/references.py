"""Simple models that a search has to beat: fitted on the same rows, with settings chosen on the same validation rows.

They see what the networks see: preprocessed rows, flattened. Nothing here needs scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...core import Registry, derive_rng, metrics
from ...core.data import Preprocessing, Task
from ..training import Fold, all_figures
from .linear import LinearModel, fit_logistic, fit_ridge, ridge_left_out
from .neighbours import KernelMachine, NearestNeighbours, fit_kernel, fit_kernels, neighbour_means

Settings = Mapping[str, float]
Model = Callable[[np.ndarray], np.ndarray]  # rows (N, features), float64 -> outputs (N, task.outputs)
# A setting, and its outputs on rows that were not fitted on.
Tried = tuple[Settings, np.ndarray]

KERNEL_ROWS: Final = 3000  # a kernel machine is fitted on so many at most: its cost grows with their cube
_ALPHAS: Final = np.logspace(-3, 5, 25)
_CS: Final = (1e-3, 1e-2, 0.1, 1.0, 10.0)
_NEIGHBOURS: Final = (1, 3, 5, 7, 11, 15, 25, 40)
_GAMMAS: Final = (0.1, 0.3, 1.0, 3.0, 10.0)  # times the usual 1 / (features variance)
_KERNEL_ALPHAS: Final = (1e-3, 1e-2, 0.1, 1.0, 10.0)


@dataclass(frozen=True, slots=True)
class Reference:
    """A family of simple models.

    Attributes:
        description: what it is, for a report.
        kinds: of task it is for.
        search: outputs on held-out rows for every setting: (rows, targets, held rows, task).
        fit: a model of one setting: (rows, targets, setting, task).

    Rows are float64, (N, features); targets float64, (N, outputs): one-hot classes or standardised measurements.
    """

    description: str
    kinds: tuple[str, ...]
    search: Callable[[np.ndarray, np.ndarray, np.ndarray, Task], Sequence[Tried]]
    fit: Callable[[np.ndarray, np.ndarray, Settings, Task], Model]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenReference:
    """A reference with the setting that did best on rows it was not fitted on.

    Attributes:
        name: in `REFERENCES`.
        settings: by name.
        loss: on those rows: (1 - accuracy, mean squared error), or the mean squared error of standardised targets.
        outputs: on those rows, fold by fold, shape (N, outputs).
    """

    name: str
    settings: Settings
    loss: tuple[float, ...]
    outputs: np.ndarray


REFERENCES: Registry[Reference] = Registry("reference")


def choose_settings(name: str, folds: Sequence[Fold]) -> ChosenReference:
    """The setting of a reference that does best over the folds; of equals the first, which is the simplest.

    Raises:
        ConfigError: there is no such reference.
    """
    reference = REFERENCES.find(name)
    task = folds[0].task
    tried = [
        reference.search(flat(fold.inputs), _targets(fold.targets, task), flat(fold.held_inputs), task)
        for fold in folds
    ]
    wanted = [_targets(fold.preprocessing.apply_targets(fold.held_labels), task) for fold in folds]
    together = np.concatenate(wanted)
    best: ChosenReference | None = None
    for number, (settings, _) in enumerate(tried[0]):
        outputs = np.concatenate([of_fold[number][1] for of_fold in tried])
        loss = _loss(outputs, together, task)
        if best is None or loss < best.loss:
            best = ChosenReference(name=name, settings=settings, loss=loss, outputs=outputs)
    assert best is not None
    return best


def fit_reference(chosen: ChosenReference, inputs: np.ndarray, targets: np.ndarray, task: Task) -> Model:
    """The model of a chosen setting, fitted on preprocessed rows; it takes rows as `flat` makes them."""
    return REFERENCES[chosen.name].fit(flat(inputs), _targets(targets, task), chosen.settings, task)


def reference_names(task: Task) -> list[str]:
    """The references for a task."""
    return [name for name, reference in REFERENCES.items() if task.kind in reference.kinds]


def score_figures(scores: np.ndarray, labels: np.ndarray, task: Task) -> dict[str, float]:
    """Figures of a model whose scores of classes need not be probabilities; of a regression those of any model.

    Args:
        scores: shape (N, classes), or measurements in their own units, shape (N, targets).
        labels: as the data set has them.
        task: of the rows.
    """
    if task.kind == "regression":
        spread = labels.astype(np.float64).std(0)
        return all_figures(scores, labels, task, np.where(spread > 0, spread, 1.0))
    predicted = scores.argmax(-1)
    return {
        "accuracy": metrics.accuracy(predicted, labels),
        "f1": metrics.f1_score(predicted, labels, classes=len(task.classes)),
    }


def in_units(outputs: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """A reference's outputs with measurements in their own units, float64; scores of classes as they are."""
    if preprocessing.task.kind == "regression":
        return outputs * preprocessing.target_scale + preprocessing.target_offset
    return outputs


def flat(inputs: np.ndarray) -> np.ndarray:
    """Inputs as rows, float64, shape (N, features)."""
    return inputs.reshape(len(inputs), -1).astype(np.float64)


def _targets(targets: np.ndarray, task: Task) -> np.ndarray:
    if task.kind == "regression":
        return targets.astype(np.float64)
    return (targets[:, None] == np.arange(len(task.classes))).astype(np.float64)


def _loss(outputs: np.ndarray, wanted: np.ndarray, task: Task) -> tuple[float, ...]:
    error = float(((outputs - wanted) ** 2).mean())
    if task.kind == "regression":
        return (error,)
    return float((outputs.argmax(1) != wanted.argmax(1)).mean()), error


# --- the families, from the simplest ---


def _fit_constant(rows: np.ndarray, targets: np.ndarray, settings: Settings, task: Task) -> Model:
    mean = targets.mean(0)
    return lambda queries: np.tile(mean, (len(queries), 1))


def _search_constant(rows: np.ndarray, targets: np.ndarray, held: np.ndarray, task: Task) -> list[Tried]:
    return [({}, _fit_constant(rows, targets, {}, task)(held))]


def _search_ridge(rows: np.ndarray, targets: np.ndarray, held: np.ndarray, task: Task) -> list[Tried]:
    return [({"alpha": float(alpha)}, fit_ridge(rows, targets, float(alpha))(held)) for alpha in _ALPHAS[::-1]]


def _fit_ridge(rows: np.ndarray, targets: np.ndarray, settings: Settings, task: Task) -> Model:
    return fit_ridge(rows, targets, _left_out_alpha(rows, targets))


def _left_out_alpha(rows: np.ndarray, targets: np.ndarray) -> float:
    """The alpha of the smallest error on rows left out one by one, so that all rows take part in choosing."""
    errors = ((ridge_left_out(rows, targets, _ALPHAS) - targets) ** 2).mean((1, 2))
    return float(_ALPHAS[int(np.argmin(errors))])


def _probabilities(model: LinearModel) -> Model:
    def said(queries: np.ndarray) -> np.ndarray:
        logits = model(queries)
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return exponentials / exponentials.sum(1, keepdims=True)

    return said


def _search_logistic(rows: np.ndarray, targets: np.ndarray, held: np.ndarray, task: Task) -> list[Tried]:
    labels, found, model = targets.argmax(1), list[Tried](), None
    for c in _CS:
        model = fit_logistic(rows, labels, targets.shape[1], c, start=model)
        found.append(({"c": c}, _probabilities(model)(held)))
    return found


def _fit_logistic(rows: np.ndarray, targets: np.ndarray, settings: Settings, task: Task) -> Model:
    return _probabilities(fit_logistic(rows, targets.argmax(1), targets.shape[1], settings["c"]))


def _search_neighbours(rows: np.ndarray, targets: np.ndarray, held: np.ndarray, task: Task) -> list[Tried]:
    counts = [count for count in reversed(_NEIGHBOURS) if count <= len(rows)]
    means = neighbour_means(rows, targets, held, counts)
    return [({"neighbours": float(count)}, said) for count, said in zip(counts, means, strict=True)]


def _fit_neighbours(rows: np.ndarray, targets: np.ndarray, settings: Settings, task: Task) -> Model:
    return NearestNeighbours(rows, targets, int(settings["neighbours"]))


def _search_kernel(rows: np.ndarray, targets: np.ndarray, held: np.ndarray, task: Task) -> list[Tried]:
    rows, targets = _some(rows, targets)
    usual = 1 / (rows.shape[1] * max(float(rows.var()), 1e-12))
    found: list[Tried] = []
    for factor in _GAMMAS:
        for machine, alpha in zip(
            fit_kernels(rows, targets, factor * usual, _KERNEL_ALPHAS[::-1]), _KERNEL_ALPHAS[::-1], strict=True
        ):
            found.append(({"gamma": factor, "alpha": alpha}, machine(held)))
    return found


def _fit_kernel(rows: np.ndarray, targets: np.ndarray, settings: Settings, task: Task) -> KernelMachine:
    rows, targets = _some(rows, targets)
    usual = 1 / (rows.shape[1] * max(float(rows.var()), 1e-12))
    return fit_kernel(rows, targets, settings["gamma"] * usual, settings["alpha"])


def _some(rows: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(rows) <= KERNEL_ROWS:
        return rows, targets
    chosen = np.sort(derive_rng(0, "kernel rows").permutation(len(rows))[:KERNEL_ROWS])
    return rows[chosen], targets[chosen]


_BOTH = ("classification", "regression")
REFERENCES.add("constant", Reference("the most frequent class, or the mean", _BOTH, _search_constant, _fit_constant))
REFERENCES.add("ridge", Reference("ridge regression", ("regression",), _search_ridge, _fit_ridge))
REFERENCES.add("logistic", Reference("logistic regression", ("classification",), _search_logistic, _fit_logistic))
REFERENCES.add("neighbours", Reference("nearest neighbours", _BOTH, _search_neighbours, _fit_neighbours))
REFERENCES.add("kernel", Reference("least-squares machine with a Gaussian kernel", _BOTH, _search_kernel, _fit_kernel))

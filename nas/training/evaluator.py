"""`TrainingEvaluator`: trains candidates, on a fixed split or over folds, and measures them on rows held out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from ...core import CPU, Budget, Candidate, ConfigError, Device, Evaluation, FormatError, ModelSpec, derive_seed
from ...core.data import Dataset, Task
from ..costs import costs
from .folded_run import FoldedRun
from .folds import Fold, Folds, make_folds, shorten, shrink
from .measured import MEASURED
from .recipe import Recipe

KEPT_RUNS = 4  # candidates kept in memory, so that a higher budget goes on from a lower one
PATIENCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorOptions:
    """How candidates are evaluated.

    Attributes:
        folds: cross-validate over so many folds of all rows; "auto" does so where there are few, None keeps the split.
        patience: a training ends after so many epochs in which the validation loss did not get better, >= 1; None
            trains to the end.
        seed: decides the folds, and which rows are taken where not all are; in [0, 2**63).
        device: where to train, such as "cpu".
        measured: names of `MEASURED`: what is measured with a clock, and therefore differs from run to run.
    """

    folds: Folds = None
    patience: int | None = PATIENCE
    seed: int = 0
    device: str = "cpu"
    measured: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise ConfigError(f"expected patience >= 1 or None, got {self.patience}")
        for name in self.measured:
            MEASURED.find(name)


class TrainingEvaluator:
    """Trains in this process; classification and regression, tables, images and sequences.

    Everything in an evaluation but what is `measured` is decided by the candidate, the budget and the rows. The best
    epoch is that of the lowest validation loss; over folds, all are trained in step, and the loss is that of all rows
    together, each predicted by the fold that did not see it. So are the figures: val_loss, val_accuracy, val_f1 and,
    where it is defined, val_auroc; of a regression val_loss (of standardised targets), val_rmse, val_mae and val_r2 in
    the targets' units. With them come `costs` and best_epoch.

    A budget of fewer rows or smaller images is a run of its own, which no patience ends early; its images have the
    nearest size that the network can be built for.

    Args:
        train: raw rows to learn from; the preprocessing is fitted on them alone.
        validation: raw rows to measure on and to stop early by.
        device: where to train.
        folds, patience, seed, measured: see `EvaluatorOptions`.
    """

    def __init__(
        self,
        train: Dataset,
        validation: Dataset,
        *,
        device: Device = CPU,
        folds: Folds = None,
        patience: int | None = PATIENCE,
        seed: int = 0,
        measured: Sequence[str] = (),
    ) -> None:
        options = EvaluatorOptions(
            folds=folds, patience=patience, seed=seed, device=str(device), measured=tuple(measured)
        )
        self._set_up(make_folds(train, validation, folds, seed), options, device)

    @classmethod
    def over(cls, folds: Sequence[Fold], options: EvaluatorOptions, device: Device = CPU) -> TrainingEvaluator:
        """An evaluator over folds that are prepared already; the options' `folds` and `device` do not count."""
        made = cls.__new__(cls)
        made._set_up(tuple(folds), options, device)
        return made

    def _set_up(self, folds: tuple[Fold, ...], options: EvaluatorOptions, device: Device) -> None:
        self._folds = folds
        self._options = options
        self._device = device
        self._runs: OrderedDict[tuple[str, float, float, int], FoldedRun] = OrderedDict()

    @property
    def folds(self) -> Sequence[Fold]:
        """What candidates are trained and measured on."""
        return self._folds

    def evaluate(self, candidate: Candidate, budget: Budget) -> Evaluation:
        """Train `candidate` to the end of `budget`, or until it stops improving, and measure its best epoch.

        Raises:
            ConfigError: a hyperparameter that training does not know, or that does not fit the task.
        """
        run = self.run(candidate, budget)
        if run.diverged:
            return Evaluation(objectives={}, curves=run.curves, epochs=run.epoch, diverged=True)
        figures = {f"val_{name}": value for name, value in run.figures().items()}
        figures |= costs(run.spec).figures() | {"best_epoch": float(run.best_epoch)}
        for name in self._options.measured:
            figures[name] = MEASURED[name](run)
        curves = {name: dict(curve) for name, curve in run.curves.items()}
        return Evaluation(objectives=figures, curves=curves, epochs=run.epoch)

    def run(self, candidate: Candidate, budget: Budget) -> FoldedRun:
        """The training itself, at the end of `budget`: for what it predicts. It goes on when a higher one is asked."""
        key = (candidate.id, budget.rows, budget.resolution, budget.total)
        run = self._runs.pop(key, None) or self._start(candidate, budget)
        run.advance(budget.epochs)
        self._runs[key] = run
        if len(self._runs) > KEPT_RUNS:
            self._runs.popitem(last=False)
        return run

    def _start(self, candidate: Candidate, budget: Budget) -> FoldedRun:
        recipe = Recipe.of(candidate.hyperparameters)
        spec = recipe.network(candidate.spec)
        folds, seed = self._folds, self._options.seed
        whole = budget.rows == 1 and budget.resolution == 1
        if budget.rows < 1:
            folds = tuple(shorten(fold, budget.rows, derive_seed(seed, "fold", i)) for i, fold in enumerate(folds))
        if budget.resolution < 1:
            spec = at_resolution(spec, folds[0].task, budget.resolution)
            folds = tuple(shrink(fold, (spec.input_shape[1], spec.input_shape[2])) for fold in folds)
        return FoldedRun(
            candidate,
            spec,
            recipe,
            folds,
            epochs=budget.total,
            patience=self._options.patience if whole else None,
            device=self._device,
        )


def at_resolution(spec: ModelSpec, task: Task, resolution: float) -> ModelSpec:
    """A network for images whose sides are a part of their own, or the smallest above that it can be built for.

    Raises:
        ConfigError: the rows are no images.
    """
    if not task.is_image:
        raise ConfigError(
            f"a lower resolution needs images, got a {task.modality}", hint="use fewer epochs or rows instead"
        )
    channels, height, width = spec.input_shape
    short = min(height, width)
    for side in range(max(1, round(resolution * short)), short):
        shape = (channels, *(max(1, round(full * side / short)) for full in (height, width)))
        try:
            return ModelSpec(shape, spec.layers)
        except FormatError:  # a pooling layer has nothing left, or patches do not divide it
            continue
    return spec

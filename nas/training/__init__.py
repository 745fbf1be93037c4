"""Training candidates: from hyperparameters to a recipe, over a split or folds, here or in a worker.

The order of the modules: augmentation, recipe, folds, figures, network, folded_run, measured, evaluator, factory.
"""

from .augmentation import augmentation, augmentation_names
from .evaluator import EvaluatorOptions, TrainingEvaluator
from .factory import DatasetFactory, TrainingFactory
from .figures import all_figures, predictions
from .folded_run import FoldedRun
from .folds import Fold, Folds, choose_folds, make_folds
from .measured import MEASURED
from .network import NetworkTraining
from .recipe import OPTIMIZERS, SCHEDULES, Recipe, training_config

__all__ = [
    "MEASURED",
    "OPTIMIZERS",
    "SCHEDULES",
    "DatasetFactory",
    "EvaluatorOptions",
    "Fold",
    "FoldedRun",
    "Folds",
    "NetworkTraining",
    "Recipe",
    "TrainingEvaluator",
    "TrainingFactory",
    "all_figures",
    "augmentation",
    "augmentation_names",
    "choose_folds",
    "make_folds",
    "predictions",
    "training_config",
]

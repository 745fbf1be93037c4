"""Data: loading, splitting, preprocessing. Everything a row passes through before it meets a model."""

from .dataset import Dataset, Task
from .load import BUNDLED, load_dataset, load_inputs, resolve_source
from .preprocess import Preprocessing
from .split import dirichlet_split, stratified_split, train_validation_test

__all__ = [
    "BUNDLED",
    "Dataset",
    "Preprocessing",
    "Task",
    "dirichlet_split",
    "load_dataset",
    "load_inputs",
    "resolve_source",
    "stratified_split",
    "train_validation_test",
]

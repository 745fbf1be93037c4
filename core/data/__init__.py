"""Data: loading, splitting, preprocessing. Everything a row passes through before it meets a model."""

from .arrays import dataset_from_arrays
from .augment import Augmentation, Compose, Cutout, FlipHorizontal, Mixup, RandomCrop, one_hot
from .cells import CellError
from .dataset import Dataset
from .digits import BUNDLED
from .idx import read_idx
from .load import load_dataset, load_inputs, resolve_source
from .loader import Batch, Loader, LoaderState
from .partition import column_split, dirichlet_rows, dirichlet_split, iid_split
from .preprocess import Preprocessing
from .source import SOURCES, LoadOptions, Source
from .split import random_split, stratified_split, train_validation_test
from .task import Column, Missing, Task

__all__ = [
    "BUNDLED",
    "SOURCES",
    "Augmentation",
    "Batch",
    "CellError",
    "Column",
    "Compose",
    "Cutout",
    "Dataset",
    "FlipHorizontal",
    "LoadOptions",
    "Loader",
    "LoaderState",
    "Missing",
    "Mixup",
    "Preprocessing",
    "RandomCrop",
    "Source",
    "Task",
    "column_split",
    "dataset_from_arrays",
    "dirichlet_rows",
    "dirichlet_split",
    "iid_split",
    "load_dataset",
    "load_inputs",
    "one_hot",
    "random_split",
    "read_idx",
    "resolve_source",
    "stratified_split",
    "train_validation_test",
]

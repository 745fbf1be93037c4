"""Models of a site's owner for tests, and sites that have them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nasturtium.core import ConfigError
from nasturtium.core.data import Task
from nasturtium.federated import LocalTraining
from nasturtium.federated.adapters import LocalExamples, ModelCatalogue
from nasturtium.federated.updates.model_tensors import ModelTensor, ModelTensors

NAMES = "nasturtium_test_models"


@dataclass(frozen=True)
class Centroids:
    """The mean row of each class, and what each site adds to it: a model that needs no library."""

    task: Task
    scale: float
    fault: str
    in_the_clear: str = ""

    @property
    def tensors(self) -> ModelTensors:
        classes, features = len(self.task.classes), self.task.input_shape[0]
        return ModelTensors(
            (
                ModelTensor(name="means.weight", shape=(classes, features), first_range=4.0),
                ModelTensor(name="seen.total", shape=(2,), kind="buffer"),
                ModelTensor(name="seen.rounds", shape=(), kind="local", dtype="int64"),
            )
        )

    def initial(self, seed: int) -> dict[str, np.ndarray]:
        start = np.random.default_rng(seed).normal(size=(len(self.task.classes), self.task.input_shape[0]))
        return {
            "means.weight": np.full_like(start, np.nan) if self.fault == "nan at first" else start,
            "seen.total": np.zeros(3 if self.fault == "shape at first" else 2),
            "seen.rounds": np.array(7),
        }

    def train(self, tensors, examples: LocalExamples, training: LocalTraining, rng) -> dict[str, np.ndarray]:
        if self.fault == "diverges":
            raise ConfigError("the training diverged")
        means = np.stack([examples.inputs[examples.labels == each].mean(axis=0) for each in range(2)])
        if self.fault == "nan":
            means[0, 0] = np.nan
        if self.fault == "shape":
            means = means[:, :2]
        return {
            "means.weight": means * self.scale,
            "seen.total": tensors["seen.total"] + np.float32([1.0, len(examples.labels)]),
            "seen.rounds": tensors["seen.rounds"] + 1,
        }

    def logits(self, tensors, inputs: np.ndarray) -> np.ndarray:
        return inputs @ tensors["means.weight"].T

    def native(self, tensors) -> object:
        return tensors["means.weight"]

    def save(self, tensors, folder: Path) -> None:
        (folder / "means.txt").write_text(str(tensors["means.weight"].tolist()))


def centroids(task: Task, *, scale: float = 1.0, fault: str = "", wide: bool = False) -> Centroids:
    if scale <= 0:
        raise ConfigError(f"expected scale > 0, got {scale}")
    return Centroids(task if not wide else replace(task, classes=("a", "b", "c")), scale, fault)


def union(task: Task) -> Centroids:
    return Centroids(task, 1.0, "", in_the_clear="is a union")


@pytest.fixture
def module(tmp_path, monkeypatch) -> str:
    """The name of an installed module with `centroids` and `union`."""
    import sys
    import types

    made = types.ModuleType(NAMES)
    made.centroids, made.union, made.number = centroids, union, 3
    monkeypatch.setitem(sys.modules, NAMES, made)
    return NAMES


@pytest.fixture
def models(module) -> ModelCatalogue:
    return ModelCatalogue({"centroids": f"{module}:centroids", "union": f"{module}:union"})

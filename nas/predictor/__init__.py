"""The strategy "predictor": a Gaussian process over canonical networks, in NumPy.

The order of the modules: features, gaussian_process, warping, acquisition; pool, initial, observed; sampler.
"""

from .. import optuna_extra as _optuna_extra  # noqa: F401  # pyright: ignore[reportUnusedImport]
from .sampler import PredictorSampler

__all__ = ["PredictorSampler"]

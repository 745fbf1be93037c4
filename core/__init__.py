"""Tensors, autograd, layers, training, data and model files; knows nothing of the packages above it."""

from . import nn, ops, optim
from .autograd import checkpoint, grad, stop_gradient, value_and_grad, vjp
from .candidate import Budget, Candidate, Evaluation
from .device import CPU, Device, device
from .errors import (
    ConfigError,
    DataError,
    DeviceError,
    DTypeError,
    FormatError,
    GradientError,
    MissingExtraError,
    NasturtiumError,
    ShapeError,
)
from .forward import hvp, jvp
from .layout import ParameterLayout
from .model_file import SavedModel, load_model, save_model, weights_file
from .op import OPS
from .registry import Registry
from .seeding import derive_rng, derive_seed
from .spec import ModelSpec, build, canonical_json, check_header, parse_json
from .tape import no_grad
from .shapes import result_dtype
from .tensor import Tensor
from .vmap import vmap
from .train import Curves, Metrics, Trainer, TrainingConfig, evaluate, predict_logits

__all__ = [
    "vmap",
    "jvp",
    "hvp",
    "vjp",
    "value_and_grad",
    "stop_gradient",
    "checkpoint",
    "CPU",
    "OPS",
    "Budget",
    "Candidate",
    "ConfigError",
    "Curves",
    "DTypeError",
    "DataError",
    "Device",
    "DeviceError",
    "Evaluation",
    "FormatError",
    "GradientError",
    "Metrics",
    "MissingExtraError",
    "ModelSpec",
    "NasturtiumError",
    "ParameterLayout",
    "Registry",
    "SavedModel",
    "ShapeError",
    "Tensor",
    "Trainer",
    "TrainingConfig",
    "build",
    "canonical_json",
    "check_header",
    "derive_rng",
    "derive_seed",
    "device",
    "evaluate",
    "grad",
    "load_model",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "parse_json",
    "predict_logits",
    "result_dtype",
    "save_model",
    "weights_file",
]

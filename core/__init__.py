"""Tensors, autograd, layers, training, data and model files; knows nothing of the packages above it."""

from . import metrics, nn, ops, optim
from .autograd import checkpoint, grad, stop_gradient, value_and_grad, vjp
from .candidate import Budget, Candidate, Evaluation
from .custom import custom_jvp, custom_vjp, kernel_op
from .debug import check_numerics
from .determinism import allow_nondeterminism
from .device import CPU, Device, cuda_count, current_device, device
from .errors import (
    BoundsError,
    ConfigError,
    DataError,
    DeviceError,
    DTypeError,
    FormatError,
    GradientError,
    MissingExtraError,
    NasturtiumError,
    NumericsError,
    ShapeError,
)
from .forward import hvp, jvp
from .gradcheck import gradcheck
from .layout import ParameterLayout
from .model_file import SavedModel, load_model, save_model, weights_file
from .op import OPS
from .per_sample import clipped_gradients, per_sample_gradients, per_sample_norms
from .registry import Registry
from .seeding import derive_rng, derive_seed
from .spec import ModelSpec, build, canonical_json, check_header, parse_json
from .tape import no_grad
from .shapes import result_dtype
from .tensor import Tensor
from .vmap import vmap
from .train import (
    Callback,
    Checkpointing,
    CrossEntropy,
    Curves,
    MeanSquaredError,
    Metrics,
    Progress,
    Reporting,
    Trainer,
    TrainingConfig,
    evaluate,
    load_checkpoint,
    predict_logits,
    save_checkpoint,
)

__all__ = [
    "current_device",
    "cuda_count",
    "allow_nondeterminism",
    "per_sample_norms",
    "per_sample_gradients",
    "clipped_gradients",
    "NumericsError",
    "check_numerics",
    "gradcheck",
    "kernel_op",
    "custom_jvp",
    "custom_vjp",
    "vmap",
    "jvp",
    "hvp",
    "vjp",
    "value_and_grad",
    "stop_gradient",
    "checkpoint",
    "CPU",
    "OPS",
    "BoundsError",
    "Budget",
    "Callback",
    "Candidate",
    "Checkpointing",
    "ConfigError",
    "CrossEntropy",
    "Curves",
    "DTypeError",
    "DataError",
    "Device",
    "DeviceError",
    "Evaluation",
    "FormatError",
    "GradientError",
    "MeanSquaredError",
    "Metrics",
    "MissingExtraError",
    "ModelSpec",
    "NasturtiumError",
    "ParameterLayout",
    "Progress",
    "Registry",
    "Reporting",
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
    "load_checkpoint",
    "load_model",
    "metrics",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "parse_json",
    "predict_logits",
    "result_dtype",
    "save_checkpoint",
    "save_model",
    "weights_file",
]

"""Tensors, autograd, layers, training, data and model files; knows nothing of the packages above it."""

from . import metrics, nn, ops, optim
from .autograd import checkpoint, grad, stop_gradient, value_and_grad, vjp
from .candidate import Budget, Candidate, Evaluation, Scalar
from .compiler.compile import compile
from .custom import custom_jvp, custom_vjp, kernel_op
from .debug import check_numerics
from .determinism import allow_nondeterminism
from .device import CPU, Device, cuda_count, current_device, device
from .errors import (
    BoundsError,
    CompileError,
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
    TraceError,
)
from .forward import hvp, jvp
from .gradcheck import gradcheck
from .layout import ParameterLayout
from .model_file import SavedModel, load_model, save_model, weights_file
from .op import OPS
from .per_sample import clipped_gradients, per_sample_gradients, per_sample_norms
from .registry import Registry
from .seeding import derive_rng, derive_seed
from .shapes import result_dtype
from .spec import ModelSpec, build, canonical_json, check_header, parse_json
from .tape import no_grad
from .tensor import Tensor
from .tensor_file import TensorFileHeader, load_tensors, read_tensor_header, save_tensors
from .toml_text import parse_toml, read_settings, to_toml
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
from .vmap import vmap

__all__ = [
    "CPU",
    "OPS",
    "BoundsError",
    "Budget",
    "Callback",
    "Candidate",
    "Checkpointing",
    "CompileError",
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
    "NumericsError",
    "ParameterLayout",
    "Progress",
    "Registry",
    "Reporting",
    "SavedModel",
    "Scalar",
    "ShapeError",
    "Tensor",
    "TensorFileHeader",
    "TraceError",
    "Trainer",
    "TrainingConfig",
    "allow_nondeterminism",
    "build",
    "canonical_json",
    "check_header",
    "check_numerics",
    "checkpoint",
    "clipped_gradients",
    "compile",
    "cuda_count",
    "current_device",
    "custom_jvp",
    "custom_vjp",
    "derive_rng",
    "derive_seed",
    "device",
    "evaluate",
    "grad",
    "gradcheck",
    "hvp",
    "jvp",
    "kernel_op",
    "load_checkpoint",
    "load_model",
    "load_tensors",
    "metrics",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "parse_json",
    "parse_toml",
    "per_sample_gradients",
    "per_sample_norms",
    "predict_logits",
    "read_settings",
    "read_tensor_header",
    "result_dtype",
    "save_checkpoint",
    "save_model",
    "save_tensors",
    "stop_gradient",
    "to_toml",
    "value_and_grad",
    "vjp",
    "vmap",
    "weights_file",
]

"""Tensors, autograd, layers, training, data and model files; knows nothing of the packages above it."""

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

__all__ = [
    "ConfigError",
    "DTypeError",
    "DataError",
    "DeviceError",
    "FormatError",
    "GradientError",
    "MissingExtraError",
    "NasturtiumError",
    "ShapeError",
]

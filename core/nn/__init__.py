"""Modules and layers: ordinary Python objects, each layer also nameable in a `ModelSpec`."""

from . import init
from .layer import LAYERS, LayerPlan, LayerSpec, build_layers, count_layers, layer, layer_spec, plan_layers
from .layers import (
    ACTIVATIONS,
    Activation,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    LayerNorm,
    Linear,
    MaxPool2d,
    Residual,
)
from .init import he_normal
from .module import Buffer, Module, Parameter, Sequential, functional_call
from .summary import Summary, summary

__all__ = [
    "ACTIVATIONS",
    "LAYERS",
    "Activation",
    "AvgPool2d",
    "BatchNorm",
    "Buffer",
    "Conv2d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "LayerNorm",
    "LayerPlan",
    "LayerSpec",
    "Linear",
    "MaxPool2d",
    "Module",
    "Parameter",
    "Residual",
    "Sequential",
    "Summary",
    "build_layers",
    "count_layers",
    "functional_call",
    "he_normal",
    "init",
    "layer",
    "layer_spec",
    "plan_layers",
    "summary",
]

"""Optimisers over one flat buffer, schedules, clipping, averages, and what mixed precision needs.

An optimiser is a frozen value: `init(parameters) -> state`, `step(state, gradients) -> state`. `init` moves all
parameters into one vector, of which they become views; a step is then a handful of vector operations however many
tensors there are. Whatever belongs between gradients and step works on that vector:

>>> import numpy as np
>>> from nasturtium.core import Tensor, grad
>>> w = Tensor(np.array([3.0, -4.0]), requires_grad=True)
>>> optimizer, schedule = AdamW(learning_rate=0.1), WarmUp(steps=3, after=Cosine(steps=97))
>>> state = optimizer.init([w])
>>> for _ in range(100):
...     gradient = state.gather(grad((w * w).sum(), [w]))
...     norm = clip_by_norm(gradient, 1.0)
...     state = optimizer.step(state, gradient, learning_rate=optimizer.learning_rate * schedule(state.step))
>>> state.step, bool(np.abs(w.data).max() < 0.5)
(100, True)
"""

from .accumulate import GradientAccumulator
from .adafactor import Adafactor
from .adam import Adam, AdamW
from .adaptive import Adagrad, RMSprop
from .average import EMA, Average, swapped
from .buffer import ParameterBuffer, Segment
from .clip import clip_by_norm, clip_by_value, l2_norm
from .lamb import LAMB
from .lion import Lion
from .optimizer import Optimizer, OptimizerState, staged
from .scaling import LossScaler, ScalerState
from .schedule import Constant, Cosine, OneCycle, Polynomial, Schedule, StepDecay, WarmUp, cosine_schedule
from .sgd import SGD

__all__ = [
    "EMA",
    "LAMB",
    "SGD",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Average",
    "Constant",
    "Cosine",
    "GradientAccumulator",
    "Lion",
    "LossScaler",
    "OneCycle",
    "Optimizer",
    "OptimizerState",
    "ParameterBuffer",
    "Polynomial",
    "RMSprop",
    "ScalerState",
    "Schedule",
    "Segment",
    "StepDecay",
    "WarmUp",
    "clip_by_norm",
    "clip_by_value",
    "cosine_schedule",
    "l2_norm",
    "staged",
    "swapped",
]

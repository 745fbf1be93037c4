"""`Step`: what a step of an optimiser does, and the slots of its kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["sgd", "momentum", "nesterov", "adam", "adamw", "adagrad", "rmsprop", "rmsprop_momentum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a step does.

    Attributes:
        method: the slots that it takes, beside `count`, `parameters`, `gradient` and `rate`:
            "sgd": none; "momentum", "nesterov": `velocity`, `momentum`;
            "adam", "adamw": `first`, `second`, `beta1`, `beta2`, `epsilon`, `correction` = 1 / sqrt(1 - beta2^t), and
            `rate` divided by 1 - beta1^t; adamw with `shrink` = 1 - rate * decay;
            "adagrad": `sum`, `epsilon`; "rmsprop": `second`, `alpha`, `epsilon`; with momentum also `velocity`,
            `momentum`.
        decays: weight decay is added to the gradient: slot `decay`.
        clips: the gradient is scaled down to a norm of at most `bound`: slots `squares`, `bound`.
    """

    method: Method
    decays: bool = False
    clips: bool = False

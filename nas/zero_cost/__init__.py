"""Zero-cost scores: what can be told of a network from one minibatch, before it is trained.

As a filter (of many proposals, train the best by a score) and as objectives of a search. All of them are guesses: how
well they rank depends on the space and the data, so compare them with trained networks of yours first.

>>> import numpy as np
>>> from nasturtium.core import ModelSpec
>>> from nasturtium.core.nn import layer_spec
>>> def network(width):
...     layers = "linear", "activation", "linear"
...     options = {"out_features": width}, {"function": "relu"}, {"out_features": 2}
...     return ModelSpec((4,), tuple(layer_spec(kind, **given) for kind, given in zip(layers, options)))
>>> rows = np.random.default_rng(0).standard_normal((32, 4))
>>> def score(spec):
...     targets = (rows[:, 0] > 0).astype("int64")
...     return zero_cost_scores(spec, rows, targets, names=["nwot"], seed=0, task_kind="classification")["nwot"]
>>> best = zero_cost_filter([network(4), network(64), network(16)], score, keep=1)
>>> best == [network(64)]
True
"""

from .codes import nwot
from .flow import synflow
from .jacobian import jacov
from .probe import Probe
from .registry import ZERO_COST, ScoreFunction, ZeroCost, zero_cost
from .saliency import grad_norm, macs, parameters, snip
from .scores import ZeroCostEvaluator, ZeroCostScorer, zero_cost_filter, zero_cost_scores

__all__ = [
    "ZERO_COST",
    "Probe",
    "ScoreFunction",
    "ZeroCost",
    "ZeroCostEvaluator",
    "ZeroCostScorer",
    "grad_norm",
    "jacov",
    "macs",
    "nwot",
    "parameters",
    "snip",
    "synflow",
    "zero_cost",
    "zero_cost_filter",
    "zero_cost_scores",
]

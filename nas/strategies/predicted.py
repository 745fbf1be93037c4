"""The strategy "predictor" under its name; the package `predictor`, which is made from this one, has it."""

from __future__ import annotations

from importlib import import_module

from optuna.samplers import BaseSampler

from .registry import Maker, StrategyContext, strategy


@strategy("predictor", multi_objective=True, description="what a model of the canonical networks expects the most of")
def predicted(context: StrategyContext) -> BaseSampler:
    """A model of the canonical networks, fitted to the trials, and expected improvement; see `PredictorSampler`."""
    # Loaded when it is asked for: it imports this package.
    make: Maker = import_module("..predictor", __package__).PredictorSampler
    return make(context)

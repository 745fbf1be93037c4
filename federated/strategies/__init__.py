"""Federated strategies: `STRATEGIES` has them by name, each a small frozen class of its own parameters.

A strategy travels as JSON in every `RoundPlan`, so all sites take the same steps.
"""

from .base import (
    STRATEGIES,
    Correction,
    FederatedStrategy,
    LocalStart,
    State,
    strategy,
    strategy_from_dict,
    strategy_from_json,
)
from .bulyan import Bulyan
from .fedadagrad import FedAdagrad
from .fedadam import FedAdam
from .fedavg import FedAvg
from .fedavgm import FedAvgM
from .fedbn import FedBN
from .fedbuff import FedBuff
from .fedper import FedPer
from .fedprox import FedProx
from .fedyogi import FedYogi
from .krum import Krum
from .median import Median
from .robust import RobustRule
from .scaffold import Scaffold
from .trimmed_mean import TrimmedMean

__all__ = [
    "STRATEGIES",
    "Bulyan",
    "Correction",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedBN",
    "FedBuff",
    "FedPer",
    "FedProx",
    "FedYogi",
    "FederatedStrategy",
    "Krum",
    "LocalStart",
    "Median",
    "RobustRule",
    "Scaffold",
    "State",
    "TrimmedMean",
    "strategy",
    "strategy_from_dict",
    "strategy_from_json",
]

"""The end of a search: the best again with several seeds, an average of networks, one test, a control, a report.

The order of the modules: significance, ensemble, linear, neighbours, references; options, cost, retraining, apart,
members, selection; report, testing, gather, keep, conclude, elsewhere, kept.
"""

from .conclude import Concluded, NothingFoundError, check_found, conclude
from .cost import TrialCost, end_seconds
from .elsewhere import conclude_elsewhere
from .ensemble import average, join_models, join_specs, select_greedily
from .keep import read_report
from .kept import conclude_kept
from .options import FinaleData, FinaleOptions
from .references import REFERENCES, Reference
from .report import Comparison, ScoredModel, SearchReport
from .significance import PairedTest, mcnemar, sign_flip, wilcoxon
from .testing import SplitUsedError, was_tested

__all__ = [
    "REFERENCES",
    "Comparison",
    "Concluded",
    "FinaleData",
    "FinaleOptions",
    "NothingFoundError",
    "PairedTest",
    "Reference",
    "ScoredModel",
    "SearchReport",
    "SplitUsedError",
    "TrialCost",
    "average",
    "check_found",
    "conclude",
    "conclude_elsewhere",
    "conclude_kept",
    "end_seconds",
    "join_models",
    "join_specs",
    "mcnemar",
    "read_report",
    "select_greedily",
    "sign_flip",
    "was_tested",
    "wilcoxon",
]

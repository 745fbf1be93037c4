"""Weight sharing: all networks of a space trained as one, so that candidates need no training of their own.

`Supernet` and `SinglePathTrainer` share the weights of whatever a space makes; `SupernetEvaluator` measures candidates
with them. `DartsSearch` mixes the options of choices instead, and chooses by gradient. What they say is a guess: its
rank correlation with networks trained on their own depends on the space, so train the best on their own in the end.
Inherited losses rank better than inherited accuracies.

Modules, in the order they build on each other: `slots`, `extremes`, `store`, `recalibration`, `single_path`,
`evaluator`; `mixing`, `relaxed`, `derive`, `darts`.
"""

from .darts import DartsConfig, DartsSearch
from .evaluator import SupernetEvaluator
from .mixing import Mixing
from .places import SharedPlace, shared_places
from .recalibration import recalibrate
from .relaxed import Relaxation
from .single_path import SinglePathConfig, SinglePathTrainer
from .slots import Slot, slots_of
from .store import Supernet

__all__ = [
    "DartsConfig",
    "DartsSearch",
    "Mixing",
    "Relaxation",
    "SharedPlace",
    "SinglePathConfig",
    "SinglePathTrainer",
    "Slot",
    "Supernet",
    "SupernetEvaluator",
    "recalibrate",
    "shared_places",
    "slots_of",
]

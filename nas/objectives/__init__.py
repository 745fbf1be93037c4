"""What a search is for: objectives with their directions, constraints, Pareto fronts, and what has to be measured.

The order of the modules: registry, goals, constraints, pareto, hypervolume, choice; inference, latency, memory.
"""

from .choice import choose_best, closest_to, figures_of, front_goals, front_of
from .constraints import Constraint, parse_constraint, total_violation
from .goals import Goal, parse_goal, parse_goals
from .hypervolume import hypervolume, hypervolume_contributions, normalised_hypervolume
from .latency import Latency, measure_latency
from .memory import measure_peak_memory
from .pareto import crowding_distance, non_dominated_ranks, pareto_front
from .registry import OBJECTIVES, Direction, Objective, Source, find_objective

__all__ = [
    "OBJECTIVES",
    "Constraint",
    "Direction",
    "Goal",
    "Latency",
    "Objective",
    "Source",
    "choose_best",
    "closest_to",
    "crowding_distance",
    "figures_of",
    "find_objective",
    "front_goals",
    "front_of",
    "hypervolume",
    "hypervolume_contributions",
    "measure_latency",
    "measure_peak_memory",
    "non_dominated_ranks",
    "normalised_hypervolume",
    "pareto_front",
    "parse_constraint",
    "parse_goal",
    "parse_goals",
    "total_violation",
]

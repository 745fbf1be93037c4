"""What a model learns from: the trials of a search and of earlier ones as vectors and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..objectives import Direction
from ..strategies import Observation
from .features import Features, Mask, Matrix, Places, Rows
from .gaussian_process import FITTED_ROWS
from .warping import Warp

BEND = 1.0  # see `Warp`: one end of a front has low accuracies, and they count there
MAX_ROWS = 400  # a fit costs their third power: of more trials, the best and the latest


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Trials that ended, at least one of them with values.

    Attributes:
        rows: shape (n, elements).
        targets: shape (n, objectives); more is better.
        warps: of the objectives, what makes targets of them.
        discounted: shape (n,); from earlier searches, or stopped on the way: what they say about this search's results
            is less certain.
        violations: shape (n,), >= 0.
        failed: shape (n,); their targets are those of the worst.
    """

    rows: Rows
    targets: Matrix
    warps: tuple[Warp, ...]
    discounted: Mask
    violations: Matrix
    failed: Mask

    @property
    def comparable(self) -> Places:
        """Places of the trials that were trained to the end and keep the constraints."""
        return np.flatnonzero(~self.discounted & ~self.failed & (self.violations == 0))


def observed(
    prior: Sequence[Observation],
    own: Sequence[Observation],
    directions: Sequence[Direction],
    features: Features,
    rng: np.random.Generator,
) -> Observed:
    """The trials that ended, of earlier searches first.

    Args:
        prior, own: of earlier searches and of this one; at least one has values.
        directions: of the objectives.
        features: gives the vectors.
        rng: decides which trials are left out, and the order of the others.
    """
    trials = [trial for trial in (*prior, *own) if trial.state != "running"]
    failed = np.array([trial.values is None for trial in trials])
    values = np.array([trial.values for trial in trials if trial.values is not None], np.float64)
    gains = values * [1.0 if direction == "maximize" else -1.0 for direction in directions]
    bend = BEND if len(directions) > 1 else 0.0
    warps = tuple(Warp.fit(column, bend=bend) for column in gains.T)
    targets = np.empty((len(trials), len(directions)))
    targets[~failed] = np.stack([warp.targets(column) for warp, column in zip(warps, gains.T, strict=True)], axis=1)
    targets[failed] = targets[~failed].min(axis=0)
    earlier = np.arange(len(trials)) < len(trials) - sum(trial.state != "running" for trial in own)
    discounted = earlier | np.array([trial.state == "pruned" for trial in trials])
    violations = np.array([trial.violation for trial in trials], np.float64)
    kept = _kept(targets, violations, rng)
    order: list[int] = kept.tolist()
    points = [trials[place].flat for place in order]
    return Observed(features.rows(points), targets[kept], warps, discounted[kept], violations[kept], failed[kept])


def _kept(targets: Matrix, violations: Matrix, rng: np.random.Generator) -> Places:
    """At most `MAX_ROWS` places; those to which a process is fitted last, half of them the best and half random."""
    count = len(targets)
    if count <= FITTED_ROWS:
        return np.arange(count)
    by_merit = np.lexsort((targets.sum(axis=1), -violations))  # the best last
    best = by_merit[count - FITTED_ROWS // 2 :]
    others = rng.permutation(by_merit[: count - FITTED_ROWS // 2])
    return np.concatenate([others[: MAX_ROWS - len(best)], best])

"""Linear models, in NumPy alone: ridge regression in closed form, and multinomial logistic regression."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_MEMORY = 10  # pairs of differences that L-BFGS keeps
_ARMIJO = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class LinearModel:
    """rows @ weights + bias; weights of shape (features, outputs), bias of shape (outputs,)."""

    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Outputs, shape (N, outputs), for rows (N, features)."""
        return rows @ self.weights + self.bias


def fit_ridge(rows: np.ndarray, targets: np.ndarray, alpha: float) -> LinearModel:
    """Minimise the squared error plus alpha |weights|^2; the bias is free.

    Args:
        rows: float64, shape (N, features).
        targets: float64, shape (N, outputs).
        alpha: > 0.

    Source: Hoerl & Kennard 1970, https://doi.org/10.1080/00401706.1970.10488634.
    """
    center, middle = rows.mean(0), targets.mean(0)
    u, s, vt = np.linalg.svd(rows - center, full_matrices=False)
    weights = vt.T @ ((s / (s**2 + alpha))[:, None] * (u.T @ (targets - middle)))
    return LinearModel(weights, middle - center @ weights)


def ridge_left_out(rows: np.ndarray, targets: np.ndarray, alphas: np.ndarray) -> np.ndarray:
    """What ridge says of each row when fitted without it, for each alpha, shape (alphas, N, outputs), from one SVD.

    Source: Allen 1974, https://doi.org/10.1080/00401706.1974.10489157: the residual divided by 1 - leverage.
    """
    middle = targets.mean(0)
    u, s, _ = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    projected = u.T @ (targets - middle)
    said: list[np.ndarray] = []
    for alpha in alphas:
        shrink = s**2 / (s**2 + alpha)
        fitted = u @ (shrink[:, None] * projected) + middle
        leverage = (u**2) @ shrink + 1 / len(rows)
        said.append(targets - (targets - fitted) / np.maximum(1 - leverage, 1e-12)[:, None])
    return np.stack(said)


def fit_logistic(
    rows: np.ndarray, labels: np.ndarray, classes: int, c: float, *, start: LinearModel | None = None
) -> LinearModel:
    """Minimise c times the sum of the rows' cross-entropies, plus half |weights|^2; the bias is free.

    Args:
        rows: float64, shape (N, features).
        labels: class indices, shape (N,).
        classes: how many there are.
        c: inverse strength of the penalty, > 0; scikit-learn's `C`.
        start: a model to begin with, such as that of a smaller c.
    """
    features = rows.shape[1]
    hot = (labels[:, None] == np.arange(classes)).astype(np.float64)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[:-classes].reshape(features, classes), flat[-classes:]
        logits = rows @ weights + bias
        top = logits.max(1, keepdims=True)
        exponentials = np.exp(logits - top)
        sums = exponentials.sum(1, keepdims=True)
        loss = float((top + np.log(sums)).sum() - (logits * hot).sum())
        slope = c * (exponentials / sums - hot)
        gradient = np.concatenate([(rows.T @ slope + weights).ravel(), slope.sum(0)])
        return c * loss + 0.5 * float((weights**2).sum()), gradient

    first = np.zeros((features + 1) * classes) if start is None else np.concatenate([start.weights.ravel(), start.bias])
    flat = minimise(objective, first)
    return LinearModel(flat[:-classes].reshape(features, classes), flat[-classes:])


def minimise(
    objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    *,
    tolerance: float = 1e-6,
    steps: int = 1000,
) -> np.ndarray:
    """The lowest point of a smooth convex function, by L-BFGS with a line search that halves.

    Args:
        objective: value and gradient at a point.
        start: a point, shape (n,).
        tolerance: of the gradient's largest element, relative to the first one's (at least 1).
        steps: at most.

    Source: Nocedal & Wright 2006, algorithms 7.4 and 3.1.
    """
    point = start
    value, gradient = objective(point)
    goal = tolerance * max(1.0, float(np.abs(gradient).max()))
    pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=_MEMORY)
    for _ in range(steps):
        if np.abs(gradient).max() <= goal:
            break
        direction = _two_loops(gradient, pairs)
        slope = float(gradient @ direction)
        rate = 1.0 if pairs else min(1.0, 1 / float(np.abs(gradient).sum()))
        while True:
            moved = point + rate * direction
            new_value, new_gradient = objective(moved)
            if new_value <= value + _ARMIJO * rate * slope:
                break
            rate /= 2
            if rate < 1e-12:  # the value cannot be told from lower ones any more
                return point
        difference = new_gradient - gradient
        curvature = float(difference @ (moved - point))
        if curvature > 1e-14 * float(difference @ difference):
            pairs.append((moved - point, difference, curvature))
        point, value, gradient = moved, new_value, new_gradient
    return point


def _two_loops(gradient: np.ndarray, pairs: deque[tuple[np.ndarray, np.ndarray, float]]) -> np.ndarray:
    """The direction of L-BFGS."""
    direction = -gradient
    factors: list[float] = []
    for step, difference, curvature in reversed(pairs):
        factor = float(step @ direction) / curvature
        factors.append(factor)
        direction = direction - factor * difference
    if pairs:
        _, difference, curvature = pairs[-1]
        direction = direction * (curvature / float(difference @ difference))
    for (step, difference, curvature), factor in zip(pairs, reversed(factors), strict=True):
        direction = direction + step * (factor - float(difference @ direction) / curvature)
    return direction

"""`Rungs`: the budgets of a trial that climbs, in epochs, rows or resolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ...core import Budget, ConfigError

Fidelity = Literal["epochs", "rows", "resolution"]
# Training on a part p of the rows costs p of the whole, images of a part p of the side p².
_COST_POWER: Mapping[Fidelity, int] = {"rows": 1, "resolution": 2}
LOWEST: Mapping[Fidelity, float] = {"epochs": 1, "rows": 0.1, "resolution": 0.25}  # where a user does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Rungs:
    """Budgets that grow by the factor `eta` in cost, and the whole.

    Climbing in epochs goes on with the same training. More rows or a higher resolution mean training from the beginning
    again: the results of the lower budgets are thrown away but for the comparison.

    Args:
        total: epochs of the whole schedule, >= 1.
        eta: > 1.
        fidelity: what grows: the epochs of the schedule, the part of the training rows, or that of the images' side.
        lowest: no budget is below it: epochs in [1, total], with which they begin, or a part in (0, 1]. None is one
            epoch, a tenth of the rows, or a quarter of the side.
    """

    total: int
    eta: float = 3.0
    fidelity: Fidelity = "epochs"
    lowest: float | None = None

    def __post_init__(self) -> None:
        if self.total < 1 or not 1 < self.eta < float("inf"):
            raise ConfigError(f"expected total >= 1 epochs and eta > 1, got {self.total} and {self.eta}")
        if self.fidelity not in get_args(Fidelity):
            raise ConfigError(f"expected a fidelity of {', '.join(get_args(Fidelity))}, got {self.fidelity!r}")
        if self.lowest is not None:
            if self.fidelity == "epochs":
                if not 1 <= self.lowest <= self.total:
                    raise ConfigError(f"expected a lowest budget of 1 to {self.total} epochs, got {self.lowest}")
            elif not 0 < self.lowest <= 1:
                raise ConfigError(f"expected a lowest part of {self.fidelity} in (0, 1], got {self.lowest}")

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """The budgets from the lowest to the whole; each but the whole costs about `eta` times the one before."""
        lowest = LOWEST[self.fidelity] if self.lowest is None else self.lowest
        if self.fidelity == "epochs":
            epochs = {self.total}
            step = lowest
            while step < self.total:
                epochs.add(round(step))
                step *= self.eta
            return tuple(Budget(epochs=count, total=self.total) for count in sorted(epochs))
        factor = self.eta ** (1 / _COST_POWER[self.fidelity])
        parts = [1.0]
        while parts[-1] / factor >= lowest * (1 - 1e-9):
            parts.append(parts[-1] / factor)
        return tuple(
            Budget(epochs=self.total, total=self.total, rows=part)
            if self.fidelity == "rows"
            else Budget(epochs=self.total, total=self.total, resolution=part)
            for part in reversed(parts)
        )

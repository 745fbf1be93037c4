"""The figures of a network that a search can ask for, where each comes from, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, Literal

from ...core import ConfigError, Registry

Direction = Literal["maximize", "minimize"]  # Optuna's words
Source = Literal["validation", "costs", "measured", "zero_cost"]

_VALIDATION_PREFIX: Final = "val_"


@dataclass(frozen=True, slots=True)
class Objective:
    """One figure.

    Attributes:
        name: under which evaluations tell it.
        direction: which way is better, if a user does not say.
        unit: "fraction", "nats", "bytes", "ms", "s", or "" for counts and what has no unit.
        source: "validation": training, on rows it did not learn from; "costs": the specification, before training;
            "measured": a clock or a meter, so that it differs from run to run; "zero_cost": a score of the network as
            it is initialised.
        aliases: other names users may write.
    """

    name: str
    direction: Direction
    unit: str
    source: Source
    aliases: tuple[str, ...] = ()


OBJECTIVES: Registry[Objective] = Registry("objective")
_ALIASES: dict[str, str] = {}


def _declare(name: str, direction: Direction, unit: str, source: Source, *aliases: str) -> None:
    OBJECTIVES.add(name, Objective(name, direction, unit, source, aliases))
    _ALIASES.update(dict.fromkeys(aliases, name))


for _name in ("accuracy", "f1", "precision", "recall", "auroc", "top_k_accuracy"):
    _declare(f"val_{_name}", "maximize", "fraction", "validation")
for _name in ("loss", "log_loss"):
    _declare(f"val_{_name}", "minimize", "nats", "validation")
_declare("val_r2", "maximize", "", "validation")
for _name in ("rmse", "mae", "mse"):
    _declare(f"val_{_name}", "minimize", "", "validation")
_declare("parameters", "minimize", "", "costs", "params")
_declare("buffers", "minimize", "", "costs")
_declare("macs", "minimize", "", "costs")
for _name in ("peak_activation_bytes", "model_bytes", "upload_bytes"):
    _declare(_name, "minimize", "bytes", "costs")
_declare("latency_ms", "minimize", "ms", "measured", "latency")
_declare("peak_memory_bytes", "minimize", "bytes", "measured", "peak_memory")
_declare("train_seconds", "minimize", "s", "measured")
for _name in ("nwot", "synflow", "jacov", "snip", "grad_norm"):
    _declare(_name, "maximize", "", "zero_cost")


def find_objective(name: str, *, direction: Direction | None = None) -> Objective:
    """The objective a user names, or an alias of.

    Any other name that begins with `val_` is a metric of the evaluator's own, if `direction` says which way is better.

    Raises:
        ConfigError: there is no such objective, or nobody said which way is better.
    """
    known = OBJECTIVES.get(_ALIASES.get(name, name))
    if known is not None:
        return known
    own = name.startswith(_VALIDATION_PREFIX) and len(name) > len(_VALIDATION_PREFIX) and name.isidentifier()
    if own and direction is not None:
        return Objective(name, direction, "", "validation")
    close = get_close_matches(name, (*OBJECTIVES, *_ALIASES), n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    if own:
        raise ConfigError(
            f"unknown objective {name!r:.80}, so nobody knows which way it is better",
            hint=f'{meant}Of a metric of your own evaluator say it: "maximize {name:.80}" or "minimize {name:.80}"',
        )
    raise ConfigError(
        f"unknown objective {name!r:.80}: expected one of {', '.join(OBJECTIVES)}",
        hint=f"{meant}A metric of your own evaluator is named val_...",
    )

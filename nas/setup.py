"""What a search is asked for, and everything it needs before it touches a database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

from ..core import ConfigError, Device, derive_rng, device, read_settings
from ..core.data import Dataset, LoadOptions, Missing, Task, load_dataset, resolve_source, train_validation_test
from .fidelity import SCHEDULERS, Fidelity
from .objectives import Constraint, Goal, Source, parse_constraint, parse_goals
from .space import Space, load_space
from .spaces import default_space
from .strategies import STRATEGIES, StrategyContext
from .training import choose_folds
from .zero_cost import ZERO_COST

Evaluation = Literal["training", "zero-cost", "supernet"]
Control = Literal["start", "equal"]
DEFAULT_STRATEGY = "predictor"
_TOLD: Mapping[Evaluation, frozenset[Source]] = {
    "training": frozenset({"validation", "costs", "measured", "zero_cost"}),
    "zero-cost": frozenset({"costs", "zero_cost"}),
    "supernet": frozenset({"validation", "costs", "zero_cost"}),
}
_MAY_BE_NONE = frozenset({"target", "space", "zero_cost", "control_of", "objectives"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """What to search and how. The history keeps it; a resumed search reads it back.

    Attributes:
        data: a bundled data set or a path, see `load_dataset`.
        target: the column or array with what is to be learned, for a file.
        missing: what missing values of a table are: an error ("refuse"), filled with what training rows say ("fill"),
            or told to the network besides ("indicate").
        task: "classification" or "regression"; None looks at the target.
        trials: candidates to evaluate, >= 1.
        seed: decides the split, the proposals and the weights.
        space: a name of `SPACES` or a .json or .toml file; None takes what fits the data.
        strategy: a name of `STRATEGIES`.
        objectives: goals such as "val_accuracy" or "minimize latency_ms"; the first is what the winner is chosen by.
            None takes the accuracy, or R2 of a regression.
        constraints: such as "parameters <= 50000" and "latency_ms <= 2".
        epochs: the longest a trial is trained, >= 1.
        scheduler: a name of `SCHEDULERS`, which stops early what does not get on.
        fidelity: what a trial gets less of at first: "epochs", "rows" or "resolution".
        evaluate: by "training", by "zero-cost" scores of untrained networks, or with a weight-sharing "supernet".
        zero_cost: a score of `ZERO_COST`: of several proposals the one with the best score is tried; None takes the
            first.
        folds: cross-validate over so many folds; "auto" does where there are few rows, None never.
        workers: trials at a time, >= 1. Part of what decides the proposals: trial n is proposed when 0 to n - workers
            are known.
        device: where to train.
        trial_memory: bytes a trial may take above what its process starts with; None does not limit it.
        trial_seconds: a trial may take; None does not limit it.
        seconds, cpu_seconds, upload_bytes: budgets of the whole search; None does not limit it. Of the CPU time
            enough is kept for the end of the search, see `Account.reserve`.
        stop_at: end when the first objective reaches this.
        stop_after: end after so many trials that made nothing better.
        warm_start: uids or numbers of earlier searches in the same space whose trials the strategy may learn from.
        top: how many of the best are trained again before one is chosen, >= 1.
        repeats: with how many seeds, >= 1.
        ensemble: also report a greedy ensemble of them.
        control: random search that the result is compared with: what the search "start"s with, or an "equal" number
            of trials.
        control_of: uid of the search that this one, a random one, is compared with; set by that search.
        federation: at which sites candidates are trained, as whoever opens them understands it; an epoch is a round
            there. None trains here.
    """

    data: str
    target: str | None = None
    missing: Missing = "refuse"
    task: Literal["classification", "regression"] | None = None
    trials: int = 20
    seed: int = 0
    space: str | None = None
    strategy: str = DEFAULT_STRATEGY
    objectives: tuple[str, ...] | None = None
    constraints: tuple[str, ...] = ()
    epochs: int = 30
    scheduler: str = "asha"
    fidelity: Fidelity = "epochs"
    evaluate: Evaluation = "training"
    zero_cost: str | None = None
    folds: int | Literal["auto"] | None = "auto"
    workers: int = 1
    device: str = "cpu"
    trial_memory: int | None = None
    trial_seconds: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    upload_bytes: float | None = None
    stop_at: float | None = None
    stop_after: int | None = None
    warm_start: tuple[str, ...] = ()
    top: int = 2
    repeats: int = 2
    ensemble: bool = False
    control: Control = "start"
    control_of: str | None = None
    federation: Mapping[str, Any] | None = None

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """What the history kept of a configuration, or a file said.

        Raises:
            ConfigError: fields nobody knows, as of another version of nasturtium.
        """
        known = {each.name for each in fields(cls)}
        if unknown := given.keys() - known:
            raise ConfigError(
                f"a search has no settings {', '.join(sorted(unknown))}", hint=f"it has: {', '.join(sorted(known))}"
            )
        values: dict[str, Any] = {key: _frozen(value) for key, value in given.items()}
        try:
            return cls(**values)
        except TypeError as exc:
            raise ConfigError(f"the search cannot be configured so: {exc}") from exc

    @classmethod
    def read(cls, path: str | Path, **given: Any) -> Self:
        """A configuration from a TOML file; what is given besides goes before what the file says.

        Raises:
            ConfigError: the file cannot be read, or says what cannot be.
        """
        return cls.from_dict(read_settings(path) | given)

    def __post_init__(self) -> None:
        for name in ("data", "strategy", "scheduler", "device", "target", "space", "zero_cost", "control_of"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in _MAY_BE_NONE):
                raise ConfigError(f"expected {name} as a text, got {value!r}")
        for name in ("objectives", "constraints", "warm_start"):
            value = getattr(self, name)
            if not _are_texts(value) and not (value is None and name in _MAY_BE_NONE):
                raise ConfigError(f"expected {name} as a list of texts, got {value!r}")
        for name in ("trials", "epochs", "workers", "top", "repeats"):
            _check_at_least_one(name, getattr(self, name))
        for name in ("trial_memory", "stop_after"):
            if getattr(self, name) is not None:
                _check_at_least_one(name, getattr(self, name))
        for name in ("trial_seconds", "seconds", "cpu_seconds", "upload_bytes"):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and 0 < value < inf):
                raise ConfigError(f"expected {name} > 0, got {value!r}")
        if self.stop_at is not None and not (_is_number(self.stop_at) and isfinite(self.stop_at)):
            raise ConfigError(f"expected stop_at as a finite number, got {self.stop_at!r}")
        if self.folds not in {None, "auto"} and not (type(self.folds) is int and self.folds >= 2):
            raise ConfigError(f"expected folds >= 2, 'auto' or none, got {self.folds!r}")
        if type(self.ensemble) is not bool:
            raise ConfigError(f"expected ensemble as true or false, got {self.ensemble!r}")
        if self.federation is not None and not _is_table(self.federation):
            raise ConfigError(f"expected federation as a table of settings, got {self.federation!r:.60}")
        if type(self.seed) is not int or not 0 <= self.seed < 2**63:
            raise ConfigError(f"expected 0 <= seed < 2**63, got {self.seed!r}")
        words = (("evaluate", Evaluation), ("control", Control), ("fidelity", Fidelity), ("missing", Missing))
        for name, allowed in words:
            if getattr(self, name) not in get_args(allowed):
                raise ConfigError(
                    f"expected {name} as one of {', '.join(get_args(allowed))}, got {getattr(self, name)!r}"
                )
        STRATEGIES.find(self.strategy)
        SCHEDULERS.find(self.scheduler)
        if self.zero_cost is not None:
            ZERO_COST.find(self.zero_cost)
        if self.objectives:
            parse_goals(self.objectives)
        for constraint in self.constraints:
            parse_constraint(constraint)

    def goals(self, task: Task) -> tuple[Goal, ...]:
        """What is searched for, the most important first."""
        usual = "val_accuracy" if task.kind == "classification" else "val_r2"
        return parse_goals(self.objectives or (usual,))

    @property
    def limits(self) -> tuple[Constraint, ...]:
        """What every candidate must keep."""
        return tuple(parse_constraint(text) for text in self.constraints)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What a search knows of its data, wherever the rows are.

    Attributes:
        name: as in the history.
        fingerprint: the same for the same data; where the rows are elsewhere, as whoever has them tells it.
        task: what is learned.
        rows: how many there are; None: they are elsewhere, and nobody tells.
    """

    name: str
    fingerprint: str
    task: Task
    rows: int | None = None

    @classmethod
    def of(cls, data: Dataset) -> DataFacts:
        """What is known of rows that are here."""
        return cls(name=data.name, fingerprint=data.fingerprint, task=data.task, rows=len(data))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchRows:
    """The rows of a search, all of them and its parts."""

    data: Dataset
    train: Dataset
    validation: Dataset
    test: Dataset


@dataclass(frozen=True, slots=True)
class SearchSetup:
    """All a search needs before it touches a database: checked, loaded, split.

    Attributes:
        config: with an absolute path to the data, because resuming may start elsewhere, and what kind of task it is.
        known: of the data.
        rows: all of them and its parts; None where they are elsewhere: candidates are trained there, and so is the
            model, which stays there.
        space: made for the data's task.
        goals: what is searched for.
        constraints: what every candidate must keep.
        device: where to train.
    """

    config: SearchConfig
    known: DataFacts
    rows: SearchRows | None
    space: Space
    goals: tuple[Goal, ...]
    constraints: tuple[Constraint, ...]
    device: Device

    @classmethod
    def load(cls, config: SearchConfig, *, document: Mapping[str, Any] | None = None) -> SearchSetup:
        """Load and check everything.

        Args:
            config: what is asked for.
            document: of the space the search was started in, which stays what it was; None takes the config's.

        Raises:
            ConfigError: the request cannot be served.
            DataError: the data cannot be learned from.
        """
        data = load_dataset(config.data, config.target, LoadOptions(kind=config.task, missing=config.missing))
        setup = cls.elsewhere(config, DataFacts.of(data), document=document)
        train, validation, test = train_validation_test(data, config.seed)
        choose_folds(config.folds, len(train) + len(validation))  # says now if there are too few rows for them
        rows = SearchRows(data=data, train=train, validation=validation, test=test)
        return replace(setup, config=replace(setup.config, data=resolve_source(config.data)), rows=rows)

    @classmethod
    def elsewhere(
        cls, config: SearchConfig, known: DataFacts, *, document: Mapping[str, Any] | None = None
    ) -> SearchSetup:
        """The same for data whose rows are elsewhere: `config.data` is only what it is called.

        Raises:
            ConfigError: the request cannot be served.
        """
        place = device(config.device)
        goals, limits = config.goals(known.task), config.limits
        _check_told(config.evaluate, goals, limits)
        if document is not None:
            space = Space.from_document(document, known.task)
        else:
            space = load_space(config.space, known.task) if config.space else default_space(known.task)
            space = space.constrained(*(str(limit) for limit in limits if limit.static))
        # A strategy that cannot serve says so here, before there is a search.
        context = StrategyContext(space=space, seed=config.seed, directions=tuple(goal.direction for goal in goals))
        STRATEGIES.find(config.strategy).sampler(context, constrained=bool(limits))
        if space.constraints:  # that nothing keeps are told of here, too
            space.sample(derive_rng(config.seed, "constraints"))
        return cls(replace(config, task=known.task.kind), known, None, space, goals, limits, place)

    @property
    def data(self) -> Dataset:
        """All rows, as of the next three.

        Raises:
            ConfigError: they are elsewhere.
        """
        return self._here.data

    @property
    def train(self) -> Dataset:
        """Those that networks are trained on."""
        return self._here.train

    @property
    def validation(self) -> Dataset:
        """Those that everything is chosen by."""
        return self._here.validation

    @property
    def test(self) -> Dataset:
        """Those that are looked at once."""
        return self._here.test

    @property
    def _here(self) -> SearchRows:
        if self.rows is None:
            raise ConfigError(
                f"the rows of {self.known.name} are elsewhere", hint="only those who have them can train on them"
            )
        return self.rows

    @property
    def scheduler(self) -> str:
        """The config's, or "none" where training changes no goal: who is small now will be, and may be no good."""
        learned = any(goal.objective.source == "validation" for goal in self.goals)
        return self.config.scheduler if learned else "none"

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """Of the goals."""
        return tuple(goal.direction for goal in self.goals)


def _frozen(value: object) -> object:
    """A list of a document as the tuple it is here."""
    return tuple(cast(list[object], value)) if isinstance(value, list) else value


def _check_told(evaluate: Evaluation, goals: Sequence[Goal], limits: Sequence[Constraint]) -> None:
    """Everything that is asked for has to be told by what evaluates."""
    asked = [goal.objective for goal in goals] + [limit.objective for limit in limits]
    if untold := [objective.name for objective in asked if objective.source not in _TOLD[evaluate]]:
        raise ConfigError(
            f"a search that evaluates by {evaluate} is not told {', '.join(dict.fromkeys(untold))}",
            hint="ask for something else, or evaluate by training",
        )
    if evaluate == "zero-cost" and all(objective.source == "costs" for objective in asked):
        raise ConfigError(
            "a search by zero-cost scores has none among its goals", hint="name one, such as --objective nwot"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _are_texts(value: object) -> bool:
    return isinstance(value, tuple) and all(isinstance(text, str) for text in cast(tuple[object, ...], value))


def _check_at_least_one(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise ConfigError(f"expected {name} >= 1, got {value!r}")

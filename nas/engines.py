"""Where the trials of a search are evaluated, and by what: the engine that a search asks for, and its evaluators."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ..core import ConfigError, derive_rng
from ..storage import Database, SearchRecord
from .evaluate import BatchEvaluator, Evaluator
from .runner import BatchEngine, InlineEngine, MakeEvaluator, ProcessEngine, Workplace
from .runner.lease_engine import LeaseEngine
from .runner.protocols import Engine
from .runner.ray_engine import RayEngine
from .setup import SearchConfig, SearchSetup
from .supernet import Supernet, SupernetEvaluator
from .training import DatasetFactory, EvaluatorOptions, TrainingEvaluator, TrainingFactory
from .zero_cost import ZeroCostEvaluator, ZeroCostScorer

EngineKind = Literal["processes", "here", "workers", "ray"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """Where trials are evaluated. The result does not depend on it.

    Attributes:
        kind: in "processes" of this machine, one for each trial; "here", in this process; by "workers" on any machine,
            which take their trials from the database; on a "ray" cluster.
        ray: the cluster's address; None starts one on this machine.
        cpus, gpus: that a trial takes of a cluster.
    """

    kind: EngineKind = "processes"
    ray: str | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(EngineKind):
            raise ConfigError(f"expected an engine of {', '.join(get_args(EngineKind))}, got {self.kind!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupEvaluators:
    """Makes the evaluators of a search on any machine that has its data: it is loaded there, and must be the same.

    Attributes:
        config: of the search, see `SearchConfig`.
        space: its document.
        fingerprint: of the data.
        supernet: a file of shared weights, where the search has them.
    """

    config: Mapping[str, Any]
    space: Mapping[str, Any]
    fingerprint: str
    supernet: str | None = None

    def __call__(self) -> Evaluator:
        """Load the data and make an evaluator.

        Raises:
            ConfigError: the data is not there, or is not what the search was started with.
        """
        setup = SearchSetup.load(SearchConfig.from_dict(self.config), document=self.space)
        if setup.data.fingerprint != self.fingerprint:
            raise ConfigError(
                f"{setup.config.data} is not the data of the search: its fingerprint is "
                f"{setup.data.fingerprint[:12]}, expected {self.fingerprint[:12]}",
                hint="copy the file of the search to this machine, or name it with --data",
            )
        return evaluator_of(setup, supernet=self.supernet)


def evaluator_of(setup: SearchSetup, *, supernet: str | Path | None = None) -> Evaluator:
    """What evaluates the candidates of a search in this process.

    Args:
        setup: of the search.
        supernet: the file of the shared weights, where it evaluates with them.
    """
    config, scores = setup.config, zero_cost_names(setup)
    trained: Evaluator | None = None
    if config.evaluate == "training":
        options = evaluator_options(setup)
        trained = TrainingEvaluator(
            setup.train,
            setup.validation,
            device=setup.device,
            folds=options.folds,
            patience=options.patience,
            seed=options.seed,
            measured=options.measured,
        )
    elif config.evaluate == "supernet":
        if supernet is None:
            raise ConfigError("the search evaluates with a supernet, and none was trained")
        shared = Supernet(setup.space, derive_rng(config.seed, "supernet")).load(supernet)
        trained = SupernetEvaluator(shared, setup.train, setup.validation)
    if trained is not None and not scores:
        return trained
    return ZeroCostEvaluator(ZeroCostScorer(setup.train, names=scores, seed=config.seed), trained=trained)


def zero_cost_names(setup: SearchSetup) -> tuple[str, ...]:
    """The zero-cost scores among the goals and constraints of a search."""
    asked = [goal.objective for goal in setup.goals] + [limit.objective for limit in setup.constraints]
    return tuple(dict.fromkeys(objective.name for objective in asked if objective.source == "zero_cost"))


def evaluator_options(setup: SearchSetup) -> EvaluatorOptions:
    """How the candidates of a search are trained and measured."""
    asked = [goal.objective for goal in setup.goals] + [limit.objective for limit in setup.constraints]
    measured = tuple(dict.fromkeys(objective.name for objective in asked if objective.source == "measured"))
    config = setup.config
    return EvaluatorOptions(folds=config.folds, seed=config.seed, device=config.device, measured=measured)


def remote_evaluators(setup: SearchSetup, *, supernet: Path | None = None) -> MakeEvaluator:
    """A maker of evaluators for processes that load the data themselves."""
    if setup.config.evaluate == "training" and not zero_cost_names(setup):
        return DatasetFactory.from_config(asdict(setup.config), setup.data.fingerprint, evaluator_options(setup))
    return SetupEvaluators(
        config=asdict(setup.config),
        space=setup.space.to_document(),
        fingerprint=setup.data.fingerprint,
        supernet=None if supernet is None else str(supernet),
    )


def check_batch(setup: SearchSetup) -> None:
    """See that a search can be evaluated elsewhere, by whoever has the rows.

    Raises:
        ConfigError: it needs rows here, or asks for what only an evaluator here can do.
    """
    config = setup.config
    if config.evaluate == "zero-cost":
        raise ConfigError(f"candidates that are trained elsewhere are evaluated by that, got {config.evaluate!r}")
    if config.fidelity != "epochs":
        raise ConfigError(
            f"candidates that are trained elsewhere get fewer epochs at first, got the fidelity {config.fidelity!r}"
        )
    if zero_cost_names(setup) or config.zero_cost is not None:
        raise ConfigError("zero-cost scores need rows, and the rows of this search are elsewhere")
    if config.trial_memory is not None or config.trial_seconds is not None:
        raise ConfigError("limits of single trials cannot be kept where several are trained together")
    told = {"train_seconds"}
    if untold := [name for name in evaluator_options(setup).measured if name not in told]:
        raise ConfigError(f"candidates that are trained elsewhere are not measured for {', '.join(untold)}")


@contextmanager
def open_engine(
    setup: SearchSetup,
    database: Database,
    search: SearchRecord,
    choice: EngineChoice,
    *,
    evaluator: Evaluator | None = None,
    batch: BatchEvaluator | None = None,
    supernet: Path | None = None,
) -> Generator[Engine]:
    """The engine of a search, closed at the end of the block.

    Args:
        setup: of the search.
        database: stays the caller's.
        search: its record.
        choice: where to evaluate.
        evaluator: evaluates in this process instead.
        batch: the same, several at a time.
        supernet: the file of shared weights, where the search has them.
    """
    config = setup.config
    with ExitStack() as stack:
        engine: Engine
        if batch is not None:
            engine = BatchEngine(batch, slots=config.workers)
        elif evaluator is not None or choice.kind == "here":
            engine = InlineEngine(evaluator or evaluator_of(setup, supernet=supernet))
        elif choice.kind == "workers":
            if supernet is not None:
                raise ConfigError(
                    "a supernet's weights are on this machine: workers elsewhere cannot evaluate with them",
                    hint="evaluate here, which takes little with shared weights",
                )
            engine = LeaseEngine(database, search.uid, slots=config.workers)
        elif choice.kind == "ray":
            make = remote_evaluators(setup, supernet=supernet)
            engine = RayEngine(make, address=choice.ray, slots=config.workers, cpus=choice.cpus, gpus=choice.gpus)
        else:
            trains = config.evaluate == "training" and not zero_cost_names(setup)
            make = remote_evaluators(setup, supernet=supernet)
            if trains:  # the processes share the rows instead of loading them again and again
                folder = stack.enter_context(Workplace()).path
                make = TrainingFactory.write(folder, setup.train, setup.validation, evaluator_options(setup))
            engine = ProcessEngine(make, config.workers, persistent=not trains)
        yield stack.enter_context(closing(engine))

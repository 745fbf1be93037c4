"""An architecture search from data to a saved model: propose, train, stop early, train the best again, test once.

Everything that counts is in the database as soon as it is known, so a search can be killed anywhere and resumed; what
is lost is the trials in flight, which are begun again under the same numbers.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from math import ceil, isfinite
from pathlib import Path
from typing import Any, Final

from ..core import ConfigError, Evaluation, derive_rng, derive_seed
from ..core.data import Task
from ..storage import (
    DEFAULT_EXPERIMENT,
    Database,
    DatasetEntry,
    History,
    RunState,
    SearchControl,
    SearchRecord,
    StorageError,
    SystemSampler,
    Tracker,
    TrialRecord,
)
from .account import Account
from .engines import EngineChoice, check_batch, open_engine
from .evaluate import BatchEvaluator, Evaluator
from .events import (
    SearchObserver,
    SearchStarted,
    TrialFinished,
    TrialLost,
    TrialProgress,
    TrialsEnded,
    TrialStarted,
    Working,
)
from .extension import check_extension
from .fidelity import SCHEDULERS, Rungs, Scoreboard
from .finale import (
    Concluded,
    FinaleData,
    FinaleOptions,
    SearchReport,
    check_found,
    conclude,
    conclude_elsewhere,
    conclude_kept,
)
from .objectives import figures_of, front_goals, front_of, total_violation
from .prior import Prior, prior_of, uids_of
from .runner import (
    Begun,
    Broker,
    Ending,
    Heartbeat,
    HistoryStore,
    Limits,
    NoImprovement,
    Outcome,
    Plan,
    Progress,
    RunnerEvent,
    SearchBudget,
    TargetReached,
    Workplace,
)
from .runner.jobs import ABANDONED
from .runner.mirror import StudyMirror
from .setup import DataFacts, SearchConfig, SearchSetup
from .shared_weights import supernet_file
from .space import Flat
from .strategies import Proposer, distributions
from .training import choose_folds
from .zero_cost import ZeroCostScorer

logger = logging.getLogger(__name__)

FEWEST_RANDOM: Final = 4  # trials that a search begins with, to be compared with
RANDOM_PART: Final = 5  # one of so many trials, at least `FEWEST_RANDOM`
NEW_DRAWS: Final = 100  # at one of them that is none of the others
FIRST_RUNG: Final = 9  # a trial is first compared after one of so many parts of its epochs: earlier all look alike
MIRROR_SECONDS: Final = 10.0  # at least between two updates of Optuna's tables


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A finished search.

    Attributes:
        search: its record in the history.
        front: completed trials that keep the constraints and that no other beats in all goals (of a single one, and in
            size: see `front_goals`); the best by the first goal first.
        best: the trial that won.
        report: all that is to be said of it.
        model: the folder of the saved model; None where it stays with who trained it.
    """

    search: SearchRecord
    front: Sequence[TrialRecord]
    best: TrialRecord
    report: SearchReport
    model: Path | None

    @property
    def test(self) -> Mapping[str, float]:
        """Figures of the saved model on rows that nothing was chosen by: accuracy, loss, ... or r2, rmse, ..."""
        return self.report.model.test


class SearchStoppedError(KeyboardInterrupt):
    """Somebody asked a search to stop that was concluding: it is interrupted, and goes on where it was when resumed."""


def run_search(
    setup: SearchSetup,
    database: Database,
    *,
    engine: EngineChoice | None = None,
    evaluator: Evaluator | None = None,
    batch: BatchEvaluator | None = None,
    observe: SearchObserver = lambda event: None,
    experiment: str = DEFAULT_EXPERIMENT,
    monitor: float | None = None,
) -> SearchResult:
    """Run a search to its end.

    Args:
        setup: what to search.
        database: keeps trials, results and a copy for Optuna's tools; stays the caller's.
        engine: where trials are trained; by default in processes of this machine, one for each of the workers.
        evaluator: trains the candidates in this process instead.
        batch: has them trained elsewhere, as many at a time as there are workers, and the model of the search, too.
        observe: called with every `SearchEvent`, in this thread.
        experiment: the name to gather it under in the history.
        monitor: seconds between samples of CPU, memory and GPUs; None takes none.

    Raises:
        ConfigError: there is nothing to learn from one of the searches it is to learn from, or `batch` cannot serve.
        NothingFoundError: none of its trials can be taken.
        SearchStoppedError: somebody asked it to stop while it concluded.
    """
    _check_place(setup, batch)
    history = History(database)
    prior_of(history, setup)  # says so before there is a search
    # A number is one database's, and "@last" will be another run: what is kept names runs for good.
    setup = replace(setup, config=replace(setup.config, warm_start=uids_of(history, setup.config.warm_start)))
    with Tracker(database, experiment=experiment) as tracker:
        search = _start(setup, tracker)
        return _Run(setup, database, tracker, search, engine, evaluator, batch, observe, monitor).finish()


def resume_search(
    uid: str,
    database: Database,
    *,
    data: str | None = None,
    trials: int | None = None,
    engine: EngineChoice | None = None,
    evaluator: Evaluator | None = None,
    batch: BatchEvaluator | None = None,
    observe: SearchObserver = lambda event: None,
    monitor: float | None = None,
) -> SearchResult:
    """Go on with a search that was interrupted, as if it had not been, or that failed; see `run_search`.

    Args:
        data: where its data lies by now, if it was moved.
        trials: how many it is to have, where that are more than it was to have.

    Raises:
        ConfigError: it is finished, its data or its space changed, or it cannot have so many trials.
        RunBusyError: another process runs it.
    """
    search = History(database).search(uid)
    if trials is not None:
        check_extension(database, search, trials)
    setup = setup_of(search, database, data=data)
    _check_place(setup, batch)
    with Tracker(database) as tracker:
        tracker.resume(uid)
        if trials is not None and trials > search.trials:
            SearchControl(database, search.uid).extend(trials)
            search = History(database).search(search.uid)
        return _Run(setup, database, tracker, search, engine, evaluator, batch, observe, monitor).finish()


def _check_place(setup: SearchSetup, batch: BatchEvaluator | None) -> None:
    """See that candidates are trained where the search says."""
    if batch is not None:
        check_batch(setup)
    elif setup.config.federation is not None:
        command = "federate resume" if setup.rows is None else "federate search --resume"
        raise ConfigError(
            "the candidates of this search are trained at sites, and none were opened",
            hint=f"go on with it by: nasturtium {command}",
        )


def setup_of(search: SearchRecord, database: Database, *, data: str | None = None) -> SearchSetup:
    """What a search of the history was started with, loaded again.

    Raises:
        ConfigError: its data or its space changed.
    """
    config = SearchConfig.from_dict(search.run.config)
    known = History(database).dataset(search.uid)
    if known is not None and known.rows is None:
        facts = DataFacts(name=known.name, fingerprint=known.fingerprint, task=Task.from_dict(known.body))
        setup = SearchSetup.elsewhere(config, facts, document=search.space_document)
    else:
        setup = SearchSetup.load(config if data is None else replace(config, data=data), document=search.space_document)
    if known is None or setup.known.fingerprint != known.fingerprint:
        raise ConfigError(
            f"search {search.run.number} cannot go on: {setup.config.data} is not the data it started with",
            hint="restore the file, or start a new search",
        )
    if setup.space.sha256 != search.space_sha256:
        raise ConfigError(
            f"search {search.run.number} cannot go on: space {search.space!r} has changed since it was started",
            hint="go on with the version of nasturtium that started it, or start a new search",
        )
    return setup


def _start(setup: SearchSetup, tracker: Tracker) -> SearchRecord:
    config, data = setup.config, setup.known
    return tracker.start_search(
        name=data.name,
        seed=config.seed,
        config=asdict(config),
        dataset=DatasetEntry(fingerprint=data.fingerprint, name=data.name, rows=data.rows, body=data.task.to_dict()),
        space=setup.space.name,
        space_sha256=setup.space.sha256,
        space_document=setup.space.to_document(),
        sampler=config.strategy,
        pruner=setup.scheduler,
        trials=config.trials,
        objectives=[(goal.name, goal.direction) for goal in setup.goals],
    )


@dataclass(frozen=True, slots=True)
class _Beside:
    """The heartbeat of a search beside another, which stops with it."""

    own: Heartbeat
    stopped: Callable[[], bool]

    def stop_requested(self) -> bool:
        """Whether somebody asked one of both to stop."""
        return self.own.stop_requested() or self.stopped()


class _Run:
    """One process's hold on a search."""

    def __init__(
        self,
        setup: SearchSetup,
        database: Database,
        tracker: Tracker,
        search: SearchRecord,
        engine: EngineChoice | None,
        evaluator: Evaluator | None,
        batch: BatchEvaluator | None,
        observe: SearchObserver,
        monitor: float | None,
    ) -> None:
        self._setup = setup
        self._config = setup.config
        self._database = database
        self._tracker = tracker
        self._search = search
        self._engine = engine or EngineChoice()
        self._evaluator = evaluator
        self._batch = batch
        self._observe = observe
        self._history = History(database)
        self._monitor = monitor
        self._prior = Prior()
        self._start: list[Flat] = []  # points that it begins with
        self._best: float | None = None
        self._stopped: Callable[[], bool] = lambda: False  # whether somebody wants the conclusion to stop
        self._mirror = _open_mirror(database, search, setup)
        self._mirrored = time.monotonic()
        self._account = self._open_account()

    def finish(self) -> SearchResult:
        """Run the trials that are missing, then conclude. Whatever stops it is in the history."""
        uid = self._search.uid
        with self._tracker.ending(uid), self._watch(uid):
            self._prior = prior_of(self._history, self._setup, before=self._search.run.started)
            self._start = self._random_start()
            trials = self._trials()
            finished = [trial for trial in trials if trial.state in {"completed", "pruned", "failed"}]
            self._account = self._open_account()
            for trial in finished:
                self._note_best(trial.state, figures_of(trial))
                self._account.recall(trial)
            states: Counter[RunState] = Counter(trial.state for trial in finished)
            self._observe(SearchStarted(self._search, self._setup.goals[0].name, len(finished), self._best, states))
            ending = self._run_trials(self._search, self._config.strategy, self._start, self._config.seed)
            trials = self._trials()
            check_found(trials, self._finale_options(), self._search)
            if ending.reason == "request":
                SearchControl(self._database, uid).forget_stop()  # it was heard; another one is about what comes now
            with Heartbeat(self._database, uid, at_work=False) as heartbeat:
                self._stopped = heartbeat.stop_requested
                control = self._control(trials)
                concluded = self._conclude(trials, control, self._notes(ending))
            self._copy(now=True)
        best = next(trial for trial in trials if trial.number + 1 == concluded.report.winner)
        return SearchResult(
            search=self._history.search(uid),
            front=front_of(trials, front_goals(self._setup.goals), self._setup.constraints),
            best=best,
            report=concluded.report,
            model=concluded.model,
        )

    def _conclude(
        self, trials: Sequence[TrialRecord], control: Sequence[TrialRecord], notes: Sequence[str]
    ) -> Concluded:
        options, spent = self._finale_options(), self._spent()
        history = self._database, self._tracker, self._search
        if self._setup.rows is None and self._batch is not None:
            known, train = self._setup.known, self._batch.train
            return conclude_kept(
                known.name,
                known.task,
                options,
                *history,
                trials,
                control,
                train=train,
                spent=spent,
                notes=notes,
                say=self._say,
            )
        data = self._finale_data()
        if self._batch is None:
            return conclude(data, options, *history, trials, control, spent=spent, notes=notes, say=self._say)
        train = self._batch.train
        return conclude_elsewhere(
            data, options, *history, trials, control, train=train, spent=spent, notes=notes, say=self._say
        )

    def _say(self, what: str) -> None:
        """Tell of something that takes its time, unless there is nobody any more who wants it done."""
        self._heed_stop()
        self._observe(Working(what))

    def _heed_stop(self) -> None:
        if self._stopped():
            raise SearchStoppedError

    def _trials(self) -> list[TrialRecord]:
        """The last attempt at every trial."""
        return list({trial.number: trial for trial in self._history.trials(self._search.uid)}.values())

    @contextmanager
    def _watch(self, uid: str) -> Generator[None]:
        with ExitStack() as stack:
            if self._monitor is not None:
                stack.enter_context(SystemSampler(self._database, uid, interval=self._monitor))
            yield

    def _random_start(self) -> list[Flat]:
        """Points that the search begins with, whatever its strategy: what the result is compared with.

        Candidates that are known from earlier searches would not be tried again: there are others in their place.
        """
        config, space = self._config, self._setup.space
        if config.control == "equal":
            return []
        known = set[str]() if self._prior.points_only else {space.identity(trial.flat) for trial in self._prior.trials}
        found: list[Flat] = []
        for index in range(min(config.trials, max(FEWEST_RANDOM, config.trials // RANDOM_PART))):
            rng = derive_rng(config.seed, "control", index)
            for _ in range(NEW_DRAWS):
                flat = space.sample(rng)
                if space.identity(flat) not in known:
                    known.add(space.identity(flat))
                    found.append(flat)
                    break
        return found

    def _run_trials(self, search: SearchRecord, strategy: str, first: Sequence[Flat], seed: int) -> Ending:
        """Run the trials of a search that are missing, proposed by a strategy from a seed, after the `first` ones."""
        setup, config = self._setup, self._config
        own = search.uid == self._search.uid
        prior = self._prior if own else Prior()
        proposer = Proposer(
            setup.space,
            strategy,
            seed,
            setup.directions,
            prior.trials,
            constrained=bool(setup.constraints),
            repeat_prior=prior.points_only,
            first=first,
            score=self._score() if own else None,
        )
        lowest = ceil(config.epochs / FIRST_RUNG) if config.fidelity == "epochs" else None
        rungs = Rungs(total=config.epochs, fidelity=config.fidelity, lowest=lowest)
        scheduler = Scoreboard(SCHEDULERS.find(setup.scheduler)(rungs, setup.directions))
        with ExitStack() as stack:
            heartbeat = stack.enter_context(Heartbeat(self._database, search.uid))
            supernet: Path | None = None
            if self._batch is not None:
                self._batch.begin(search.uid, self._say)
            elif config.evaluate == "supernet" and self._evaluator is None:
                folder = stack.enter_context(Workplace()).path
                own_uid = self._search.uid
                supernet = supernet_file(setup, self._database, self._tracker, own_uid, folder, say=self._say)
            choice, evaluator = self._engine, self._evaluator
            engine = stack.enter_context(
                open_engine(
                    setup, self._database, search, choice, evaluator=evaluator, batch=self._batch, supernet=supernet
                )
            )
            store = HistoryStore(
                self._database,
                self._tracker,
                search.uid,
                setup.space,
                objectives=[goal.name for goal in setup.goals],
                stepwise=setup.scheduler != "none",
                heartbeat=heartbeat if own else _Beside(heartbeat, self._stopped),
            )
            broker = Broker(
                self._plan(self._account.reserve if own else self._account.reserve_of_control),
                proposer=proposer,
                scheduler=scheduler,
                engine=engine,
                store=store,
                observe=self._hear if own else self._hear_control,
            )
            return broker.run()

    def _plan(self, reserve: Callable[[], float]) -> Plan:
        config, setup = self._config, self._setup
        rules: list[Any] = []
        if config.stop_at is not None:
            rules.append(TargetReached([config.stop_at, *[None] * (len(setup.goals) - 1)], setup.directions))
        if config.stop_after is not None:
            rules.append(NoImprovement(config.stop_after, setup.directions))
        return Plan(
            seed=config.seed,
            objectives=tuple(goal.name for goal in setup.goals),
            judge=self._judge,
            budget=SearchBudget(
                trials=self._search.trials,
                wall_seconds=config.seconds,
                cpu_seconds=config.cpu_seconds,
                bytes=config.upload_bytes,
            ),
            window=config.workers,
            end_rules=rules,
            limits=Limits(memory_bytes=config.trial_memory, seconds=config.trial_seconds),
            reserve=reserve,
        )

    def _open_account(self) -> Account:
        """Of the CPU time of the search, which the trials are only a part of."""
        config, rows = self._config, self._setup.rows
        trains = rows is not None and self._batch is None and config.evaluate == "training"
        folds, part = 1, 1.0
        if rows is not None:
            known = len(rows.train) + len(rows.validation)
            folds = choose_folds(config.folds, known) or 1
            part = (folds - 1) / folds if folds > 1 else len(rows.train) / known
        return Account(
            self._finale_options(),
            epochs=config.epochs,
            folds=folds,
            rows=part,
            window=config.workers,
            random=None if config.control == "equal" else len(self._start),
            trains=trains,
            here=self._batch is None and (self._evaluator is not None or self._engine.kind == "here"),
        )

    def _judge(self, evaluation: Evaluation) -> tuple[tuple[float, ...], float]:
        figures = evaluation.objectives
        values = tuple(goal.value(figures) for goal in self._setup.goals)
        return values, total_violation(self._setup.constraints, figures)

    def _score(self) -> Callable[[Flat], float] | None:
        """A zero-cost score of points, where one is to choose among proposals."""
        name = self._config.zero_cost
        if name is None:
            return None
        scorer = ZeroCostScorer(self._setup.train, names=(name,), seed=self._config.seed)
        space, seed = self._setup.space, self._config.seed
        return lambda flat: scorer.scores(space.spec(flat), seed)[name]

    def _hear(self, event: RunnerEvent) -> None:
        match event:
            case Begun(number, attempt):
                self._observe(TrialStarted(number, attempt))
            case Progress():
                self._observe(TrialProgress(event.number, event.epochs, event.total, event.figures))
            case Outcome():
                self._hear_outcome(event)
            case Ending(reason, finished):
                self._observe(TrialsEnded(reason, finished, self._search.trials))

    def _hear_control(self, event: RunnerEvent) -> None:
        if isinstance(event, Outcome):
            self._account.tell(event, control=True)

    def _hear_outcome(self, outcome: Outcome) -> None:
        self._account.tell(outcome)
        if outcome.cause == ABANDONED:
            return  # the search is over: it is not tried again, and that is told
        if outcome.state == "lost":
            self._observe(TrialLost(outcome.number, outcome.cause or outcome.state))
            return
        figures: Mapping[str, float] = {} if outcome.evaluation is None else outcome.evaluation.objectives
        self._note_best(outcome.state, figures)
        value = figures.get(self._setup.goals[0].name)
        self._observe(TrialFinished(outcome.number, outcome.state, value, self._best, outcome.cause))
        self._copy()

    def _note_best(self, state: str, figures: Mapping[str, float]) -> None:
        goal = self._setup.goals[0]
        value = figures.get(goal.name)
        if state != "completed" or value is None or not isfinite(value):
            return
        if total_violation(self._setup.constraints, figures):
            return
        if self._best is None or goal.sign * value > goal.sign * self._best:
            self._best = value

    def _copy(self, *, now: bool = False) -> None:
        """Bring Optuna's tables up to date, now and then. The search itself needs them for nothing."""
        if self._mirror is None or not (now or time.monotonic() - self._mirrored > MIRROR_SECONDS):
            return
        try:
            self._mirror.update()
        except StorageError as exc:
            logger.warning("Optuna's tables are not brought up to date any more: %s", exc.message)
            self._mirror = None
        self._mirrored = time.monotonic()

    def _control(self, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
        """Trials that were proposed at random."""
        if self._config.control == "start":
            space = self._setup.space
            drawn = {space.identity(flat) for flat in self._start}
            return [trial for trial in trials if trial.flat is not None and space.identity(trial.flat) in drawn]
        self._observe(Working(f"random search: {self._search.trials} trials to compare with"))
        record = self._control_search()
        if record.run.state != "completed":
            with self._tracker.ending(record.uid):
                # Strategies begin at random, too: from the same seed they would begin with the same points.
                self._run_trials(record, "random", [], derive_seed(self._config.seed, "control search"))
                self._heed_stop()
                self._tracker.finish(record.uid, state="completed", metrics={})
        return list({trial.number: trial for trial in self._history.trials(record.uid)}.values())

    def _control_search(self) -> SearchRecord:
        """The random search beside this one: found in the history, or begun."""
        own = self._search.uid
        config = replace(self._config, strategy="random", control_of=own, zero_cost=None, warm_start=())
        config = replace(config, trials=self._search.trials)
        known = [run for run in self._history.runs(kind="search") if run.config.get("control_of") == own]
        if known:
            record = self._history.search(known[0].uid)
            if record.run.state != "completed":
                self._tracker.resume(record.uid)
            return record
        return _start(replace(self._setup, config=config), self._tracker)

    def _finale_data(self) -> FinaleData:
        setup = self._setup
        return FinaleData(setup.data.name, setup.data.fingerprint, setup.train, setup.validation, setup.test)

    def _finale_options(self) -> FinaleOptions:
        config, setup = self._config, self._setup
        return FinaleOptions(
            epochs=config.epochs,
            goals=setup.goals,
            constraints=setup.constraints,
            top=config.top,
            seeds=config.repeats,
            ensemble=config.ensemble,
            folds=config.folds,
            seed=config.seed,
            device=config.device,
            workers=config.workers if self._engine.kind == "processes" and self._evaluator is None else 1,
        )

    def _spent(self) -> dict[str, float]:
        status = self._history.search_status(self._search.uid)
        return {"trials_cpu_seconds": status.cpu_seconds, "wall_seconds": status.active_seconds}

    def _notes(self, ending: Ending) -> list[str]:
        """What a reader of the report should know of how far it can be had again."""
        notes: list[str] = []
        measured = [goal.name for goal in self._setup.goals if goal.exempt]
        measured += [limit.objective.name for limit in self._setup.constraints if limit.objective.source == "measured"]
        if measured:
            names = ", ".join(dict.fromkeys(measured))
            notes.append(f"Searched by {names}, measured by the clock: another run may find others.")
        if self._setup.scheduler != self._config.scheduler:
            notes.append("No trial was stopped early: training changes nothing of what was searched for.")
        if not ending.exact:
            notes.append(f"Ended by {ending.reason}: another run may end earlier or later.")
        return notes


def _open_mirror(database: Database, search: SearchRecord, setup: SearchSetup) -> StudyMirror | None:
    """What copies the search into Optuna's tables; None where those are of another Optuna."""
    try:
        return StudyMirror(database, search, distributions(setup.space))
    except StorageError as exc:
        logger.warning("Optuna's tools will not see this search: %s", exc.message)
        return None

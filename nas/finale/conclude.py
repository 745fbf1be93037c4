"""`conclude`: from the trials of a search to a model that is saved and a report that says what it is worth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core import NasturtiumError, derive_seed
from ...core import device as find_device
from ...storage import Database, SearchRecord, Tracker, TrialRecord
from ..objectives import closest_to, figures_of, front_goals, front_of
from .gather import gather, to_fit
from .keep import read_run, record, save
from .members import Fitted, Member, Members, Validated
from .options import FinaleData, FinaleOptions
from .report import SearchReport
from .selection import Selection, best_trials, finalists, select
from .testing import find_test, metric_of, touch_test


@dataclass(frozen=True, slots=True)
class Concluded:
    """The outcome: what is reported, and the folder of the saved model; None where that stays with who trained it."""

    report: SearchReport
    model: Path | None


def conclude(
    data: FinaleData,
    options: FinaleOptions,
    database: Database,
    tracker: Tracker,
    search: SearchRecord,
    trials: Sequence[TrialRecord],
    control: Sequence[TrialRecord],
    *,
    spent: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    say: Callable[[str], None] = lambda message: None,
) -> Concluded:
    """Choose among the best trials, test once, save and publish; the search is completed with it.

    Everything is chosen on validation rows: the best trials and the smallest network are trained again with several
    seeds, the winner is the smallest that is not clearly worse than the best, see `select`, and the model is the winner
    or an average of networks that does better. Then all that is to
    be reported is trained on all rows but the test rows, and tested together. What a killed process had finished of it
    is kept.

    Args:
        data: all rows.
        options: how to go about it.
        database: of the history; stays the caller's.
        tracker: writes it.
        search: that ends here.
        trials: of the search, ended.
        control: those that were proposed at random: the ones the search began with, or as many as it had beside it.
        spent: what the search took until here, by name; the CPU time of the conclusion is added.
        notes: sentences for the report, such as what cannot be reproduced.
        say: hears what is about to be done; what it raises ends the conclusion there, to be gone on with.

    Raises:
        NothingFoundError: no trial can be taken, see `check_found`.
        NasturtiumError: none can be trained again to the end.
        SplitUsedError: the test rows were looked at before, for something else.
    """
    check_found(trials, options, search)
    started = time.process_time()
    say = _once(say)
    members = Members(data, options, database, tracker, search)
    cautious = len(members.folds) > 1  # it is cross-validated where rows are few
    best = finalists(trials, options, cautious=cautious)
    validated = _validate(members, best, options, say)
    selection = select(validated, members.labels, members.whole.task, options, cautious=cautious)
    done = find_test(database, search.uid)
    if done is None:
        members.train_ahead(to_fit(options, selection, validated, control), say)
    networks = _fit_model(members, selection, say)
    if done is not None:
        report = read_run(database, done)
    else:
        entrants, unchosen = gather(members, options, selection, validated, networks, control, say)
        say("testing once")
        seed, place = derive_seed(options.seed, "test"), find_device(options.device)
        tested = touch_test(data.test, entrants, database, tracker, search, seed=seed, device=place)
        searched = [trial for trial in trials if trial.state in {"completed", "pruned", "failed"}]
        report = SearchReport(
            data=data.name,
            metric=metric_of(data.test.task),
            rows={"train": len(data.train), "validation": len(data.validation), "test": len(data.test)},
            goals=tuple(str(goal) for goal in options.goals),
            constraints=tuple(str(constraint) for constraint in options.constraints),
            smallest=best[-1].number + 1 if len(best) > len(best_trials(trials, options, options.top)) else None,
            front=tuple(front_rows(trials, options)),
            seeds=tuple(_row(each.member) | dict(each.figures) for each in validated),
            winner=selection.winner.number + 1,
            members=tuple(_row(fitted.member) | {"weight": weight} for fitted, weight in networks),
            models=tuple(tested.models),
            comparisons=tuple(tested.comparisons),
            trials={"searched": len(searched), "random": len(control)},
            spent={**(spent or {}), "finale_cpu_seconds": time.process_time() - started + members.cpu_seconds},
            notes=(*notes, *unchosen, *_notes(selection)),
        )
        record(tracker, tested.uid, report)
    folder = save(data, members, networks, report, database, tracker, search)
    return Concluded(report, folder)


class NothingFoundError(NasturtiumError):
    """None of the trials of a search can be taken; more trials may find one that can."""


def check_found(trials: Sequence[TrialRecord], options: FinaleOptions, search: SearchRecord) -> None:
    """See that a search has a trial to conclude with.

    Raises:
        NothingFoundError: it has none.
    """
    if best_trials(trials, options, 1):
        return
    number = search.run.number
    helps = ["looser constraints"] if options.constraints else []
    helps += ["--scheduler none, which trains every trial to the end"] if _pruned(trials) else []
    helps += ["a space of other networks"] if not helps else []
    raise NothingFoundError(
        _why_nothing(trials, options),
        hint=f"give it more trials: nasturtium search --resume {number} --trials {2 * search.trials}; "
        f"or begin another with {' or '.join(helps)}, and --warm-start {number}",
    )


def _pruned(trials: Sequence[TrialRecord]) -> bool:
    return any(trial.state == "pruned" for trial in trials)


def _why_nothing(trials: Sequence[TrialRecord], options: FinaleOptions) -> str:
    """What became of the trials of a search of which none can be taken."""
    states = Counter(trial.state for trial in trials)
    told = [f"{states[state]} {what}" for state, what in _FATES.items() if states[state]]
    closest = closest_to(trials, options.goals[:1], options.constraints)
    if closest is not None and options.constraints:
        figures = figures_of(closest)
        for broken in [each for each in options.constraints if each.violation(figures)][:1]:
            value = figures.get(broken.objective.name, float("nan"))
            told.append(f"trial {closest.number + 1} comes closest, with {value:.6g} where {broken} is asked")
    return f"none of {len(trials)} trials can be taken: {', '.join(told)}"


_FATES = {"completed": "break the constraints", "pruned": "were stopped early", "failed": "failed"}


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Says a thing the first time: what is asked for again is found in the history."""
    said: set[str] = set()

    def tell(what: str) -> None:
        if what not in said:
            said.add(what)
            say(what)

    return tell


def _validate(
    members: Members,
    best: Sequence[TrialRecord],
    options: FinaleOptions,
    say: Callable[[str], None],
) -> list[Validated]:
    """The finalists trained again with several seeds."""
    validated: list[Validated] = []
    wanted = [Member(trial, index) for trial in best for index in range(options.seeds)]
    members.train_ahead([(member, None) for member in wanted], say)
    for member in wanted:
        say(f"training again: {member.name}")
        validated.append(members.validate(member))
    return validated


def _fit_model(members: Members, selection: Selection, say: Callable[[str], None]) -> list[tuple[Fitted, float]]:
    """The networks of the model trained on all rows; one that diverges there is left out."""
    fitted: list[tuple[Fitted, float]] = []
    for each, weight in selection.members:
        say(f"training on all rows: {each.member.name}")
        if (network := members.fit(each.member, int(each.figures["best_epoch"]))) is not None:
            fitted.append((network, weight))
    if not fitted:
        raise NasturtiumError(
            "the model diverged when it was trained on all rows", hint="start a new search with lower learning rates"
        )
    whole = sum(weight for _, weight in fitted)
    return [(network, weight / whole) for network, weight in fitted]


def _row(member: Member) -> dict[str, float]:
    return {"trial": float(member.trial.number + 1), "seed": float(member.index)}


def front_rows(trials: Sequence[TrialRecord], options: FinaleOptions) -> list[dict[str, float]]:
    """The Pareto front of a search, as its report tells it."""
    goals = front_goals(options.goals)
    found = front_of(trials, goals, options.constraints)
    return [
        {"trial": float(trial.number + 1)} | {goal.name: goal.value(figures_of(trial)) for goal in goals}
        for trial in found
    ]


def _notes(selection: Selection) -> list[str]:
    """What of the choice is not seen from its outcome."""
    notes: list[str] = []
    if selection.best.uid != selection.winner.uid:
        notes.append(
            f"Trial {selection.best.number + 1} did better on validation rows, by less than its standard error: "
            f"trial {selection.winner.number + 1} is the smaller network."
        )
    if selection.refused:
        notes.append(f"An average of networks did better on validation rows and was not taken: {selection.refused}.")
    return notes

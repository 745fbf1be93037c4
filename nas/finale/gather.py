"""Everything that is tested: the winner and the random control with several seeds, the model, and simple models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from ...storage import TrialRecord
from .members import Fitted, Member, Members, Validated
from .options import FinaleOptions
from .references import REFERENCES, ChosenReference, Model, choose_settings, fit_reference, reference_names
from .report import CONTROL, WINNER
from .selection import Selection, best_trials
from .testing import MODEL, Entrants


def gather(
    members: Members,
    options: FinaleOptions,
    selection: Selection,
    validated: Sequence[Validated],
    networks: Sequence[tuple[Fitted, float]],
    control: Sequence[TrialRecord],
    say: Callable[[str], None],
) -> tuple[Entrants, list[str]]:
    """Everything that is tested, trained on all rows but the test rows; and what could not be."""
    notes: list[str] = []
    own = _seeds_of_winner(selection, validated)
    winner = _fit_seeds(members, [(each.member, int(each.figures["best_epoch"])) for each in own], say)
    random = best_trials(control, options, 1)
    fitted: list[Fitted] = []
    if random and random[0].uid == selection.winner.uid:
        fitted = winner
        notes.append("The winner is one of the trials that were proposed at random: the search found nothing better.")
    elif random:
        fitted = _fit_seeds(members, _seeds_of_control(random[0], options), say)
    if not fitted:
        notes.append(
            "There is no random search to compare with: none of its trials was trained to its end and can be taken."
        )
    names = reference_names(members.whole.task) if options.references is None else list(options.references)
    say(f"fitting references: {', '.join(names) or 'none'}")
    references: list[tuple[ChosenReference, Model, Mapping[str, float], str]] = []
    for name in names:
        chosen = choose_settings(name, members.folds)
        model = fit_reference(chosen, members.inputs, members.targets, members.whole.task)
        references.append((chosen, model, members.score(chosen.outputs), _what(chosen)))
    validation = {MODEL: selection.figures, WINNER: _means(own), CONTROL: dict(random[0].metrics) if random else {}}
    several = f"an average of {len(networks)} networks" if len(networks) > 1 else networks[0][0].member.name
    what = {
        MODEL: several,
        WINNER: f"trial {selection.winner.number + 1}",
        CONTROL: f"trial {random[0].number + 1}, the best of {len(control)} random ones" if random else "",
    }
    entrants = Entrants(
        model=networks,
        winner=winner,
        control=fitted if winner else [],
        references=references,
        preprocessing=members.preprocessing,
        validation=validation,
        what=what,
    )
    return entrants, notes


def to_fit(
    options: FinaleOptions, selection: Selection, validated: Sequence[Validated], control: Sequence[TrialRecord]
) -> list[tuple[Member, int]]:
    """All that is trained on all rows but the test rows, with the epochs, in the order in which it is asked for."""
    chosen = [each for each, _ in selection.members] + _seeds_of_winner(selection, validated)
    wanted = [(each.member, int(each.figures["best_epoch"])) for each in chosen]
    for random in best_trials(control, options, 1):
        if random.uid != selection.winner.uid:
            wanted += _seeds_of_control(random, options)
    return wanted


def _seeds_of_winner(selection: Selection, validated: Sequence[Validated]) -> list[Validated]:
    return [each for each in validated if each.member.trial.uid == selection.winner.uid and each.figures]


def _seeds_of_control(random: TrialRecord, options: FinaleOptions) -> list[tuple[Member, int]]:
    epochs = int(random.metrics.get("best_epoch", options.epochs))
    return [(Member(random, index), epochs) for index in range(options.seeds)]


def _fit_seeds(members: Members, wanted: Sequence[tuple[Member, int]], say: Callable[[str], None]) -> list[Fitted]:
    found: list[Fitted] = []
    for member, epochs in wanted:
        say(f"training on all rows: {member.name}")
        if (fitted := members.fit(member, epochs)) is not None:
            found.append(fitted)
    return found


def _means(seeds: Sequence[Validated]) -> dict[str, float]:
    return {name: fmean(each.figures[name] for each in seeds) for name in seeds[0].figures}


def _what(chosen: ChosenReference) -> str:
    settings = ", ".join(f"{name} {value:.3g}" for name, value in chosen.settings.items())
    description = REFERENCES[chosen.name].description
    return f"{description} ({settings})" if settings else description

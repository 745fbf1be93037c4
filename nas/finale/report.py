"""`SearchReport`: what came of a search, as a value, as JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ...core import FormatError, check_header
from .significance import PairedTest

FORMAT = "nasturtium.search-report"
VERSION = 1

WINNER, CONTROL = "winner", "random search"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredModel:
    """A model and its figures on the test rows.

    Attributes:
        name: "model" for the one that is saved, "winner", "random search", or that of a reference.
        what: it is, in words.
        validation: figures it was chosen by; none where it was not looked at there.
        test: figures on the test rows; means over seeds where there are several.
        deviation: standard deviations over seeds, of the test figures; empty for one.
        seeds: how many there are.
    """

    name: str
    what: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    deviation: Mapping[str, float] = field(default_factory=dict[str, float])
    seeds: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A paired test of two models on the test rows; the effect is > 0 where `first` is better."""

    first: str
    second: str
    test: PairedTest


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """What came of a search. All choices were made on validation rows; the test rows were looked at once, for this.
    Trials are numbered from 1, as people count them.

    Attributes:
        data: its name.
        metric: what models are compared by here: "accuracy" or "r2".
        rows: of train, validation and test; none where they are elsewhere: then nothing is tested, and models have
            figures of validation rows alone.
        goals: of the search.
        constraints: of the search.
        front: its Pareto front: the trial's number and the figures it is by, see `front_goals`.
        seeds: the best candidates trained again: trial, seed, figures on validation rows.
        smallest: number of the trial that was trained again for being the smallest network, not one of the best; None
            where none was.
        winner: number of the trial that won: the smallest network that is not clearly worse than the best over seeds.
        members: of the saved model: trial, seed, weight; several for an ensemble.
        models: what was tested, the saved model first, then the winner, the control and the references.
        comparisons: of the saved model with the control and the best reference, and of winner and control over seeds.
        trials: how many the search evaluated, and how many of them, or beside them, were proposed at random.
        spent: what it took, such as cpu_seconds.
        notes: what a reader should know: what was not reproducible, what was left out.
    """

    data: str
    metric: str
    rows: Mapping[str, int]
    goals: Sequence[str]
    front: Sequence[Mapping[str, float]]
    seeds: Sequence[Mapping[str, float]]
    winner: int
    members: Sequence[Mapping[str, float]]
    models: Sequence[ScoredModel]
    comparisons: Sequence[Comparison]
    trials: Mapping[str, int]
    constraints: Sequence[str] = ()
    smallest: int | None = None
    spent: Mapping[str, float] = field(default_factory=dict[str, float])
    notes: Sequence[str] = ()

    @property
    def model(self) -> ScoredModel:
        """The saved model."""
        return self.models[0]

    @property
    def test_metrics(self) -> list[str]:
        """What is told of the test rows: the goals of the search that are figures of rows, then `metric`."""
        goals = (goal.split()[-1] for goal in self.goals)
        names = [goal.removeprefix("val_") for goal in goals if goal.startswith("val_")]
        return list(dict.fromkeys([*(name for name in names if name in self.model.test), self.metric]))

    @property
    def best_reference(self) -> ScoredModel | None:
        """The simple model that did best on validation rows, by which it is chosen; None where there is none."""
        simple = [model for model in self.models[1:] if model.name not in {WINNER, CONTROL}]
        return max(simple, key=lambda model: model.validation[f"val_{self.metric}"], default=None)

    @property
    def verdicts(self) -> list[str]:
        """What the figures mean, in plain sentences."""
        return [_verdict(comparison, self.metric) for comparison in self.comparisons]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"format": FORMAT, "version": VERSION, **asdict(self), "verdicts": self.verdicts}

    @classmethod
    def from_dict(cls, value: object) -> SearchReport:
        """Parse what `to_dict` wrote.

        Raises:
            FormatError: not a report, or of a newer version.
        """
        document: dict[str, Any] = dict(check_header(value, FORMAT, VERSION))
        for name in ("format", "version", "verdicts"):
            document.pop(name, None)
        try:
            document["models"] = tuple(ScoredModel(**model) for model in document["models"])
            document["comparisons"] = tuple(
                Comparison(first=said["first"], second=said["second"], test=PairedTest(**said["test"]))
                for said in document["comparisons"]
            )
            for name in ("goals", "front", "seeds", "members", "notes"):
                document[name] = tuple(document[name])
            document["constraints"] = tuple(document.get("constraints", ()))  # reports of old had none
            return cls(**document)
        except (KeyError, TypeError) as exc:
            raise FormatError(f"damaged report: {exc!r}") from exc

    def to_text(self) -> str:
        """For people, in at most 120 columns; readable without colour."""
        rows = " + ".join(f"{count} {part}" for part, count in self.rows.items()) or "the sites'"
        searched, random = self.trials["searched"], self.trials["random"]
        asked = f"; constraints: {', '.join(self.constraints)}" if self.constraints else ""
        lines = [f"{self.data}: {rows} rows; goals: {', '.join(self.goals)}{asked}"]
        lines += ["", f"Pareto front of {searched} trials{_by(self.front)}:"]
        lines += [f"  trial {row['trial']:g}: {_figures(row, skip={'trial'})}" for row in self.front]
        lines += ["", "The best again, on validation rows:"]
        lines += [
            f"  trial {row['trial']:g}, seed {row['seed']:g}: {_figures(row, skip={'trial', 'seed'})}"
            for row in self.seeds
        ]
        if self.smallest is not None:
            lines.append(
                f"  Trial {self.smallest} is here as the smallest network: where rows are few, the best of many are so "
                "by luck for a good part."
            )
        parts = [f"{row['weight']:.2f} x trial {row['trial']:g} (seed {row['seed']:g})" for row in self.members]
        kind = "an average of " if len(parts) > 1 else ""
        lines += ["", f"Winner: trial {self.winner}. The saved model is {kind}{', '.join(parts)}."]
        if "test" in self.rows:
            lines += ["", f"On {self.rows['test']} test rows, looked at once:"]
            for model in self.models:
                seeds = f" over {model.seeds} seeds" if model.seeds > 1 else ""
                figures = ", ".join(_with_deviation(model, name) for name in self.test_metrics)
                lines.append(f"  {model.name:<14} {figures}{seeds}  {model.what}")
        lines += ["", *(f"- {verdict}" for verdict in self.verdicts)]
        lines.append(f"- {searched} trials were evaluated, {random} of them or beside them proposed at random.")
        lines += [f"- {note}" for note in self.notes]
        if self.spent:
            lines.append(f"- Spent: {_figures(self.spent, skip=set())}")
        return "\n".join(lines) + "\n"


def _by(front: Sequence[Mapping[str, float]]) -> str:
    """By which figures trials are on a front."""
    names = [name for name in front[0] if name != "trial"] if front else []
    return f" ({', '.join(names)})" if names else ""


def _figures(row: Mapping[str, float], *, skip: set[str]) -> str:
    return ", ".join(f"{name} {_number(value)}" for name, value in row.items() if name not in skip)


def _with_deviation(model: ScoredModel, name: str) -> str:
    """A figure on the test rows; a simple model's scores of classes are no probabilities, so it has no loss."""
    if name not in model.test:
        return f"{name} -"
    deviation = f" ± {model.deviation[name]:.4f}" if name in model.deviation else ""
    return f"{name} {model.test[name]:.4f}{deviation}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 100 else f"{value:.4g}"


def _verdict(comparison: Comparison, metric: str) -> str:
    test = comparison.test
    unit = "points of accuracy" if metric == "accuracy" else "of mean absolute error"
    factor = 100 if metric == "accuracy" else 1
    effect, low, high = (factor * value for value in (test.effect, test.low, test.high))
    first, second = comparison.first, comparison.second
    if abs(test.effect) < 1e-12:  # means over seeds are equal up to rounding
        said = f"{first} and {second} are equal"
    else:
        better, worse = first, second
        if test.effect < 0:
            better, worse, low, high = second, first, -high, -low
        sure = "" if test.significant else ", which may be chance"
        said = f"{better} beats {worse} by {abs(effect):.3g} {unit}{sure}"
    simple = second not in {WINNER, CONTROL}
    advice = (
        f": {second} is the simpler model, take it" if simple and not (test.effect > 0 and test.significant) else ""
    )
    figures = f"95 % interval {low:.3g} to {high:.3g}, p = {test.p_value:.2g}, {test.method}"
    return f"{said} ({figures}){advice}."

"""`nasturtium search draw`: the network of a trial, a search or a model as a picture."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ...core import ConfigError
from ...core.data import Task
from ...storage import History, ModelRegistry, RunRecord, TrialRecord
from ..describe import best_of
from ..files import check_target, written_whole
from ..fronts import closest_of
from ..options import Db, argument, option
from ..output import stderr, stdout

if TYPE_CHECKING:
    from ...nas.space import Space


def draw(
    run: Annotated[str, argument(help="A search, whose best trial is drawn, a trial, or a model as digits:1.")],
    output: Annotated[
        Path | None, option("--output", "-o", help="The file, an .svg.", show_default="standard output")
    ] = None,
    trial: Annotated[int | None, option("--trial", min=1, help="This trial of the search.")] = None,
    against: Annotated[
        str | None, option("--against", metavar="RUN", help="Mark what is otherwise than in this one.")
    ] = None,
    db: Db = None,
) -> None:
    """Draw a network as SVG: its layers, cells and skip connections, or what sets it apart from another."""
    from ...nas.drawing import draw_svg
    from .. import library

    if output is not None:
        check_target(output, force=True)
    with library.open_history(db) as past:
        drawn = find_drawable(past, run, trial)
        other = None if against is None else find_drawable(past, against)
    if other is not None and other.space.sha256 != drawn.space.sha256:
        raise ConfigError(
            f"{against} is of space {other.space.name!r}, not of the space {drawn.space.name!r} of {run}: "
            "their decisions do not compare",
            hint="leave --against out and draw both",
        )
    text = draw_svg(drawn.space, drawn.flat, other=None if other is None else other.flat)
    if output is None:
        sys.stdout.write(text)
        return
    with written_whole(output) as file:
        file.write(text.encode())
    stdout().print(str(output), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Drawable:
    """A point of a space."""

    space: Space
    flat: Mapping[str, Any]


def find_drawable(past: History, ref: str, trial: int | None = None) -> Drawable:
    """The network that somebody names.

    Args:
        past: where to look.
        ref: a search, a trial, what was trained of one, or a published model.
        trial: of the search, from 1; by default its best.

    Raises:
        UnknownRunError, UnknownModelError: it is not there.
        ConfigError: it has no network of a search space, or no trial was trained yet.
    """
    from ...nas.space import Space

    run = past.find(_run_of_model(past, ref))
    found = _find_trial(past, run, trial)
    if found is None:
        raise ConfigError(f"{run.kind} {ref} has no trial to draw: {_WHAT}", hint=_what_to_draw(past, run))
    search = past.search(past.find(found.uid).parent or "")
    dataset = past.dataset(search.uid)
    if found.flat is None or search.space_document is None or dataset is None:
        raise ConfigError(
            f"{run.kind} {ref} is of a version of nasturtium that did not keep spaces", hint="search again"
        )
    return Drawable(Space.from_document(search.space_document, Task.from_dict(dataset.body)), found.flat)


_WHAT = "expected a search with a trial that was trained to its end, a trial, or a model that a search found"


def _run_of_model(past: History, ref: str) -> str:
    """The run that a published model is of, where one is named."""
    if ":" not in ref and "@" not in ref[1:]:
        return ref
    run = ModelRegistry(past.database).find(ref).run
    if run is None:
        raise ConfigError(f"the run that model {ref} came from was purged")
    return run


def _find_trial(past: History, run: RunRecord, number: int | None) -> TrialRecord | None:
    """The trial whose network a run has; of a search the one of that number, or else the best."""
    if run.kind == "trial":
        return past.trial(run.uid)
    if run.kind == "retrain":
        trial = run.config.get("trial")
        return past.trial(str(trial)) if trial is not None else None
    if run.kind != "search":
        return None
    trials = past.trials(run.uid)
    if number is not None:
        of_number = [trial for trial in trials if trial.number == number - 1]
        if not of_number:
            raise ConfigError(f"search {run.number} has no trial {number}: it has {len(trials)}")
        return of_number[-1]
    search = past.search(run.uid)
    best = best_of(past, search, trials)
    if best is None and (best := closest_of(search, trials)) is not None:
        stderr().print(f"trial {best.number + 1} is drawn: it breaks the constraints least", soft_wrap=True)
    return best


def _what_to_draw(past: History, run: RunRecord) -> str | None:
    """How to draw a trial that was not trained to its end."""
    known = [trial for trial in past.trials(run.uid) if trial.flat is not None] if run.kind == "search" else []
    return (
        f"draw one that was not: nasturtium search draw {run.number} --trial {known[0].number + 1}" if known else None
    )

"""`nasturtium search`: a command group whose default command runs a search."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import (
    MONITOR_SECONDS,
    Data,
    Db,
    Experiment,
    FormatOption,
    Json,
    Monitor,
    Target,
    chosen,
    option,
    with_db,
)
from .output import Format, show

app = typer.Typer(invoke_without_command=True, suggest_commands=False, add_completion=False)


@app.callback()
def search(
    context: typer.Context,
    data: Data = None,
    target: Target = None,
    trials: Annotated[int | None, option(help="Architectures to train.", show_default="20")] = None,
    seed: Annotated[int | None, option(help="Same seed, same result.", show_default="0")] = None,
    space: Annotated[str | None, option(help="mlp or cnn.", show_default="cnn for images, mlp for tables")] = None,
    strategy: Annotated[str | None, option(help="tpe or random.", show_default="tpe")] = None,
    epochs: Annotated[int | None, option(help="Longest training of a trial.", show_default="30")] = None,
    device: Annotated[str | None, option(help="cpu or cuda:N.", show_default="cpu")] = None,
    resume: Annotated[str | None, option(metavar="ID", help="Go on with an interrupted search.")] = None,
    experiment: Experiment = None,
    monitor: Monitor = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Find the best small network for some data, train it, test it once and save it."""
    if context.invoked_subcommand is not None:
        return
    from . import library
    from .progress import SearchProgress
    from .result import print_result

    options: dict[str, Any] = {
        "target": target,
        "trials": trials,
        "seed": seed,
        "space": space,
        "strategy": strategy,
        "epochs": epochs,
        "device": device,
    }
    with SearchProgress() as progress:
        try:
            result = library.search(
                data,
                db=db,
                resume=resume,
                observe=progress,
                experiment=experiment,
                monitor=MONITOR_SECONDS if monitor else None,
                **options,
            )
        except KeyboardInterrupt:
            if progress.number is not None:
                progress.say(f"interrupted; go on with: {with_db(f'search --resume {progress.number}', db)}")
            raise
    rows = [
        {
            "trial": trial.number + 1,
            "val_accuracy": trial.metrics["val_accuracy"],
            "parameters": int(trial.metrics["parameters"]),
            "macs": int(trial.metrics["macs"]),
        }
        for trial in result.front
    ]
    test = result.test
    print_result(
        result.search.run,
        rows,
        {"trial": "trial", "val_accuracy": "accuracy", "parameters": "parameters", "macs": "MACs"},
        chosen(fmt, as_json=as_json),
        title="Pareto front (validation accuracy, parameters, MACs)",
        closing=[
            f"best: trial {result.best.number + 1}, retrained: test accuracy {show(test.accuracy)} "
            f"({test.correct} of {test.rows} rows)",
            f"saved: {result.model}",
        ],
        db=db,
    )

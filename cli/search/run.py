"""`nasturtium search` itself: run a search, or go on with one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import click
import typer
from typer.core import TyperGroup

from ...core import ConfigError
from ..options import (
    MONITOR_SECONDS,
    Db,
    Experiment,
    FormatOption,
    Json,
    Monitor,
    chosen,
    option,
)
from ..output import Format
from ..quantities import read_bytes, read_seconds

if TYPE_CHECKING:
    from ...nas import EngineChoice

LOCAL: Final = "local"  # a Ray of this machine
DATA, SPACE, GOALS = "Data", "Space and strategy", "What is searched for"
TRAINING, WHERE, BUDGETS, END = "A trial", "Where trials are trained", "Budgets of the search", "The end"


class SearchGroup(TyperGroup):
    """Lets `--ray` stand without an address, which click has no word for in a group."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The words after those of this group."""
        words: list[str] = []
        for word, following in zip(args, [*args[1:], "-"], strict=False):
            words += [word, LOCAL] if word == "--ray" and following.startswith("-") else [word]
        return super().parse_args(ctx, words)


def search(
    context: typer.Context,
    data: Annotated[
        str | None,
        option("--data", help="A bundled data set (digits), a table, an NPZ file or a folder.", rich_help_panel=DATA),
    ] = None,
    target: Annotated[
        str | None, option("--target", help="The column or array to be learned, for a file.", rich_help_panel=DATA)
    ] = None,
    task: Annotated[
        str | None,
        option(
            "--task",
            metavar="KIND",
            help="classification or regression.",
            show_default="by the target's values",
            rich_help_panel=DATA,
        ),
    ] = None,
    missing: Annotated[
        str | None,
        option(
            "--missing",
            metavar="HOW",
            help="What missing values of a table are: refuse, fill or indicate.",
            show_default="refuse",
            rich_help_panel=DATA,
        ),
    ] = None,
    trials: Annotated[
        int | None, option("--trials", help="Candidates to train.", show_default="20", rich_help_panel=SPACE)
    ] = None,
    seed: Annotated[
        int | None, option("--seed", help="Same seed, same result.", show_default="0", rich_help_panel=SPACE)
    ] = None,
    space: Annotated[
        str | None,
        option(
            "--space",
            metavar="NAME|FILE",
            help="See: nasturtium search spaces. Or a .toml or .json file.",
            show_default="what fits the data",
            rich_help_panel=SPACE,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        option(
            "--strategy",
            metavar="NAME",
            help="See: nasturtium search strategies.",
            show_default="predictor",
            rich_help_panel=SPACE,
        ),
    ] = None,
    zero_cost: Annotated[
        str | None,
        option(
            "--zero-cost",
            metavar="SCORE",
            help="Of several proposals try the one with the best: nwot, synflow, jacov, snip or grad_norm.",
            rich_help_panel=SPACE,
        ),
    ] = None,
    warm_start: Annotated[
        list[str] | None,
        option(
            "--warm-start",
            metavar="RUN",
            help="Learn from the trials of an earlier search in the same space; as often as may be.",
            rich_help_panel=SPACE,
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        option(
            "--objective",
            metavar="GOAL",
            help="Such as val_accuracy, parameters or 'minimize latency_ms'; as often as may be. The winner is "
            "chosen by the first.",
            show_default="val_accuracy, or val_r2 of a regression",
            rich_help_panel=GOALS,
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        option(
            "--constraint",
            metavar="BOUND",
            help="Such as 'parameters <= 50000' or 'latency_ms <= 2'; as often as may be.",
            rich_help_panel=GOALS,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        option("--epochs", help="The longest a trial is trained.", show_default="30", rich_help_panel=TRAINING),
    ] = None,
    scheduler: Annotated[
        str | None,
        option(
            "--scheduler",
            metavar="NAME",
            help="Stops early what does not get on: asha, hyperband or none.",
            show_default="asha",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    fidelity: Annotated[
        str | None,
        option(
            "--fidelity",
            metavar="NAME",
            help="What a trial gets less of at first: epochs, rows or resolution.",
            show_default="epochs",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    evaluate: Annotated[
        str | None,
        option(
            "--evaluate",
            metavar="HOW",
            help="By training, by zero-cost scores of untrained networks, or with a weight-sharing supernet.",
            show_default="training",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    folds: Annotated[
        str | None,
        option(
            "--folds",
            metavar="auto|none|N",
            help="Cross-validate each trial over so many folds; auto does where rows are few.",
            show_default="auto",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    device: Annotated[
        str | None, option("--device", help="cpu or cuda:N.", show_default="cpu", rich_help_panel=TRAINING)
    ] = None,
    trial_memory: Annotated[
        str | None,
        option(
            "--trial-memory",
            metavar="SIZE",
            help="A trial may take beyond what its process starts with, such as 2GiB.",
            show_default="no limit",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    trial_time: Annotated[
        str | None,
        option(
            "--trial-time",
            metavar="TIME",
            help="A trial may take, such as 90s.",
            show_default="no limit",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        option("--workers", help="Trials at a time.", show_default="1", rich_help_panel=WHERE),
    ] = None,
    here: Annotated[
        bool, option("--here", help="In this process, without any of its own for trials.", rich_help_panel=WHERE)
    ] = False,
    remote: Annotated[
        bool,
        option("--remote", help="By workers on any machine: nasturtium worker --study ID.", rich_help_panel=WHERE),
    ] = False,
    ray: Annotated[
        str | None,
        option(
            "--ray",
            metavar="[ADDRESS]",
            help="On a Ray cluster; without an address on a Ray of this machine.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    time: Annotated[
        str | None,
        option(
            "--time",
            metavar="TIME",
            help="By the clock, such as 30m or 2h.",
            show_default="no limit",
            rich_help_panel=BUDGETS,
        ),
    ] = None,
    cpu_time: Annotated[
        str | None,
        option(
            "--cpu-time",
            metavar="TIME",
            help="Of processors, by the whole search with its end.",
            show_default="no limit",
            rich_help_panel=BUDGETS,
        ),
    ] = None,
    upload_bytes: Annotated[
        str | None,
        option(
            "--upload-bytes",
            metavar="SIZE",
            help="Of encrypted updates in a round, by all trials together, such as 50MB.",
            show_default="no limit",
            rich_help_panel=BUDGETS,
        ),
    ] = None,
    stop_at: Annotated[
        float | None, option("--stop-at", help="End when the first goal reaches this.", rich_help_panel=BUDGETS)
    ] = None,
    stop_after: Annotated[
        int | None,
        option("--stop-after", help="End after so many trials that were no better.", rich_help_panel=BUDGETS),
    ] = None,
    top: Annotated[
        int | None,
        option("--top", help="How many of the best are trained again.", show_default="2", rich_help_panel=END),
    ] = None,
    repeats: Annotated[
        int | None, option("--repeats", help="With how many seeds each.", show_default="2", rich_help_panel=END)
    ] = None,
    ensemble: Annotated[
        bool | None,
        option(
            "--ensemble/--no-ensemble",
            help="The model may be an average of several networks.",
            show_default="no-ensemble",
            rich_help_panel=END,
        ),
    ] = None,
    control: Annotated[
        str | None,
        option(
            "--control",
            metavar="start|equal",
            help="Random search to compare with: the trials it starts with, or as many again.",
            show_default="start",
            rich_help_panel=END,
        ),
    ] = None,
    config: Annotated[
        Path | None, option("--config", metavar="FILE", help="A TOML file of settings; options go before it.")
    ] = None,
    resume: Annotated[
        str | None, option("--resume", metavar="ID", help="Go on with a search; it may get more --trials.")
    ] = None,
    experiment: Experiment = None,
    monitor: Monitor = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Find the best small network for some data, train it, test it once and save it."""
    if context.invoked_subcommand is not None:
        return
    from .. import library
    from .result import watch_search

    options: dict[str, Any] = {
        "target": target,
        "task": task,
        "missing": missing,
        "trials": trials,
        "seed": seed,
        "space": space,
        "strategy": strategy,
        "zero_cost": zero_cost,
        "warm_start": tuple(warm_start) if warm_start else None,
        "objectives": tuple(objective) if objective else None,
        "constraints": tuple(constraint) if constraint else None,
        "epochs": epochs,
        "scheduler": scheduler,
        "fidelity": fidelity,
        "evaluate": evaluate,
        "device": device,
        "trial_memory": None if trial_memory is None else read_bytes(trial_memory, "--trial-memory"),
        "trial_seconds": None if trial_time is None else read_seconds(trial_time, "--trial-time"),
        "workers": workers,
        "seconds": None if time is None else read_seconds(time, "--time"),
        "cpu_seconds": None if cpu_time is None else read_seconds(cpu_time, "--cpu-time"),
        "upload_bytes": None if upload_bytes is None else float(read_bytes(upload_bytes, "--upload-bytes")),
        "stop_at": stop_at,
        "stop_after": stop_after,
        "top": top,
        "repeats": repeats,
        "ensemble": ensemble,
        "control": control,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if folds is not None:
        given["folds"] = _read_folds(folds)
    engine = _engine(here=here, remote=remote, ray=ray)
    watch_search(
        lambda progress: library.search(
            data,
            db=db,
            resume=resume,
            config=config,
            engine=engine,
            observe=progress,
            experiment=experiment,
            monitor=MONITOR_SECONDS if monitor else None,
            **given,
        ),
        resume="search --resume",
        fmt=chosen(fmt, as_json=as_json),
        db=db,
        remote=remote,
    )


def _engine(*, here: bool, remote: bool, ray: str | None) -> EngineChoice:
    from ...nas import EngineChoice

    asked = [name for name, given in (("--here", here), ("--remote", remote), ("--ray", ray is not None)) if given]
    if len(asked) > 1:
        raise ConfigError(f"{' and '.join(asked)} exclude each other", hint="trials are trained in one way")
    if ray is not None:
        return EngineChoice(kind="ray", ray=None if ray == LOCAL else ray)
    return EngineChoice(kind="here" if here else "workers" if remote else "processes")


def _read_folds(text: str) -> int | Literal["auto"] | None:
    match text:
        case "auto":
            return "auto"
        case "none":
            return None
        case _ if text.isascii() and text.isdecimal():
            return int(text)
        case _:
            raise ConfigError(f"--folds: expected auto, none or a number, got {text!r}")

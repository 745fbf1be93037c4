"""`nasturtium federate search`: an architecture search whose candidates are trained by simulated sites."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

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
    numbers,
    option,
)
from .output import Format
from .quantities import read_bytes

SITES, SEARCH, END = "The sites", "The search", "The end"
TOGETHER: Final = 8  # candidates, unless somebody says otherwise


def search(
    data: Data = None,
    target: Target = None,
    clients: Annotated[int | None, option(help="Sites.", show_default="4", rich_help_panel=SITES)] = None,
    alpha: Annotated[
        float | None,
        option(help="Dirichlet concentration: small is uneven.", show_default="0.5", rich_help_panel=SITES),
    ] = None,
    epochs: Annotated[
        int | None,
        option(help="Passes of a site over its rows in a round.", show_default="2", rich_help_panel=SITES),
    ] = None,
    bits: Annotated[
        int | None, option(help="Bits of a change of a weight, 1 to 16.", show_default="8", rich_help_panel=SITES)
    ] = None,
    plain: Annotated[
        bool, option("--plain", help="Send updates in the clear, without encryption.", rich_help_panel=SITES)
    ] = False,
    masked: Annotated[
        bool, option("--masked", help="Mask updates under the encryption.", rich_help_panel=SITES)
    ] = False,
    aggregation: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="See: nasturtium federate strategies.",
            show_default="fedavg",
            rich_help_panel=SITES,
        ),
    ] = None,
    aggregation_option: Annotated[
        list[str] | None,
        option(metavar="NAME=VALUE", help="A parameter of it; may be repeated.", rich_help_panel=SITES),
    ] = None,
    processes: Annotated[
        int | None, option(help="Train in so many processes.", show_default="in threads", rich_help_panel=SITES)
    ] = None,
    trials: Annotated[
        int | None, option(help="Candidates to train.", show_default="20", rich_help_panel=SEARCH)
    ] = None,
    rounds: Annotated[
        int | None,
        option(
            help="The longest a candidate is trained; or messages in which paths of a supernet are.",
            show_default="30",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    together: Annotated[
        int | None,
        option(help="Candidates whose plans travel in one message, 1 to 64.", show_default="8", rich_help_panel=SEARCH),
    ] = None,
    seed: Annotated[
        int | None, option(help="Same seed, same result.", show_default="0", rich_help_panel=SEARCH)
    ] = None,
    space: Annotated[
        str | None,
        option(
            metavar="NAME|FILE",
            help="See: nasturtium search spaces.",
            show_default="what fits the data",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="See: nasturtium search strategies.",
            show_default="predictor",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        option(
            metavar="NAME",
            help="Stops early what does not get on: asha, hyperband or none.",
            show_default="asha",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    evaluate: Annotated[
        str | None,
        option(
            metavar="HOW",
            help="By training each candidate, or one round of it with the weights of a shared supernet.",
            show_default="training",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        option(
            metavar="GOAL",
            help="Such as val_accuracy or upload_bytes; as often as may be. The winner is chosen by the first.",
            show_default="val_accuracy",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        option(
            metavar="BOUND",
            help="Such as 'upload_bytes <= 50kB'; as often as may be.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    warm_start: Annotated[
        list[str] | None,
        option(
            metavar="RUN",
            help="Learn from the trials of an earlier search in the same space; as often as may be.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    upload_bytes: Annotated[
        str | None,
        option(
            metavar="SIZE",
            help="A budget: of updates in a round, by all trials together, such as 50MB.",
            show_default="no limit",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    final_rounds: Annotated[
        int | None, option(help="Rounds of the model at the end.", show_default="20", rich_help_panel=END)
    ] = None,
    control: Annotated[
        str | None,
        option(
            metavar="start|equal",
            help="Random search to compare with: the trials it starts with, or as many again.",
            show_default="start",
            rich_help_panel=END,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        option(metavar="FILE", help="A TOML file of settings, with a table [federation]; options go before it."),
    ] = None,
    resume: Annotated[str | None, option(metavar="ID", help="Go on with a search; it may get more --trials.")] = None,
    experiment: Experiment = None,
    monitor: Monitor = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Search a network over simulated sites: they train every candidate, and the model, under encryption."""
    from . import library
    from .search.result import watch_search

    sites: dict[str, Any] = {
        "clients": clients,
        "alpha": alpha,
        "epochs": epochs,
        "bits": bits,
        "scheme": "plain" if plain else None,
        "masked": masked or None,
        "strategy": aggregation,
        "strategy_options": numbers("--aggregation-option", aggregation_option) if aggregation_option else None,
        "processes": processes,
        "rounds": final_rounds,
    }
    options: dict[str, Any] = {
        "target": target,
        "trials": trials,
        "epochs": rounds,
        "workers": TOGETHER if together is None and resume is None and config is None else together,
        "seed": seed,
        "space": space,
        "strategy": strategy,
        "scheduler": scheduler,
        "evaluate": evaluate,
        "objectives": tuple(objective) if objective else None,
        "constraints": tuple(constraint) if constraint else None,
        "warm_start": tuple(warm_start) if warm_start else None,
        "upload_bytes": None if upload_bytes is None else float(read_bytes(upload_bytes, "--upload-bytes")),
        "control": control,
    }
    watch_search(
        lambda progress: library.federated_search(
            data,
            federation={name: value for name, value in sites.items() if value is not None},
            db=db,
            resume=resume,
            config=config,
            observe=progress,
            experiment=experiment,
            monitor=MONITOR_SECONDS if monitor else None,
            **{name: value for name, value in options.items() if value is not None},
        ),
        resume="federate search --resume",
        fmt=chosen(fmt, as_json=as_json),
        db=db,
    )

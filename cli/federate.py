"""`nasturtium federate`: federated training."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from . import federation
from .federate_search import search
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
    settings,
    with_db,
)
from .output import Format, count, print_rows, print_table, show, size, stdout

app = typer.Typer(
    no_args_is_help=True, suggest_commands=False, add_completion=False, help="Train one model over several sites."
)


@app.callback()
def federate() -> None:
    """Train one model over several sites, whose rows stay with them."""


@app.command()
def simulate(
    data: Data = None,
    target: Target = None,
    clients: Annotated[int, option(help="Sites, 3 to 10000.")] = 4,
    participants: Annotated[
        int | None,
        option(help="Sites that are asked to train in a round, 3 to 1000.", show_default="all"),
    ] = None,
    rounds: Annotated[int, option(help="Training rounds.")] = 20,
    seed: Annotated[int, option(help="Same seed, same result.")] = 0,
    alpha: Annotated[float, option(help="Dirichlet concentration: small is uneven.")] = 0.5,
    epochs: Annotated[int, option(help="Passes of a site over its rows in a round.")] = 2,
    model: Annotated[
        str | None,
        option(metavar="RUN", help="Train the network this run found.", show_default="a small network"),
    ] = None,
    model_adapter: Annotated[
        str | None,
        option(metavar="NAME|MODULE:FUNCTION", help="Train a model of your own, of PyTorch or scikit-learn say."),
    ] = None,
    model_option: Annotated[
        list[str] | None, option(metavar="NAME=VALUE", help="An option of that model; may be repeated.")
    ] = None,
    bits: Annotated[int, option(help="Bits of a change of a weight, 1 to 16.")] = 8,
    plain: Annotated[bool, option("--plain", help="Send updates in the clear, without encryption.")] = False,
    ckks: Annotated[bool, option("--ckks", help="Encrypt with CKKS, for parity with others: larger, slower.")] = False,
    masked: Annotated[
        bool, option("--masked", help="Mask updates under the encryption: no site in league reads one.")
    ] = False,
    epsilon: Annotated[
        float | None,
        option(help="Hide each site by noise: its privacy budget over all rounds.", show_default="no noise"),
    ] = None,
    delta: Annotated[float | None, option(help="Of the budget.", show_default="1e-05")] = None,
    clip: Annotated[
        float | None, option(help="Largest L2 norm of a site's change, with a budget.", show_default="1.0")
    ] = None,
    processes: Annotated[int, option(help="Train in so many processes.", show_default="in threads")] = 0,
    ray: Annotated[
        str | None, option(metavar="ADDRESS|local", help="Train on a Ray cluster, or on one started here.")
    ] = None,
    strategy: Annotated[str, option(metavar="NAME", help="See: nasturtium federate strategies.")] = "fedavg",
    strategy_option: Annotated[
        list[str] | None, option(metavar="NAME=VALUE", help="A parameter of the strategy; may be repeated.")
    ] = None,
    compression: Annotated[str, option(metavar="NAME", help="Of updates: none, changed, top-k or low-rank.")] = "none",
    compression_option: Annotated[
        list[str] | None, option(metavar="NAME=VALUE", help="A parameter of the compression; may be repeated.")
    ] = None,
    experiment: Experiment = None,
    monitor: Monitor = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Simulate a federation on this machine: real messages and ciphertexts, without a network."""
    from ..core import ConfigError
    from . import library
    from .describe import UNMEASURED, privacy_of, protection
    from .history.show import privacy_line
    from .progress import FederationProgress
    from .result import print_result

    if data is None:
        raise ConfigError("no data was named", hint="add --data digits, or a file")
    if plain and ckks:
        raise ConfigError("--plain and --ckks exclude each other", hint="leave both away for the packed encryption")
    if epsilon is None and (delta, clip) != (None, None):
        name = "--clip" if delta is None else "--delta"
        raise ConfigError(
            f"{name} belongs to a privacy budget, and there is none", hint=f"add --epsilon, or leave out {name}"
        )
    with FederationProgress() as progress:
        try:
            result = library.federate(
                data,
                model=model,
                model_adapter=model_adapter,
                model_options=settings("--model-option", model_option or []),
                db=db,
                observe=progress,
                experiment=experiment,
                monitor=MONITOR_SECONDS if monitor else None,
                target=target,
                clients=clients,
                participants=participants,
                processes=processes,
                ray=ray,
                rounds=rounds,
                seed=seed,
                alpha=alpha,
                epochs=epochs,
                scheme="plain" if plain else "ckks-approximate" if ckks else "packed",
                bits=bits,
                masked=masked,
                epsilon=epsilon,
                delta=delta,
                clip=clip,
                strategy=strategy,
                strategy_options=numbers("--strategy-option", strategy_option or []),
                compression=compression,
                compression_options=numbers("--compression-option", compression_option or []),
            )
        except KeyboardInterrupt:
            if progress.uid is not None:
                for line in _interrupted(progress.done, progress.uid, epsilon, db):
                    progress.say(line)
                progress.say(f"more: {with_db(f'history show {progress.number}', db)}")
            raise
    rows = [
        {
            "round": each.number,
            "participants": each.participants,
            "loss": each.loss,
            "accuracy": each.accuracy,
            "bytes_up": each.bytes_up,
            "bytes_down": each.bytes_down,
            "seconds": round(each.seconds, 4),
        }
        for each in result.rounds
    ]
    test, metrics = result.test, result.run.run.metrics
    protected = protection(result.run.scheme, result.run.run.config)
    with library.open_history(db) as history:
        privacy = [privacy_line(spent) for spent in privacy_of(history, result.run.run.uid)]
    print_result(
        result.run.run,
        rows,
        {name: name.replace("_", " ") for name in rows[0]},
        chosen(fmt, as_json=as_json),
        title="Rounds",
        closing=[
            f"test accuracy {show(test.accuracy)} ({test.correct} of {test.rows} rows)",
            f"updates under {protected}: {size(metrics['bytes_up'])} up, {size(metrics['bytes_down'])} down, "
            "closing rounds included",
            *([] if epsilon is None else [UNMEASURED]),
            *privacy,
            f"saved: {result.model}",
        ],
        db=db,
    )


app.command("search")(search)


@app.command("strategies")
def show_strategies(fmt: FormatOption = Format.TABLE, as_json: Json = False) -> None:
    """List the federated strategies with their parameters."""
    from ..federated.strategies import STRATEGIES

    rows: list[dict[str, Any]] = []
    for name, strategy in sorted(STRATEGIES.items()):
        parameters = {each: value for each, value in strategy().to_dict().items() if each != "name"}
        told = inspect.getdoc(inspect.getmodule(strategy)) or ""
        rows.append(
            {
                "strategy": name,
                "default": name == "fedavg",
                "in_the_clear": bool(strategy.in_the_clear),
                "parameters": parameters,
                "description": told.partition("\n")[0].rstrip("."),
            }
        )

    def table() -> None:
        cells = [
            [
                row["strategy"] + ("*" if row["default"] else ""),
                show(row["in_the_clear"]),
                " ".join(f"{each}={value:g}" for each, value in row["parameters"].items()),
                row["description"],
            ]
            for row in rows
        ]
        print_table(["strategy", "in the clear only", "parameters", "description"], cells, prose=True)
        stdout().print("* the default")

    print_rows(rows, {name: name for name in rows[0]}, chosen(fmt, as_json=as_json), table=table)


def _interrupted(done: int, uid: str, epsilon: float | None, db: str | None) -> list[str]:
    """What an interrupted run leaves behind."""
    from . import library
    from .describe import privacy_of
    from .history.show import privacy_line

    told = f"after {count(done, 'round')}, whose figures are kept; the model is not" if done else "in its first round"
    lines = [f"interrupted {told}"]
    if epsilon is not None:  # a round that was begun has cost what it costs
        with library.open_history(db) as history:
            lines += [privacy_line(spent) for spent in privacy_of(history, uid)]
    return lines


app.add_typer(federation.init, name="init")
for command in (
    federation.admit,
    federation.remove,
    federation.server,
    federation.client,
    federation.approve,
    federation.start,
    federation.status,
    federation.rounds,
    federation.clients,
    federation.stop,
    federation.resume,
    federation.open_release,
    federation.audit,
):
    app.command()(command)

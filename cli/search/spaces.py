"""`nasturtium search spaces`, `space` and `strategies`: what can be searched, and how."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

from ...core import ConfigError, FormatError
from ..options import FormatOption, Json, argument, chosen, option
from ..output import Format, print_json, print_rows, print_table, show, stdout

if TYPE_CHECKING:
    from ...core.data import Task
    from ...nas.space import Space

DRAWN: Final = 64  # random networks whose size stands for that of a space
Data = Annotated[str | None, option("--data", help="For this data: a bundled data set, a file or a folder.")]
Target = Annotated[str | None, option("--target", help="The column or array to be learned, for a file.")]
Kind = Annotated[
    str | None,
    option("--task", metavar="KIND", help="classification or regression.", show_default="by the target's values"),
]


class DocumentFormat(StrEnum):
    """How a space is written."""

    TOML = "toml"
    JSON = "json"


def show_spaces(
    data: Data = None,
    target: Target = None,
    task: Kind = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """List the named spaces; with --data, how large each is for it and what size its networks have."""
    from ...nas.spaces import SPACES, default_space

    rows: list[dict[str, Any]] = []
    found = None if data is None else _task(data, target, task)
    usual = None if found is None else default_space(found).name
    for name, make in SPACES.items():
        row: dict[str, Any] = {"space": name}
        if found is not None:
            row |= {"default": name == usual, **_measure(name, found)}
        rows.append({**row, "description": _first_line(make)})
    form = chosen(fmt, as_json=as_json)
    print_rows(rows, {name: name for name in rows[0]}, form, table=lambda: _print_spaces(rows))


def show_space(
    name: Annotated[str, argument(help="A named space, or a .toml or .json file.")],
    data: Data = None,
    target: Target = None,
    task: Kind = None,
    fmt: Annotated[DocumentFormat, option("--format", help="How to print.")] = DocumentFormat.TOML,
) -> None:
    """Print a space as a document, to be edited and searched: nasturtium search --space FILE."""
    from ...nas.space import load_space, to_toml

    if data is None:
        raise ConfigError("no data was named: a space is made for the rows and the classes of some", hint="add --data")
    document = load_space(name, _task(data, target, task)).to_document()
    if fmt is DocumentFormat.JSON:
        print_json(document)
    else:
        sys.stdout.write(to_toml(document))


def show_strategies(fmt: FormatOption = Format.TABLE, as_json: Json = False) -> None:
    """List the search strategies."""
    from ...nas import DEFAULT_STRATEGY
    from ...nas.strategies import STRATEGIES

    rows: list[dict[str, Any]] = [
        {
            "strategy": name,
            "default": name == DEFAULT_STRATEGY,
            "several_goals": strategy.multi_objective,
            "constraints": strategy.constraints,
            "extra": None if strategy.extra is None else strategy.extra.name,
            "installed": strategy.extra is None or strategy.extra.installed,
            "description": strategy.description,
        }
        for name, strategy in STRATEGIES.items()
    ]

    def table() -> None:
        cells = [
            [
                row["strategy"] + ("*" if row["default"] else ""),
                show(row["several_goals"]),
                show(row["constraints"]),
                _said_with_extra(row),
            ]
            for row in rows
        ]
        headings = ["strategy", "several goals", "constraints", "description"]
        print_table(headings, cells, prose=True)
        stdout().print("* the default")

    print_rows(rows, {name: name for name in rows[0]}, chosen(fmt, as_json=as_json), table=table)


def _said_with_extra(row: Mapping[str, Any]) -> str:
    """What a strategy is, and what has to be installed for it."""
    if row["extra"] is None:
        return row["description"]
    there = "is" if row["installed"] else "is not"
    return f"{row['description']}; needs nasturtium[{row['extra']}], which {there} installed"


def _task(data: str, target: str | None, kind: str | None) -> Task:
    from ...core.data import LoadOptions, load_dataset

    return load_dataset(data, target, LoadOptions(kind=kind)).task  # pyright: ignore[reportArgumentType] - it is checked


def _first_line(make: object) -> str:
    return (inspect.getdoc(make) or "").partition("\n")[0].rstrip(".")


def _measure(name: str, task: Task) -> dict[str, Any]:
    """How large a space is for a task, and what its networks are like, by some drawn at random."""
    from ...core import derive_rng
    from ...nas.spaces import SPACES

    nothing = dict.fromkeys(("decisions", "networks", "least_parameters", "most_parameters"))
    try:
        space = SPACES[name](task)
        rng = derive_rng(0, "spaces", name)
        drawn = [space.costs(space.sample(rng)).parameters for _ in range(DRAWN)]
    except (ConfigError, FormatError) as exc:
        return {"fits": False, **nothing, "why_not": exc.message}
    return {
        "fits": True,
        "decisions": len(space.leaves()),
        "networks": _networks(space),
        "least_parameters": min(drawn),
        "most_parameters": max(drawn),
        "why_not": None,
    }


def _networks(space: Space) -> float:
    """How many points there are without the hyperparameters, equal networks counted apart."""
    from ...nas.space import TRAINING, Choice, Int

    leaves = [leaf for path, leaf in space.leaves().items() if not path.startswith(f"{TRAINING}/")]
    return float(math.prod(len(leaf.values) if isinstance(leaf, Choice | Int) else math.inf for leaf in leaves))


def _print_spaces(rows: list[dict[str, Any]]) -> None:
    if "fits" not in rows[0]:
        print_table(["space", "description"], [[row["space"], row["description"]] for row in rows], prose=True)
        return
    cells = [
        [
            row["space"] + ("*" if row["default"] else ""),
            *([show(row["decisions"]), _about(row["networks"]), _range(row)] if row["fits"] else ["-", "-", "-"]),
            row["description"] if row["fits"] else row["why_not"],
        ]
        for row in rows
    ]
    headings = ["space", "decisions", "networks", "parameters", "description"]
    print_table(headings, cells, prose=True)
    stdout().print(f"* the default for this data; parameters are those of {DRAWN} random networks", soft_wrap=True)


def _about(number: float) -> str:
    return f"{number:,.0f}" if number < 1e6 else f"{number:.0e}".replace("e+0", "e").replace("e+", "e")


def _range(row: dict[str, Any]) -> str:
    return f"{row['least_parameters']:,} to {row['most_parameters']:,}"

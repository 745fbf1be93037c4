"""`history show`, `compare`, `pareto` and `lineage`: one run, or a few beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from ...core import ConfigError
from ...storage import RELATIONS, LineageRecord, RunRecord
from .. import library
from ..describe import UNMEASURED, describe, protection
from ..fronts import figure_names, figure_of, front_of_search, heading, said_figures, shown_goals
from ..options import Db, FormatOption, Json, argument, chosen, option
from ..output import (
    Format,
    duration,
    print_json,
    print_rows,
    print_table,
    size,
    sparkline,
    stderr,
    stdout,
    wrapped,
)
from ..output import (
    show as shown,
)

Run = Annotated[str, argument(help="The run.")]
MAX_LINES = 200  # of a lineage on a terminal


def show(run: Run, db: Db = None, fmt: FormatOption = Format.TABLE, as_json: Json = False) -> None:
    """Show one run: results, best architecture, curves, privacy, environment."""
    with library.open_history(db) as past:
        details = describe(past, past.find(run))
    form = chosen(fmt, as_json=as_json)
    if form in {Format.JSON, Format.NDJSON}:
        print_json(details, indent=2 if form is Format.JSON else None)
    elif form is Format.TABLE:
        _print_details(details)
    else:
        rows = cast(list[dict[str, Any]], details["trials"] if details["kind"] == "search" else details["rounds"])
        flat = [{k: v for k, v in row.items() if not isinstance(v, Mapping)} for row in rows]
        print_rows(flat, {name: name for name in flat[0]} if flat else {}, form)


def compare(
    runs: Annotated[list[str], argument(help="Two runs or more.")],
    changed: Annotated[bool, option("--changed", help="Only what differs.")] = False,
    db: Db = None,
    fmt: FormatOption = Format.TABLE,
    as_json: Json = False,
) -> None:
    """Put runs beside each other: their fields, metrics and parameters."""
    if len(runs) < 2:
        raise ConfigError(f"expected two runs or more, got {len(runs)}", hint="nasturtium history compare 1 2")
    with library.open_history(db) as past:
        found = [past.find(run) for run in runs]
    names = [str(run.number) if run.number is not None else run.uid for run in found]
    fields = [_compared(run) for run in found]
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys(name for each in fields for name in each):
        values = [each.get(name) for each in fields]
        same = len({repr(value) for value in values}) == 1
        if not (changed and same):
            rows.append({"name": name, **dict(zip(names, values, strict=True)), "same": same})
    headings = {"name": "name", **{name: name for name in names}}
    print_rows(
        rows,
        headings,
        chosen(fmt, as_json=as_json),
        table=lambda: print_table([*headings], [[shown(row[name]) for name in headings] for row in rows]),
    )


def pareto(run: Run, db: Db = None, fmt: FormatOption = Format.TABLE, as_json: Json = False) -> None:
    """The trials of a search that no other beats in its goals, the best by the first first; where it has one goal, in
    that and in size.
    """
    with library.open_history(db) as past:
        home = past.find(run)
        if home.kind != "search":
            raise ConfigError(f"run {run} is of kind {home.kind}, expected a search", hint="only searches have a front")
        search = past.search(home.uid)
        front = front_of_search(search, past.trials(home.uid))
    names = figure_names(shown_goals(search))
    if "val_accuracy" in names:
        names.insert(names.index("val_accuracy") + 1, "val_loss")
    names = list(dict.fromkeys(names))
    rows = [
        {
            "trial": trial.number + 1,
            "uid": trial.uid,
            **{name: figure_of(trial, name) for name in names},
            "seconds": trial.seconds,
        }
        for trial in front
    ]
    columns = {"trial": "trial", **{name: heading(name) for name in names}, "seconds": "seconds", "uid": "uid"}
    print_rows(rows, columns, chosen(fmt, as_json=as_json))


def lineage(
    ref: Annotated[str, argument(help="A run, a model as digits:1 or digits@production, or letters of a SHA-256.")],
    results: Annotated[bool, option("--results", help="What came of it, instead of what it came from.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Follow something back to all it was made from: search, trial, data, sites, rounds, the privacy spent."""
    with library.open_history(db) as past:
        found = past.lineage(ref, direction="results" if results else "origins")
    if as_json:
        nodes = [{"kind": node.kind, "ref": node.ref, "title": node.title, **node.facts} for node in found.nodes]
        edges = [{"source": edge.source, "relation": edge.relation, "target": edge.target} for edge in found.edges]
        print_json({"direction": found.direction, "nodes": nodes, "edges": edges})
        return
    lines = _tree(found)
    out = stdout()
    out.print("\n".join(lines[:MAX_LINES] if out.is_terminal else lines), soft_wrap=True)
    if out.is_terminal and len(lines) > MAX_LINES:
        stderr().print(f"{len(lines) - MAX_LINES:,} lines more: add --json, or pipe it", soft_wrap=True)


def _compared(run: RunRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "kind": run.kind,
        "data": run.name,
        "experiment": run.experiment,
        "state": run.state,
        "seed": run.seed,
        "seconds": run.seconds,
    }
    fields |= {f"metric.{name}": value for name, value in run.metrics.items()}
    fields |= {f"param.{name}": value for name, value in run.params.items()}
    return fields | {f"tag.{name}": value for name, value in run.tags.items()}


def _tree(found: LineageRecord) -> list[str]:
    """A lineage as an indented tree; what was told already is only named again."""
    further: dict[int, list[tuple[str, int]]] = {}
    for edge in found.edges:
        near, far = (edge.target, edge.source) if found.direction == "origins" else (edge.source, edge.target)
        further.setdefault(near, []).append((edge.relation, far))
    lines: list[str] = []
    told: set[int] = set()
    waiting: list[tuple[int, str, str, str]] = [(0, "", "", "")]
    while waiting:
        place, relation, lead, stem = waiting.pop()
        node = found.nodes[place]
        again = place in told and place in further
        if found.direction == "origins":
            relation = RELATIONS.get(relation, relation)
        said = f"{relation} " if relation else ""
        lines.append(f"{lead}{said}{node.title} ({node.ref[:26]})" + ("  as above" if again else ""))
        if place in told:
            continue
        told.add(place)
        lines += [f"{stem}    {fact}" for fact in _facts(node.facts)]
        branches = further.get(place, [])
        for i, (relation, far) in reversed(list(enumerate(branches))):
            last = i == len(branches) - 1
            waiting.append((far, relation, f"{stem}{'└─ ' if last else '├─ '}", f"{stem}{'   ' if last else '│  '}"))
    return lines


def _facts(facts: Mapping[str, Any]) -> list[str]:
    """What a line of a lineage says below its title."""
    lines: list[str] = []
    metrics = cast(Mapping[str, float], facts.get("metrics", {}))
    named = ("val_accuracy", "test_accuracy", "val_r2", "test_r2")
    figures = [f"{name} {shown(metrics[name])}" for name in named if name in metrics]
    if figures:
        lines.append(", ".join(figures))
    if facts.get("rounds"):
        sites = cast(Sequence[str], facts["sites"])
        lines.append(f"{facts['rounds']} rounds with {len(sites)} sites, {size(facts['bytes_up'])} up")
    lines.extend(map(privacy_line, cast(Sequence[Mapping[str, Any]], facts.get("privacy", ()))))
    return lines


def privacy_line(spent: Mapping[str, Any]) -> str:
    """What some releases cost, in a line."""
    whose = f"{spent['releases']} releases about {str(spent['subject'])[:12]}"
    if spent["epsilon"] == float("inf"):
        return f"privacy: {whose}, without noise: epsilon is unbounded"
    return f"privacy: {whose}, epsilon {spent['epsilon']:.4g}, delta {spent['delta']:.3g}"


def _figure(name: str, value: float | None) -> str | None:
    return None if value is None else f"{heading(name)} {shown(value)}"


def _print_details(details: Mapping[str, Any]) -> None:
    out = stdout()

    def say(text: str) -> None:
        out.print(text, soft_wrap=True)

    number = details["id"] if details["id"] is not None else details["uid"]
    say(f"{details['kind']} {number} on {details['data']}: {details['state']}")
    dataset, goal = details["dataset"], details["goal"] or ""
    facts: dict[str, Any] = {
        "ulid": details["uid"],
        "started": f"{shown(details['started'])}, took {duration(details['seconds'])}",
        "seed": details["seed"],
        "data": f"{dataset['name']}, {dataset['rows']:,} rows, sha256 {dataset['fingerprint'][:12]}"
        if dataset
        else None,
        "validation" if goal.startswith("val_") else "best": _figure(goal, details["value"]),
        "test": _figure(_test_name(details["metrics"], goal), details["test_value"]),
        "experiment": None if details["experiment"] == "default" else details["experiment"],
        "tags": ", ".join(f"{name}={value}" if value else name for name, value in details["tags"].items()) or None,
        "model": details["model"],
        "deleted": details["deleted"] and shown(details["deleted"]),
        "error": details["error"],
    }
    for name, value in facts.items():
        if value is not None:
            say(f"  {name:<11}{value}")
    for note in details["notes"]:
        say(f"  {'note':<11}{note['text']}")
    if details["kind"] == "search":
        _print_search(details, say)
    elif details["kind"] == "federated":
        _print_federation(details, say)
    elif details["params"]:
        say("\nParameters")
        for name, value in details["params"].items():
            say(f"  {name:<22}{shown(value)}")
    if details["kind"] not in {"search", "federated"} and details["metrics"]:
        say("\nMetrics")
        for name, value in details["metrics"].items():
            say(f"  {name:<22}{shown(value)}")
    _print_curves(details["curves"], say)
    environment = details["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in environment.get("packages", {}).items())
    say("\nEnvironment")
    for name in ("nasturtium", "python", "platform", "machine", "cpu", "cpus", "gpus", "commit"):
        if environment.get(name):
            changed = ", and changes to it" if name == "commit" and environment.get("dirty") else ""
            told = ", ".join(environment[name]) if name == "gpus" else environment[name]
            say(f"  {name:<11}{told}{changed}")
    say(f"  {'packages':<11}{packages}")


def _test_name(metrics: Mapping[str, float], goal: str) -> str:
    """Of what a run's figure on the test rows is."""
    if goal.startswith("val_"):
        return goal
    return "val_accuracy" if "test_accuracy" in metrics else "val_r2"


def _print_search(details: Mapping[str, Any], say: Any) -> None:
    search, best = details["search"], details["best"]
    goals = ", ".join(f"{goal['direction']} {goal['name']}" for goal in search["objectives"])
    bounds = ", ".join(search["constraints"])
    say(f"  {'goals':<11}{goals}" + (f"; {bounds}" if bounds else ""))
    last = {trial["trial"]: trial for trial in details["trials"]}
    states = [trial["state"] for trial in last.values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    say(f"  {'trials':<11}{counts or 'none yet'}; space {search['space']}, strategy {search['strategy']}")
    for line in _failures(list(last.values())):
        say(f"  {'':<11}{line}")
    names = search["figures"]
    front = [
        [
            *map(shown, (trial["trial"], *(_figure_in(trial, name) for name in names))),
            duration(trial["seconds"]),
        ]
        for trial in details["front"]
    ]
    say("")
    title = f"Pareto front ({said_figures(search['front_by'])})"
    print_table(["trial", *map(heading, names), "took"], front, title=title)
    if details["verdicts"]:
        say("")
    for verdict in details["verdicts"]:
        say(wrapped(f"- {verdict}"))
    if best is None:
        return
    say(f"\nBest architecture: trial {best['trial']}, sha256 {best['architecture_sha256'][:12]}")
    for name, value in best["hyperparameters"].items():
        say(f"  {name:<15} {f'{value:.4g}' if isinstance(value, float) else shown(value)}")
    for line in _layers(best["spec"].get("layers", [])):
        say(f"  {line}")


def _figure_in(trial: Mapping[str, Any], name: str) -> Any:
    """A figure of a trial's document; what counts something is whole."""
    value = trial[name] if name in {"parameters", "macs"} else trial["figures"].get(name)
    counted = name.endswith("_bytes") and isinstance(value, float) and value.is_integer()
    return int(value) if counted else value


def _failures(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why trials failed, and which, in a line for each cause."""
    by_cause: dict[str, list[int]] = {}
    for trial in trials:
        if trial["state"] == "failed":
            by_cause.setdefault(trial["cause"] or trial["error"] or "unknown", []).append(trial["trial"])
    lines: list[str] = []
    for cause, numbers in by_cause.items():
        some = ", ".join(map(str, numbers[:8])) + (", ..." if len(numbers) > 8 else "")
        lines.append(f"failed by {cause}: {some}")
    return lines


def _print_federation(details: Mapping[str, Any], say: Any) -> None:
    federation = details["federation"]
    protected = protection(federation["scheme"], details["config"])
    said = f"{federation['clients']} clients, {federation['strategy']}, updates under {protected}"
    say(f"  {'federation':<11}{said}, alpha {federation['alpha']}\n")
    rounds = [
        [
            *map(shown, (each["round"], each["participants"], each["rejected"], each["loss"], each["accuracy"])),
            *map(size, (each["bytes_up"], each["bytes_down"])),
            duration(each["seconds"]),
        ]
        for each in details["rounds"]
    ]
    headings = ["round", "participants", "rejected", "loss", "accuracy", "up", "down", "took"]
    print_table(headings, rounds, title="Rounds")
    if rounds and details["config"].get("epsilon") is not None:
        say(UNMEASURED)
    for spent in details["privacy"]:
        say(privacy_line(spent))
    for each in details["rounds"]:
        for client, given in each["contributions"].items():
            if given["state"] == "rejected":
                say(f"round {each['round']}: {client} was refused: {given['reason']}")


def _print_curves(curves: Mapping[str, Sequence[Sequence[float]]], say: Any) -> None:
    if not curves:
        return
    say("\nCurves")
    for name, points in curves.items():
        if "step/" in name:  # what a trial had reached at its rungs: for its scheduler
            continue
        values = [value for _, value in points]
        if values:
            say(f"  {name:<22}{sparkline(values)}  {shown(float(values[0]))} to {shown(float(values[-1]))}")


def _layers(layers: Sequence[Mapping[str, Any]], indent: str = "") -> list[str]:
    """A network for people, one line a layer."""
    lines: list[str] = []
    for layer in layers:
        nested: dict[str, Sequence[Mapping[str, Any]]] = {k: v for k, v in layer.items() if isinstance(v, list)}
        words = [f"{name}={value}" for name, value in layer.items() if name != "kind" and name not in nested]
        lines.append(" ".join([indent + layer["kind"], *words]))
        for name, inner in nested.items():
            if inner:
                lines.append(f"{indent}  {name}:")
                lines.extend(_layers(inner, indent + "    "))
    return lines

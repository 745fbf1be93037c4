"""`nasturtium search status`, `stop` and `report`: how far a search is, its end, and what came of it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from ...storage import FlightRecord, SearchStatus
from ..describe import trial_document
from ..fronts import front_of_search
from ..options import Db, Json, argument, option, with_db
from ..output import count, duration, print_json, shorten, show, size, stdout, table_lines, wrapped

Search = Annotated[str | None, argument(help="The search.", show_default="the newest")]
WATCH_SECONDS = 2.0
MAX_FLIGHTS = 16  # lines of trials in flight
_SPENT = {"wall_seconds": "time", "cpu_seconds": "CPU time", "bytes": "bytes"}
_CLASS = re.compile(r"^\w+(?:Error|Exception): ")
_UP = "\x1b[{}A\x1b[J"  # to the first of some lines, and away with what follows


def show_status(
    search: Search = None,
    watch: Annotated[bool, option("--watch", help="Look again every two seconds, until it ends.")] = False,
    db: Db = None,
    as_json: Json = False,
) -> None:
    """Tell how far a search is: trials, who is at them, the best so far, what was spent."""
    from .. import library

    drawn = 0
    while True:
        status = look_closer(library.search_status(search, db=db), db=db)
        if as_json:
            print_json(status_document(status), indent=None if watch else 2)
            sys.stdout.flush()
        else:
            lines = status_lines(status, db=db)
            if watch and sys.stdout.isatty():  # so that a line is a line when it is drawn over
                lines = [shorten(line, stdout().width, tail=False) for line in lines]
            if drawn and sys.stdout.isatty():
                sys.stdout.write(_UP.format(drawn))
            stdout().print("\n".join(lines), soft_wrap=True)
            drawn = len(lines)
        if not watch or not status.broker_alive:
            return
        search = status.search.uid  # and not one that is newer by then
        time.sleep(WATCH_SECONDS)


def stop(search: Search = None, db: Db = None) -> None:
    """End the trials of a search: what trains is finished, then it concludes with what it has."""
    from .. import library

    found = library.stop_search(search, db=db)
    number = found.run.number
    stdout().print(
        f"search {number} was asked to stop: it finishes the trials it is at, then concludes; where it concludes\n"
        "already, it finishes the training it is at, to be gone on with --resume\n"
        f"watch it: {with_db(f'search status {number} --watch', db)}",
        soft_wrap=True,
    )


def show_report(search: Search = None, db: Db = None, as_json: Json = False) -> None:
    """Tell what came of a search: its front, the test of its model, and whether random search or a simple model did as
    well.
    """
    from .. import library

    report = library.search_report(search, db=db)
    if as_json:
        print_json(report.to_dict())
    else:
        text = report.to_text().rstrip()
        stdout().print("\n".join(map(wrapped, text.splitlines())), soft_wrap=True)


def look_closer(status: SearchStatus, *, db: str | None) -> SearchStatus:
    """The best among the trials that keep to the constraints, and the bytes that a budget of bytes counts: for both all
    trials have to be read, where a search has such.
    """
    from .. import library

    search = status.search
    bounded, counted = (search.run.config.get(name) for name in ("constraints", "upload_bytes"))
    if not bounded and counted is None:
        return status
    with library.open_history(db) as past:
        trials = past.trials(search.uid)
    if bounded:
        status = replace(status, best=next(iter(front_of_search(search, trials)), None))
    if counted is not None:
        last = {trial.number: trial for trial in trials}
        sent = sum(trial.metrics.get("upload_bytes", 0.0) for trial in last.values())
        status = replace(status, transferred_bytes=round(sent))
    return status


def status_document(status: SearchStatus) -> dict[str, Any]:
    """A status as a plain document."""
    search, run = status.search, status.search.run
    return {
        "id": run.number,
        "uid": run.uid,
        "data": run.name,
        "state": run.state,
        "at": status.at,
        "started": run.started,
        "ended": run.ended,
        "error": run.error,
        "space": search.space,
        "strategy": search.sampler,
        "objectives": [{"name": name, "direction": direction} for name, direction in search.objectives],
        "trials": dict(status.trials),
        "in_flight": [
            {
                "trial": flight.number + 1,
                "attempt": flight.attempt,
                "state": flight.state or "running",
                "worker": flight.worker,
                "started": flight.started,
                "seconds": _age(flight, status),
                "heartbeat": flight.heartbeat,
                "expires": flight.expires,
            }
            for flight in status.in_flight
        ],
        "best": None if status.best is None else trial_document(status.best),
        "budgets": {name: {"used": used, "limit": limit} for name, used, limit, _ in _budgets(status)},
        "broker": {"alive": status.broker_alive, "heartbeat": status.heartbeat},
        "stop_requested": status.stop_requested,
    }


def status_lines(status: SearchStatus, *, db: str | None = None) -> list[str]:
    """A status for people."""
    search, run = status.search, status.search.run
    lines = [f"search {run.number} ({run.uid}) on {run.name}: {_state(status)}"]
    facts: dict[str, str | None] = {
        "goals": ", ".join(f"{direction} {name}" for name, direction in search.objectives),
        "space": f"{search.space}, strategy {search.sampler}, scheduler {search.pruner}",
        "trials": _trials(status),
        "best": _best(status),
        "error": _said_error(run.error) if run.state == "failed" else None,
    }
    facts |= {_SPENT[name]: _spent(used, limit, say) for name, used, limit, say in _budgets(status)[1:]}
    lines += [f"  {name:<11}{said}" for name, said in facts.items() if said is not None]
    lines += _flights(status)
    return [*lines, *_next_steps(status, db)]


def _next_steps(status: SearchStatus, db: str | None) -> list[str]:
    """What may be typed next."""
    run, planned = status.search.run, status.search.trials
    resume = f"search --resume {run.number}"
    if run.state == "completed":
        return [f"what came of it: {with_db(f'search report {run.number}', db)}"]
    if run.state == "interrupted" or (run.state == "running" and not status.broker_alive):
        return [f"go on with: {with_db(resume, db)}"]
    if run.state != "failed":
        return []
    steps = [f"see its trials: {with_db(f'history show {run.number}', db)}"]
    used_up = [name for name, used, limit, _ in _budgets(status)[1:] if limit is not None and used >= limit]
    if used_up:
        said = " and ".join(_SPENT[name] for name in used_up)
        return [*steps, f"its {said} is used up: begin another that learns from it, with --warm-start {run.number}"]
    if _ended(status) >= planned:
        return [*steps, f"give it more trials: {with_db(f'{resume} --trials {2 * planned}', db)}"]
    return [*steps, f"go on with: {with_db(resume, db)}"]


def _said_error(error: str | None) -> str | None:
    """What went wrong in words, without its class and the hint of the moment."""
    return None if error is None else _CLASS.sub("", error).partition(" (hint: ")[0]


def _state(status: SearchStatus) -> str:
    state = status.search.run.state
    if state != "running":
        return state
    if not status.broker_alive:
        return f"nobody has been at it since {show(status.heartbeat)}"
    if status.stop_requested is not None:
        return "running, asked to stop"
    planned, ended = status.search.trials, _ended(status)
    return "running" if ended < planned or status.in_flight else "running, the best are trained again and tested"


def _ended(status: SearchStatus) -> int:
    return sum(status.trials.get(state, 0) for state in ("completed", "pruned", "failed"))


def _trials(status: SearchStatus) -> str:
    told = ", ".join(f"{number:,} {state}" for state, number in status.trials.items())
    return f"{_ended(status):,} of {status.search.trials:,} ended" + (f": {told}" if told else "")


def _best(status: SearchStatus) -> str | None:
    if status.best is None:
        return None
    figures = {name: status.best.metrics.get(name) for name, _ in status.search.objectives}
    figures.setdefault("parameters", status.best.architecture.parameters)
    said = ", ".join(f"{name} {show(_plain(name, value))}" for name, value in figures.items())
    return f"trial {status.best.number + 1}: {said}"


def _plain(name: str, value: float | None) -> float | int | None:
    counted = name.endswith(("_bytes", "parameters", "macs", "buffers"))
    return int(value) if value is not None and counted and float(value).is_integer() else value


def _budgets(status: SearchStatus) -> list[tuple[str, float, float | None, Any]]:
    """What a search has used of what it may: the name, both figures, and how to say them."""
    config: Mapping[str, Any] = status.search.run.config
    return [
        ("trials", _ended(status), status.search.trials, str),
        ("wall_seconds", status.active_seconds, config.get("seconds"), duration),
        ("cpu_seconds", status.cpu_seconds, config.get("cpu_seconds"), duration),
        ("bytes", status.transferred_bytes, config.get("upload_bytes"), size),
    ]


def _spent(used: float, limit: float | None, say: Any) -> str | None:
    if limit is None:
        return say(used) if used else None
    return f"{say(used)} of {say(limit)} ({used / limit:.0%})"


def _age(flight: FlightRecord, status: SearchStatus) -> float:
    """How long a trial has been at its worker, or waits for one, in seconds."""
    return max(0.0, (status.at - (flight.leased or flight.started)).total_seconds())


def _flights(status: SearchStatus) -> list[str]:
    if not status.in_flight:
        return []
    rows: Sequence[Sequence[str]] = [
        [
            str(flight.number + 1),
            str(flight.attempt),
            _where(flight),
            duration(_age(flight, status)),
            "-" if flight.heartbeat is None else f"{duration((status.at - flight.heartbeat).total_seconds())} ago",
        ]
        for flight in status.in_flight[:MAX_FLIGHTS]
    ]
    title = f"{count(len(status.in_flight), 'trial')} in flight"
    lines = ["", *table_lines(["trial", "attempt", "where", "since", "heard of"], rows, title=title, left=["where"])]
    more = len(status.in_flight) - MAX_FLIGHTS
    return [*lines, f"and {more} more"] if more > 0 else lines


def _where(flight: FlightRecord) -> str:
    match flight.state:
        case None:
            return "at the broker"
        case "open":
            return "waits for a worker"
        case "leased":
            return f"worker {flight.worker}"
        case "reported":
            return f"reported by worker {flight.worker}"
        case "lost":
            return f"lost by worker {flight.worker}"

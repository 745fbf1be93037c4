"""`nasturtium worker`: train trials of a search that runs elsewhere."""

from __future__ import annotations

from typing import Annotated

from .options import Db, Json, option
from .output import count, print_json, stdout


def worker(
    study: Annotated[str, option("--study", metavar="ID", help="The search, started with --remote.")],
    db: Db = None,
    workers: Annotated[int, option("--workers", help="Trials at a time, each in a process of its own.")] = 1,
    data: Annotated[
        str | None,
        option("--data", help="Where its data lies on this machine.", show_default="where it lies on the other"),
    ] = None,
    device: Annotated[
        str | None, option("--device", help="cpu or cuda:N.", show_default="as the search was told")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train trials of a search until it ends. SIGTERM and Ctrl-C give back what is not trained to its end."""
    from . import library
    from .progress import WorkerProgress

    with WorkerProgress(workers) as progress:
        reported = library.work(
            study, db=db, workers=workers, data=data, device=device, observe=progress, begin=progress.begin
        )
    run = library.search_status(study, db=db).search.run
    if as_json:
        print_json({"id": run.number, "uid": run.uid, "state": run.state, "trials": reported})
        return
    why = {"running": "told to end", "interrupted": "nobody runs the search any more"}.get(
        run.state, "the search is over"
    )
    stdout().print(f"{count(reported, 'trial')} of search {progress.number} trained here; {why}", soft_wrap=True)

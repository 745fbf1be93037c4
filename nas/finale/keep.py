"""What stays of a search: its model, published, and its report; both can be written again without harm."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...core import parse_json, save_model
from ...storage import Database, History, ModelRegistry, SearchRecord, Tracker, model_name, unpack_model
from .ensemble import join_models, join_specs
from .members import Fitted, Members
from .options import FinaleData
from .report import SearchReport
from .testing import MODEL, find_test

_REPORT = "report"
_FILE = "report.json"


def save(
    data: FinaleData,
    members: Members,
    networks: Sequence[tuple[Fitted, float]],
    report: SearchReport,
    database: Database,
    tracker: Tracker,
    search: SearchRecord,
) -> Path:
    """Save and publish the model, and complete the search; doing it twice is harmless."""
    folder = database.models_dir / search.uid
    known = [run for run in History(database).children(search.uid, "retrain") if run.config.get("phase") == MODEL]
    done = [run for run in known if run.state == "completed"]
    figures = {f"test_{name}": value for name, value in report.model.test.items()} | dict(report.model.validation)
    specs, weights = [fitted.spec for fitted, _ in networks], [weight for _, weight in networks]
    joined = len(networks) > 1
    spec = join_specs(specs, weights) if joined else specs[0]
    plan = spec.plan()
    figures |= {"parameters": float(plan.parameters), "macs": float(plan.macs)}
    if not done:
        best = networks[0][0].member
        config = {"phase": MODEL, "networks": [{"run": fitted.uid, "weight": weight} for fitted, weight in networks]}
        seed, origin = members.seed_of(best), best.trial.uid
        uid = tracker.start_child(search.uid, kind="retrain", seed=seed, config=config, origin=origin)
        with tracker.ending(uid):
            trained = [fitted.model for fitted, _ in networks]
            model = join_models(specs, trained, weights) if joined else trained[0]
            save_model(folder, spec, model, members.preprocessing, members.origin(best) | config | figures)
            for run in (uid, search.uid):
                tracker.record_model(run, folder)
            tracker.finish(uid, state="completed", metrics=figures)
    signature = members.whole.task.to_dict()
    ModelRegistry(database).register(model_name(data.name), search.uid, signature=signature)
    tracker.finish(search.uid, state="completed", metrics=figures)
    return folder


def record(tracker: Tracker, uid: str, report: SearchReport) -> None:
    """Keep the report and complete the run that says that the test rows were looked at."""
    keep_report(tracker, uid, report)
    figures = {f"test_{name}": value for name, value in report.model.test.items()}
    tracker.finish(uid, state="completed", metrics=figures)


def keep_report(tracker: Tracker, uid: str, report: SearchReport) -> None:
    """Keep the report with a run: that of the test, or the search itself where nothing is tested."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, _FILE)
        path.write_text(json.dumps(report.to_dict(), indent=1, allow_nan=False))
        tracker.record_artifact(uid, path, role=_REPORT, media_type="application/json")


def read_report(database: Database, search: str) -> SearchReport | None:
    """The report of a search that was concluded; None of one that was not.

    Args:
        database: of the history.
        search: uid.
    """
    run = find_test(database, search)
    if run is None and any(file.role == _REPORT for file in History(database).artifacts(search)):
        run = search  # of which nothing is tested here
    return None if run is None else read_run(database, run)


def read_run(database: Database, run: str) -> SearchReport:
    """The report that the run of a test keeps."""
    files = [file for file in History(database).artifacts(run) if file.role == _REPORT]
    with tempfile.TemporaryDirectory() as folder:
        unpack_model(database, files, Path(folder, "run"))
        return SearchReport.from_dict(parse_json(Path(folder, "run", _FILE).read_text()))

"""The whole path on each database engine: search, federate, ask, predict."""

from __future__ import annotations

import numpy as np
import pytest

import nasturtium
from nasturtium.nas import EngineChoice


@pytest.mark.usefixtures("fitted_once")
def test_search_federate_and_ask(database_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = EngineChoice(kind="here")
    found = nasturtium.search("digits", trials=2, epochs=2, space="mlp", db=database_url, top=1, repeats=1, engine=here)
    federated = nasturtium.federate(
        "digits", model=found.search.run.number, clients=3, rounds=1, epochs=1, db=database_url
    )
    with nasturtium.open_history(database_url) as history:
        runs = history.runs()
        assert [(run.number, run.kind, run.state) for run in runs] == [
            (2, "federated", "completed"),
            (1, "search", "completed"),
        ]
        assert len(history.trials(found.search.uid)) == 2
        assert history.federated(runs[0].uid).model_run == found.search.uid
        assert [each.participants for each in history.rounds(runs[0].uid)] == [3]
    assert federated.test.rows > 0
    model = nasturtium.load_run_model("1", db=database_url)
    assert model.predict(np.zeros((1, 64)))[0] in model.preprocessing.task.classes

"""A simulation whose sites agree on their preprocessing first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nasturtium.core import ConfigError, derive_rng, load_model
from nasturtium.core.data import Preprocessing
from nasturtium.federated import SimulationConfig, SimulationSetup, simulate
from nasturtium.federated.agreement import conform
from nasturtium.federated.simulation.sites import VALIDATION_FRACTION, site_name
from nasturtium.storage import Ledger, open_database

from .conftest import assert_matches


def training_rows(setup: SimulationSetup) -> np.ndarray:
    """Indices into the pool of the rows that some site trains on."""
    found: list[np.ndarray] = []
    for index, share in enumerate(setup.shares.indices):
        order = derive_rng(setup.config.seed, "validation", site_name(index)).permutation(len(share))
        found.append(share[order[max(1, round(VALIDATION_FRACTION * len(share))) :]])
    return np.concatenate(found)


def write_table(path: Path) -> Path:
    """Numbers, and categories and classes that do not stand in the order they come in."""
    rng = np.random.default_rng(0)
    rows = [f"{rng.normal(50, 9):.3f},{'zyxé'[row % 4]},{['sick', 'healthy', 'maybe'][row % 3]}" for row in range(160)]
    path.write_text("\n".join(["age,group,target", *rows]) + "\n")
    return path


@pytest.mark.parametrize(("scheme", "masked"), [("packed", False), ("packed", True), ("plain", False)])
def test_what_the_sites_agree_on_is_what_their_training_rows_give(tmp_path: Path, scheme: str, masked: bool) -> None:
    config = SimulationConfig(
        data="digits",
        clients=3,
        rounds=1,
        epochs=1,
        scheme=scheme,
        masked=masked,
        preprocessing="agreed",  # pyright: ignore
    )
    setup = SimulationSetup.load(config)
    with open_database(tmp_path / "history.db") as database:
        result = simulate(setup, database)
        entries = Ledger(database).entries(run=result.run.run.uid, kind="spend")
    before = [entry.body["mechanism"] for entry in entries if entry.body["round"] == 0]
    assert before == [f"exact sum for preprocessing, question {number}" for number in (1, 2, 3, 4)]
    saved = load_model(result.model).preprocessing
    rows = setup.pool.take(training_rows(setup))
    assert_matches(saved, Preprocessing.fit(rows.inputs, setup.pool.task))


def test_a_table_with_categories_is_agreed_on_and_the_model_is_measured_under_its_task(tmp_path: Path) -> None:
    path = write_table(tmp_path / "table.csv")
    config = SimulationConfig(data=str(path), target="target", clients=4, rounds=1, epochs=1, preprocessing="agreed")
    setup = SimulationSetup.load(config)
    with open_database(tmp_path / "history.db") as database:
        result = simulate(setup, database)
    saved = load_model(result.model).preprocessing
    rows = conform(setup.pool.take(training_rows(setup)), saved.task)
    assert saved.task.classes == ("healthy", "maybe", "sick")
    assert saved.task.columns[1].categories == ("x", "y", "z", "é")
    assert_matches(saved, Preprocessing.fit(rows.inputs, saved.task))
    assert result.test.rows == len(setup.held_out)


def test_a_setting_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="pooled, agreed"):
        SimulationConfig(data="digits", preprocessing="fitted")  # pyright: ignore
    with pytest.raises(ConfigError, match="allows no release without"):
        SimulationConfig(data="digits", preprocessing="agreed", epsilon=8.0)
    with pytest.raises(ConfigError, match="has room for the 4 participants"):
        SimulationConfig(data="digits", preprocessing="agreed", clients=8, participants=4)

"""Lookup tables: keys in every form, searches by every kind of strategy, clear refusals."""

from __future__ import annotations

from itertools import product
from math import isnan, nan
from typing import Any

import numpy as np
import pytest

from nasturtium.core import Budget, Candidate, ConfigError
from nasturtium.nas.cells import NB201_OPS, format_nb201
from nasturtium.nas.space import Space
from nasturtium.nas.tables import TASK, LookupEvaluator, search_table

SMALL = {key: float(key[0] - abs(key[1] - 2)) for key in product(range(4), range(5))}
EVERY_CELL = list(product(range(5), repeat=6))
CELLS = {key: float(key.count(3) - 0.1 * key.count(0)) for key in EVERY_CELL}
PAIRS = {key: {"gain": float(key[0]), "cost": float(key[0] + key[1])} for key in SMALL}


@pytest.mark.parametrize("strategy", ["predictor", "random", "evolution", "local", "tpe"])
def test_a_small_table_is_searched_to_its_end(strategy: str):
    found = search_table(SMALL, strategy, budget=50, seed=3)
    assert found.distinct == len(found.points) == 20
    assert (found.best, found.best_key) == (3.0, (3, 2))
    assert list(found.best_so_far) == list(np.maximum.accumulate([values[0] for values in found.values if values]))


def test_the_same_seed_makes_the_same_proposals_and_another_one_others():
    first, again, other = (search_table(SMALL, "predictor", budget=15, seed=seed).keys for seed in (1, 1, 2))
    assert first == again != other


def test_minimising_finds_the_smallest():
    found = search_table(SMALL, "predictor", budget=14, seed=0, direction="minimize")
    assert found.best == min(found.best_so_far) == -2.0


def test_several_objectives_have_a_front():
    found = search_table(PAIRS, "predictor", 20, 0, objectives={"gain": "maximize", "cost": "minimize"})
    assert [found.keys[place] for place in found.front] == [(3, 0), (2, 0), (1, 0), (0, 0)]
    curve = found.hypervolumes((-1.0, 10.0))
    assert list(curve) == sorted(curve)
    assert curve[-1] == pytest.approx(10 + 9 + 8 + 7)
    with pytest.raises(ConfigError, match="no single best value"):
        _ = found.best


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(lambda key: key, id="places"),
        pytest.param(lambda key: tuple(NB201_OPS[place] for place in key), id="names"),
        pytest.param(lambda key: format_nb201([NB201_OPS[place] for place in key]), id="strings"),
        pytest.param(lambda key: tuple(np.int64(place) for place in key), id="numpy"),
    ],
)
def test_cells_of_the_benchmark_have_keys_of_every_form(key):
    table = {key(places): value for places, value in CELLS.items()}
    found = search_table(table, "random", 30, 0, space="nb201")
    assert found.distinct == 30
    for point, values in zip(found.keys, found.values, strict=True):
        assert values == (CELLS[tuple(NB201_OPS.index(str(op)) for op in point)],)


def test_one_row_for_each_distinct_cell_is_enough():
    dead = {(1, 0, 0, 3, 0, 0): 1.0, (0, 0, 0, 3, 0, 0): 2.0}  # with an edge that leads nowhere, and without
    evaluator = LookupEvaluator({(0, 0, 0, 3, 0, 0): 2.0}, space="nb201")
    for key in dead:
        flat = dict(zip(evaluator.space.leaves(), (NB201_OPS[place] for place in key), strict=True))
        candidate = Candidate(id="c", spec=evaluator.space.spec(flat), hyperparameters={}, seed=0, flat=flat)
        evaluation = evaluator.evaluate(candidate, Budget(epochs=2, total=5))
        assert (evaluation.objectives, evaluation.epochs) == ({"value": 2.0}, 2)


def test_a_function_is_a_table_of_a_space():
    space = Space.categorical("two", {"a": ("x", "y"), "b": (1, 2, 3)})
    found = search_table(lambda flat: float(flat["b"]) + (flat["a"] == "y"), "local", 6, 0, space=space)
    assert (found.best, found.best_key) == (4.0, ("y", 3))


def test_missing_rows_fail_where_that_is_asked_for():
    table = {**SMALL, (3, 2): nan}
    del table[0, 0]
    found = search_table(table, "predictor", 20, 0, missing="fail")
    assert sum(values is None for values in found.values) == 2
    assert found.best == 2.0
    assert not isnan(found.best_so_far[-1])


def test_nb201_table_task_is_that_of_small_images():
    assert TASK.input_shape == (3, 8, 8)


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        pytest.param({}, {}, "no rows", id="empty"),
        pytest.param({(0, 0): 1.0, (0,): 2.0}, {}, "has 1 entries", id="lengths-differ"),
        pytest.param({(0, 0): 1.0, (0, 1): 2.0, (1, 0): 0.0}, {}, "3 of the 4 combinations", id="incomplete"),
        pytest.param({(0,): 1.0, (1,): nan}, {}, "expected finite numbers", id="nan"),
        pytest.param({(0,): "good"}, {}, "expected a number", id="text"),
        pytest.param({(0,): {"a": 1.0}}, {}, "give `objectives`", id="row-of-several"),
        pytest.param({(0,): {"a": 1.0}}, {"objectives": {"b": "maximize"}}, "numbers for b", id="unknown-objective"),
        pytest.param({(None,): 1.0}, {}, "is no point", id="key-of-none"),
        pytest.param({(0, 0): 1.0}, {"space": "nb201"}, "has 2 entries", id="not-six"),
        pytest.param({(0, 0, 0, 0, 0, 5): 1.0}, {"space": "nb201"}, "places, 0 to 4", id="no-such-place"),
        pytest.param({"|conv~0|": 1.0}, {"space": "nb201"}, "not a cell", id="bad-string"),
        pytest.param({(0,): 1.0}, {"space": "nowhere"}, "nowhere", id="no-such-space"),
        pytest.param({(0,): 1.0}, {"missing": "guess"}, "guess", id="missing"),
        pytest.param(lambda flat: 1.0, {}, "needs a space", id="function-alone"),
        pytest.param({(0,): 1.0}, {"budget": 0}, "at least 1", id="no-budget"),
        pytest.param({(0,): 1.0}, {"strategy": "magic"}, "magic", id="no-such-strategy"),
    ],
)
def test_bad_tables_say_what_is_wrong(table: Any, options: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        search_table(table, **options)


def test_a_row_that_is_missing_is_named():
    with pytest.raises(ConfigError, match="no row for"):
        search_table({(0, 0, 0, 3, 0, 0): 1.0}, "random", 10, 0, space="nb201")

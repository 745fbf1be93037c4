"""Goals and constraints as users write them, fronts against the definition, choices, and what is measured."""

from __future__ import annotations

import gc
import os
import tracemalloc
from contextlib import nullcontext
from datetime import UTC, datetime
from math import inf, isinf, nan
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.study._multi_objective import _fast_non_domination_rank, _is_pareto_front

from nasturtium.core import CPU, ConfigError, ModelSpec, NasturtiumError, build, cuda_count, derive_rng, device
from nasturtium.core.nn import Node, layer_spec
from nasturtium.nas.objectives import (
    OBJECTIVES,
    Goal,
    choose_best,
    crowding_distance,
    find_objective,
    front_of,
    measure_latency,
    measure_peak_memory,
    non_dominated_ranks,
    pareto_front,
    parse_constraint,
    parse_goal,
    parse_goals,
    total_violation,
)
from nasturtium.nas.objectives.inference import random_inputs
from nasturtium.nas.objectives.latency import is_known
from nasturtium.nas.objectives.memory import _pooled
from nasturtium.storage import ArchitectureEntry, TrialRecord

# --- goals ---


@pytest.mark.parametrize(
    ("text", "name", "direction"),
    [
        pytest.param("val_accuracy", "val_accuracy", "maximize", id="its-own-direction"),
        pytest.param("val_loss", "val_loss", "minimize", id="its-own-direction-down"),
        pytest.param("minimize latency_ms", "latency_ms", "minimize", id="before"),
        pytest.param("  Maximise\tval_f1 ", "val_f1", "maximize", id="british-and-spaces"),
        pytest.param("parameters:min", "parameters", "minimize", id="behind"),
        pytest.param("macs : MAX", "macs", "maximize", id="against-its-direction"),
        pytest.param("params", "parameters", "minimize", id="alias"),
        pytest.param("min latency", "latency_ms", "minimize", id="alias-before"),
        pytest.param("maximize val_kappa", "val_kappa", "maximize", id="the-evaluators-own"),
    ],
)
def test_a_goal_is_read_and_written(text, name, direction):
    goal = parse_goal(text)
    assert (goal.name, goal.direction) == (name, direction)
    assert str(goal) == f"{direction} {name}"
    assert parse_goal(str(goal)) == goal
    assert goal.sign == (1 if direction == "maximize" else -1)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        pytest.param("", "not a goal", id="empty"),
        pytest.param("val_accuracy latency_ms", "not a goal", id="two"),
        pytest.param("min val_loss:min", "not a goal", id="twice-said"),
        pytest.param("smallest latency_ms", "not a goal", id="word"),
        pytest.param("latency_ms:", "not a goal", id="nothing-behind"),
        pytest.param("latency_ms <= 2", "not a goal", id="constraint"),
        pytest.param("val_acuracy", "did you mean val_accuracy", id="typing-error"),
        pytest.param("minimize latncy_ms", "did you mean latency_ms", id="typing-error-of-another"),
        pytest.param("val_zzz", "maximize val_zzz", id="own-without-direction"),
        pytest.param("maximize val_", "unknown objective", id="own-without-name"),
        pytest.param("min energy", "expected one of val_accuracy", id="unknown"),
    ],
)
def test_what_is_no_goal_is_refused_with_what_to_write(text, match):
    with pytest.raises(ConfigError) as caught:
        parse_goal(text)
    assert match in f"{caught.value} {caught.value.hint}"


def test_goals_are_at_least_one_and_each_once():
    assert [goal.name for goal in parse_goals(["val_accuracy", "params"])] == ["val_accuracy", "parameters"]
    with pytest.raises(ConfigError, match="needs a goal"):
        parse_goals([])
    with pytest.raises(ConfigError, match="parameters stands twice"):
        parse_goals(["params", "val_loss", "parameters:max"])


def test_only_what_is_measured_is_exempt_from_the_same_trials_again():
    exempt = {name for name in OBJECTIVES if parse_goal(name).exempt}
    assert exempt == {"latency_ms", "peak_memory_bytes", "train_seconds"}
    assert exempt == {name for name in OBJECTIVES if parse_constraint(f"{name} <= 1").exempt}


def test_a_goal_that_was_not_told_says_what_was():
    goal = parse_goal("val_auroc")
    assert goal.value({"val_auroc": 0.75}) == 0.75
    with pytest.raises(ConfigError, match="tells val_loss"):
        goal.value({"val_loss": 1.0})


def test_names_and_aliases_are_of_one_objective():
    names = [name for objective in OBJECTIVES.values() for name in (objective.name, *objective.aliases)]
    assert len(names) == len(set(names))
    for objective in OBJECTIVES.values():
        assert {find_objective(name) for name in (objective.name, *objective.aliases)} == {objective}


# --- constraints ---


@pytest.mark.parametrize(
    ("text", "written", "bound"),
    [
        pytest.param("params <= 50000", "parameters <= 50000", 50_000, id="alias"),
        pytest.param("params<=50k", "parameters <= 50000", 50_000, id="thousands"),
        pytest.param("macs <= 1.5M", "macs <= 1500000", 1.5e6, id="millions"),
        pytest.param("parameters <= 50_000", "parameters <= 50000", 50_000, id="underscore"),
        pytest.param("latency_ms<=2", "latency_ms <= 2", 2, id="no-spaces"),
        pytest.param("latency_ms <= 250us", "latency_ms <= 0.25", 0.25, id="microseconds"),
        pytest.param("latency <= 1.5 s", "latency_ms <= 1500", 1500, id="seconds"),
        pytest.param("train_seconds <= 2min", "train_seconds <= 120", 120, id="minutes"),
        pytest.param("model_bytes <= 64 KiB", "model_bytes <= 65536", 2**16, id="kibibytes"),
        pytest.param("upload_bytes <= 64kB", "upload_bytes <= 64000", 64_000, id="kilobytes"),
        pytest.param("val_accuracy >= 0.9", "val_accuracy >= 0.9", 0.9, id="at-least"),
        pytest.param("val_accuracy >= 57%", "val_accuracy >= 0.57", 0.57, id="percent"),
        pytest.param("val_r2 >= -1e-3", "val_r2 >= -0.001", -0.001, id="negative-exponent"),
        pytest.param("val_kappa >= .5", "val_kappa >= 0.5", 0.5, id="the-evaluators-own"),
    ],
)
def test_a_constraint_is_read_and_written(text, written, bound):
    constraint = parse_constraint(text)
    assert constraint.bound == bound
    assert str(constraint) == written
    assert parse_constraint(written) == constraint


@pytest.mark.parametrize(
    ("text", "match"),
    [
        pytest.param("", "not a constraint", id="empty"),
        pytest.param("params", "not a constraint", id="name"),
        pytest.param("params <=", "not a constraint", id="no-bound"),
        pytest.param("2 >= latency_ms", "not a constraint", id="turned-round"),
        pytest.param("params < 5", "expected <= or >=", id="strict"),
        pytest.param("params == 5", "expected <= or >=", id="equal"),
        pytest.param("params => 5", "expected <= or >=", id="arrow"),
        pytest.param("params <= many", "not a number", id="word"),
        pytest.param("params <= nan", "not a number", id="nan"),
        pytest.param("params <= inf", "not a number", id="inf"),
        pytest.param("params <= 1e999", "must be finite", id="too-large"),
        pytest.param("params <= 5 KiB", "expected a number, with or without one of k", id="bytes-of-a-count"),
        pytest.param("latency_ms <= 5k", "us, ms, s", id="thousands-of-a-time"),
        pytest.param("val_accuracy >= 9 ms", "one of %", id="time-of-a-fraction"),
        pytest.param("params <= 5 <= 6", "not a number", id="two"),
        pytest.param("paramters <= 5", "did you mean parameters", id="typing-error"),
    ],
)
def test_what_is_no_constraint_is_refused_with_what_to_write(text, match):
    with pytest.raises(ConfigError) as caught:
        parse_constraint(text)
    assert match in f"{caught.value} {caught.value.hint}"


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.sampled_from(sorted(OBJECTIVES)), st.sampled_from(["<=", ">="]), FINITE)
def test_every_constraint_survives_its_text(name, op, bound):
    constraint = parse_constraint(f"{name} {op} {bound!r}")
    assert constraint.bound == bound
    assert parse_constraint(str(constraint)) == constraint


@given(st.text(max_size=30))
def test_garbage_is_refused_with_our_error(text):
    for parse in (parse_goal, parse_constraint):
        try:
            parse(text)
        except ConfigError:
            continue


@pytest.mark.parametrize(
    ("text", "value", "violation"),
    [
        pytest.param("params <= 100", 100, 0, id="on-the-bound"),
        pytest.param("params <= 100", 150, 0.5, id="half-too-many"),
        pytest.param("val_accuracy >= 0.8", 0.6, pytest.approx(0.25), id="a-quarter-short"),
        pytest.param("val_accuracy >= 0.8", 0.9, 0, id="more-than-asked"),
        pytest.param("val_r2 >= 0", -0.5, 0.5, id="of-zero"),
        pytest.param("val_r2 >= -2", -3, 0.5, id="of-a-negative"),
        pytest.param("params <= 100", nan, inf, id="nan"),
        pytest.param("params <= 100", inf, inf, id="infinite"),
        pytest.param("val_loss <= 1", -inf, 0, id="infinitely-good"),
    ],
)
def test_a_violation_is_the_excess_as_a_part_of_the_bound(text, value, violation):
    constraint = parse_constraint(text)
    assert constraint.violation({constraint.objective.name: value}) == violation
    assert isinf(constraint.violation({}))


@given(FINITE, FINITE)
def test_a_violation_is_zero_exactly_where_the_bound_is_kept(value, bound):
    for op, kept in (("<=", value <= bound), (">=", value >= bound)):
        violation = parse_constraint(f"val_r2 {op} {bound!r}").violation({"val_r2": value})
        assert (violation == 0) == kept
        assert violation >= 0


def test_what_the_specification_decides_is_static():
    static = {name for name in OBJECTIVES if parse_constraint(f"{name} <= 1").static}
    assert static == {
        "parameters",
        "buffers",
        "macs",
        "peak_activation_bytes",
        "model_bytes",
        "upload_bytes",
    }


def test_violations_add_up():
    constraints = [parse_constraint("params <= 100"), parse_constraint("val_accuracy >= 0.5")]
    assert total_violation(constraints, {"parameters": 200, "val_accuracy": 0.25}) == 1.5
    assert total_violation([], {}) == 0


# --- fronts ---

VALUE = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0, inf, -inf, nan])
DIRECTION = st.sampled_from(["minimize", "maximize"])


@st.composite
def tables(draw) -> tuple[list[list[float]], list[str]]:
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(VALUE, min_size=width, max_size=width), max_size=20))
    return rows, draw(st.lists(DIRECTION, min_size=width, max_size=width))


def beats(a: list[float], b: list[float], directions: list[str]) -> bool:
    signs = [1 if direction == "maximize" else -1 for direction in directions]
    pairs = [(s * x, s * y) for s, x, y in zip(signs, a, b, strict=True)]
    return all(x >= y for x, y in pairs) and any(x > y for x, y in pairs)


def known(row: list[float]) -> bool:
    return not any(x != x for x in row)


@given(tables())
def test_the_front_is_what_nothing_beats_each_once_and_the_best_first(table):
    rows, directions = table
    front = pareto_front(rows, directions)
    expected = {
        tuple(row) for row in rows if known(row) and not any(known(o) and beats(o, row, directions) for o in rows)
    }
    assert [tuple(rows[i]) for i in front] == sorted(
        expected, key=lambda row: [-x if d == "maximize" else x for x, d in zip(row, directions, strict=True)]
    )
    for i in front:
        assert rows.index(rows[i]) == i, "of equal ones the first"


@given(tables())
def test_a_rank_is_how_often_the_front_was_taken_away(table):
    rows, directions = table
    expected, left, rank = [0] * len(rows), {i for i, row in enumerate(rows) if known(row)}, 0
    while left:
        front = {i for i in left if not any(beats(rows[j], rows[i], directions) for j in left)}
        for i in front:
            expected[i] = rank
        left, rank = left - front, rank + 1
    for i, row in enumerate(rows):
        if not known(row):
            expected[i] = rank
    assert non_dominated_ranks(rows, directions).tolist() == expected


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_fronts_and_ranks_of_many_points_are_optunas(width):
    losses = np.round(np.random.default_rng(width).random((400, width)), 2)
    directions = ["minimize"] * width
    ranks = non_dominated_ranks(losses, directions)
    assert ranks.tolist() == _fast_non_domination_rank(losses).tolist()
    on_front = _is_pareto_front(losses, assume_unique_lexsorted=False)
    assert {tuple(losses[i]) for i in pareto_front(losses, directions)} == {tuple(row) for row in losses[on_front]}
    assert np.array_equal(ranks == 0, on_front)


def test_crowding_is_the_distance_of_the_neighbours():
    front = [[0.0, 10.0], [1.0, 6.0], [2.0, 5.0], [10.0, 0.0]]
    assert crowding_distance(front).tolist() == pytest.approx([inf, 2 / 10 + 5 / 10, 9 / 10 + 6 / 10, inf])
    assert crowding_distance([]).shape == (0,)
    assert crowding_distance([[1.0, 2.0]]).tolist() == [inf]


@given(tables().filter(lambda table: all(known(row) for row in table[0])))
def test_crowding_is_never_negative_or_unknown_and_ends_are_far(table):
    rows, _ = table
    distances = crowding_distance(rows)
    assert distances.shape == (len(rows),)
    assert (distances >= 0).all()
    for values in zip(*rows, strict=True):
        column = np.array(values)
        if column.min() != column.max():
            assert isinf(distances[column == column.min()].max())
            assert isinf(distances[column == column.max()].max())


@pytest.mark.parametrize(
    ("points", "directions"),
    [
        pytest.param([[1, 2]], ["minimize"], id="width"),
        pytest.param([1, 2], ["minimize"], id="axes"),
        pytest.param([[1]], ["least"], id="direction"),
        pytest.param([], [], id="no-objective"),
    ],
)
def test_tables_that_do_not_fit_are_refused(points, directions):
    for function in (pareto_front, non_dominated_ranks):
        with pytest.raises(ConfigError, match="expected"):
            function(points, directions)


# --- the choice ---


def trial(number: int, parameters: int = 10, state: str = "completed", macs: int = 5, **metrics: float) -> TrialRecord:
    return TrialRecord(
        uid=f"T{number}",
        number=number,
        attempt=1,
        state=state,
        seed=0,
        architecture=ArchitectureEntry(
            sha256="0" * 64, space="mlp", choices={}, spec={}, parameters=parameters, macs=macs
        ),
        hyperparameters={},
        optuna_number=number,
        started=datetime(2026, 1, 1, tzinfo=UTC),
        ended=None,
        error=None,
        metrics=metrics,
    )


USUAL = parse_goals(["val_accuracy", "parameters", "macs"])
ONE = parse_goals(["val_accuracy"])


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        pytest.param([trial(0, val_accuracy=0.8), trial(1, val_accuracy=0.9)], 1, id="most-accurate"),
        pytest.param([trial(0, 20, val_accuracy=0.9), trial(1, 10, val_accuracy=0.9)], 1, id="smaller-of-equals"),
        pytest.param(
            [trial(0, val_accuracy=0.9, macs=7), trial(1, val_accuracy=0.9, macs=6)], 1, id="fewer-macs-of-equals"
        ),
        pytest.param(
            [trial(0, val_accuracy=0.9, val_loss=0.3), trial(1, val_accuracy=0.9, val_loss=0.2)], 1, id="lower-loss"
        ),
        pytest.param([trial(0, val_accuracy=0.9), trial(1, val_accuracy=0.9, val_loss=9.0)], 1, id="loss-is-known"),
        pytest.param([trial(5, val_accuracy=0.9), trial(4, val_accuracy=0.9)], 4, id="earlier-of-equals"),
        pytest.param(
            [
                trial(0, state="failed", val_accuracy=1.0),
                trial(1, state="pruned", val_accuracy=0.9),
                trial(2, val_accuracy=0.1),
            ],
            2,
            id="completed-only",
        ),
        pytest.param([trial(0, val_accuracy=nan), trial(1), trial(2, val_accuracy=0.1)], 2, id="told-only"),
    ],
)
@pytest.mark.parametrize("goals", [USUAL, ONE])
def test_the_best_trial(trials, best, goals):
    assert choose_best(trials, goals).number == best
    assert front_of(trials, goals)[0].number == best


def test_the_front_is_of_any_goals_in_any_direction():
    trials = [
        trial(0, val_rmse=2.0, latency_ms=1.0),
        trial(1, val_rmse=1.0, latency_ms=2.0),
        trial(2, val_rmse=2.0, latency_ms=2.0),
    ]
    assert [t.number for t in front_of(trials, parse_goals(["val_rmse", "latency_ms"]))] == [1, 0]
    assert [t.number for t in front_of(trials, parse_goals(["latency_ms:max", "val_rmse:max"]))] == [2]


def test_of_equals_by_the_first_goal_the_best_by_the_others_so_that_it_is_on_the_front():
    trials = [trial(0, 5, val_accuracy=0.9, latency_ms=2.0), trial(1, 50, val_accuracy=0.9, latency_ms=1.0)]
    assert choose_best(trials, parse_goals(["val_accuracy", "latency_ms"])).number == 1


def test_constraints_come_first_and_who_breaks_them_all_is_told():
    trials = [trial(0, 100, val_accuracy=0.9), trial(1, 60, val_accuracy=0.8), trial(2, 40, val_accuracy=0.7)]
    assert choose_best(trials, ONE, [parse_constraint("params <= 60")]).number == 1
    with pytest.raises(NasturtiumError, match=r"trial 3 comes closest: 40.0 where parameters <= 30 is asked"):
        choose_best(trials, ONE, [parse_constraint("params <= 30")])
    assert front_of(trials, ONE, [parse_constraint("params <= 30")]) == []


@pytest.mark.parametrize("trials", [[], [trial(0, state="failed")], [trial(0)]])
def test_a_search_without_a_result_has_no_best(trials):
    with pytest.raises(NasturtiumError, match="trained to the end"):
        choose_best(trials, USUAL)


# --- what is measured ---

MLP = ModelSpec((20,), (layer_spec("linear", out_features=300), layer_spec("linear", out_features=3)))
TEXT = ModelSpec((7,), (layer_spec("embedding", tokens=5, features=4), layer_spec("gru", hidden=3, sequences=False)))
BOTH = ModelSpec(
    (7,),
    (
        layer_spec(
            "graph",
            nodes=(
                Node("words", layer_spec("embedding", tokens=5, features=4), ("text",)),
                Node("mean", layer_spec("sequence_mean"), ("words",)),
                Node("all", layer_spec("concat"), ("mean", "numbers")),
            ),
            inputs=("text", "numbers"),
            other_shapes=((2,),),
        ),
    ),
)


def rng() -> np.random.Generator:
    return derive_rng(0, "measure")


@pytest.mark.parametrize("spec", [MLP, TEXT, BOTH], ids=["numbers", "tokens", "several-inputs"])
def test_latency_is_a_positive_median_of_the_runs(spec):
    found = measure_latency(spec, device=CPU, rng=rng(), batch=3, runs=12, spread=0)
    assert found.runs == 12
    assert found.median_ms > 0
    assert found.iqr_ms >= 0


def test_a_module_is_measured_on_the_inputs_it_is_given():
    model = build(MLP, rng())
    seen = []
    model.add_hook(lambda module, inputs, output: seen.append((inputs[0].shape, module.training)))
    inputs = [np.ones((4, 20), np.float32)]
    measure_latency(model, device=CPU, rng=rng(), warmup=2, runs=3, inputs=inputs)
    assert seen == [((4, 20), False)] * 5
    assert measure_peak_memory(model, device=CPU, rng=rng(), inputs=inputs) > inputs[0].nbytes
    with pytest.raises(ConfigError, match="does not know its inputs"):
        measure_latency(model, device=CPU, rng=rng())


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"warmup": 0}, {"runs": 0}, {"spread": -0.1}, {"spread": 1.0}, {"spread": nan}]
)
def test_what_cannot_be_measured_is_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        measure_latency(MLP, device=CPU, rng=rng(), **options)


def test_measuring_leaves_process_and_collector_as_they_were():
    before = os.sched_getaffinity(0)
    model = build(MLP, rng())
    inside = []
    model.add_hook(lambda *_: inside.append((len(os.sched_getaffinity(0)), gc.isenabled())))
    measure_latency(model, device=CPU, rng=rng(), warmup=1, runs=2, inputs=[np.ones((1, 20), np.float32)])
    assert inside[0] == (len(before), True)
    assert [collecting for _, collecting in inside[1:]] == [False, False]
    assert os.sched_getaffinity(0) == before
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("times", "spread", "expected"),
    [
        pytest.param([5] * 10, 0.01, True, id="all-equal"),
        pytest.param([5] * 10, 0.0, False, id="never"),
        pytest.param([1, 9] * 5, 0.01, False, id="wide"),
        pytest.param([100, 101] * 50, 0.01, True, id="narrow"),
    ],
)
def test_a_median_is_known_when_its_interval_is_narrow(times, spread, expected):
    assert is_known(times, spread) is expected


def test_peak_memory_holds_at_least_the_inputs_and_the_widest_pair():
    batch = 1000
    found = measure_peak_memory(MLP, device=CPU, rng=rng(), batch=batch)
    assert 4 * batch * 320 <= found <= 4 * batch * 320 + 100_000
    assert not tracemalloc.is_tracing()


def test_peak_memory_leaves_a_running_trace_alone():
    tracemalloc.start()
    try:
        assert measure_peak_memory(MLP, device=CPU, rng=rng()) > 0
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


def test_the_peak_of_a_gpu_is_how_far_its_pool_grows():
    """With a pool that keeps what it took, as CuPy's does."""
    total = [700]

    class Pool:
        def free_all_blocks(self) -> None:
            total[0] = 100  # in use

        def total_bytes(self) -> int:
            return total[0]

    def infer() -> None:
        total[0] += 512

    fake = SimpleNamespace(
        xp=SimpleNamespace(get_default_memory_pool=Pool), active=nullcontext, synchronize=lambda: None
    )
    assert _pooled(infer, fake) == 512


def test_inputs_are_tokens_where_an_embedding_reads_them():
    words, numbers = random_inputs(BOTH, 50, rng())
    assert (words.shape, words.dtype, words.min(), words.max()) == ((50, 7), np.int64, 0, 4)
    assert (numbers.shape, numbers.dtype) == ((50, 2), np.float32)
    [again, _] = random_inputs(BOTH, 50, rng())
    np.testing.assert_array_equal(words, again)


@pytest.mark.gpu
@pytest.mark.skipif(not cuda_count(), reason="no CUDA device, or no CuPy")
def test_a_gpu_is_measured():
    place = device("cuda:0")
    assert measure_latency(MLP, device=place, rng=rng(), runs=10).median_ms > 0
    assert measure_peak_memory(MLP, device=place, rng=rng(), batch=1000) >= 4 * 1000 * 320


def test_directions_are_optunas_words():
    for objective in OBJECTIVES.values():
        goal = Goal(objective, objective.direction)
        assert StudyDirection[goal.direction.upper()].name.lower() == goal.direction

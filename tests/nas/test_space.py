"""Search spaces: the encoding is fixed, points are canonical, documents round-trip, and what comes from outside is
refused with a reason.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tomllib
from collections import Counter
from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nasturtium.core import ConfigError, FormatError, build, derive_rng
from nasturtium.core.data import Task
from nasturtium.nas import spaces  # noqa: F401 - fills SPACES
from nasturtium.nas.space import (
    SPACES,
    Cell,
    CellStack,
    Chain,
    Choice,
    Float,
    Incoming,
    Int,
    Layer,
    Multiple,
    Optional,
    Outputs,
    Repeat,
    Residual,
    Space,
    StackPart,
    Stride,
    draw,
    layers,
    load_space,
    parse_toml,
    to_toml,
)


def task(*shape: int, classes: int = 3) -> Task:
    names = tuple(f"f{i}" for i in range(prod(shape)))
    return Task(input_shape=shape, features=names, classes=tuple(map(str, range(classes))))


TABLE, IMAGES, SEQUENCES = task(5), task(1, 8, 8), task(12, 3)
NAMED = [
    pytest.param(name, of, id=f"{name}-{of.modality}")
    for name in ("mlp", "resmlp", "tabular", "cnn", "mbconv", "nb201", "darts", "transformer", "tcn", "rnn")
    for of in (TABLE, IMAGES, SEQUENCES)
    if (of.modality == "table" and name in {"mlp", "resmlp", "tabular"})
    or (of.modality == "image" and name in {"cnn", "mbconv", "nb201", "darts", "transformer"})
    or (of.modality == "sequence" and name in {"tcn", "rnn"})
]


def small_space(**options) -> Space:
    width = Choice((4, 8), name="width")
    template = Chain(
        layers.linear(out_features=width),
        Choice({"bent": layers.activation(function=Choice(("relu", "tanh"))), "straight": Chain()}, name="kind"),
        Repeat(0, 2, layers.linear(out_features=Int(1, 9, step=4)), name="more"),
        Optional(layers.linear(out_features=Multiple(width, 0.5)), name="half"),
        layers.linear(out_features=Outputs()),
    )
    return Space("small", TABLE, template, {"learning_rate": Float(1e-4, 1e-1, log=True)}, **options)


# Random templates over rows of any length: everything in them fits ------------------------------------------------

WIDTHS = st.one_of(
    st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True).map(lambda v: Choice(tuple(v))),
    st.builds(lambda low, more: Int(low, low + more), st.integers(1, 4), st.integers(0, 3)),
    st.just(Choice((2, 6), name="width")),
    st.just(Multiple(Choice((2, 6), name="width"), 1.5)),
    st.just(Incoming()),
    st.just(Incoming(0.5)),
    st.integers(1, 9),
)
LEAVES = st.one_of(
    WIDTHS.map(lambda width: layers.linear(out_features=width)),
    st.just(layers.activation(function=Choice(("relu", "tanh"), name="function"))),
    st.just(layers.dropout(rate=Float(0.0, 0.9))),
    st.just(layers.layer_norm()),
    st.just(Chain()),
)
KEEPS = st.sampled_from([Chain(), layers.linear(out_features=Incoming()), layers.activation(function="relu")])
CELLS = st.builds(
    lambda nodes, ops, name: Cell(nodes, {"none": Chain(), "skip": Chain(), **ops}, name=name),
    st.integers(2, 4),
    st.dictionaries(st.sampled_from(["a", "b"]), KEEPS, max_size=2),
    st.none(),
)


def larger(inner):
    alternatives = st.dictionaries(st.sampled_from(["x", "y", "z z"]), inner, min_size=1, max_size=3)
    return st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: Chain(*parts)),
        alternatives.map(Choice),
        st.builds(lambda low, more, node: Repeat(low, low + more, node), st.integers(0, 1), st.integers(0, 2), inner),
        inner.map(Optional),
        st.builds(Residual, inner, st.booleans()),
    )


TEMPLATES = st.recursive(st.one_of(LEAVES, CELLS), larger, max_leaves=6)
HYPERPARAMETERS = st.dictionaries(
    st.sampled_from(["learning_rate", "batch_size", "optimizer"]),
    st.one_of(st.just(Float(0.1, 2.0, log=True)), st.just(Int(1, 64, log=True)), st.just(Choice(("a", "b")))),
    max_size=2,
)
SPACES_OF_ROWS = st.builds(
    lambda template, hyperparameters: Space(
        "random", TABLE, Chain(template, layers.linear(out_features=Outputs())), hyperparameters
    ),
    TEMPLATES,
    HYPERPARAMETERS,
)
SEEDS = st.integers(0, 2**32)
slow_to_draw = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)


def any_point(space: Space, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {path: draw(leaf, rng) for path, leaf in space.leaves().items()}


def scrambled(space: Space, flat: dict, seed: int) -> dict:
    """The point with every decision that does not count drawn again."""
    other, used = any_point(space, seed), space.active(flat)
    return {path: flat[path] if path in used else other[path] for path in flat}


def check_laws(space: Space, seed: int) -> None:
    flat = any_point(space, seed)
    assert space.leaves().keys() == flat.keys() == Space.from_document(space.to_document(), space.task).leaves().keys()
    other = scrambled(space, flat, seed + 1)
    assert space.identity(other) == space.identity(flat), "decisions that do not count do not matter"
    assert space.active(other) == space.active(flat)
    assert space.spec(other) == space.spec(flat)
    assert space.graph(other) == space.graph(flat)
    canonical = space.canonical(flat)
    assert canonical == space.canonical(other)
    assert space.canonical(canonical) == canonical
    assert space.identity(canonical) == space.identity(flat)
    assert space.choices(canonical) == space.choices(flat)
    graph = space.graph(flat)
    assert graph.labels[0] == "input"
    assert graph.labels[-1] == "output"
    assert all(0 <= i < j < len(graph.labels) for i, j in graph.edges)


@slow_to_draw
@given(space=SPACES_OF_ROWS, seed=SEEDS)
def test_the_laws_of_a_point_hold_in_random_spaces(space, seed):
    check_laws(space, seed)


@pytest.mark.parametrize(("name", "of"), NAMED)
def test_the_laws_of_a_point_hold_in_named_spaces(name, of):
    space = SPACES[name](of)
    for seed in range(12):
        check_laws(space, seed)


@slow_to_draw
@given(space=SPACES_OF_ROWS, seed=SEEDS)
def test_a_document_is_the_whole_space(space, seed):
    """Through JSON text and through TOML text, without code: the same leaves, identities and networks."""
    document = space.to_document()
    flat = any_point(space, seed)
    for again in (json.loads(json.dumps(document)), parse_toml(to_toml(document))):
        assert again == document
        read = Space.from_document(again, TABLE)
        assert read.to_document() == document
        assert read.sha256 == space.sha256
        assert list(read.leaves().items()) == list(space.leaves().items())
        assert read.identity(flat) == space.identity(flat)
        assert read.spec(flat) == space.spec(flat)


@pytest.mark.parametrize(("name", "of"), NAMED)
def test_named_spaces_are_documents(name, of):
    space = SPACES[name](of)
    read = Space.from_document(parse_toml(to_toml(space.to_document())), of)
    assert read.sha256 == space.sha256
    assert read.leaves() == space.leaves()
    flat = any_point(space, 0)
    assert read.spec(flat) == space.spec(flat)
    assert read.total == space.total


# Moves ------------------------------------------------------------------------------------------------------------


def changed(first: dict, second: dict) -> set[str]:
    return {path for path in first if first[path] != second[path] or type(first[path]) is not type(second[path])}


def check_moves(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    flat = space.sample(rng)
    used = space.active(flat)
    near = space.neighbours(flat)
    for point in near:
        (path,) = changed(flat, point)
        assert path in used
        assert space.allows(point)
        assert space.identity(point) != space.identity(flat)
    for point in near[:: max(1, len(near) // 6)]:
        (path,) = changed(flat, point)
        if isinstance(space.leaves()[path], Choice):
            assert flat in space.neighbours(point), "of two points, each is a neighbour of the other or neither"
    moved = space.mutate(flat, rng)
    assert space.allows(moved)
    assert space.identity(moved) != space.identity(flat) or not near
    child = space.crossover(flat, moved, rng)
    assert space.allows(child)
    assert all(child[path] in (flat[path], moved[path]) for path in child)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=40)
@given(space=SPACES_OF_ROWS, seed=SEEDS)
def test_moves_stay_inside_random_spaces(space, seed):
    check_moves(space, seed)


@pytest.mark.parametrize(("name", "of"), NAMED)
def test_moves_stay_inside_named_spaces(name, of):
    check_moves(SPACES[name](of), 3)


def test_neighbours_of_a_table_are_all_that_differ_in_one_decision():
    space = Space.categorical("table", {"a": ("x", "y", "z"), "b": (1, 2), "c": (True, False)})
    flat = {"a": "x", "b": 1, "c": True}
    assert space.neighbours(flat) == [
        flat | {"a": "y"},
        flat | {"a": "z"},
        flat | {"b": 2},
        flat | {"c": False},
    ]


def test_samples_are_uniform():
    """Against the chi-squared distribution with 2 * 2 * 2 * 3 * ... cells of a small table."""
    from scipy.stats import chisquare

    space = Space.categorical("table", {"a": ("x", "y", "z"), "b": (1, 2)})
    rng = np.random.default_rng(0)
    counts = Counter(tuple(space.sample(rng).values()) for _ in range(6000))
    assert len(counts) == 6
    assert chisquare(list(counts.values())).pvalue > 0.001


# What a point is ---------------------------------------------------------------------------------------------------


def test_the_encoding_lists_every_decision_active_or_not():
    assert list(small_space().leaves()) == list(POINT)


POINT = {
    "architecture/width": 8,
    "architecture/kind": "straight",
    "architecture/kind/bent/function": "relu",
    "architecture/more/count": 1,
    "architecture/more/0/out_features": 5,
    "architecture/more/1/out_features": 9,
    "architecture/half/present": True,
    "training/learning_rate": 0.01,
}


def test_a_point_becomes_a_network():
    space = small_space()
    spec = space.spec(POINT)
    assert [(layer.kind, layer.options["out_features"]) for layer in spec.layers] == [
        ("linear", 8),
        ("linear", 5),
        ("linear", 4),  # half of the width, which is one decision for both
        ("linear", 3),
    ]
    assert space.choices(POINT) == {
        "width": 8,
        "kind": "straight",
        "more/count": 1,
        "more/0/out_features": 5,
        "half/present": True,
    }
    assert space.hyperparameters_of(POINT) == {"learning_rate": 0.01}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param({"architecture/kind": "huge"}, "kind: 'huge' is none of 'bent', 'straight'", id="alternative"),
        pytest.param({"architecture/more/0/out_features": 4}, "4 is none of 1 to 9 in steps of 4", id="off-the-steps"),
        pytest.param({"architecture/more/count": True}, "True is none of 0 to 2", id="true-is-not-one"),
        pytest.param({"architecture/width": 8.0}, "8.0 is none of", id="real-for-whole"),
        pytest.param({"architecture/half/present": 1}, "1 is none of False, True", id="one-is-not-true"),
        pytest.param({"training/learning_rate": float("nan")}, "nan is none of", id="nan"),
        pytest.param({"training/learning_rate": "0.1"}, "'0.1' is none of", id="text"),
        pytest.param({"architecture/width": [8]}, "numbers and texts", id="list"),
        pytest.param({"architecture/width": None}, "None is none of", id="null"),
    ],
)
def test_a_point_outside_the_space_is_refused(change, match):
    space = small_space()
    space.identity(POINT)  # what is remembered of this one must not be taken for the other
    with pytest.raises(ConfigError, match=match):
        space.identity(POINT | change)


def test_a_missing_decision_is_refused():
    with pytest.raises(ConfigError, match="no value for 'architecture/width'"):
        small_space().identity({path: value for path, value in POINT.items() if path != "architecture/width"})
    with pytest.raises(ConfigError, match="no decisions architecture/depth"):
        small_space().completed({"architecture/depth": 1})


def test_different_decisions_that_count_are_different_candidates():
    space = small_space()
    for path in space.active(POINT):
        leaf = space.leaves()[path]
        other = 0.02 if isinstance(leaf, Float) else next(v for v in leaf.values if v != POINT[path])
        moved = POINT | {path: other}
        assert space.identity(moved) != space.identity(POINT)
        assert (space.network_id(moved) == space.network_id(POINT)) == path.startswith("training/")


def test_a_network_for_other_rows_is_another_network():
    assert SPACES["mlp"](task(5)).network_id is not None
    a, b, c = (SPACES["mlp"](of) for of in (task(5), task(6), task(5, classes=4)))
    flat = any_point(a, 0)
    assert len({space.network_id(flat) for space in (a, b, c)}) == 3


def test_decisions_of_one_name_are_one_decision():
    width = Choice((4, 8), name="width")
    template = Chain(layers.linear(out_features=width), Repeat(2, 2, layers.linear(out_features=width)))
    space = Space("shared", TABLE, template)
    assert list(space.leaves()) == ["architecture/width"]
    assert [layer.options["out_features"] for layer in space.spec({"architecture/width": 4}).layers] == [4, 4, 4]


def test_layers_in_a_choice_with_a_name_stand_at_places_of_their_own():
    """Weight sharing goes by places: two layers of one network never have the same."""
    norm = Choice({"batch_norm": layers.batch_norm(), "none": Chain()}, name="norm")
    space = Space("places", TABLE, Repeat(1, 3, Chain(layers.linear(out_features=4), norm), name="repeat"))
    flat = space.completed({"architecture/repeat/count": 3, "architecture/norm": "batch_norm"})
    places = [layer.path for layer in space.expanded(flat)]
    assert len(set(places)) == 6
    shorter = [layer.path for layer in space.expanded(flat | {"architecture/repeat/count": 2})]
    assert shorter == places[:4]


def test_the_same_point_gives_the_same_weights_in_a_fresh_process(tmp_path):
    program = """
import hashlib, sys
from nasturtium.core import build, derive_rng
from nasturtium.core.data import Task
from nasturtium.nas import spaces
from nasturtium.nas.space import load_space
import json
flat = json.loads(sys.argv[2])
task = Task(input_shape=(1, 8, 8), features=tuple(f"f{i}" for i in range(64)), classes=("0", "1", "2"))
model = build(load_space(sys.argv[1], task).spec(flat), derive_rng(7, "weights"))
digest = hashlib.sha256()
for name, array in sorted(model.state().items()):
    digest.update(name.encode() + array.tobytes())
print(digest.hexdigest())
"""
    import hashlib

    space = SPACES["cnn"](IMAGES)
    flat = space.sample(np.random.default_rng(0))
    digest = hashlib.sha256()
    for name, array in sorted(build(space.spec(flat), derive_rng(7, "weights")).state().items()):
        digest.update(name.encode() + array.tobytes())
    path = tmp_path / "space.json"
    path.write_text(json.dumps(space.to_document()))
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), json.dumps(flat)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == digest.hexdigest()


# Cells -------------------------------------------------------------------------------------------------------------

OPS = {"none": Chain(), "skip": Chain(), "map": layers.linear(out_features=Incoming())}


def cell_space(**inner) -> Space:
    return Space("cells", TABLE, Repeat(2, 2, Cell(4, OPS | inner, name="cell")))


def wired(**ops: str) -> dict:
    """A point of `cell_space`: operations by edge, as in e01="map"; the others are none."""
    edges = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    return {f"architecture/cell/{i}-{j}": ops.get(f"e{i}{j}", "none") for i, j in edges}


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        pytest.param(wired(e01="map", e13="skip"), wired(e01="map", e12="none", e13="skip"), True, id="itself"),
        pytest.param(wired(e01="map", e13="skip"), wired(e01="map", e13="skip", e02="map"), True, id="a-dead-end"),
        pytest.param(wired(e03="map"), wired(e03="map", e12="map", e23="none"), True, id="nothing-comes-in"),
        pytest.param(
            wired(e01="map", e12="map", e23="skip"), wired(e01="map", e12="map", e23="map"), False, id="one-map-more"
        ),
        pytest.param(wired(e03="map"), wired(e03="skip"), False, id="another-operation"),
        pytest.param(
            wired(e01="map", e13="map", e03="skip"), wired(e01="map", e13="map", e03="none"), False, id="a-skip"
        ),
    ],
)
def test_cells_are_equal_if_they_compute_the_same(first, second, equal):
    space = cell_space()
    assert (space.network_id(first) == space.network_id(second)) == equal
    assert space.spec(first).plan().output_shape == (5,)


def test_what_a_cell_never_uses_does_not_count():
    """Decisions inside of an operation that stands on no edge are switched off."""
    space = cell_space(bent=layers.activation(function=Choice(("relu", "tanh"))))
    inside = "architecture/cell/bent/function"
    off, on = wired(e03="map"), wired(e03="bent")
    assert space.identity(off | {inside: "relu"}) == space.identity(off | {inside: "tanh"})
    assert inside not in space.active(off | {inside: "relu"})
    assert space.identity(on | {inside: "relu"}) != space.identity(on | {inside: "tanh"})


def test_a_cell_without_a_way_through_gives_zeros_and_one_of_skips_passes_on():
    space = cell_space()
    assert [layer.kind for layer in space.spec(wired(e01="map")).layers] == ["zeros", "zeros"]
    with pytest.raises(FormatError, match="expected 1 to"):
        space.spec(wired(e03="skip"))  # nothing is left of the network


def test_each_node_of_a_picking_cell_takes_different_nodes():
    cell = Cell(3, {"a": Chain(), "b": layers.activation(function="relu")}, picks=2)
    assert cell.sources(0) == {"0_1": (0, 1)}
    assert list(cell.sources(1)) == ["0_1", "0_2", "1_2"]
    space = Space("stack", task(4, 3, 3), CellStack((StackPart(cell, 4),)))
    assert "architecture/0/0/from" not in space.leaves(), "there is one way for the first node"
    assert space.leaves()["architecture/0/1/from"].values == ("0_1", "0_2", "1_2")


# Constraints -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("constraint", "value"),
    [
        pytest.param("width <= 4", lambda s, f: f["architecture/width"] <= 4, id="a-number"),
        pytest.param("width == 8", lambda s, f: f["architecture/width"] == 8, id="equal"),
        pytest.param("kind != 'bent'", lambda s, f: f["architecture/kind"] == "straight", id="a-text"),
        pytest.param("half/present == true", lambda s, f: f["architecture/half/present"] is True, id="a-truth"),
        pytest.param("learning_rate < 1e-2", lambda s, f: f["training/learning_rate"] < 1e-2, id="a-hyperparameter"),
        pytest.param("parameters <= 100", lambda s, f: s.costs(f).parameters <= 100, id="a-cost"),
        pytest.param("macs >= 2e2", lambda s, f: s.costs(f).macs >= 200, id="macs"),
        pytest.param(
            "more/0/out_features < more/1/out_features",
            lambda s, f: (
                f["architecture/more/count"] < 2
                or f["architecture/more/0/out_features"] < f["architecture/more/1/out_features"]
            ),
            id="two-decisions-where-they-count",
        ),
    ],
)
def test_constraints_are_kept_by_every_move(constraint, value):
    space = small_space(constraints=(constraint,))
    rng = np.random.default_rng(0)
    first, second = space.sample(rng), space.sample(rng)
    moves = [first, second, space.mutate(first, rng), space.crossover(first, second, rng), *space.neighbours(first)]
    assert all(value(space, flat) for flat in moves)
    free = small_space()
    points = [any_point(free, seed) for seed in range(60)]
    assert [space.allows(flat) for flat in points] == [value(free, flat) for flat in points]
    assert Space.from_document(space.to_document(), TABLE).constraints == (constraint,)


@pytest.mark.parametrize(
    ("constraint", "match"),
    [
        pytest.param("width", "expected a constraint such as", id="no-comparison"),
        pytest.param("depth <= 3", "unknown name 'depth'", id="unknown"),
        pytest.param("1 <= 2", "the name of a decision", id="no-name"),
        pytest.param("kind <= 3", "<= is for numbers", id="order-of-texts"),
        pytest.param("half/present < true", "< is for numbers", id="order-of-truths"),
        pytest.param("width <= nan", "finite", id="nan"),
        pytest.param("width <= " + "9" * 400, "expected a constraint", id="too-long"),
    ],
)
def test_a_constraint_that_makes_no_sense_is_refused(constraint, match):
    with pytest.raises(ConfigError, match=match):
        small_space(constraints=(constraint,))


def test_a_table_has_no_costs_to_constrain():
    with pytest.raises(ConfigError, match="no networks"):
        Space("table", None, None, {"a": Choice((1, 2))}, ("parameters <= 3",))


def test_constraints_that_nothing_keeps_are_reported(monkeypatch):
    monkeypatch.setattr("nasturtium.nas.space.search_space.MAX_DRAWS", 50)
    space = small_space(constraints=("width < 4",))
    with pytest.raises(ConfigError, match="none of 50 random points keeps width < 4"):
        space.sample(np.random.default_rng(0))


def test_a_space_that_never_builds_says_why(monkeypatch):
    monkeypatch.setattr("nasturtium.nas.space.search_space.MAX_DRAWS", 50)
    space = Space("bad", TABLE, layers.conv2d(out_channels=Choice((1, 2)), kernel=3))
    with pytest.raises(ConfigError, match=r"none of 5 random points builds; the last one: .*\(C, H, W\)"):
        space.sample(np.random.default_rng(0))


def test_points_that_do_not_build_are_never_proposed():
    """Pooling a 2 x 2 image twice leaves nothing: the space is not total, and those points are left out."""
    pool = Repeat(0, 3, layers.max_pool2d(size=2), name="pools")
    template = Chain(pool, layers.flatten(), layers.linear(out_features=Outputs()))
    space = Space("pools", task(1, 2, 2), template)
    rng = np.random.default_rng(0)
    assert {space.sample(rng)["architecture/pools/count"] for _ in range(40)} == {0, 1}
    assert space.neighbours({"architecture/pools/count": 1}) == [{"architecture/pools/count": 0}]


def test_a_real_number_is_the_same_candidate_however_it_is_written():
    space = Space("real", TABLE, layers.dropout(rate=Float(0.0, 1.0, name="rate")), {"decay": Float(0.0, 1.0)})
    whole, real = ({"architecture/rate": zero, "training/decay": zero} for zero in (0, 0.0))
    assert space.identity(whole) == space.identity(real)
    assert repr(space.hyperparameters_of(whole)) == "{'decay': 0.0}"
    assert space.spec(whole).sha256 == space.spec(real).sha256


def test_a_multiple_of_a_long_range_is_made_at_once():
    """Nobody goes through the two thousand million numbers."""
    assert Multiple(Int(1, 2**31), 2.0).of.high == 2**31


def test_a_table_of_decisions_is_a_space():
    space = Space.categorical("bench", {"lr": (0.1, 0.01), "wd": ("a", "b")})
    assert space.size == 4
    points = list(space.points())
    assert len({space.identity(point) for point in points}) == 4
    assert space.graph(points[0]).labels == ("input", "lr=0.1", "wd=a", "output")
    for table in (space, Space.categorical("paths", {"cell/0-1": ("x", "y"), "cell/0-2": ("x", "y")})):
        assert Space.from_document(table.to_document(), None).leaves() == table.leaves()
    with pytest.raises(ConfigError, match="has no networks"):
        space.spec(points[0])
    with pytest.raises(ConfigError, match="real numbers"):
        next(iter(small_space().points()))


def test_a_space_for_another_process_does_not_carry_what_was_decided():
    import pickle

    space = small_space()
    before = len(pickle.dumps(space))
    for seed in range(50):
        space.identity(any_point(space, seed))
    sent = pickle.dumps(space)
    assert len(sent) < before + 5000
    assert pickle.loads(sent).identity(POINT) == space.identity(POINT)


# Mistakes in templates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "match"),
    [
        pytest.param(lambda: Choice(()), "no options", id="no-options"),
        pytest.param(lambda: Choice((1, 1)), "stands twice", id="twice"),
        pytest.param(lambda: Choice((float("nan"), 1)), "expected options", id="nan"),
        pytest.param(lambda: Choice((None, 1)), "expected options", id="null"),
        pytest.param(lambda: Choice((1, 2), name="a b"), "without spaces", id="space-in-a-name"),
        pytest.param(lambda: Choice({"a/b": Chain()}), "without slashes", id="slash-in-an-alternative"),
        pytest.param(lambda: Int(3, 2), "low <= high", id="turned-round"),
        pytest.param(lambda: Int(1, 2**40), "whole numbers within", id="huge"),
        pytest.param(lambda: Int(0, 5, log=True), "low >= 1", id="log-of-zero"),
        pytest.param(lambda: Float(0.0, float("inf")), "finite", id="infinite"),
        pytest.param(lambda: Float(0.0, 1.0, log=True), "low > 0", id="log-of-zero-real"),
        pytest.param(lambda: layers.linaer(out_features=3), "unknown layer kind 'linaer'", id="no-such-layer"),
        pytest.param(lambda: layers.linear(width=3), "unknown options", id="no-such-option"),
        pytest.param(lambda: layers.linear(out_features={"a": 1}), "cannot be", id="option-of-another-kind"),
        pytest.param(lambda: Repeat(2, 1, Chain()), "copies", id="copies"),
        pytest.param(lambda: Cell(1, OPS), "2 to 16 nodes", id="one-node"),
        pytest.param(lambda: Cell(4, {}), "at least one operation", id="no-operations"),
        pytest.param(lambda: Cell(4, OPS, picks=2), "with picks none called 'none'", id="none-among-picks"),
        pytest.param(lambda: CellStack((StackPart(Cell(4, OPS), 8),)), "picks > 0", id="stack-of-complete-cells"),
        pytest.param(lambda: Multiple(Choice(("a", "b")), 2), "whole numbers", id="multiple-of-texts"),
        pytest.param(lambda: Incoming(0), "0 < times", id="times-zero"),
        pytest.param(
            lambda: Space(
                "two",
                TABLE,
                Chain(*(layers.linear(out_features=Choice((1, n), name="w")) for n in (2, 3))),
            ),
            "stands for two decisions",
            id="one-name-two-decisions",
        ),
        pytest.param(
            lambda: Space("copies", TABLE, Repeat(1000, 1000, Repeat(1000, 1000, layers.flatten()))),
            "parts with all copies",
            id="copies-of-copies",
        ),
        pytest.param(
            lambda: Space("same", TABLE, layers.linear(out_features=Choice((1, 2), name="x")), {"x": Choice((1, 2))}),
            "name of a decision of the network",
            id="hyperparameter-as-decision",
        ),
        pytest.param(
            lambda: Space("fixed", TABLE, Chain(), {"learning_rate": 0.1}),
            "learning_rate: expected a decision between values, got 0.1",
            id="hyperparameter-that-is-fixed",
        ),
        pytest.param(
            lambda: Space("parts", TABLE, Chain(), {"head": Choice({"none": Chain()})}),
            "head: expected a decision between values",
            id="layers-as-hyperparameter",
        ),
        pytest.param(
            lambda: Space("path", TABLE, Chain(), {"a/b": Choice((1, 2))}),
            "without slashes",
            id="path-as-hyperparameter",
        ),
    ],
)
def test_mistakes_in_a_template_are_named(make, match):
    with pytest.raises(ConfigError, match=match):
        make()


def test_names_that_are_no_layer_kind_are_python_errors_only_for_private_ones():
    assert "linear" in dir(layers)
    with pytest.raises(AttributeError):
        _ = layers._repr


# Documents from outside --------------------------------------------------------------------------------------------


def document() -> dict:
    return json.loads(json.dumps(small_space(constraints=("width <= 4",)).to_document()))


def with_template(template: object) -> dict:
    return document() | {"template": template, "constraints": []}


def nested(depth: int) -> object:
    found: object = {"layer": "flatten"}
    for _ in range(depth):
        found = {"residual": found}
    return found


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="list"),
        pytest.param({}, id="empty"),
        pytest.param(document() | {"version": 99}, id="newer"),
        pytest.param(document() | {"version": True}, id="version-true"),
        pytest.param(document() | {"name": 3}, id="name"),
        pytest.param(document() | {"name": "x" * 10_000}, id="long-name"),
        pytest.param(document() | {"extra": 1}, id="extra"),
        pytest.param(document() | {"total": "yes"}, id="total"),
        pytest.param(document() | {"hyperparameters": []}, id="hyperparameters"),
        pytest.param(document() | {"hyperparameters": {"a": {"int": [1.5, 2]}}}, id="real-bounds"),
        pytest.param(document() | {"hyperparameters": {"a": {"float": [0, 10**400]}}}, id="too-large-for-a-real"),
        pytest.param(document() | {"hyperparameters": {"a": {"int": [0, 10**30]}}}, id="huge-range"),
        pytest.param(document() | {"hyperparameters": {"a": {"choice": [[1], {}]}}}, id="options-of-lists"),
        pytest.param(document() | {"hyperparameters": {"a": {"float": [0, 1], "log": "no"}}}, id="log"),
        pytest.param(document() | {"constraints": [1]}, id="constraints"),
        pytest.param(with_template(nested(10_000)), id="deep"),
        pytest.param(with_template(nested(30)), id="too-deep"),
        pytest.param(with_template({"repeat": [0, 10**9], "node": {"layer": "flatten"}}), id="endless"),
        pytest.param(with_template({"repeat": [0, 1]}), id="repeat-nothing"),
        pytest.param(with_template({"repeat": [True, 1], "node": []}), id="repeat-true"),
        pytest.param(with_template({"layer": "os.system", "command": "true"}), id="no-layer"),
        pytest.param(with_template({"layer": ["linear"]}), id="kind-of-a-list"),
        pytest.param(with_template({"layer": "linear", "out_features": {"code": "1"}}), id="unknown-value"),
        pytest.param(with_template({"layer": "linear", "out_features": {"incoming": -1}}), id="negative-times"),
        pytest.param(with_template({"layer": "linear", "out_features": {"outputs": False}}), id="outputs-false"),
        pytest.param(with_template({"layer": "residual", "body": {"layers": 3}}), id="layers-of-a-number"),
        pytest.param(with_template({"cell": 4, "operations": {"a": 7}}), id="operation"),
        pytest.param(with_template({"cell": 10**6, "operations": {"a": []}}), id="cell-of-a-million"),
        pytest.param(with_template({"stack": [{"cell": 4}]}), id="stack"),
        pytest.param(with_template({"stack": []}), id="empty-stack"),
        pytest.param(with_template({"choice": {}}), id="empty-choice"),
        pytest.param(with_template("linear"), id="text"),
    ],
)
def test_documents_that_are_no_spaces_are_refused(bad):
    with pytest.raises((FormatError, ConfigError)):
        Space.from_document(bad, TABLE)


def test_copies_of_copies_are_refused_at_once():
    inner: object = {"layer": "activation", "function": "relu"}
    for _ in range(10):
        inner = {"repeat": [1000, 1000], "node": inner}
    with pytest.raises(ConfigError, match="parts with all copies"):
        Space.from_document(with_template(inner), TABLE)


JUNK = [
    None,
    True,
    False,
    -1,
    0,
    3,
    10**30,
    -(10**400),
    1e308,
    0.5,
    "",
    "none",
    "x" * 2000,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
]


def places(value: object, at: tuple = ()) -> list[tuple]:
    found = [at]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*at, index))
    return found


def damaged(original: dict, data) -> dict:
    document = copy.deepcopy(original)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(places(document)[1:]))
        holder = document
        for step in at[:-1]:
            holder = holder[step]
        how = data.draw(st.sampled_from(["replace", "remove", "swap", "add"]))
        if how == "remove":
            del holder[at[-1]]
        elif how == "add" and isinstance(holder[at[-1]], dict):
            holder[at[-1]][data.draw(st.sampled_from(["name", "layer", "choice", "cell", "x"]))] = data.draw(
                st.sampled_from(JUNK)
            )
        elif how == "swap":
            source = data.draw(st.sampled_from(places(original)[1:]))
            taken: object = original
            for step in source:
                taken = taken[step]
            holder[at[-1]] = copy.deepcopy(taken)
        else:
            holder[at[-1]] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
        if not isinstance(document, dict) or len(places(document)) < 2:
            break
    return document


FUZZED = [
    small_space().to_document(),
    *(SPACES[n](of).to_document() for n, of in (("cnn", IMAGES), ("nb201", IMAGES), ("darts", IMAGES))),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_a_damaged_document_never_raises_anything_but_our_errors(data):
    original = json.loads(json.dumps(data.draw(st.sampled_from(FUZZED))))
    document = damaged(original, data)
    try:
        space = Space.from_document(document, IMAGES)
        flat = any_point(space, 0)
        space.identity(flat)
        space.allows(flat)
        space.spec(flat)
        assert Space.from_document(space.to_document(), IMAGES).sha256 == space.sha256
    except (FormatError, ConfigError):
        pass


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(), st.binary().map(lambda b: b.decode("latin-1"))))
def test_text_that_is_no_toml_is_refused(text):
    try:
        value = parse_toml(text)
    except FormatError:
        return
    assert value == tomllib.loads(text)
    with pytest.raises(FormatError):
        Space.from_document(value, TABLE)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a = " + "[" * 5000, id="deep"),
        pytest.param("a = " + "9" * 5000, id="many-digits"),
        pytest.param("a = nan\nb = 2020-01-01", id="values-that-json-has-not"),
    ],
)
def test_hostile_toml_is_refused(text):
    with pytest.raises(FormatError):
        Space.from_document(parse_toml(text), TABLE)


# Files -------------------------------------------------------------------------------------------------------------

MINE = """
format = "nasturtium.space"
version = 1
name = "mine"
constraints = ["width <= 16", "parameters <= 2000"]

[[template]]
layer = "linear"
out_features = {choice = [8, 16, 32], name = "width"}

[[template]]
repeat = [1, 3]
name = "hidden"
node = [
    {layer = "linear", out_features = {incoming = 1.0}},
    {layer = "activation", function = {choice = ["relu", "tanh"]}},
]

[[template]]
layer = "linear"
out_features = {outputs = true}

[hyperparameters]
learning_rate = {float = [1e-4, 1e-1], log = true}
batch_size = {int = [8, 64], log = true}
"""


def test_a_space_of_ones_own_in_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    space = load_space(str(path), TABLE)
    flat = space.sample(np.random.default_rng(0))
    assert flat["architecture/width"] <= 16
    assert space.spec(flat).plan().output_shape == (3,)
    assert set(space.hyperparameters_of(flat)) == {"learning_rate", "batch_size"}
    assert build(space.spec(flat), derive_rng(0)).layers
    as_json = tmp_path / "mine.JSON"
    as_json.write_text(json.dumps(space.to_document()))
    assert load_space(str(as_json), TABLE).sha256 == space.sha256


@pytest.mark.parametrize(
    ("name", "content", "error", "match"),
    [
        pytest.param("none.toml", None, ConfigError, "cannot be read", id="no-such-file"),
        pytest.param("empty.toml", b"", FormatError, "expected a document of format", id="empty"),
        pytest.param("empty.json", b"", FormatError, "not valid JSON", id="empty-json"),
        pytest.param("bytes.toml", b"\xff\xfe\x00\x01", ConfigError, "cannot be read", id="bytes"),
        pytest.param("text.toml", b"hello", FormatError, "not valid TOML", id="text"),
        pytest.param("other.json", b'{"format": "other"}', FormatError, "nasturtium.space", id="another-format"),
        pytest.param("twice.json", b'{"a": 1, "a": 2}', FormatError, "stands twice", id="twice"),
    ],
)
def test_files_that_hold_no_space(tmp_path, name, content, error, match):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=match):
        load_space(str(path), TABLE)


def test_a_folder_and_a_huge_file_are_no_spaces(tmp_path, monkeypatch):
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_space(str(tmp_path / "folder.toml"), TABLE)
    monkeypatch.setattr("nasturtium.nas.space.registry.MAX_BYTES", 10)
    (tmp_path / "huge.toml").write_text(MINE)
    with pytest.raises(FormatError, match="at most 10 bytes"):
        load_space(str(tmp_path / "huge.toml"), TABLE)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"unknown space 'resnet': expected one of .*cnn"):
        load_space("resnet", TABLE)


def test_every_kind_of_part_survives_a_document():
    ops = {"a": Chain(), "b": layers.conv2d(out_channels=Incoming(), kernel=3, stride=Stride())}
    cell = Cell(2, ops, picks=2, name="cell")
    side = layers.conv2d(out_channels=4, kernel=1)
    template = Chain(
        Residual(layers.conv2d(out_channels=4, kernel=(3, 1), padding=None), shortcut=Optional(side)),
        Layer("residual", {"body": (side, layers.batch_norm())}),
        CellStack((StackPart(cell, 4), StackPart(cell, 8, reduce=True))),
        layers.flatten(),
        layers.linear(out_features=Multiple(Int(2, 8, 2, name="w"), 2.0)),
    )
    space = Space("all", task(4, 5, 5), template, {"q": Choice(('"quoted" ü \U0001f600', "b"))})
    for again in (json.loads(json.dumps(space.to_document())), parse_toml(to_toml(space.to_document()))):
        read = Space.from_document(again, space.task)
        assert read.template == space.template
        assert read.leaves() == space.leaves()

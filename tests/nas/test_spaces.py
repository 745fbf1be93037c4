"""The library of named spaces: every point builds for every task that is accepted, and each is what its paper says."""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import comb, prod

import numpy as np
import pytest

from nasturtium.core import ConfigError, Tensor, build, derive_rng
from nasturtium.core.data import Task
from nasturtium.nas.cells import NB201_EDGES, NB201_OPS
from nasturtium.nas.space import SPACES, Choice, Repeat, Space, draw
from nasturtium.nas.spaces import darts, default_space, nb201, tcn
from nasturtium.nas.training import Recipe


def task(*shape: int, kind: str = "classification", outputs: int = 3) -> Task:
    names = tuple(f"f{i}" for i in range(prod(shape)))
    given = tuple(map(str, range(outputs)))
    if kind == "regression":
        return Task(input_shape=shape, features=names, kind="regression", targets=given)
    return Task(input_shape=shape, features=names, classes=given)


SHAPES = {
    "table": [(1,), (13,), (200,)],
    "sequence": [(1, 1), (2, 3), (5, 2), (40, 3)],
    "image": [(1, 1, 1), (3, 1, 1), (1, 1, 7), (1, 2, 2), (2, 3, 3), (1, 3, 5), (1, 8, 8), (1, 28, 28), (3, 32, 32)],
}
SERVES = {
    "mlp": ("table", "sequence", "image"),
    "resmlp": ("table", "sequence", "image"),
    "tabular": ("table",),
    "cnn": ("image",),
    "mbconv": ("image",),
    "nb201": ("image",),
    "darts": ("image",),
    "transformer": ("sequence", "image"),
    "tcn": ("sequence",),
    "rnn": ("sequence",),
}
CASES = [
    pytest.param(name, shape, id=f"{name}-{'x'.join(map(str, shape))}")
    for name, kinds in SERVES.items()
    for kind in kinds
    for shape in SHAPES[kind]
]


def any_point(space: Space, rng: np.random.Generator) -> dict:
    return {path: draw(leaf, rng) for path, leaf in space.leaves().items()}


def test_the_library_is_complete():
    assert SERVES.keys() == SPACES.keys()


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_every_point_builds_for_every_task(name, shape):
    """A part of `total`'s promise: random points, extreme ones, and a forward and shape check of some."""
    rng = np.random.default_rng(0)
    for kind, outputs in (("classification", 3), ("regression", 1)):
        of = task(*shape, kind=kind, outputs=outputs)
        space = SPACES[name](of)
        assert space.total
        ends = [
            {
                path: (leaf.values[end] if hasattr(leaf, "values") else leaf.high)
                for path, leaf in space.leaves().items()
            }
            for end in (0, -1)
        ]
        points = ends + [any_point(space, rng) for _ in range(6 if name in {"darts", "nb201"} else 25)]
        for flat in points:
            assert space.spec(flat).plan().output_shape == (outputs,)
        x = Tensor(rng.standard_normal((2, *shape)).astype(np.float32))
        for flat in points[2:4]:
            spec = space.spec(flat)
            model = build(spec, derive_rng(0)).eval()
            assert model(x).shape == (2, outputs)
            assert sum(parameter.size for parameter in model.parameters()) == spec.plan().parameters


@pytest.mark.parametrize(("name", "kinds"), SERVES.items())
def test_a_task_that_a_space_cannot_serve_is_refused(name, kinds):
    for kind, shapes in SHAPES.items():
        if kind not in kinds:
            with pytest.raises(ConfigError, match=f"space '{name}' needs .* got rows of shape"):
                SPACES[name](task(*shapes[0]))
    with pytest.raises(ConfigError, match="classes or targets"):
        SPACES[name](Task(input_shape=SHAPES[kinds[0]][0], features=task(*SHAPES[kinds[0]][0]).features))


@pytest.mark.parametrize(("name", "kinds"), SERVES.items())
def test_networks_that_may_be_too_large_are_looked_at_before_they_are_proposed(name, kinds):
    large = {"table": (300_000,), "sequence": (2000, 2), "image": (3, 200, 200)}[kinds[-1]]
    space = SPACES[name](task(*large))
    assert not space.total
    flat = space.sample(np.random.default_rng(0))
    assert space.spec(flat).plan().output_shape == (3,)


@pytest.mark.parametrize("kind", ["classification", "regression"])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_training_understands_the_hyperparameters(name, shape, kind):
    space = SPACES[name](of := task(*shape, kind=kind))
    for seed in range(5):
        recipe = Recipe.of(space.hyperparameters_of(any_point(space, np.random.default_rng(seed))))
        recipe.make_augmentation(of)
        recipe.make_criterion(of)
    assert ("label_smoothing" in space.hyperparameters) == (kind == "classification" and name != "nb201")
    if space.hyperparameters:
        assert {"optimizer", "learning_rate", "weight_decay", "batch_size"} <= space.hyperparameters.keys()


def test_augmentations_are_searched_where_an_image_stands_them():
    options = {
        side: SPACES["cnn"](task(channels, side, side)).hyperparameters for side, channels in ((1, 1), (8, 1), (32, 3))
    }
    assert "augmentation" not in options[1]
    assert "flip" not in options[8]["augmentation"].values
    assert "flip" in options[32]["augmentation"].values


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        pytest.param((1, 8, 8), "cnn", id="images"),
        pytest.param((5,), "tabular", id="tables"),
        pytest.param((9, 2), "tcn", id="sequences"),
    ],
)
def test_a_task_has_a_usual_space(shape, name):
    assert default_space(task(*shape)).name == name


def test_what_only_shapes_would_make_equal_is_not_there_twice():
    """The mean of one pixel is the pixel: there is one head then, and never pooling down to one pixel."""
    assert SPACES["cnn"](task(1, 1, 1)).leaves()["architecture/head"].values == ("flatten",)
    for shape in SHAPES["image"][2:]:
        space = SPACES["cnn"](task(*shape))
        heads = space.leaves()["architecture/head"].values
        assert len(heads) == 2
        smallest = space.completed(
            {"architecture/stages": "3"}
            | {f"architecture/pool_{i}": "max" for i in (1, 2) if f"architecture/pool_{i}" in space.leaves()}
            | {"architecture/head": "flatten"}
        )
        flattened = next(e for e in space.expanded(smallest) if e.spec.kind == "flatten")
        assert flattened.output_shape[0] > 8, "more than one pixel of eight channels"
    assert SPACES["tcn"](task(1, 4)).leaves()["architecture/head"].values == ("last",)


# NAS-Bench-201 -----------------------------------------------------------------------------------------------------

CIFAR = task(3, 32, 32, outputs=10)


def cell(*ops: str) -> dict[str, str]:
    return {f"architecture/cell/{i}-{j}": op for (i, j), op in zip(NB201_EDGES, ops, strict=True)}


def test_nb201_has_exactly_the_cells_of_the_benchmark():
    """15,625 cells, of which 6,466 differ by the benchmark's own string form (Dong & Yang 2020, section 3)."""
    space = nb201(CIFAR)
    assert space.size == 15_625
    assert list(space.leaves()) == list(cell(*["none"] * 6))
    assert all(leaf == Choice(NB201_OPS) for leaf in space.leaves().values())
    wiring = next(part.node for part in space.template.parts if isinstance(part, Repeat))
    bare = Space("bare", CIFAR, wiring)  # as the whole network, only faster
    ids = {ops: bare.network_id(cell(*ops)) for ops in product(NB201_OPS, repeat=6)}
    assert len(set(ids.values())) == 6466
    some = list(ids)[::523]
    whole = {ops: space.network_id(cell(*ops)) for ops in some}
    assert all((whole[a] == whole[b]) == (ids[a] == ids[b]) for a in some for b in some)


@pytest.mark.parametrize(
    ("ops", "parameters"),
    [
        # By the layers of the benchmark's code, kernels k x k and norms with scale and shift: the stem has
        # 3 * 16 * 9 + 32, a reduction from C to 2C has 9 * (2 + 4) * C * C + 8 * C and 2 * C * C beside it, the end
        # 128 + 650; every convolution of a cell has k * k * C * C + 2 * C, in 5 cells of each C = 16, 32, 64.
        pytest.param(["skip_connect"] * 6, 73_306, id="skips"),
        pytest.param(["none"] * 6, 73_306, id="nothing"),
        pytest.param(["avg_pool_3x3"] * 6, 73_306, id="pools"),
        pytest.param(["nor_conv_3x3"] * 6, 1_531_546, id="convolutions-3x3"),  # 1.531546 M in NATS-Bench's tables
        pytest.param(["nor_conv_1x1"] * 6, 73_306 + 30 * 5376 + 30 * 224, id="convolutions-1x1"),
        pytest.param(["nor_conv_3x3", *["none"] * 5], 73_306, id="a-dead-convolution"),
    ],
)
def test_nb201_has_the_published_numbers_of_parameters(ops, parameters):
    assert nb201(CIFAR).costs(cell(*ops)).parameters == parameters


def test_nb201_takes_its_sizes():
    space = nb201(CIFAR, channels=8, cells=1)
    flat = cell(*["nor_conv_3x3"] * 6)
    assert Counter(layer.kind for layer in space.spec(flat).layers)["graph"] == 3
    assert Counter(layer.kind for layer in nb201(CIFAR).spec(flat).layers)["graph"] == 15
    for channels, cells in ((0, 1), (1, 0), (100, 1), (8, 100)):
        with pytest.raises(ConfigError, match="expected 1 to"):
            nb201(CIFAR, channels, cells)


def test_nb201_agrees_with_torch():
    """The same weights in a cell written with PyTorch, on odd images in evaluation: means leave padding out."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    space = nb201(task(2, 5, 5), channels=4, cells=1)
    flat = cell("nor_conv_3x3", "avg_pool_3x3", "skip_connect", "nor_conv_1x1", "none", "nor_conv_3x3")
    model = build(space.spec(flat), derive_rng(0)).eval()
    graph = next(layer for layer in model.layers if type(layer).__name__ == "Graph")
    state = {name: torch.tensor(np.asarray(array)) for name, array in graph.state().items()}
    x = np.random.default_rng(0).standard_normal((2, 4, 5, 5)).astype(np.float32)

    def convolved(t, edge: str):
        weight = state[f"nodes.n{edge}_1.weight"]
        y = functional.conv2d(functional.relu(t), weight, padding=weight.shape[-1] // 2)
        return y / np.sqrt(1 + 1e-5)  # a norm as it starts: mean 0, variance 1

    start = torch.tensor(x)
    one = convolved(start, "0_1")
    two = functional.avg_pool2d(start, 3, 1, 1, count_include_pad=False) + one
    expected = convolved(start, "0_3") + convolved(two, "2_3")
    np.testing.assert_allclose(graph(Tensor(x)).data, expected.numpy(), rtol=1e-4, atol=1e-5)


# DARTS -------------------------------------------------------------------------------------------------------------


def test_darts_has_as_many_cells_as_the_paper_says():
    """Four nodes that each choose two of the nodes before them and two of seven operations."""
    space = darts(CIFAR)
    of_cell = [leaf for path, leaf in space.leaves().items() if path.startswith("architecture/normal/")]
    assert prod(len(leaf.values) for leaf in of_cell) == prod(comb(n, 2) for n in (2, 3, 4, 5)) * 7**8
    assert space.leaves()["architecture/reduce/0/op0"].values == (
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    )


def one_operation(op: str) -> dict:
    space = darts(CIFAR, channels=4, cells=3)
    wiring = {path: op for path in space.leaves() if "/op" in path and path.startswith("architecture/")}
    return space.completed(wiring)


@pytest.mark.parametrize(
    ("op", "parameters"),
    [
        # Of one operation with C channels: depthwise k * k * C, pointwise C * C, norm 2 * C; separable ones twice.
        pytest.param("sep_conv_3x3", lambda c: 2 * (9 * c + c * c + 2 * c), id="sep3"),
        pytest.param("sep_conv_5x5", lambda c: 2 * (25 * c + c * c + 2 * c), id="sep5"),
        pytest.param("dil_conv_3x3", lambda c: 9 * c + c * c + 2 * c, id="dil3"),
        pytest.param("dil_conv_5x5", lambda c: 25 * c + c * c + 2 * c, id="dil5"),
        pytest.param("max_pool_3x3", lambda c: 0, id="max"),
    ],
)
def test_darts_operations_have_the_parameters_of_the_paper(op, parameters):
    """Three cells, of which the second and third reduce, with eight operations each."""
    space = darts(CIFAR, channels=4, cells=3)
    with_op, without = (space.costs(one_operation(name)).parameters for name in (op, "avg_pool_3x3"))
    assert with_op - without == 8 * sum(parameters(c) for c in (4, 8, 16))


def test_cells_of_darts_that_are_wired_alike_are_equal():
    space = darts(CIFAR, cells=3)
    base = space.completed({f"architecture/normal/{n}/from": "0_1" for n in (1, 2, 3)})
    nodes = [{f"architecture/normal/{n}/op0": "sep_conv_3x3"} for n in (1, 2)]
    assert space.network_id(base | nodes[0]) == space.network_id(base | nodes[1])
    assert space.network_id(base | nodes[0]) != space.network_id(base)


# The others --------------------------------------------------------------------------------------------------------


def test_tabular_has_the_linear_model():
    space = SPACES["tabular"](task(30, outputs=2))
    spec = space.spec(space.completed({"architecture/kind": "linear"}))
    assert [layer.kind for layer in spec.layers] == ["linear"]
    assert spec.plan().parameters == 30 * 2 + 2
    assert max(space.leaves()["architecture/hidden/0/linear/out_features"].values) == 256


def test_tcn_is_causal_and_looks_at_the_whole_sequence():
    """The features of a step do not change with later steps; the last step sees the first one."""
    space = tcn(task(20, 2))
    flat = space.completed({"architecture/blocks": "5", "architecture/kernel": "3", "architecture/head": "last"})
    expanded = space.expanded(flat)
    end = next(index for index, layer in enumerate(expanded) if layer.spec.kind == "select")
    model = build(space.spec(flat), derive_rng(0)).eval()

    def features(x: np.ndarray) -> np.ndarray:
        y = Tensor(x.astype(np.float32))
        for layer in model.layers[:end]:
            y = layer(y)
        return y.data[0, :, :, 0]

    x = np.random.default_rng(0).standard_normal((1, 20, 2))
    base = features(x)
    assert base.shape[1] == 20
    for step in (0, 7, 19):
        moved = x.copy()
        moved[:, step] += 1
        differs = np.abs(features(moved) - base).max(0) > 0
        assert not differs[:step].any()
        assert differs[step]
    first = x.copy()
    first[:, 0] += 1
    assert (np.abs(features(first) - base).max(0) > 0)[19]


def test_transformers_look_at_a_bounded_number_of_patches():
    for shape in [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 128, 128), (1, 1, 1), (1, 3, 5)]:
        space = SPACES["transformer"](task(*shape))
        for patch in space.leaves()["architecture/patch"].values:
            flat = space.completed({"architecture/patch": patch})
            steps = next(e for e in space.expanded(flat) if e.spec.kind == "image_to_sequence").output_shape[0]
            assert 1 <= steps <= 256


def test_residual_networks_share_their_width():
    space = SPACES["resmlp"](task(7))
    spec = space.spec(space.completed({"architecture/width": 64, "architecture/blocks/count": 3}))
    assert [layer.kind for layer in spec.layers].count("residual") == 3
    assert all(not layer.options["shortcut"] for layer in spec.layers if layer.kind == "residual")

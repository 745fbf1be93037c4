"""Drawings: well-formed SVG of everything, the same each time, nothing on top of something else."""

from __future__ import annotations

from math import prod
from xml.etree import ElementTree

import numpy as np
import pytest

from nasturtium.core.data import Task
from nasturtium.nas.architecture import Architecture
from nasturtium.nas.cells import NB201_EDGES
from nasturtium.nas.drawing import draw_svg
from nasturtium.nas.drawing.rows import Network, Row, compared
from nasturtium.nas.space import SPACES, Choice, Int, Outputs, Repeat, Space, layers
from nasturtium.nas.spaces import darts, nb201

SVG = "{http://www.w3.org/2000/svg}"
CHARACTER = 7.25  # pixels of a 12 pixel monospaced character


def task(*shape: int) -> Task:
    return Task(input_shape=shape, features=tuple(f"f{i}" for i in range(prod(shape))), classes=("a", "b", "c"))


CASES = [
    pytest.param(name, shape, id=name)
    for name, shape in {
        "mlp": (5,),
        "resmlp": (5,),
        "tabular": (5,),
        "cnn": (1, 28, 28),
        "mbconv": (3, 32, 32),
        "nb201": (3, 32, 32),
        "darts": (3, 32, 32),
        "transformer": (1, 28, 28),
        "tcn": (20, 3),
        "rnn": (20, 3),
    }.items()
]


def number(element: ElementTree.Element, name: str) -> float:
    return float(element.attrib[name])


def extents(root: ElementTree.Element) -> list[tuple[float, float, float, float, str]]:
    """Left, top, right and bottom of every text."""
    found = []
    for text in root.iter(f"{SVG}text"):
        words = text.text or ""
        width = len(words) * CHARACTER * (16 / 12 if text.get("class") == "head" else 1)
        left = number(text, "x") - {"middle": width / 2, "end": width}.get(text.get("text-anchor", ""), 0.0)
        found.append((left, number(text, "y") - 9, left + width, number(text, "y") + 3, words))
    return found


def check_layout(svg: str) -> ElementTree.Element:
    """Nothing is cut off, no text stands on another one, and boxes do not overlap."""
    root = ElementTree.fromstring(svg)
    width, height = number(root, "width"), number(root, "height")
    texts = extents(root)
    for left, top, right, bottom, words in texts:
        assert left >= 0, words
        assert top >= 0, words
        assert right <= width, words
        assert bottom <= height, words
    for index, (left, top, right, bottom, words) in enumerate(texts):
        for other in texts[index + 1 :]:
            apart = right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            assert apart, f"{words!r} stands on {other[4]!r}"
    boxes = [
        (number(box, "x"), number(box, "y"), number(box, "width"), number(box, "height"))
        for box in root.iter(f"{SVG}rect")
        if "x" in box.attrib
    ]
    for index, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert x + w <= width
        assert y + h <= height
        for a, b, c, d in boxes[index + 1 :]:
            assert x + w <= a or a + c <= x or y + h <= b or b + d <= y
    return root


def words_of(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_every_space_can_be_drawn(name, shape):
    space = SPACES[name](task(*shape))
    rng = np.random.default_rng(1)
    for _ in range(4 if name == "darts" else 8):
        flat = space.sample(rng)
        moved = space.mutate(space.mutate(flat, rng), rng)
        check_layout(draw_svg(space, flat))
        check_layout(draw_svg(space, moved, other=flat))
        assert draw_svg(space, flat) == draw_svg(space, dict(reversed(flat.items())))


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_drawing_says_what_a_network_costs(name, shape):
    """The parameters beside the layers add up to those of the network, and the last shape is the output's."""
    space = SPACES[name](task(*shape))
    flat = space.sample(np.random.default_rng(2))
    root = ElementTree.fromstring(draw_svg(space, flat))
    right = max(number(text, "x") for text in root.iter(f"{SVG}text") if text.text == "parameters")
    beside = sum(
        int((text.text or "").replace(",", ""))
        for text in root.iter(f"{SVG}text")
        if text.get("text-anchor") == "end" and number(text, "x") == right and text.text != "parameters"
    )
    assert beside == space.costs(flat).parameters
    words = words_of(draw_svg(space, flat))
    assert f"input {'x'.join(map(str, shape))}" in words
    assert "output 3" in words
    assert any(f"{space.costs(flat).parameters:,} parameters" in word for word in words)


def test_an_architecture_is_drawn_without_hyperparameters():
    space = SPACES["cnn"](task(1, 8, 8))
    flat = space.sample(np.random.default_rng(0))
    architecture = Architecture.of(space, flat)
    assert any("learning_rate" in word for word in words_of(draw_svg(space, flat)))
    assert not any("learning_rate" in word for word in words_of(architecture.svg(space)))
    assert architecture.svg(space, other=architecture) == draw_svg(space, architecture, other=architecture)


def test_differences_are_marked():
    space = SPACES["cnn"](task(1, 8, 8))
    first = space.completed({"architecture/stages": "2", "training/learning_rate": 0.001})
    path = next(p for p in space.leaves() if p.startswith("architecture/stage_1/0") and p.endswith("kernel"))
    second = first | {path: 5, "training/learning_rate": 0.01}
    words = words_of(draw_svg(space, second, other=first))
    assert any(word.startswith("was 8, 3x3") for word in words)
    assert "learning_rate 0.01 (was 0.001)" in words
    assert draw_svg(space, second, other=first).count('class="newbox') == 1
    first |= {"architecture/pool_1": "max"}
    shorter = first | {"architecture/stages": "1"}
    words = words_of(draw_svg(space, shorter, other=first))
    assert any(word.startswith("without max_pool2d") for word in words)
    longer = draw_svg(space, first, other=shorter)
    assert longer.count('class="newbox') == 3, "pooling, a convolution and its activation are new"
    same = draw_svg(space, first, other=first)
    assert 'class="newbox' not in same
    assert any("which is the same network" in word for word in words_of(same))


def test_cells_are_drawn_once_and_compared_by_edges():
    space = nb201(task(3, 32, 32))
    edges = [f"architecture/cell/{i}-{j}" for i, j in NB201_EDGES]
    first = dict(zip(edges, ["nor_conv_3x3", "none", "none", "skip_connect", "avg_pool_3x3", "none"], strict=True))
    second = first | {edges[3]: "nor_conv_1x1"}
    words = words_of(draw_svg(space, first))
    assert words.count("5 x cell") == 3
    assert [word for word in words if word in first.values()] == ["nor_conv_3x3", "skip_connect", "avg_pool_3x3"]
    compared = draw_svg(space, second, other=first)
    assert words_of(compared).count("skip_connect") == 1, "what is gone is shown"
    assert compared.count('class="newbox') == 1
    assert compared.count('class="gonebox') == 1
    nothing = draw_svg(space, dict.fromkeys(edges, "none"))
    assert "gives zeros" in words_of(nothing)


def test_both_cells_of_darts_are_there():
    space = darts(task(3, 32, 32))
    words = words_of(draw_svg(space, space.sample(np.random.default_rng(0))))
    assert {"normal", "reduce", "before", "last", "out"} <= set(words)
    assert sum("reduce" in word for word in words) == 3  # the graph, and two of them in the column


def test_texts_from_a_space_are_escaped():
    space = Space("a<b>&c", task(4), layers.linear(out_features=Outputs()), {"x": Choice(("<script>", "b"))})
    svg = draw_svg(space, {"training/x": "<script>"})
    assert "<script>" not in svg
    assert "a<b>&c" in " ".join(words_of(svg))


def test_a_table_of_decisions_is_drawn_as_a_list():
    space = Space.categorical("bench", {"depth": (1, 2), "width": (8, 16)})
    words = words_of(draw_svg(space, {"depth": 1, "width": 16}))
    assert {"depth 1", "width 16"} <= set(words)


def test_long_networks_and_long_names_fit():
    inner = layers.transformer_encoder(heads=2, hidden=Int(10_000, 10_001), activation="leaky_relu", dropout=0.123)
    template = Repeat(12, 12, inner)
    space = Space(
        "n" * 90, task(4, 512), template, {f"a_rather_long_hyperparameter_{i}": Choice((1, 2)) for i in range(9)}
    )
    check_layout(draw_svg(space, space.sample(np.random.default_rng(0))))


def test_it_follows_a_dark_scheme():
    space = SPACES["mlp"](task(5))
    svg = draw_svg(space, space.sample(np.random.default_rng(0)))
    assert "prefers-color-scheme:dark" in svg
    assert "<script" not in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def row(text: str, *shape: int, times: int = 1) -> Row:
    title, _, detail = text.partition(" ")
    return Row(title, detail, shape or (8,), times=times)


@pytest.mark.parametrize(
    ("here", "there", "marks"),
    [
        pytest.param(["linear 8", "relu"], ["linear 8", "relu"], ["", ""], id="equal"),
        pytest.param(["linear 8", "relu"], ["linear 4", "relu"], ["was 4", ""], id="another-width"),
        pytest.param(
            ["linear 8", "dropout", "linear 8"], ["linear 8", "linear 4"], ["", "new", "was 4"], id="one-between"
        ),
        pytest.param(["batch_norm", "linear 8"], ["layer_norm", "linear 8"], ["was layer_norm", ""], id="a-family"),
        pytest.param(["activation relu"], ["batch_norm"], ["new without batch_norm"], id="unlike"),
        pytest.param(["global_avg_pool"], ["max_pool2d 2"], ["new without max_pool2d 2"], id="the-end-is-no-pool"),
        pytest.param(
            ["conv2d 8", "relu", "linear 3"],
            ["conv2d 8", "relu", "conv2d 8", "relu", "linear 3"],
            ["", "", "without conv2d 8 without relu"],
            id="a-block-less",
        ),
    ],
)
def test_only_what_is_alike_is_taken_for_each_other(here, there, marks):
    found = compared([row(text) for text in here], [row(text) for text in there])
    said = [
        " ".join(
            [*(["new"] if r.state == "new" else []), *([f"was {r.was}"] if r.was else [])]
            + [f"without {text}" for text in r.gone]
        )
        for r in found
    ]
    assert said == marks


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_what_stands_for_another_layer_does_what_it_did(name, shape):
    """Nothing is lost and nothing is told twice: what is neither the same nor changed is new here, or gone."""
    space = SPACES[name](task(*shape))
    rng = np.random.default_rng(5)
    for _ in range(6):
        first, second = (rows_of(space, space.sample(rng)) for _ in range(2))
        marked = compared(first, second)
        assert [each.text for each in marked] == [each.text for each in first]
        gone = sum(len(each.gone) for each in marked)
        assert len(second) == sum(each.state != "new" for each in marked) + gone
        for each in marked:
            assert (each.state == "changed") == bool(each.was)
            assert each.was.partition(" ")[0] not in {"dropout", "activation", "linear", "add", "flatten"} - {
                each.title
            }


def rows_of(space: Space, flat) -> list[Row]:
    network = Network(space.task.outputs)
    network.chain(space.point(flat).parts, space.task.input_shape)
    return network.rows

"""Cells: what counts as the same one."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasturtium.core import ConfigError
from nasturtium.nas.cells import NB201_OPS, CanonicalCell, canonical_cell, format_nb201, nb201_cell, parse_nb201

OPS = ["none", "skip_connect", "conv", "pool"]


@st.composite
def cells(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]], list[str]]:
    """(nodes, edges, ops) of a fully connected cell."""
    nodes = draw(st.integers(2, 6))
    edges = list(combinations(range(nodes), 2))
    return nodes, edges, draw(st.lists(st.sampled_from(OPS), min_size=len(edges), max_size=len(edges)))


def unique_string(ops: tuple[str, ...]) -> str:
    """The benchmark's own way to tell its cells apart, `to_unique_str(consider_zero=True)`, as it is written there."""
    nodes = {0: "0"}
    for target, node in enumerate(((ops[0],), ops[1:3], ops[3:6]), start=1):
        terms: list[str] = []
        for source, op in enumerate(node):
            if op == "none" or nodes[source] == "#":
                terms.append("#")
            elif op == "skip_connect":
                terms.append(nodes[source])
            else:
                terms.append("(" + nodes[source] + ")" + f"@{op}")
        nodes[target] = "+".join(sorted(terms))
    return nodes[3]


def test_nb201_has_its_published_number_of_distinct_cells():
    every = [(ops, nb201_cell(ops)) for ops in product(NB201_OPS, repeat=6)]
    assert len(every) == 15_625
    assert len({cell.key for _, cell in every}) == 6_466
    assert all(cell.key == unique_string(ops) for ops, cell in every)


def test_equal_keys_have_equal_expressions():
    every = [nb201_cell(ops) for ops in product(NB201_OPS, repeat=6)]
    assert len({cell.expression for cell in every}) == 4_930
    assert len({(cell.key, cell.expression) for cell in every}) == 6_466


@pytest.mark.parametrize(
    ("ops", "expression"),
    [
        pytest.param(["none"] * 6, "0", id="nothing-reaches-the-output"),
        pytest.param(["skip_connect"] * 6, "4*input", id="four-paths-of-skips"),
        pytest.param(
            ["none", "nor_conv_3x3", "none", "none", "none", "skip_connect"], "nor_conv_3x3(input)", id="skip"
        ),
        pytest.param(
            ["nor_conv_1x1", "none", "avg_pool_3x3", "skip_connect", "none", "nor_conv_3x3"],
            "input+nor_conv_3x3(avg_pool_3x3(nor_conv_1x1(input)))",
            id="a-chain-and-a-skip",
        ),
    ],
)
def test_expression_is_the_output_in_the_input(ops: list[str], expression: str):
    assert nb201_cell(ops).expression == expression


def test_graph_has_a_node_for_every_distinct_term():
    cell = nb201_cell(["nor_conv_1x1", "nor_conv_1x1", "none", "none", "nor_conv_3x3", "skip_connect"])
    assert cell.expression == "nor_conv_1x1(input)+nor_conv_3x3(nor_conv_1x1(input))"
    assert cell.labels == ("input", "nor_conv_1x1", "nor_conv_3x3", "output")
    assert cell.edges == ((0, 1), (1, 2), (1, 3), (2, 3))


def test_inputs_are_told_apart():
    edges = [(0, 2), (1, 2)]
    one = canonical_cell(3, ["conv", "pool"], edges=edges, inputs=2)
    other = canonical_cell(3, ["pool", "conv"], edges=edges, inputs=2)
    assert one.expression == "conv(input0)+pool(input1)"
    assert other.expression == "conv(input1)+pool(input0)"


def test_dense_cells_have_short_keys():
    edges = list(combinations(range(16), 2))
    cell = canonical_cell(16, ["conv"] * len(edges), edges=edges)
    assert len(cell.key) < 16 * 500
    assert len(cell.expression) < 16 * 500
    assert len(cell.labels) == 17  # a convolution of each of 15 sums, input and output


@given(cells(), st.randoms(use_true_random=False))
def test_relabelling_does_not_change_the_expression(cell: tuple[int, list[tuple[int, int]], list[str]], random):
    """Any renumbering of the inner nodes under which every edge that is not "none" still leads forward."""
    nodes, edges, ops = cell
    real = [(edge, op) for edge, op in zip(edges, ops, strict=True) if op != "none"]
    inner = list(range(1, nodes - 1))
    random.shuffle(inner)
    new = {0: 0, nodes - 1: nodes - 1, **{old: index + 1 for index, old in enumerate(inner)}}
    moved = [((new[i], new[j]), op) for (i, j), op in real]
    if all(i < j for (i, j), _ in moved):
        random.shuffle(moved)
        renamed = canonical_cell(nodes, [op for _, op in moved], edges=[edge for edge, _ in moved])
        assert unkeyed(renamed) == unkeyed(canonical_cell(nodes, ops, edges=edges))


@given(cells(), st.data())
def test_dead_edges_do_not_change_the_expression(
    cell: tuple[int, list[tuple[int, int]], list[str]], data: st.DataObject
):
    """Operations on what is not reached from the input, or does not reach the output, may be anything."""
    nodes, edges, ops = cell
    alive = [(edge, op) for edge, op in zip(edges, ops, strict=True) if op != "none"]
    forward, backward = {0}, {nodes - 1}
    for (i, j), _ in sorted(alive):
        if i in forward:
            forward.add(j)
    for (i, j), _ in sorted(alive, key=lambda item: -item[0][1]):
        if j in backward:
            backward.add(i)
    changed = [
        op if op == "none" or (i in forward and j in backward) else data.draw(st.sampled_from(OPS[1:]))
        for (i, j), op in zip(edges, ops, strict=True)
    ]
    assert unkeyed(canonical_cell(nodes, changed, edges=edges)) == unkeyed(canonical_cell(nodes, ops, edges=edges))


@given(cells())
def test_graph_is_the_expression(cell: tuple[int, list[tuple[int, int]], list[str]]):
    """Writing the graph back as a cell with operations on nodes gives the key again."""
    nodes, edges, ops = cell
    canonical = canonical_cell(nodes, ops, edges=edges)
    sums: list[list[str]] = [[] for _ in canonical.labels]
    for i, j in canonical.edges:
        assert i < j
        sums[j].append("input" if i == 0 else f"{canonical.labels[i]}({'+'.join(collected(sums[i]))})")
    assert ("+".join(collected(sums[-1])) or "0") == canonical.expression


@given(cells(), st.data())
def test_what_does_not_reach_the_output_does_not_change_the_key(cell, data: st.DataObject):
    nodes, edges, ops = cell
    backward = {nodes - 1}
    for (i, j), op in sorted(zip(edges, ops, strict=True), key=lambda item: -item[0][1]):
        if j in backward and op != "none":
            backward.add(i)
    changed = [op if j in backward else data.draw(st.sampled_from(OPS)) for (_, j), op in zip(edges, ops, strict=True)]
    assert canonical_cell(nodes, changed, edges=edges) == canonical_cell(nodes, ops, edges=edges)


def unkeyed(cell: CanonicalCell) -> tuple[object, ...]:
    """All but the finer key."""
    return cell.expression, cell.labels, cell.edges


def collected(terms: list[str]) -> list[str]:
    """Like terms once, with how often, sorted by the term."""
    return [term if terms.count(term) == 1 else f"{terms.count(term)}*{term}" for term in sorted(set(terms))]


@given(st.lists(st.sampled_from(NB201_OPS), min_size=6, max_size=6))
def test_string_form_round_trips(ops: list[str]):
    assert parse_nb201(format_nb201(ops)) == tuple(ops)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(
            lambda: canonical_cell(3, ["conv"], edges=[(0, 1), (1, 2)]), "each of the 2 edges, got 1", id="few"
        ),
        pytest.param(lambda: canonical_cell(3, ["conv"], edges=[(2, 1)]), r"edge \(2, 1\)", id="backward"),
        pytest.param(lambda: canonical_cell(3, ["conv"], edges=[(0, 1)], inputs=2), "j >= 2", id="into-an-input"),
        pytest.param(lambda: canonical_cell(1, [], edges=[]), "inputs < nodes", id="no-output"),
        pytest.param(lambda: nb201_cell(["conv"] * 6), "operations of NAS-Bench-201", id="unknown-operation"),
        pytest.param(lambda: format_nb201(["none"] * 5), "expected 6 operations", id="five"),
        pytest.param(lambda: parse_nb201("|none~0|+|none~0|"), "not a cell of NAS-Bench-201", id="short-string"),
        pytest.param(
            lambda: parse_nb201("|none~0|+|none~1|none~1|+|none~0|none~1|none~2|"), "not a cell", id="wrong-numbers"
        ),
    ],
)
def test_bad_cells_say_what_is_wrong(call, message: str):
    with pytest.raises(ConfigError, match=message):
        call()

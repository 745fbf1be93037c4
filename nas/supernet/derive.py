"""The point of a space that a relaxation prefers: the strongest option of every decision."""

from __future__ import annotations

from collections.abc import Mapping

from ..space import Cell, Flat
from ..space.nodes import NONE, Scalar

Strengths = Mapping[str, Mapping[str, float]]  # decision -> option -> probability


def strongest_point(base: Flat, strengths: Strengths, picked: Mapping[str, Cell]) -> dict[str, Scalar]:
    """The point of the strongest options; of equally strong ones it is the first.

    A node that picks its inputs takes those whose strongest operation, `none` aside, is the strongest (Liu et al. 2019,
    https://arxiv.org/abs/1806.09055, section 2.4).

    Args:
        base: has all other decisions.
        strengths: of the options of each decision; for cells that pick, of the operations of each pair of nodes, by
            cell, node and source.
        picked: cells whose nodes pick their inputs, by path.
    """
    flat = {path: _strongest(strengths[path]) if path in strengths else value for path, value in base.items()}
    for here, cell in picked.items():
        flat |= _picks(cell, here, strengths)
    return flat


def _strongest(options: Mapping[str, float]) -> str:
    return max(options, key=lambda option: options[option])


def _picks(cell: Cell, here: str, strengths: Strengths) -> dict[str, Scalar]:
    """What each node of a cell takes, as the flat encoding says it."""
    flat: dict[str, Scalar] = {}
    for node in range(cell.nodes):
        best: dict[int, tuple[float, str]] = {}
        for source in range(node + 2):
            options = strengths[f"{here}/{node}/{source}"]
            real = {op: strength for op, strength in options.items() if op != NONE}
            best[source] = real[_strongest(real)], _strongest(real)
        pairs = cell.sources(node)
        taken = max(pairs, key=lambda name: sum(best[source][0] for source in pairs[name]))
        if len(pairs) > 1:
            flat[f"{here}/{node}/from"] = taken
        for pick, source in enumerate(pairs[taken]):
            flat[f"{here}/{node}/op{pick}"] = best[source][1]
    return flat

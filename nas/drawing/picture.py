"""The whole picture: what it is, its layers from top to bottom, and beside them its cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..space import Flat, Scalar, Space
from .rows import Around, Network, Row, compared, short_shape, wiring
from .sheet import Sheet, shortened, width_of
from .wires import draw_cell

if TYPE_CHECKING:
    from ..architecture import Architecture

WIDTH = 450  # of the column
LEFT = 24
LOW = 27  # height of boxes with one line
STEP = 16  # between boxes
COUNTS = 84  # width of the parameters
_CLASSES = {"conv": "conv", "linear": "linear", "pool": "pool", "attention": "attention", "transformer": "attention"}
_RECURRENT = {"rnn", "gru", "lstm"}


def draw_svg(space: Space, point: Flat | Architecture, *, other: Flat | Architecture | None = None) -> str:
    """An architecture as an SVG document: the same text for the same arguments.

    Boxes are layers, with what they are on the left, and the shape of a sample that comes out and the trainable
    parameters on the right. Lines beside the boxes are skip connections. Cells are drawn once each, to the right.
    Follows the light or dark scheme of whoever looks at it.

    Args:
        space: the search space.
        point: what to draw, a point of the space or an architecture. Of a point, hyperparameters are listed as well.
        other: marks what of `point` differs from this one, and what only this one has.

    Raises:
        ConfigError: a point is none of the space.
        FormatError: a network does not build.
    """
    here, there = _flat(space, point), None if other is None else _flat(space, other)
    sheet = Sheet()
    y = _header(sheet, space, here, there, of_points=isinstance(point, Mapping))
    if space.template is None or space.task is None:
        return sheet.svg(space.name)
    network, beside = _network(space, here), None if there is None else _network(space, there)
    rows = network.rows if beside is None else compared(network.rows, beside.rows)
    deep = 1 + max((around.level for around in network.arounds), default=-1)
    x = LEFT + 14 * deep
    _column(sheet, rows, network.arounds, space.task.input_shape, x, y)
    right, below = x + WIDTH + 60.0, y
    names = dict.fromkeys((*network.cells, *(beside.cells if beside is not None else ())))
    for name in names:
        cell, old = network.cells.get(name), beside.cells.get(name) if beside is not None else None
        if cell is not None:
            below = draw_cell(sheet, wiring(name, cell, old, compare=beside is not None), right, below)[1] + 34
    return sheet.svg(f"{space.name} {space.network_id(here)[:12]}")


def _flat(space: Space, point: Flat | Architecture) -> Flat:
    return point if isinstance(point, Mapping) else point.flat(space)


def _network(space: Space, flat: Flat) -> Network:
    assert space.task is not None
    network = Network(space.task.outputs)
    network.chain(space.point(flat).parts, space.task.input_shape)
    return network


def _header(sheet: Sheet, space: Space, here: Flat, there: Flat | None, *, of_points: bool) -> float:
    """What it is and what it costs; returns where the column starts."""
    sheet.text(LEFT, 32, f"{space.name} {space.network_id(here)[:12]}", "head", size=16)
    y = 54.0
    if space.template is not None:
        costs = space.costs(here)
        sheet.text(LEFT, y, f"{costs.parameters:,} parameters, {costs.macs:,} multiply-accumulates", "soft")
        y += 20
    if there is not None:
        same = space.network_id(there) == space.network_id(here)
        sheet.text(LEFT, y, f"against {space.network_id(there)[:12]}{', which is the same network' * same}", "soft")
        y += 20
    listed = space.hyperparameters_of(here) if of_points else {}
    before = space.hyperparameters_of(there) if of_points and there is not None else listed
    x = float(LEFT)
    for name, value in listed.items():
        changed = before[name] != value
        text = f"{name} {_number(value)}" + (f" (was {_number(before[name])})" if changed else "")
        if x > LEFT and x + width_of(text) > LEFT + WIDTH:
            x, y = float(LEFT), y + 18
        sheet.text(x, y, text, "mark" if changed else "soft")
        x += width_of(text) + 22
    return y + (30 if listed else 10)


def _number(value: Scalar) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _column(sheet: Sheet, rows: list[Row], arounds: list[Around], shape: tuple[int, ...], x: float, y: float) -> None:
    centre = x + WIDTH / 2
    sheet.box(centre - 70, y, 140, LOW, "end", radius=13)
    sheet.text(centre, y + 18, f"input {short_shape(shape)}", anchor="middle")
    sheet.text(x + WIDTH - 12 - COUNTS, y + 26, "shape", "soft", anchor="end")
    sheet.text(x + WIDTH - 12, y + 26, "parameters", "soft", anchor="end")
    tops: list[float] = []
    heights: list[float] = []
    bottom = y + LOW
    for row in rows:
        top = bottom + STEP
        for text in row.gone:
            top += 16
            sheet.text(centre + 12, top - 12, shortened(f"without {text}", WIDTH / 2 - 12), "gone")
        height = _box(sheet, row, x, top)
        sheet.path([(centre, bottom), (centre, top)])
        tops.append(top)
        heights.append(height)
        bottom = top + height
    sheet.path([(centre, bottom), (centre, bottom + STEP)])
    sheet.box(centre - 70, bottom + STEP, 140, LOW, "end", radius=13)
    sheet.text(centre, bottom + STEP + 18, f"output {short_shape(rows[-1].shape) if rows else ''}", anchor="middle")
    for around in arounds:
        start, end = tops[around.first] - STEP / 2, tops[around.last] + heights[around.last] / 2
        side = x - 14 * (max(other.level for other in arounds) - around.level + 1) + 2
        sheet.path([(centre, start), (side, start), (side, end), (x, end)])


def _box(sheet: Sheet, row: Row, x: float, y: float) -> float:
    """One layer; returns its height."""
    title = row.title if row.times == 1 else f"{row.times} x {row.title}"
    counted = "" if row.parameters is None else f"{row.parameters:,}"
    shape = short_shape(row.shape)
    inside = WIDTH - 24
    numbers = max(width_of(shape), 60.0) + COUNTS
    first = width_of(title) + 12 + width_of(row.detail)
    tall = first + 16 + numbers > inside
    lines = [row.detail] if tall and row.detail else []
    lines += [f"was {row.was}"] if row.was else []
    height = LOW + 17.0 * len(lines)
    edge = "box" if row.state == "same" else "newbox"
    hint = f"{row.text}; gives {shape}" + (f"; {counted} parameters" if counted else "")
    sheet.box(x, y, WIDTH, height, _kind(row.title), edge=edge, hint=hint)
    sheet.text(x + 12, y + 18, shortened(title, inside - numbers - 8), "bold")
    if row.detail and not tall:
        sheet.text(x + 12 + width_of(title) + 12, y + 18, row.detail)
    sheet.text(x + WIDTH - 12 - COUNTS, y + 18, shape, "soft", anchor="end")
    if counted:
        sheet.text(x + WIDTH - 12, y + 18, counted, "soft", anchor="end")
    for number, line in enumerate(lines):
        kind = "mark" if row.was and number == len(lines) - 1 else ""
        sheet.text(x + 12, y + 35 + 17 * number, shortened(line, inside), kind)
    return height


def _kind(title: str) -> str:
    if title in _RECURRENT:
        return "recurrent"
    if title.rstrip("'") in {"cell", "normal", "reduce"}:
        return "cell"
    return next((kind for word, kind in _CLASSES.items() if word in title), "plain")

"""Cells as graphs: nodes in a column, operations on the lines between them."""

from __future__ import annotations

from .rows import Wiring
from .sheet import Sheet, width_of

ROOM = 74  # from one node to the next
PILL = 24  # height of an operation
GAP = 18  # between lanes
NODE = 26  # height of a node


def draw_cell(sheet: Sheet, cell: Wiring, x: float, y: float) -> tuple[float, float]:
    """Draw a cell with its top left corner at (x, y).

    An operation between two nodes that follow each other stands on the straight line between them; all others have a
    lane to the left or the right, in which they do not meet.

    Returns:
        The right and the lower end of what was drawn.
    """
    sheet.text(x, y + 12, cell.name, "bold")
    if not cell.edges:
        sheet.text(x, y + 34, "gives zeros", "soft")
        return x + width_of("gives zeros"), y + 40
    lanes, widths = _lanes(cell)
    left = sum(widths[lane] + GAP for lane in widths if lane < 0)
    right = sum(widths[lane] + GAP for lane in widths if lane > 0)
    middle_width = max(widths.get(0, 0.0), 64.0)
    centre = x + left + middle_width / 2
    top = y + 28
    places = _places(widths, centre, middle_width)
    bus = centre + middle_width / 2 + right + GAP
    for number, name in enumerate(cell.nodes):
        width = max(34.0, width_of(name) + 14)
        row = top + number * ROOM
        sheet.box(centre - width / 2, row, width, NODE, "end", radius=13)
        sheet.text(centre, row + 17, name, anchor="middle")
    for (i, j, op, state), lane in zip(cell.edges, lanes, strict=True):
        _edge(sheet, op, state, lane, places, top, i, j, widths)
    if not cell.joins:
        return bus - GAP, top + (len(cell.nodes) - 1) * ROOM + NODE
    last = len(cell.nodes) - 1
    end = top + last * ROOM + NODE / 2
    for node in range(2, last):  # all nodes side by side: they run together into the output
        start = top + node * ROOM + NODE / 2
        sheet.path([(centre, start), (bus, start), (bus, end), (centre + 24, end)], "soft-line")
    sheet.text(bus - 6, end + 22, "side by side", "soft", anchor="end")
    return bus, end + NODE


def _edge(
    sheet: Sheet,
    op: str,
    state: str,
    lane: int,
    places: dict[int, float],
    top: float,
    i: int,
    j: int,
    widths: dict[int, float],
) -> None:
    line, edge = {"same": ("line", "box"), "new": ("newline", "newbox"), "gone": ("goneline", "gonebox")}[state]
    centre, x = places[0], places[lane]
    start, end = top + i * ROOM + NODE, top + j * ROOM
    # Between two rows of nodes, where no line crosses.
    y = top + (i + j - 1) // 2 * ROOM + NODE + (ROOM - NODE) / 2
    if lane == 0:
        sheet.path([(centre, start), (centre, end)], line)
    else:
        side = -12 if lane < 0 else 12
        sheet.path([(centre + side, start - 7), (x, start - 7), (x, end + 7), (centre + 1.5 * side, end + 7)], line)
    width = width_of(op) + 14
    sheet.box(
        x - width / 2, y - PILL / 2, width, PILL, "sheet" if state == "gone" else _kind_of(op), edge=edge, radius=12
    )
    sheet.text(x, y + 4, op, "gone" if state == "gone" else "", anchor="middle")


def _kind_of(op: str) -> str:
    return "pool" if "pool" in op else "conv" if "conv" in op else "plain"


def _lanes(cell: Wiring) -> tuple[list[int], dict[int, float]]:
    """A lane for every edge: 0 in the middle, negative to the left; and how wide the lanes are."""
    taken: dict[int, list[tuple[int, int]]] = {}
    chosen: dict[int, int] = {}
    order = sorted(range(len(cell.edges)), key=lambda n: (cell.edges[n][1] - cell.edges[n][0], n))
    for number in order:
        i, j = cell.edges[number][:2]
        straight = [0] if j == i + 1 else []
        sides = [lane for distance in range(1, len(cell.edges) + 1) for lane in (-distance, distance)]
        lane = next(lane for lane in [*straight, *sides] if all(j <= a or b <= i for a, b in taken.get(lane, [])))
        taken.setdefault(lane, []).append((i, j))
        chosen[number] = lane
    widths: dict[int, float] = {}
    for number, lane in chosen.items():
        widths[lane] = max(widths.get(lane, 0.0), width_of(cell.edges[number][2]) + 14)
    return [chosen[number] for number in range(len(cell.edges))], widths


def _places(widths: dict[int, float], centre: float, middle: float) -> dict[int, float]:
    """The middle of every lane."""
    places = {0: centre}
    for sign in (-1, 1):
        at = centre + sign * middle / 2
        for lane in sorted((lane for lane in widths if lane * sign > 0), key=abs):
            places[lane] = at + sign * (GAP + widths[lane] / 2)
            at += sign * (GAP + widths[lane])
    return places

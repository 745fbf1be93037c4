"""An `Explanation` as a picture: memory over time, and launches below the roofline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final

from .explained_text import count_text, size_text, time_text
from .explanation import Arena, Explanation, Launch, ProgramReport
from .roofline import Roofline

Point = tuple[float, float]

LEFT, RIGHT, WIDTH = 80, 24, 1120
PLAN_HEIGHT, CHART_HEIGHT = 420, 340
CHARACTER: Final = 6.1  # pixels of one at size 10
LOW_LABEL, HIGH_LABEL = 11, 14  # pixels that a label needs above itself, and in all
NAMED: Final = 8  # launches that have their number in the chart: those that take the most time
KINDS: Final = {  # fill and what it is
    "product": ("#bfdbfe", "made by a product or convolution"),
    "fused": ("#bbf7d0", "made by a fused group"),
    "moved": ("#e5e7eb", "packed or copied"),
    "gradient": ("#fde68a", "gradients of an optimiser's step"),
    "scratch": ("#fecaca", "scratch"),
}
STYLE: Final = (
    "text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:10px;fill:#1f2933}"
    ".head{font-size:14px;font-weight:bold}.soft{fill:#66707c}.edge{stroke:#66707c;stroke-width:.6}"
    ".axis{stroke:#66707c;stroke-width:1;fill:none}.grid{stroke:#e5e7eb;stroke-width:1}"
    ".roof{stroke:#b91c1c;stroke-width:1.6;fill:none}.bound{stroke:#b91c1c;stroke-width:1;stroke-dasharray:5 4}"
    ".dot{fill:#2563eb;fill-opacity:.75;stroke:#ffffff;stroke-width:.8}.mark{fill:#b91c1c}"
)


def svg_of(explanation: Explanation) -> str:
    """The document: for every program its plan, where there is one, and its launches in the roofline chart."""
    out: list[str] = []
    y = 20.0
    for program in explanation.programs:
        title = (
            f"{program.name}: {program.back_end}, {len(program.launches)} launches, {time_text(program.measured_ns)}"
        )
        out.append(_text(LEFT, y + 6, title, "head"))
        y += 24
        if program.arena is not None and program.arena.planned_bytes:
            out += _plan(program, program.arena, y)
            y += PLAN_HEIGHT + 84
        out += _chart(program.launches, explanation.machine, y)
        y += CHART_HEIGHT + 76
    height = round(y)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{escape(explanation.programs[0].name)}</title><style>{STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *out,
            "</svg>\n",
        ]
    )


def _plan(program: ProgramReport, arena: Arena, top: float) -> list[str]:
    """Memory upwards, launches to the right; every buffer from its first phase to its last."""
    count = max(len(program.launches), 1)
    step = (WIDTH - LEFT - RIGHT) / count
    starts: dict[int, int] = {}
    for launch in program.launches:
        starts.setdefault(launch.phase, launch.number)
    bottom = top + PLAN_HEIGHT
    high = max(arena.planned_bytes, arena.bound_bytes)

    def x_of(phase: int) -> float:
        """Where a phase begins."""
        return LEFT + step * starts.get(phase, count)

    def y_of(offset: float) -> float:
        return bottom - PLAN_HEIGHT * offset / high

    out: list[str] = []
    line = y_of(arena.bound_bytes)
    for each in arena.parts:
        left, right = x_of(each.first), min(x_of(each.last + 1), LEFT + step * count)
        low, up = y_of(each.offset), y_of(each.offset + each.nbytes)
        hint = f"{each.label}; {size_text(each.nbytes)} at {each.offset}; phases {each.first} to {each.last}"
        out.append(
            f'<rect x="{left:.1f}" y="{up:.2f}" width="{max(right - left, 0.5):.1f}" height="{max(low - up, 0.3):.2f}" '
            f'fill="{KINDS[each.kind][0]}" class="edge"><title>{escape(hint)}</title></rect>'
        )
        room = int((right - left - 6) / CHARACTER)
        if low - up >= HIGH_LABEL and room >= min(len(each.label), 6):
            crossed = up < line < up + HIGH_LABEL and low - up >= 2 * HIGH_LABEL
            out.append(_text(left + 3, up + LOW_LABEL + HIGH_LABEL * crossed, _cut(each.label, room)))
    marks = [high * share / 4 for share in range(5)]
    out += [_text(LEFT - 6, y_of(mark) + 3, size_text(mark), "soft", "end") for mark in marks]
    out.append(f'<path d="M{LEFT} {top}V{bottom}H{LEFT + step * count:.1f}" class="axis"/>')
    numbers = range(0, count, _round_up(count / 20))
    out += [_text(LEFT + step * (number + 0.5), bottom + 14, str(number), "soft", "middle") for number in numbers]
    out.append(f'<path d="M{LEFT} {line:.1f}H{LEFT + step * count:.1f}" class="bound"/>')
    out.append(_text(LEFT, bottom + 30, "launch", "soft"))
    told = (
        f"{size_text(arena.planned_bytes)} planned; dashed: the bound, {size_text(arena.bound_bytes)}; "
        f"{size_text(arena.unplanned_bytes)} if nothing were shared"
    )
    out.append(_text(LEFT + step * count, bottom + 30, told, "soft", "end"))
    x = float(LEFT)
    for kind in dict.fromkeys(each.kind for each in arena.parts):
        fill, name = KINDS[kind]
        out.append(f'<rect x="{x:.1f}" y="{bottom + 42}" width="11" height="11" fill="{fill}" class="edge"/>')
        out.append(_text(x + 16, bottom + 51, name, "soft"))
        x += 16 + CHARACTER * len(name) + 24
    return out


def _chart(launches: Sequence[Launch], machine: Roofline, top: float) -> list[str]:
    """Operations a byte against operations a second, both logarithmic."""
    shown = [each for each in launches if each.flops and each.size_bytes and each.measured_ns]
    points = [(each.flops / each.size_bytes, each.flops / (each.measured_ns or 1) * 1e9) for each in shown]
    lows = [
        min([machine.balance / 10, *(at for at, _ in points)]),
        min([machine.flops / 100, *(at for _, at in points)]),
    ]
    highs = [max([machine.balance * 10, *(at for at, _ in points)]), max([machine.flops, *(at for _, at in points)])]
    first = [floor(log10(each)) for each in lows]
    last = [max(ceil(log10(each * 1.05)), start + 1) for each, start in zip(highs, first, strict=True)]
    right, bottom = WIDTH - RIGHT, top + CHART_HEIGHT

    def x_of(intensity: float) -> float:
        return LEFT + (right - LEFT) * (log10(intensity) - first[0]) / (last[0] - first[0])

    def y_of(speed: float) -> float:
        return bottom - CHART_HEIGHT * (log10(speed) - first[1]) / (last[1] - first[1])

    out: list[str] = []
    for power in range(first[0], last[0] + 1):
        x = x_of(10.0**power)
        out.append(f'<path d="M{x:.1f} {top}V{bottom}" class="grid"/>')
        out.append(_text(x, bottom + 14, f"{10.0**power:g}", "soft", "middle"))
    for power in range(first[1], last[1] + 1):
        y = y_of(10.0**power)
        out.append(f'<path d="M{LEFT} {y:.1f}H{right}" class="grid"/>')
        out.append(_text(LEFT - 6, y + 3, f"{10.0 ** (power - 9):g}", "soft", "end"))
    knee = x_of(machine.balance)
    start = max(10.0 ** first[0], 10.0 ** first[1] / machine.bytes)
    roof = f"M{x_of(start):.1f} {y_of(machine.attainable(start)):.1f}"
    out.append(f'<path d="{roof}L{knee:.1f} {y_of(machine.flops):.1f}H{right}" class="roof"/>')
    told = f"{machine.flops / 1e9:.0f} GFLOP/s; {machine.bytes / 1e9:.1f} GB/s to and from memory"
    out.append(_text(LEFT + 8, top + 14, told, "mark"))
    places = [(x_of(intensity), y_of(speed)) for intensity, speed in points]
    for each, (x, y) in zip(shown, places, strict=True):
        hint = (
            f"{each.number}: {each.title}; {count_text(each.flops)} FLOP, {size_text(each.size_bytes)}; "
            f"{time_text(each.measured_ns)}, predicted {time_text(each.predicted_ns)}"
        )
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="dot"><title>{escape(hint)}</title></circle>')

    def roof_at(x: float) -> float:
        return y_of(machine.attainable(10.0 ** (first[0] + (x - LEFT) / (right - LEFT) * (last[0] - first[0]))))

    out += _names(shown, places, right, roof_at)
    out.append(
        _text(LEFT, bottom + 30, "FLOP a byte; upwards GFLOP/s of one core; numbers are those of launches", "soft")
    )
    return out


def _names(shown: Sequence[Launch], places: Sequence[Point], right: float, roof: Callable[[float], float]) -> list[str]:
    """Numbers beside the dots of the dearest launches, where they hide no other and not the roof."""
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    out: list[str] = []
    dearest = sorted(range(len(shown)), key=lambda place: -(shown[place].measured_ns or 0))[:NAMED]
    for number in dearest:
        x, y = places[number]
        text = f"{shown[number].number} {_cut(shown[number].title, 24)}"
        width = CHARACTER * len(text)
        for down in (3, 15, -9, 27, -21, 39):
            for left in (x + 7, x - 7 - width):
                box = (left, y + down - 9, left + width, y + down + 2)
                hidden = any(box[0] < c and a < box[2] and box[1] < d and b < box[3] for a, b, c, d in taken)
                above = {roof(at) < box[1] for at in (left, left + width / 2, left + width)}
                below = {roof(at) > box[3] for at in (left, left + width / 2, left + width)}
                if hidden or (above != {True} and below != {True}) or left < LEFT or box[2] > right:
                    continue
                taken.append(box)
                out.append(_text(left, y + down, text))
                break
            else:
                continue
            break
    return out


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    given = f' class="{kind}"' if kind else ""
    end = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{given}{end}>{escape(text)}</text>'


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(room - 2, 0)] + ".."


def _round_up(step: float) -> int:
    """The next of 1, 2, 5, 10, ..."""
    power = 10 ** max(0, floor(log10(max(step, 1))))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step)

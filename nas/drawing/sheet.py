"""A sheet that boxes, lines and texts are put on, and its SVG."""

from __future__ import annotations

from html import escape

CHARACTER = 7.25  # width of one at 12 pixels, of any monospaced font
_KINDS = {  # class -> (fill on light, fill on dark)
    "plain": ("#f3f4f6", "#2a3038"),
    "conv": ("#dbeafe", "#1e3a5f"),
    "linear": ("#e0e7ff", "#312e6b"),
    "pool": ("#dcfce7", "#14432a"),
    "attention": ("#fae8ff", "#4a1d5c"),
    "recurrent": ("#ffedd5", "#5a3113"),
    "cell": ("#fef3c7", "#54400a"),
    "end": ("#ffffff", "#15191e"),
}
_STYLE = """
text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:12px;fill:#1f2933}
.head{font-size:16px;font-weight:bold}.bold{font-weight:bold}.soft{fill:#66707c}.mark{fill:#b45309}.gone{fill:#9a6b6b}
.sheet{fill:#ffffff}.box{stroke:#9aa5b1;stroke-width:1}.line{fill:none;stroke:#66707c;stroke-width:1.3}
.tip{fill:#66707c}.newbox{stroke:#d97706;stroke-width:2.5}.newline{fill:none;stroke:#d97706;stroke-width:2.2}
.goneline{fill:none;stroke:#b08a8a;stroke-width:1.2;stroke-dasharray:4 3}
.gonebox{stroke:#b08a8a;stroke-width:1;stroke-dasharray:4 3;fill:none}
.soft-line{fill:none;stroke:#c3cad2;stroke-width:1}
"""
_DARK = """
text{fill:#e4e7eb}.soft{fill:#9aa5b1}.mark{fill:#fbbf24}.gone{fill:#c79a9a}.sheet{fill:#15191e}.box{stroke:#5b6672}
.line{stroke:#9aa5b1}.tip{fill:#9aa5b1}.newbox{stroke:#fbbf24}.newline{stroke:#fbbf24}.soft-line{stroke:#3a434d}
"""


def width_of(text: str, *, size: float = 12) -> float:
    """How wide a text is, in pixels."""
    return len(text) * CHARACTER * size / 12


def shortened(text: str, room: float) -> str:
    """As much of a text as fits into so many pixels."""
    count = int(room / CHARACTER)
    return text if len(text) <= count else text[: max(0, count - 1)] + "…"


class Sheet:
    """Collects elements; coordinates are pixels from the top left. Later ones cover earlier ones."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._boxes: list[str] = []
        self._right = 0.0
        self._bottom = 0.0

    def text(self, x: float, y: float, text: str, kind: str = "", *, anchor: str = "start", size: float = 12) -> None:
        """A text on the line y; `anchor` says which of its ends is at x ("start", "middle", "end")."""
        given = f' class="{kind}"' if kind else ""
        end = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._boxes.append(f'<text x="{x:g}" y="{y:g}"{given}{end}>{escape(text)}</text>')
        reach = {"start": 1.0, "middle": 0.5, "end": 0.0}[anchor]
        self._grow(x + reach * width_of(text, size=size), y + 6)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        kind: str,
        *,
        edge: str = "box",
        hint: str = "",
        radius: float = 6,
    ) -> None:
        """A box with round corners; `hint` is shown where the mouse rests."""
        title = f"<title>{escape(hint)}</title>" if hint else ""
        shape = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" class="{edge} {kind}"'
        self._boxes.append(f"{shape}>{title}</rect>" if title else f"{shape}/>")
        self._grow(x + width, y + height)

    def path(self, points: list[tuple[float, float]], kind: str = "line", *, tip: bool = True) -> None:
        """A line along points with round corners; with a tip, an arrow."""
        steps = [f"M{points[0][0]:g} {points[0][1]:g}"]
        for before, at, after in zip(points, points[1:], points[2:], strict=False):
            enter, leave = _towards(at, before), _towards(at, after)
            steps.append(f"L{enter[0]:g} {enter[1]:g}Q{at[0]:g} {at[1]:g} {leave[0]:g} {leave[1]:g}")
        steps.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
        self._lines.append(f'<path d="{"".join(steps)}" class="{kind}"/>')
        if tip:
            self._lines.append(f'<path d="{_arrow(points[-2], points[-1])}" class="tip"/>')
        for x, y in points:
            self._grow(x, y)

    def svg(self, title: str) -> str:
        """The sheet, as large as what is on it."""
        width, height = round(self._right + 24), round(self._bottom + 20)
        light = "".join(f".{kind}{{fill:{fill}}}" for kind, (fill, _) in _KINDS.items())
        dark = _DARK + "".join(f".{kind}{{fill:{fill}}}" for kind, (_, fill) in _KINDS.items())
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" role="img">',
                f"<title>{escape(title)}</title>",
                f"<style>{_STYLE}{light}\n@media (prefers-color-scheme:dark){{{dark}}}</style>",
                f'<rect width="{width}" height="{height}" class="sheet"/>',
                *self._lines,
                *self._boxes,
                "</svg>\n",
            ]
        )

    def _grow(self, x: float, y: float) -> None:
        self._right, self._bottom = max(self._right, x), max(self._bottom, y)


def _towards(at: tuple[float, float], other: tuple[float, float], radius: float = 7) -> tuple[float, float]:
    """A point a little before a corner."""
    dx, dy = other[0] - at[0], other[1] - at[1]
    length = (dx * dx + dy * dy) ** 0.5
    part = min(radius, length / 2) / length if length else 0.0
    return round(at[0] + dx * part, 2), round(at[1] + dy * part, 2)


def _arrow(before: tuple[float, float], end: tuple[float, float]) -> str:
    """The tip of a line that comes down, or from one side."""
    x, y = end
    if before[1] == y:
        back = x - 7 if before[0] < x else x + 7
        return f"M{x:g} {y:g}L{back:g} {y - 4:g}L{back:g} {y + 4:g}Z"
    return f"M{x:g} {y:g}L{x - 4:g} {y - 7:g}L{x + 4:g} {y - 7:g}Z"

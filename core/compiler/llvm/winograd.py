"""Minimal filtering: convolutions of stride 1 with fewer products (Winograd 1980; for images Lavin and Gray 2015).

Two neighbouring sums over three taps take four products, F(2, 3), not six:

    y = A' [(G g) * (B' d)]     d: four inputs, g: three taps, y: two outputs, *: element by element

    B' d = d0 - d2, d1 + d2, d2 - d1, d1 - d3
    G g  = g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2
    A' m = m0 + m1 + m2, m1 - m2 - m3

On images this is done along both axes: squares of 2 x 2 outputs, with 16 products per pair of channels where there were
36, as 16 matrix products over the channels, one for each `frequency`. All numbers in A and B are 0, 1 or -1, so errors
stay about those of the plain sum; larger squares save more and lose digits, and are not used.

A longer kernel is cut into pieces of three taps, and a rest of two or one that leaves out the frequencies it does not
need: five taps take 4 + 3 products for two outputs, not ten. The products of all pieces add up before A' is applied. A
`plane` is what one frequency takes from one piece along each axis.

The gradient of the input is such a convolution with the kernel turned. That of the weights is the transpose of the
whole: dg = G' sum((B' d) * (A dy)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .geometry import Convolution, Pair
from .ir import FLOAT_BYTES, Value, Writer
from .launch import Images
from .tile import BLOCK

OUTPUTS = 2  # along each axis, of a square
FREQUENCIES = 4  # along each axis
ALL_FREQUENCIES = FREQUENCIES**2
FEWEST_SQUARES = 4  # for each plane: fewer are not worth planes of weights
LARGE_BYTES = 4 << 20  # of planes of weights, that caches do not hold: twice as many squares are wanted
WINDOW_BYTES = 96 * 1024  # at most, of the planes of one window
LONGEST = 7  # taps along an axis


@dataclass(frozen=True, slots=True)
class Piece:
    """One to three neighbouring taps of an axis.

    Attributes:
        start: the first tap.
        taps: how many.
    """

    start: int
    taps: int

    @property
    def frequencies(self) -> tuple[int, ...]:
        """Those that it needs."""
        return {1: (0, 3), 2: (0, 1, 2), 3: (0, 1, 2, 3)}[self.taps]

    def data(self, k: Writer, line: Sequence[Value]) -> dict[int, Value]:
        """B' d, by frequency, of the inputs of two outputs over all taps."""
        d = line[self.start : self.start + self.taps + 1]
        if self.taps == 1:
            return {0: d[0], 3: k.fsub(0.0, d[1])}
        found = {0: k.fsub(d[0], d[2]), 1: k.fadd(d[1], d[2]), 2: k.fsub(d[2], d[1])}
        return found if self.taps == 2 else found | {3: k.fsub(d[1], d[3])}

    def filter(self, k: Writer, line: Sequence[Value]) -> dict[int, Value]:
        """G g, by frequency, of all taps."""
        g = line[self.start : self.start + self.taps]
        if self.taps == 1:
            return {0: g[0], 3: g[0]}
        even, odd = k.fmul(k.fadd(g[0], g[2]) if self.taps == 3 else g[0], 0.5), k.fmul(g[1], 0.5)
        found = {0: g[0], 1: k.fadd(even, odd), 2: k.fsub(even, odd)}
        return found if self.taps == 2 else found | {3: g[2]}

    def filter_gradient(self, k: Writer, u: dict[int, Value]) -> list[Value]:
        """G' u: the gradient of its taps."""
        if self.taps == 1:
            return [k.fadd(u[0], u[3])]
        even, odd = k.fmul(k.fadd(u[1], u[2]), 0.5), k.fmul(k.fsub(u[1], u[2]), 0.5)
        found = [k.fadd(u[0], even), odd]
        return found if self.taps == 2 else [*found, k.fadd(even, u[3])]


def outputs(k: Writer, m: Sequence[Value]) -> list[Value]:
    """A' m: two outputs."""
    return [k.fadd(k.fadd(m[0], m[1]), m[2]), k.fsub(k.fsub(m[1], m[2]), m[3])]


def output_gradient(k: Writer, y: Sequence[Value]) -> list[Value]:
    """A y: what the gradients of two outputs are to the frequencies."""
    return [y[0], k.fadd(y[0], y[1]), k.fsub(y[0], y[1]), k.fsub(0.0, y[1])]


@dataclass(frozen=True)
class Planes:
    """How a kernel of some size is taken apart.

    Args:
        kernel: taps (rows, columns), each 3 to 7.
    """

    kernel: Pair

    @cached_property
    def pieces(self) -> tuple[list[Piece], list[Piece]]:
        """Of the rows and of the columns."""
        rows, columns = ([Piece(start, min(3, taps - start)) for start in range(0, taps, 3)] for taps in self.kernel)
        return rows, columns

    @cached_property
    def all(self) -> list[tuple[int, int, int, int]]:
        """Of every plane, in order: the frequency and the piece along the rows, and those along the columns."""
        rows, columns = self.pieces
        return [
            (down, a, right, b)
            for down in range(FREQUENCIES)
            for right in range(FREQUENCIES)
            for a, above in enumerate(rows)
            if down in above.frequencies
            for b, left in enumerate(columns)
            if right in left.frequencies
        ]

    @property
    def count(self) -> int:
        """Of planes: products for a square of outputs and a pair of channels."""
        return len(self.all)

    @property
    def products(self) -> float:
        """The same, as a part of those of the plain sum."""
        return self.count / (OUTPUTS**2 * self.kernel[0] * self.kernel[1])

    @property
    def window(self) -> Pair:
        """Inputs that a square of outputs sees."""
        return self.kernel[0] + 1, self.kernel[1] + 1

    @property
    def name(self) -> str:
        """For kernels."""
        return f"{self.kernel[0]}x{self.kernel[1]}"

    def counts(self, k: Writer, frequency: Value) -> Value:
        """How many planes a frequency has: a number of 0 to 15 that is known when the kernel runs."""
        down, right = k.div(frequency, FREQUENCIES), k.rem(frequency, FREQUENCIES)
        return k.mul(*(self._count(k, at, pieces) for at, pieces in zip((down, right), self.pieces, strict=True)))

    def _count(self, k: Writer, at: Value, pieces: Sequence[Piece]) -> Value:
        there = [sum(number in piece.frequencies for piece in pieces) for number in range(FREQUENCIES)]
        found = k.whole(there[0])
        for number in range(1, FREQUENCIES):
            if there[number] != there[0]:
                found = k.select(k.compare("eq", at, number), there[number], found)
        return found

    def data(self, k: Writer, window: Sequence[Sequence[Value]]) -> list[Value]:
        """What a window of inputs is to every plane, in order; rows of values."""
        return self._both_ways(window, lambda piece, line: piece.data(k, line))

    def filter(self, k: Writer, taps: Sequence[Sequence[Value]]) -> list[Value]:
        """What a kernel is to every plane, in order; rows of values."""
        return self._both_ways(taps, lambda piece, line: piece.filter(k, line))

    def _both_ways(
        self, square: Sequence[Sequence[Value]], transform: Callable[[Piece, Sequence[Value]], dict[int, Value]]
    ) -> list[Value]:
        """The transform of every piece, of all columns and then of all rows."""
        rows, columns = self.pieces
        halves = [[transform(piece, column) for piece in rows] for column in zip(*square, strict=True)]
        found: dict[tuple[int, int, int, int], Value] = {}
        for a, above in enumerate(rows):
            for down in above.frequencies:
                line = [half[a][down] for half in halves]
                for b, left in enumerate(columns):
                    found |= {(down, a, right, b): value for right, value in transform(left, line).items()}
        return [found[plane] for plane in self.all]

    def filter_gradient(self, k: Writer, planes: Sequence[Value]) -> list[list[Value]]:
        """The transpose of `filter`: the gradient of the taps."""
        rows, columns = self.pieces
        known = dict(zip(self.all, planes, strict=True))
        found: list[list[Value]] = []
        for a, above in enumerate(rows):
            lines: dict[int, list[Value]] = {}  # by frequency, along the columns
            for down in above.frequencies:
                lines[down] = []
                for b, left in enumerate(columns):
                    lines[down] += left.filter_gradient(k, {r: known[down, a, r, b] for r in left.frequencies})
            columns_of = [{down: line[c] for down, line in lines.items()} for c in range(self.kernel[1])]
            turned = [above.filter_gradient(k, column) for column in columns_of]
            found += [[column[row] for column in turned] for row in range(above.taps)]
        return found


def is_minimal(conv: Convolution, output: Images) -> bool:
    """Whether a convolution with that output, or the gradient of the input `output`, is computed this way."""
    inputs, outputs = conv.group_inputs, conv.group_outputs
    fits = (
        conv.stride == conv.dilation == (1, 1)
        and not conv.depthwise
        and all(3 <= taps <= LONGEST for taps in conv.kernel)
        and all(3 * rounded(channels) <= 4 * channels for channels in (inputs, outputs))
        and output.height % OUTPUTS == output.width % OUTPUTS == 0
    )
    if not fits:
        return False
    planes = Planes(conv.kernel).count
    squares = output.count * output.height * output.width // OUTPUTS**2
    large = FLOAT_BYTES * planes * conv.groups * rounded(inputs) * rounded(outputs) > LARGE_BYTES
    return (
        squares >= FEWEST_SQUARES * planes * (2 if large else 1)
        and FLOAT_BYTES * planes * rounded(max(inputs, outputs)) <= WINDOW_BYTES
    )


def rounded(channels: int) -> int:
    """Up to whole blocks."""
    return -(-channels // BLOCK) * BLOCK
